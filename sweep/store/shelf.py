"""The shelf: the folder in which sweeps land, each in a folder of its own name."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.clock import SYSTEM, Clock
from sweep.errors import NoSuch, UsageError, nearest
from sweep.store.files import Files
from sweep.store.folder import Store

#: The file with the name of the sweep that is meant where none is named: the last that was planned.
CURRENT = ".current"


class Shelf:
    """All sweeps of one folder.

    Parameters
    ----------
    path : Path
        The folder; it need not exist.
    clock : Clock
        The clock of the sweeps that are opened here.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM) -> None:
        self.path, self.clock = path, clock

    def at(self, name: str) -> Store:
        """Return the place of a sweep of this name, which may not be there."""
        return Store(self.path.absolute() / name, self.clock)

    def create(self, name: str) -> Store:
        """Make a sweep's folder, or take up the one that is there.

        Raises
        ------
        UsageError
            It cannot be written.
        """
        store = self.at(name)
        try:
            (store.path / "jobs").mkdir(parents=True, exist_ok=True)
            (store.path / "trials").mkdir(exist_ok=True)
            probe = store.path / f".probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(
                f"the results folder {str(store.path)!r} cannot be written: {error.strerror}",
                "go to a folder that is yours, or name one with --results",
            ) from None
        return store

    def find(self, name: str | None) -> Store:
        """Open a sweep by its name or its folder; without one, the current sweep.

        Raises
        ------
        NoSuch
            There is none.
        """
        if name and (Path(name) / "trials.jsonl").is_file():
            return Store(Path(name).absolute(), self.clock)
        name = name or self.current()
        store = self.at(name)
        if not (store.path / "trials.jsonl").is_file():
            raise NoSuch(f"there is no sweep {name!r} in {str(self.path)!r}", nearest(name, self.names()))
        return store

    def names(self) -> list[str]:
        """Name all sweeps."""
        return [path.parent.name for path in self.path.glob("*/trials.jsonl")]

    def current(self) -> str:
        """Name the sweep that was planned last. NoSuch where there is none."""
        try:
            return (self.path / CURRENT).read_text(encoding="utf-8").strip()
        except OSError:
            raise NoSuch(
                f"there is no current sweep in {str(self.path)!r}",
                "plan one with `sweep plan grid.yaml`, or name it",
            ) from None

    def make_current(self, name: str) -> None:
        """Make this the sweep that commands mean where none is named."""
        Files(self.path, self.clock).write(CURRENT, name + "\n")
