"""YAML text → plain values, and the line and column of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sweep.errors import GridError

#: The keys and indices that lead to a value: ("parameters", "depth", 0).
KeyPath = tuple[str | int, ...]

#: The largest number of values in a document. A few lines of nested aliases can expand to more.
MAX_VALUES = 1_000_000


@dataclass(frozen=True)
class Source:
    """A YAML document: its values, and where each of them is in the file.

    Attributes
    ----------
    name : str
        The file's name, for errors.
    data : dict
        Plain Python values: dict, list, str, int, float, bool, None.
    positions : dict
        KeyPath → (line, column), both from 1.
    """

    name: str
    data: dict[str, Any]
    positions: dict[KeyPath, tuple[int, int]]

    def error(self, path: KeyPath, message: str, hint: str = "") -> GridError:
        """Make the error for the value at `path`. It shows the position of the value or of its nearest parent."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.positions:
                line, column = self.positions[path[:end]]
                return GridError(message, hint, source=self.name, line=line, column=column)
        return GridError(message, hint, source=self.name)


def parse(text: str, name: str) -> Source:
    """Read one YAML 1.2 document.

    Raises
    ------
    GridError
        The text is not YAML, has a key twice, is no mapping, or has a value that JSON cannot hold.
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
    return Source(name, data, reader.positions)


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
    hint = "check the indentation, the colons and the closing brackets near this line"
    if "duplicate key" in problem:
        problem, hint = problem.split(" with value")[0], "keep one of the two"
    elif "mapping values are not allowed" in problem:
        hint = "put a text with a colon and a space in quotes, or below `>-`"
    elif "\t" in str(getattr(mark, "buffer", "") or "") and "token" in problem:
        hint = "indent with spaces; YAML allows no tabs"
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return GridError(problem, hint, source=name, line=line, column=column)


class _Reader:
    """Turns a loaded document into plain values, and records the position of each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.positions: dict[KeyPath, tuple[int, int]] = {(): (1, 1)}
        self.value_count = 0

    def plain(self, node: Any, path: KeyPath) -> Any:
        self.value_count += 1
        if self.value_count > MAX_VALUES:
            raise self._error(path, f"more than {MAX_VALUES:,} values", "check whether aliases (*name) are nested")
        if isinstance(node, CommentedMap):
            return self._mapping(node, path)
        return self._list(node, path) if isinstance(node, CommentedSeq) else self._scalar(node, path)

    def _mapping(self, node: CommentedMap, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key in node:
            key_path = (*path, key)
            if key in (node.lc.data or {}):
                line, column = node.lc.key(key)
                self.positions[key_path] = (line + 1, column + 1)
            if not isinstance(key, str):
                raise self._error(key_path, f"the key {key!r} is not text", "put it in quotes")
            values[str(key)] = self.plain(node[key], key_path)
        return values

    def _list(self, node: CommentedSeq, path: KeyPath) -> list[Any]:
        values = []
        for index, item in enumerate(node):
            item_path = (*path, index)
            line, column = node.lc.item(index)
            self.positions[item_path] = (line + 1, column + 1)
            values.append(self.plain(item, item_path))
        return values

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, str) and not isinstance(node, TaggedScalar):
            if any("\ud800" <= char <= "\udfff" for char in node):
                raise self._error(
                    path, f"{str(node)!r} has half a character (a surrogate)", "no program can receive one"
                )
            return str(node)
        if isinstance(node, int):
            # An anchored true is a ScalarBoolean, which is an int too.
            return bool(node) if "Boolean" in type(node).__name__ else int(node)
        if isinstance(node, float):
            if not math.isfinite(node):
                raise self._error(path, f"{node} is not a finite number", "use null or a text instead")
            return float(node)
        value = getattr(node, "value", node)
        raise self._error(path, f"{str(value)!r} is a {type(node).__name__}", "put it in quotes if it is text")

    def _error(self, path: KeyPath, message: str, hint: str) -> GridError:
        return Source(self.name, {}, self.positions).error(path, message, hint)
