"""What trials saved in their folders to go on from: files whose names fit a pattern."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Iterable
from pathlib import Path


def checkpoints(folder: Path, pattern: str, result: str) -> dict[str, int]:
    """Return the size in bytes of each file of a trial's folder that it may go on from, by its name.

    Parameters
    ----------
    pattern : str
        Of the names, as in a shell.
    result : str
        The name of the result. It and our own records are no checkpoints, whatever the pattern.
    """
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name: entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if fnmatch.fnmatchcase(entry.name, pattern)
                and entry.name not in (result, "log.txt")
                and not entry.name.startswith("attempt-")
                and entry.is_file(follow_symlinks=False)
            }
    except OSError:
        return {}


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files of a trial's folder, as far as that is allowed."""
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
