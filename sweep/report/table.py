"""The leaderboard as people see it: which columns, spelled how. Terminal and page share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.report import words

if TYPE_CHECKING:
    import pandas as pd

_SPELLED = {
    "elapsed_s": ("elapsed", words.duration),
    "cpu_s": ("CPU", words.duration),
    "cpu_percent": ("CPU %", words.percent),
    "peak_memory_mib": ("peak memory", words.memory),
    "memory_percent": ("of asked", words.percent),
    "witness": ("by", lambda value: value or "–"),
}
_HIDDEN = ("id", "reason")


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
    """

    heads: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    fixed: dict[str, str]


def shown(frame: pd.DataFrame, metric: str, top: int | None = None) -> Shown:
    """Spell the first `top` rows of a leaderboard."""
    params = _params(frame, metric)
    fixed = {name: words.cell(frame[name].iloc[0]) for name in params if len(frame) > 1 and _same(frame[name])}
    columns = [name for name in frame.columns if name not in fixed and name not in _HIDDEN]
    heads, spelled = [], []
    part = frame if top is None else frame.head(top)
    for name in columns:
        head, spell = _SPELLED.get(name, (name, words.score if name == metric else words.cell))
        heads.append(head)
        spelled.append([spell(_or_none(value)) for value in part[name].tolist()])
    numeric = [
        (name in _SPELLED and name != "witness") or name in ("rank", "trial", metric) or _is_number(frame[name])
        for name in columns
    ]
    return Shown(heads, numeric, [list(row) for row in zip(*spelled, strict=True)], fixed)


def _params(frame: pd.DataFrame, metric: str) -> list[str]:
    from sweep.leaderboard import MEASURES

    return [name for name in frame.columns if name not in (*MEASURES, "rank", "trial", "replicate", metric)]


def _same(column: pd.Series[Any]) -> bool:
    return len({repr(value) for value in column.tolist()}) == 1


def _is_number(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "if"


def _or_none(value: Any) -> Any:
    """Make pandas' several kinds of missing one."""
    import pandas as pd

    return None if value is None or value is pd.NA or (isinstance(value, float) and value != value) else value
