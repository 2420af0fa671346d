"""Draw the imports between folders: rooms, the floors they stand on, arrows, circles, arrows upward.

    python -m tests.drawing                  # sweep, and trainer as one room
    python -m tests.drawing trainer          # the inside of a folder
    python -m tests.drawing sweep/verbs
    python -m tests.drawing sweep --files    # the same, but a file is one room, however deep it lies
    python -m tests.drawing --root DIR       # of another checkout

What is measured:

- **Room.** What lies directly in the folder that is drawn: a folder with all that it contains, or a file. The
  folder that is drawn by default is ``sweep``; ``trainer`` stands beside it as one room, for the two never import
  each other.
- **Arrow.** A pair of rooms of which the first has at least one import of the second. Every import counts, also one
  within a function or under ``TYPE_CHECKING``: a reader follows both.
- **Face.** The ``__init__.py`` of a package that only re-exports is no room. An import of a name from it is an arrow
  to the file that the name comes from, one of the whole face leads to all that it re-exports, and its own imports
  are no arrows. The ``__init__.py`` of ``sweep`` and
  ``trainer`` themselves have arrows of their own (``sweep.load``), but none leads to them: what is imported from
  there is the version.
- **Floor.** A room stands one above the highest that it imports; floor 1 imports nothing. The rooms of a circle
  stand on one floor.
- **Circle.** Rooms that reach each other along arrows.
- **Arrow upward.** An arrow to a floor that is not below its own: with these floors, the arrows within a circle.

Of commit 8fccab6, before the code had rooms, this draws 27 rooms, 66 arrows and 7 floors; of its trainer 37 rooms, 118
arrows and 13 floors.
"""

from __future__ import annotations

import argparse
import ast
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("sweep", "trainer")


@dataclass(frozen=True)
class Drawing:
    """Rooms and the arrows between them."""

    arrows: Mapping[str, frozenset[str]]

    @property
    def rooms(self) -> list[str]:
        """All rooms, by name."""
        return sorted(self.arrows)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All arrows, by name."""
        return [(room, other) for room in self.rooms for other in sorted(self.arrows[room])]

    @cached_property
    def _reached(self) -> dict[str, frozenset[str]]:
        """All rooms to which arrows lead from each."""
        return {room: self._reached_from(room) for room in self.arrows}

    def _reached_from(self, room: str) -> frozenset[str]:
        reached: set[str] = set()
        waiting = [*self.arrows[room]]
        while waiting:
            other = waiting.pop()
            if other not in reached:
                reached.add(other)
                waiting.extend(self.arrows[other])
        return frozenset(reached)

    def circle_of(self, room: str) -> frozenset[str]:
        """Return the rooms that a room reaches and is reached from, itself included; empty if there is none."""
        return frozenset(other for other in self._reached[room] if room in self._reached[other])

    @property
    def circles(self) -> list[list[str]]:
        """Each circle's rooms."""
        return sorted(sorted(circle) for circle in {self.circle_of(room) for room in self.arrows} if circle)

    @cached_property
    def floors(self) -> dict[str, int]:
        """The floor of each room."""
        floors: dict[str, int] = {}

        def floor(room: str) -> int:
            if room not in floors:
                together = self.circle_of(room) | {room}
                below = {other for member in together for other in self.arrows[member]} - together
                height = 1 + max(map(floor, below), default=0)
                floors.update(dict.fromkeys(together, height))
            return floors[room]

        for room in self.rooms:
            floor(room)
        return floors

    @property
    def upward(self) -> list[tuple[str, str]]:
        """The arrows that do not lead down."""
        return [(room, other) for room, other in self.pairs if self.floors[other] >= self.floors[room]]

    def as_text(self) -> str:
        """Write it, the highest floor first."""
        top = max(self.floors.values(), default=0)
        counts = ((len(self.rooms), "room"), (len(self.pairs), "arrow"), (top, "floor"))
        lines = [", ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts)]
        for height in range(top, 0, -1):
            lines += ["", f"floor {height}"]
            for room in self.rooms:
                if self.floors[room] == height:
                    lines.append(f"  {room} → {', '.join(sorted(self.arrows[room]))}".removesuffix(" → "))
        lines += ["", f"circles: {'; '.join(map(', '.join, self.circles)) or 'none'}"]
        lines += [f"arrows upward: {', '.join(f'{a} → {b}' for a, b in self.upward) or 'none'}"]
        return "\n".join(lines)


# --- files and what they import ---------------------------------------------------------------------------------


def module_of(path: Path) -> str:
    """Name the module of a file, given below the root.

    >>> module_of(Path("sweep/store/lock.py")), module_of(Path("sweep/store/__init__.py"))
    ('sweep.store.lock', 'sweep.store')
    """
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@dataclass(frozen=True)
class Modules:
    """The modules below a root: where they are, and how they are parsed."""

    root: Path
    trees: Mapping[str, ast.Module]
    folders: frozenset[str]

    def imported_by(self, module: str) -> Iterator[str]:
        """List the modules that one imports, anywhere in it."""
        for node in ast.walk(self.trees[module]):
            imported: list[str | None] = []
            if isinstance(node, ast.Import):
                imported = [self.nearest(alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(module, node)
                imported = [self.origin(source, alias.name) for alias in node.names]
            for name in imported:
                if name and "." in name:
                    yield from self.behind(name)

    def _absolute(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = module.split(".") if module in self.folders else module.split(".")[:-1]
        return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])

    def nearest(self, name: str) -> str | None:
        """Return the module that a dotted name lies in; None if it is not ours."""
        while name and name not in self.trees:
            name = name.rpartition(".")[0]
        return name or None

    def origin(self, source: str, name: str, depth: int = 0) -> str | None:
        """Return the module from which ``from source import name`` comes, through faces."""
        if f"{source}.{name}" in self.trees:
            return f"{source}.{name}"
        if depth < 9 and source in self.trees and self.is_face(source):
            for node in self.trees[source].body:
                if isinstance(node, ast.ImportFrom) and name in {
                    alias.asname or alias.name for alias in node.names
                }:
                    original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
                    return self.origin(self._absolute(source, node), original, depth + 1)
        return self.nearest(source)

    def behind(self, module: str) -> Iterator[str]:
        """Return a module, or for a face that is imported as a whole the modules that it re-exports."""
        if self.is_face(module):
            yield from self.imported_by(module)
        else:
            yield module

    def is_face(self, module: str) -> bool:
        """Whether it is a package's ``__init__.py`` that only re-exports: imports, ``__all__`` and words."""
        allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
        return module in self.folders and all(isinstance(node, allowed) for node in self.trees[module].body)


def modules(root: Path, packages: Iterable[str] = PACKAGES) -> Modules:
    """Parse all modules of some packages."""
    trees, folders = {}, set()
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            name = module_of(path.relative_to(root))
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
            if path.name == "__init__.py":
                folders.add(name)
    return Modules(root, trees, frozenset(folders))


def room_of(module: str, folder: str, *, files: bool = False) -> str | None:
    """Return a module's room in the drawing of a folder; None if it is none there.

    >>> [room_of("sweep.store.lock", "sweep"), room_of("sweep.store.lock", "sweep.store"), room_of("sweep", "sweep")]
    ['store', 'lock', '__init__']
    >>> room_of("sweep.store.lock", "sweep", files=True), room_of("trainer.fit", "sweep")
    ('store/lock', None)
    """
    if module == folder:
        return "__init__"
    if not module.startswith(f"{folder}."):
        return None
    parts = module.removeprefix(f"{folder}.").split(".")
    return "/".join(parts) if files else parts[0]


def drawing(root: Path = ROOT, folder: str = "", *, files: bool = False) -> Drawing:
    """Draw a folder such as ``trainer`` or ``sweep/verbs``; by default ``sweep``, with ``trainer`` beside it."""
    parsed = modules(root)
    drawn = folder.strip("/").replace("/", ".") or "sweep"

    def room(module: str) -> str | None:
        if not folder and module.partition(".")[0] == "trainer":
            return "trainer"
        return room_of(module, drawn, files=files)

    arrows: dict[str, set[str]] = {}
    for module in parsed.trees:
        own = room(module)
        if own is None or (parsed.is_face(module) and (files or module == drawn)):
            continue
        targets = [] if parsed.is_face(module) else [room(other) for other in parsed.imported_by(module)]
        arrows.setdefault(own, set()).update(other for other in targets if other not in (None, own))
    return Drawing({own: frozenset(others) for own, others in arrows.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default="", help="trainer, or sweep/verbs; else the whole")
    parser.add_argument("--files", action="store_true", help="one room a file, however deep it lies")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout")
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `python -m tests.drawing | head` ends as other programs do
    print(drawing(options.root, options.folder, files=options.files).as_text())


if __name__ == "__main__":
    main()
