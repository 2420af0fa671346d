"""Frames as tables of text: which columns, and how each is spelled. Terminal and page share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.report import spelling

if TYPE_CHECKING:
    import pandas as pd

#: Column → its head and the function that spells a cell. A column that is not listed is headed by its own name.
_SPELLINGS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "elapsed_s": ("elapsed", spelling.duration),
    "cpu_s": ("CPU", spelling.duration),
    "cpu_percent": ("CPU %", spelling.percent),
    "peak_memory_mib": ("peak memory", spelling.memory),
    "memory_percent": ("memory %", spelling.percent),
    "witness": ("witness", lambda value: value or "–"),
    "code_ran": ("code", lambda value: value or "–"),
    "configurations": ("configurations", spelling.parameter_value),
}

#: Columns of the leaderboard that no table shows on their own.
_HIDDEN = ("id", "reason", "sd", "ci_low", "ci_high", "like_first", "asked", "confirmed")

#: A narrow terminal leaves these columns out, the first of them first.
_OPTIONAL = ("witness", "memory_percent", "cpu_percent", "cpu_s", "peak_memory_mib", "state", "scores",
             "elapsed_s", "test", "interval")  # fmt: skip

#: Digits behind the point where the uncertainty is unknown.
DECIMALS = 4

#: The largest width of a cell on a terminal, in characters.
MAX_CELL_WIDTH = 40

#: A narrow terminal cuts cells no shorter than this, and heads no shorter than that.
MIN_CELL_WIDTH, MIN_HEAD_WIDTH = 8, 10


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are texts.

    Attributes
    ----------
    heads : list of str
        The heads of the columns.
    numeric : list of bool
        Which columns hold numbers. These are aligned at the right.
    rows : list of list of str
        The cells, row by row.
    fixed : dict
        Name → value of the parameters that have the same value in all rows. They are no columns.
    names : list of str
        The names of the columns in the frame.
    """

    heads: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    fixed: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def fit_to_width(self, width: int, requested: Sequence[str] = ()) -> tuple[TextTable, list[str]]:
        """Make the table fit: leave out optional columns, the least important first, then cut long cells.

        Parameters
        ----------
        width : int
            The width of the terminal, in characters.
        requested : sequence of str
            Names of columns that stay, because someone asked for them.

        Returns
        -------
        TextTable, list of str
            The table that fits, and the heads of the columns that were left out.
        """
        optional = [name for name in _OPTIONAL if name not in requested]
        widths = dict(zip(self.names, self.widths, strict=True))
        names = {name for name in self.names if name not in optional}
        free = width - sum(widths[name] for name in names)
        for name in reversed(optional):
            if name in widths and widths[name] <= free:
                names.add(name)
                free -= widths[name]
        left_out = [head for head, name in zip(self.heads, self.names, strict=True) if name not in names]
        return self._with_columns(names)._with_cut_cells(width), left_out

    @property
    def widths(self) -> list[int]:
        """The width of each column, in characters, with the two between it and the next."""
        return [
            max(len(spelling.shortened(cell, MAX_CELL_WIDTH)) for cell in column) + 2
            for column in zip(self.heads, *self.rows, strict=True)
        ]

    def _with_columns(self, names: set[str]) -> TextTable:
        indices = [index for index, name in enumerate(self.names) if name in names]

        def selected(row: Sequence[Any]) -> list[Any]:
            return [row[index] for index in indices]

        rows = [selected(row) for row in self.rows]
        return TextTable(selected(self.heads), selected(self.numeric), rows, self.fixed, selected(self.names))

    def _with_cut_cells(self, width: int) -> TextTable:
        """Cut long cells in the middle until the table fits."""
        table, longest = self, MAX_CELL_WIDTH
        while sum(table.widths) > width and longest > MIN_CELL_WIDTH:
            longest -= 4
            rows = [[spelling.shortened(cell, longest) for cell in row] for row in self.rows]
            heads = [spelling.shortened(head, max(longest, MIN_HEAD_WIDTH)) for head in self.heads]
            table = TextTable(heads, self.numeric, rows, self.fixed, self.names)
        return table


def leaderboard_table(
    frame: pd.DataFrame,
    metric: str,
    top: int | None = None,
    only: Sequence[str] = (),
    *,
    score_first: bool = False,
) -> TextTable:
    """Spell the first `top` rows of a leaderboard.

    Parameters
    ----------
    metric : str
        The name of the metric's column.
    top : int, optional
        Default: all rows.
    only : sequence of str
        The columns to show beside rank, trial and metric. Default: the parameters that vary and all measures.
    score_first : bool
        Put the score before the parameters. The page needs that: it is scrolled sideways.
    """
    params = _params(frame, metric)
    fixed = {
        name: spelling.parameter_value(frame[name].iloc[0])
        for name in params
        if len(frame) > 1 and _has_one_value(frame[name])
    }
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
    heads, numeric, columns = [], [], []
    for name in names:
        head, cells = _column(frame, part, name, metric, decimals)
        heads.append(head)
        columns.append(cells)
        numeric.append(_is_numeric(frame, name, metric))
    return TextTable(heads, numeric, [list(row) for row in zip(*columns, strict=True)], fixed, names)


def _column(
    frame: pd.DataFrame, part: pd.DataFrame, name: str, metric: str, decimals: int
) -> tuple[str, list[str]]:
    """Spell one column: its head and its cells."""
    if name == "rank" and "like_first" in frame.columns:
        pairs = zip(part["rank"].tolist(), part["like_first"].tolist(), strict=True)
        return "rank", [f"{_rank_text(rank)}{' =' if tied is True else ''}" for rank, tied in pairs]
    if name == "interval":
        pairs = zip(part["ci_low"].tolist(), part["ci_high"].tolist(), strict=True)
        return "95 % interval", [spelling.interval(low, high, decimals) for low, high in pairs]
    if name == "scores":
        rows = zip(part["scores"].tolist(), part["asked"].tolist(), part["confirmed"].tolist(), strict=True)
        return "runs", [f"{count}/{asked}{' confirmed' if confirmed else ''}" for count, asked, confirmed in rows]
    if name in (metric, "test"):
        return name, [spelling.score(none_if_missing(value), decimals) for value in part[name].tolist()]
    default = spelling.parameter_value if name in _params(frame, metric) else spelling.measured_value
    head, spell = _SPELLINGS.get(name, (name, default))
    return head, [spell(none_if_missing(value)) for value in part[name].tolist()]


def _rank_text(rank: Any) -> str:
    return spelling.parameter_value(none_if_missing(rank))


def frame_table(frame: pd.DataFrame, decimals: int = DECIMALS, metric: str = "") -> TextTable:
    """Spell any other frame. `decimals` is the number of digits of a score behind the point."""
    scores = ("best", "mean", "ci_low", "ci_high", "a", "b", "difference", metric)
    heads, columns, names = [], [], list(map(str, frame.columns))
    for name in names:
        head, spell = _SPELLINGS.get(name, (name, spelling.parameter_value))
        if name in scores and frame[name].dtype.kind == "f":
            head, spell = name, lambda value: spelling.score(value, decimals)
        heads.append(head)
        columns.append([spell(none_if_missing(value)) for value in frame[name].tolist()])
    numeric = [frame[name].dtype.kind in "iufb" for name in names]
    return TextTable(heads, numeric, [list(row) for row in zip(*columns, strict=True)], {}, names)


def decimals_of(frame: pd.DataFrame) -> int:
    """Return how many digits behind the point show two digits of the scores' usual uncertainty."""
    if "sd" not in frame.columns:
        return DECIMALS
    errors = (frame["sd"] / frame["scores"].astype(float) ** 0.5).dropna()
    errors = errors[errors > 0]
    return spelling.meaningful_decimals(float(errors.head(50).median())) if len(errors) else DECIMALS


def _params(frame: pd.DataFrame, metric: str) -> list[str]:
    """Return the columns of the parameters: they are between the trial and the metric."""
    names = list(frame.columns)
    return names[names.index("trial") + 1 : names.index(metric)]


def _has_one_value(column: pd.Series[Any]) -> bool:
    values = column.tolist()
    first = repr(values[0])
    return all(repr(value) == first for value in values)


def _is_numeric(frame: pd.DataFrame, name: str, metric: str) -> bool:
    if name in ("rank", "trial", metric, "test", "interval", "scores"):
        return True
    return (name in _SPELLINGS and name != "witness") or frame[name].dtype.kind in "if"


def none_if_missing(value: Any) -> Any:
    """Return None for everything that means missing in pandas: None, NA and NaN."""
    import pandas as pd

    return None if value is None or value is pd.NA or (isinstance(value, float) and value != value) else value
