"""Prepared sets on disk: shared by all trials of a machine or file system, memory-mapped, bounded in size."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

#: Whoever trains touches its entry each epoch; one used so lately is never thrown out under it.
IN_USE_S = 24 * 3600

#: Preparing takes seconds, a minute at most; whoever waits longer makes the set in memory.
WAIT_S = 600

#: An index, and flat arrays by name.
Held = tuple[list[Any], dict[str, NDArray[Any]]]


def default_folder() -> Path:
    """``$TRAINER_CACHE``, else ``sweep-trainer`` in the user's own cache folder."""
    given = os.environ.get("TRAINER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(base) / "sweep-trainer"


@dataclass(frozen=True)
class Cache:
    """A folder with an entry a prepared set: ``KEY/index.json`` and ``KEY/*.npy``.

    An entry is written aside and renamed, under a lock of its key: others wait for it rather than make it again,
    and a writer that was killed leaves only what the next one throws away. Where the folder cannot be written,
    or the bound leaves no room, a set stays in memory: a cache is never a reason to fail.

    Attributes
    ----------
    folder : Path
    most_bytes : int
        The bound on all entries together; 0 is no cache.
    """

    folder: Path
    most_bytes: int

    def load(self, key: str) -> Held | None:
        """Map an entry into memory, read-only; None if there is none."""
        entry = self.folder / key
        self.touch(key)  # first: an entry in use is not thrown out
        try:
            index = json.loads((entry / "index.json").read_text(encoding="utf-8"))
            arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in index["sizes"]}
        except (OSError, ValueError, EOFError, TypeError, KeyError):
            return None
        if {name: array.size for name, array in arrays.items()} != index["sizes"]:
            return None
        return index["index"], arrays

    def touch(self, key: str) -> None:
        """Say that an entry is in use."""
        try:
            os.utime(self.folder / key)
        except OSError:
            return  # not ours to touch, or never stored

    def held(self, key: str, make: Callable[[], Held]) -> Held:
        """Map an entry; make it first if there is none. Others who ask for it meanwhile wait.

        Parameters
        ----------
        key : str
            Of everything that `make` depends on.
        make : callable
            Its errors pass through.
        """
        if not self.most_bytes:
            return make()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{key}.lock", timeout=WAIT_S)
            lock.acquire()
        except (OSError, Timeout, NotImplementedError) as error:
            print(f"warning: cannot lock the cache in {str(self.folder)!r}: {error}", file=sys.stderr)
            return self.load(key) or make()
        try:
            return self.load(key) or self._stored(key, make())
        finally:
            lock.release()

    def _stored(self, key: str, made: Held) -> Held:
        size = sum(array.nbytes for array in made[1].values())
        if size > self.most_bytes:
            return made
        try:
            # Held while writing too, or several writers would each find the same room.
            with FileLock(self.folder / "room.lock", timeout=WAIT_S):
                return self._written(key, made) if self._room_for(size) else made
        except (OSError, Timeout, NotImplementedError) as error:
            print(f"warning: not kept in {str(self.folder)!r}: {error}", file=sys.stderr)
            return made

    def _written(self, key: str, held: Held) -> Held:
        making = self.folder / f"{key}.making"
        shutil.rmtree(making, ignore_errors=True)  # of a writer that was killed: its lock is ours now
        shutil.rmtree(self.folder / key, ignore_errors=True)  # one that cannot be read
        making.mkdir()
        try:
            for name, array in held[1].items():
                np.save(making / f"{name}.npy", array)
            index = {"index": held[0], "sizes": {name: array.size for name, array in held[1].items()}}
            (making / "index.json").write_text(json.dumps(index), encoding="utf-8")
            making.rename(self.folder / key)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            raise
        return self.load(key) or held

    def _room_for(self, size: int) -> bool:
        """Throw out what was used longest ago until `size` more bytes fit; False if they cannot."""
        entries = sorted((path for path in self.folder.iterdir() if path.is_dir()), key=_used_s)
        sizes = {path: _bytes(path) for path in entries}
        for path in entries:
            if sum(sizes.values()) + size <= self.most_bytes:
                break
            if time.time() - _used_s(path) > IN_USE_S and self._thrown_out(path):
                sizes.pop(path)
        return sum(sizes.values()) + size <= self.most_bytes

    def _thrown_out(self, path: Path) -> bool:
        """Remove an entry, unless somebody is making or opening it right now."""
        try:
            with FileLock(self.folder / f"{path.stem}.lock", timeout=0):
                shutil.rmtree(path, ignore_errors=True)
                return True
        except Timeout:
            return False


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _bytes(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in path.glob("*") if file.is_file())
    except OSError:
        return 0  # renamed meanwhile
