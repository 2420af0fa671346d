"""Frames as people see them: which columns, spelled how. Terminal and page share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.report import words

if TYPE_CHECKING:
    import pandas as pd

Spell = Callable[[Any], str]

_SPELLED: dict[str, tuple[str, Spell]] = {
    "elapsed_s": ("elapsed", words.duration),
    "cpu_s": ("CPU", words.duration),
    "cpu_percent": ("CPU %", words.percent),
    "peak_memory_mib": ("peak memory", words.memory),
    "memory_percent": ("memory %", words.percent),
    "witness": ("witness", lambda value: value or "–"),
    "configurations": ("configurations", words.cell),
}
_HIDDEN = ("id", "reason", "sd", "ci_low", "ci_high", "like_first", "asked", "confirmed")

#: Where a terminal is narrow these may go, the first of them first; then parameters are cut.
_OPTIONAL = ("witness", "memory_percent", "cpu_percent", "cpu_s", "peak_memory_mib", "state", "scores",
             "elapsed_s", "test", "interval")  # fmt: skip

#: Digits behind the point where nobody knows the uncertainty.
DECIMALS = 4

#: No cell is longer on a terminal.
WIDEST = 40


@dataclass(frozen=True)
class Shown:
    """A table of texts.

    Attributes
    ----------
    heads : list of str
        The columns' heads.
    numeric : list of bool
        Which columns hold numbers, to be aligned at the right.
    rows : list of list of str
        The cells, row by row.
    fixed : dict
        Parameters that do not vary, named once: name → value.
    names : list of str
        The columns' names in the frame.
    """

    heads: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    fixed: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def fitting(self, width: int, asked: Sequence[str] = ()) -> tuple[Shown, list[str]]:
        """Leave columns out until the table fits, the least important first; which ones, by their heads.

        None of those that were asked for by name.
        """
        optional = [name for name in _OPTIONAL if name not in asked]
        sizes = dict(zip(self.names, self.widths, strict=True))
        kept = {name for name in self.names if name not in optional}
        room = width - sum(sizes[name] for name in kept)
        for name in reversed(optional):
            if name in sizes and sizes[name] <= room:
                kept.add(name)
                room -= sizes[name]
        gone = [head for head, name in zip(self.heads, self.names, strict=True) if name not in kept]
        return self._only(kept)._cut(width), gone

    @property
    def widths(self) -> list[int]:
        """How wide each column is, with two characters between them."""
        return [
            max(len(words.shortened(cell, WIDEST)) for cell in column) + 2
            for column in zip(self.heads, *self.rows, strict=True)
        ]

    def _only(self, kept: set[str]) -> Shown:
        places = [place for place, name in enumerate(self.names) if name in kept]

        def some(row: Sequence[Any]) -> list[Any]:
            return [row[place] for place in places]

        rows = [some(row) for row in self.rows]
        return Shown(some(self.heads), some(self.numeric), rows, self.fixed, some(self.names))

    def _cut(self, width: int) -> Shown:
        """Cut long cells in the middle until the table fits."""
        view, longest = self, WIDEST
        while sum(view.widths) > width and longest > 8:
            longest -= 4
            rows = [[words.shortened(cell, longest) for cell in row] for row in self.rows]
            heads = [words.shortened(head, max(longest, 10)) for head in self.heads]
            view = Shown(heads, self.numeric, rows, self.fixed, self.names)
        return view


def shown(
    frame: pd.DataFrame,
    metric: str,
    top: int | None = None,
    only: Sequence[str] = (),
    *,
    score_first: bool = False,
) -> Shown:
    """Spell the first `top` rows of a leaderboard.

    Parameters
    ----------
    only : sequence of str
        The columns to show beside rank, trial and metric; else all parameters that vary and the usual measures.
    score_first : bool
        The score stands before the parameters: on a page that is scrolled sideways it must not be far off.
    """
    params = _params(frame, metric)
    fixed = {name: words.cell(frame[name].iloc[0]) for name in params if len(frame) > 1 and _same(frame[name])}
    part = frame if top is None else frame.head(top)
    decimals = decimals_of(frame)
    names = [name for name in frame.columns if name not in fixed and name not in _HIDDEN]
    if only:
        names = ["rank", "trial", metric, *(name for name in only if name not in ("rank", "trial", metric))]
    elif "ci_low" in frame.columns:
        names.insert(names.index(metric) + 1, "interval")
    if score_first:
        front = [name for name in ("rank", "trial", metric, "interval", "scores", "test") if name in names]
        names = [*front, *(name for name in names if name not in front)]
    heads, numeric, spelled = [], [], []
    for name in names:
        head, cells = _column(frame, part, name, metric, decimals)
        heads.append(head)
        spelled.append(cells)
        numeric.append(_is_numeric(frame, name, metric))
    return Shown(heads, numeric, [list(row) for row in zip(*spelled, strict=True)], fixed, names)


def _column(
    frame: pd.DataFrame, part: pd.DataFrame, name: str, metric: str, decimals: int
) -> tuple[str, list[str]]:
    """Spell one column: its head and its cells."""
    if name == "rank" and "like_first" in frame.columns:
        pairs = zip(part["rank"].tolist(), part["like_first"].tolist(), strict=True)
        return "rank", [f"{words.cell(or_none(rank))}{' =' if same is True else ''}" for rank, same in pairs]
    if name == "interval":
        pairs = zip(part["ci_low"].tolist(), part["ci_high"].tolist(), strict=True)
        return "95 % interval", [words.interval(low, high, decimals) for low, high in pairs]
    if name == "scores":
        rows = zip(part["scores"].tolist(), part["asked"].tolist(), part["confirmed"].tolist(), strict=True)
        return "runs", [f"{n}/{asked}{' confirmed' if yes else ''}" for n, asked, yes in rows]
    if name in (metric, "test"):
        return name, [words.score(or_none(value), decimals) for value in part[name].tolist()]
    head, spell = _SPELLED.get(name, (name, words.cell if name in _params(frame, metric) else words.brief))
    return head, [spell(or_none(value)) for value in part[name].tolist()]


def plain(frame: pd.DataFrame, decimals: int = DECIMALS, metric: str = "") -> Shown:
    """Spell any other table, scores with so many digits."""
    scores = ("best", "mean", "ci_low", "ci_high", "a", "b", "difference", metric)
    heads, spelled, names = [], [], list(map(str, frame.columns))
    for name in names:
        head, spell = _SPELLED.get(name, (name, words.cell))
        if name in scores and frame[name].dtype.kind == "f":
            head, spell = name, lambda value: words.score(value, decimals)
        heads.append(head)
        spelled.append([spell(or_none(value)) for value in frame[name].tolist()])
    numeric = [frame[name].dtype.kind in "iufb" for name in names]
    return Shown(heads, numeric, [list(row) for row in zip(*spelled, strict=True)], {}, names)


def decimals_of(frame: pd.DataFrame) -> int:
    """Choose the digits behind the point: two meaningful ones of the scores' usual uncertainty."""
    if "sd" not in frame.columns:
        return DECIMALS
    errors = (frame["sd"] / frame["scores"].astype(float) ** 0.5).dropna()
    errors = errors[errors > 0]
    return words.decimals(float(errors.head(50).median())) if len(errors) else DECIMALS


def _params(frame: pd.DataFrame, metric: str) -> list[str]:
    """Name the parameters: they stand between the trial and the metric."""
    names = list(frame.columns)
    return names[names.index("trial") + 1 : names.index(metric)]


def _same(column: pd.Series[Any]) -> bool:
    values = column.tolist()
    first = repr(values[0])
    return all(repr(value) == first for value in values)


def _is_numeric(frame: pd.DataFrame, name: str, metric: str) -> bool:
    if name in ("rank", "trial", metric, "test", "interval", "scores"):
        return True
    return (name in _SPELLED and name != "witness") or frame[name].dtype.kind in "if"


def or_none(value: Any) -> Any:
    """Make pandas' several kinds of missing one."""
    import pandas as pd

    return None if value is None or value is pd.NA or (isinstance(value, float) and value != value) else value
