"""The cache of prepared sets on disk. All trials on a file system share it; it is memory-mapped and bounded."""

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

#: A training touches its set each epoch. A set that was touched within this time is never removed.
IN_USE_S = 24 * 3600

#: Preparing takes a minute at most. A process which has waited longer makes the set in memory.
WAIT_S = 600

#: An index that JSON can hold, and flat arrays by name.
IndexedArrays = tuple[list[Any], dict[str, NDArray[Any]]]


def default_folder() -> Path | None:
    """``$TRAINER_CACHE``, else ``sweep-trainer`` in the user's own cache folder; None where they have no home."""
    if configured := os.environ.get("TRAINER_CACHE"):
        return Path(configured)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sweep-trainer"
    try:
        return Path.home() / ".cache" / "sweep-trainer"
    except RuntimeError:  # no HOME, and a user whom the machine has no name for, as in some containers
        return None


@dataclass(frozen=True)
class Cache:
    """A folder with one subfolder for each prepared set: ``KEY/index.json`` and ``KEY/*.npy``.

    A set is written under another name and renamed, under a lock of its key. Other processes wait for it. A writer
    that was killed leaves only what the next one removes. Where the folder cannot be written, or the bound leaves
    no room, a set stays in memory: the cache is never a reason to fail.

    Attributes
    ----------
    folder : Path
    max_bytes : int
        The bound on all sets together; 0 means no cache.
    """

    folder: Path
    max_bytes: int

    def load(self, key: str) -> IndexedArrays | None:
        """Map a set into memory, read-only; None if there is none that can be read."""
        folder = self.folder / key
        self.touch(key)  # first: a set in use is not removed
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in index["sizes"]}
        except (OSError, ValueError, EOFError, TypeError, KeyError):
            return None
        if {name: array.size for name, array in arrays.items()} != index["sizes"]:
            return None
        return index["index"], arrays

    def touch(self, key: str) -> None:
        """Record that a set is in use."""
        try:
            os.utime(self.folder / key)
        except OSError:
            return  # another user's, or never stored

    def get_or_make(self, key: str, make: Callable[[], IndexedArrays]) -> IndexedArrays:
        """Map a set into memory. If there is none, make it first, while other processes wait for it.

        Parameters
        ----------
        key : str
            A hash of everything that `make` depends on.
        make : callable
            Its errors pass through.
        """
        if not self.max_bytes:
            return make()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{key}.lock", timeout=WAIT_S)
            lock.acquire()
        except (OSError, Timeout, NotImplementedError) as error:
            print(f"warning: cannot lock the cache in {str(self.folder)!r}: {error}", file=sys.stderr)
            return self.load(key) or make()
        try:
            return self.load(key) or self._store(key, make())
        finally:
            lock.release()

    def _store(self, key: str, arrays: IndexedArrays) -> IndexedArrays:
        """Write a set if there is room; return it mapped, or as it is."""
        size_bytes = sum(array.nbytes for array in arrays[1].values())
        if size_bytes > self.max_bytes:
            return arrays
        try:
            # The lock covers the writing too, or several writers would each find the same room.
            with FileLock(self.folder / "room.lock", timeout=WAIT_S):
                return self._write(key, arrays) if self._make_room(size_bytes) else arrays
        except (OSError, Timeout, NotImplementedError) as error:
            print(f"warning: not kept in {str(self.folder)!r}: {error}", file=sys.stderr)
            return arrays

    def _write(self, key: str, arrays: IndexedArrays) -> IndexedArrays:
        unfinished = self.folder / f"{key}.making"
        shutil.rmtree(unfinished, ignore_errors=True)  # of a writer that was killed: we hold its lock now
        shutil.rmtree(self.folder / key, ignore_errors=True)  # a set that cannot be read
        unfinished.mkdir()
        try:
            for name, array in arrays[1].items():
                np.save(unfinished / f"{name}.npy", array)
            index = {"index": arrays[0], "sizes": {name: array.size for name, array in arrays[1].items()}}
            (unfinished / "index.json").write_text(json.dumps(index), encoding="utf-8")
            unfinished.rename(self.folder / key)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return self.load(key) or arrays

    def _make_room(self, size_bytes: int) -> bool:
        """Remove the sets that were used longest ago until `size_bytes` more fit; False if they cannot."""
        folders = sorted((path for path in self.folder.iterdir() if path.is_dir()), key=_last_used_s)
        sizes = {path: _size_bytes(path) for path in folders}
        for path in folders:
            if sum(sizes.values()) + size_bytes <= self.max_bytes:
                break
            if time.time() - _last_used_s(path) > IN_USE_S and self._remove(path):
                sizes.pop(path)
        return sum(sizes.values()) + size_bytes <= self.max_bytes

    def _remove(self, path: Path) -> bool:
        """Remove a set, unless a process is making or opening it right now."""
        try:
            with FileLock(self.folder / f"{path.stem}.lock", timeout=0):
                shutil.rmtree(path, ignore_errors=True)
                return True
        except Timeout:
            return False


def _last_used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size_bytes(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in path.glob("*") if file.is_file())
    except OSError:
        return 0  # renamed meanwhile
