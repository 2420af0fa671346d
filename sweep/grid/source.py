"""YAML text → plain values, each with the line and column it was written at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sweep.errors import GridError

#: Where a value stands in the document: ("parameters", "depth", 0).
KeyPath = tuple[str | int, ...]

#: More values than any grid needs; what a few lines of nested aliases expand to.
MOST_VALUES = 1_000_000


@dataclass(frozen=True)
class Source:
    """A YAML document: its values and where each was written.

    Attributes
    ----------
    name : str
        The file's name as the person gave it.
    data : dict
        Plain Python values: dict, list, str, int, float, bool, None.
    places : dict
        KeyPath → (line, column), 1-based.
    """

    name: str
    data: dict[str, Any]
    places: dict[KeyPath, tuple[int, int]]

    def error(self, path: KeyPath, message: str, hint: str = "") -> GridError:
        """Make the error for the value at `path`, or the nearest thing above it that has a place."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return GridError(message, hint, source=self.name, line=line, column=column)
        return GridError(message, hint, source=self.name)


def parse(text: str, name: str) -> Source:
    """Read one YAML 1.2 document.

    Raises
    ------
    GridError
        It is not YAML, has a duplicate key, is not a mapping, or holds what JSON could not.
    """
    yaml = YAML(typ="rt")
    try:
        document = yaml.load(text)
    except MarkedYAMLError as error:
        raise _syntax_error(error, name) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise GridError(f"not YAML: {error}", "see docs/grid.md for the form", source=name) from None
    if not isinstance(document, CommentedMap):
        what = "empty" if document is None else f"a {type(document).__name__}, not a mapping"
        raise GridError(f"the grid is {what}", "start from `sweep init`", source=name, line=1, column=1)
    reader = _Reader(name)
    data = reader.plain(document, ())
    return Source(name, data, reader.places)


def value(text: str) -> Any:
    """Read one value as YAML reads it: ``0.01`` is a number, ``[1, 2]`` a list.

    >>> value("1e-3"), value("[8, 16]"), value("adam")
    (0.001, [8, 16], 'adam')
    """
    try:
        return _Reader("--set").plain(YAML(typ="rt").load(text), ())
    except (YAMLError, ValueError, RecursionError) as error:
        raise GridError(f"{text!r} is not a YAML value: {str(error).splitlines()[0]}") from None


def _syntax_error(error: MarkedYAMLError, name: str) -> GridError:
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or "not YAML").strip()
    hint = "mind the indentation, the colons and the closing brackets around this place"
    if "duplicate key" in problem:
        problem, hint = problem.split(" with value")[0], "keep one of the two"
    elif "mapping values are not allowed" in problem:
        hint = "a text with a colon and a space in it goes into quotes, or below `>-`"
    elif "\t" in str(getattr(mark, "buffer", "") or "") and "token" in problem:
        hint = "YAML is indented with spaces, never with tabs"
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return GridError(problem, hint, source=name, line=line, column=column)


class _Reader:
    """Walks the loaded document once: strips YAML's own types, notes the places."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[KeyPath, tuple[int, int]] = {(): (1, 1)}
        self.seen = 0

    def plain(self, node: Any, path: KeyPath) -> Any:
        self.seen += 1
        if self.seen > MOST_VALUES:
            raise self._error(path, f"more than {MOST_VALUES:,} values", "do aliases (*name) nest here?")
        if isinstance(node, CommentedMap):
            return self._mapping(node, path)
        return self._list(node, path) if isinstance(node, CommentedSeq) else self._scalar(node, path)

    def _mapping(self, node: CommentedMap, path: KeyPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key in node:
            here = (*path, key)
            if key in (node.lc.data or {}):
                line, column = node.lc.key(key)
                self.places[here] = (line + 1, column + 1)
            if not isinstance(key, str):
                raise self._error(here, f"the key {key!r} is not text", "put it in quotes")
            out[str(key)] = self.plain(node[key], here)
        return out

    def _list(self, node: CommentedSeq, path: KeyPath) -> list[Any]:
        out = []
        for index, item in enumerate(node):
            here = (*path, index)
            line, column = node.lc.item(index)
            self.places[here] = (line + 1, column + 1)
            out.append(self.plain(item, here))
        return out

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, str) and not isinstance(node, TaggedScalar):
            if any("\ud800" <= char <= "\udfff" for char in node):
                raise self._error(path, f"{str(node)!r} holds half a character", "no program can receive one")
            return str(node)
        if isinstance(node, int):
            # ScalarBoolean, an anchored true, is an int as well.
            return bool(node) if "Boolean" in type(node).__name__ else int(node)
        if isinstance(node, float):
            if not math.isfinite(node):
                raise self._error(path, f"{node} is no number to sweep over", "use null or a text for it")
            return float(node)
        shown = getattr(node, "value", node)
        raise self._error(path, f"{str(shown)!r} is a {type(node).__name__}", "put it in quotes if it is text")

    def _error(self, path: KeyPath, message: str, hint: str) -> GridError:
        return Source(self.name, {}, self.places).error(path, message, hint)
