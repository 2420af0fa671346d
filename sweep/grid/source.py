"""YAML text → plain values, and the line and column of each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sweep.errors import GridError

#: The keys and indices that lead to a value: ("parameters", "depth", 0).
KeyPath = tuple[str | int, ...]

#: The largest number of values in a document. A few lines of nested aliases can expand to more.
MAX_VALUES = 1_000_000


#: The numbers of YAML 1.2's core schema (yaml.org/spec/1.2.2, 10.3.2). What else looks like one is a text.
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

#: A number as people write one: no leading zeros, no end that falls away, a short mantissa before an exponent.
_USUAL = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]*[1-9]|\.0)?|-?[0-9](\.[0-9]+)?[eE][-+]?[0-9]+")


class _WholeNumber(int):
    """A whole number, and how it was written."""

    written: str


class _RealNumber(float):
    """A number that is not whole, or is written with a point or an exponent; and how it was written."""

    written: str


class _Constructor(RoundTripConstructor):
    """Reads plain scalars by the core schema of YAML 1.2, and remembers how numbers were written.

    ruamel.yaml also takes the forms of YAML 1.1 for numbers: ``2019_01_12`` would be 20190112.
    """

    def whole(self, node: Any) -> Any:
        """Make a whole number, or a text that only looks like one."""
        text = node.value
        if not _WHOLE.fullmatch(text):
            return text
        number = _WholeNumber(int(text, 0) if text[:2] in ("0o", "0x") else int(text))
        number.written = text
        return number

    def real(self, node: Any) -> Any:
        """Make a number, or a text that only looks like one."""
        text = node.value
        if not _REAL.fullmatch(text):
            return text
        number = _RealNumber(re.sub(r"\.(?=[inIN])", "", text))  # .inf and .nan
        number.written = text
        return number

    def text(self, node: Any) -> str:
        """Make a text of what YAML 1.1 takes for a date."""
        return str(node.value)


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.whole)
_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.real)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.text)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Constructor = _Constructor
    return yaml


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
    unusual : dict
        KeyPath → how a number is written whose value is spelled otherwise, such as ``3.10`` or ``72225e2``.
    """

    name: str
    data: dict[str, Any]
    positions: dict[KeyPath, tuple[int, int]]
    unusual: dict[KeyPath, str] = field(default_factory=dict)

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
    try:
        document = _yaml().load(text)
    except MarkedYAMLError as error:
        raise _syntax_error(error, name) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise GridError(f"not YAML: {error}", "see docs/grid.md for the form", source=name) from None
    if not isinstance(document, CommentedMap):
        what = "empty" if document is None else f"a {type(document).__name__}, not a mapping"
        raise GridError(f"the grid is {what}", "start from `sweep init`", source=name, line=1, column=1)
    reader = _Reader(name)
    data = reader.plain(document, ())
    return Source(name, data, reader.positions, reader.unusual)


def value(text: str) -> Any:
    """Read one value as YAML reads it: ``0.01`` is a number, ``[1, 2]`` a list.

    >>> value("1e-3"), value("[8, 16]"), value("adam")
    (0.001, [8, 16], 'adam')
    """
    try:
        return _Reader("--set").plain(_yaml().load(text), ())
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
        self.unusual: dict[KeyPath, str] = {}
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
        if isinstance(node, TaggedScalar) and str(node.tag) == "tag:yaml.org,2002:str":
            return str(node.value)
        if isinstance(node, str) and not isinstance(node, TaggedScalar):
            if any("\ud800" <= char <= "\udfff" for char in node):
                raise self._error(
                    path, f"{str(node)!r} has half a character (a surrogate)", "no program can receive one"
                )
            return str(node)
        if isinstance(node, int):
            # An anchored true is a ScalarBoolean, which is an int too.
            return bool(node) if "Boolean" in type(node).__name__ else self._number(node, int(node), path)
        if isinstance(node, float):
            if not math.isfinite(node):
                written = getattr(node, "written", str(node))
                what = "is not a finite number" if "." in written[:2] else "is too large for a number"
                raise self._error(
                    path, f"{written} {what}", f'if it is a text, quote it: "{written}"; or use null'
                )
            written = getattr(node, "written", "")
            # 1e2 is a whole number; 100.0 was written with a point, and stays so.
            whole = "e" in written.lower() and "." not in written and node.is_integer() and abs(node) < 2**53
            return self._number(node, int(node) if whole else float(node), path)
        value = getattr(node, "value", node)
        raise self._error(path, f"{str(value)!r} is a {type(node).__name__}", "put it in quotes if it is text")

    def _number(self, node: Any, number: float, path: KeyPath) -> float:
        """Return a number, and note how it was written if nobody would write it so, or if digits were lost."""
        written = getattr(node, "written", "")
        lost = isinstance(number, float) and len(re.sub(r"[eE].*|\D", "", written).strip("0")) > 17
        if written and (lost or not _USUAL.fullmatch(written)):
            self.unusual[path] = written
        return number

    def _error(self, path: KeyPath, message: str, hint: str) -> GridError:
        return Source(self.name, {}, self.positions).error(path, message, hint)
