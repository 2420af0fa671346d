"""What each parameter does: tables by value, and the configurations that nothing beats (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sweep.errors import UsageError, nearest
from sweep.leaderboard import statistics
from sweep.leaderboard.frames import metric_column
from sweep.model import Objective

#: Measures of which less is better, whatever the objective.
COSTS = ("elapsed_s", "cpu_s", "peak_memory_mib", "memory_percent")

#: What is said of each value. A parameter so called becomes ``param.NAME``.
SUMS = ("configurations", "scored", "best", "mean", "ci_low", "ci_high", "elapsed_s", "peak_memory_mib")


def by(table: pd.DataFrame, names: Sequence[str], objective: Objective) -> pd.DataFrame:
    """Sum up the leaderboard by the values of some parameters.

    Parameters
    ----------
    table : DataFrame
        A leaderboard.
    names : sequence of str
        Parameters; of several, each combination that occurs is a row.

    Returns
    -------
    DataFrame
        A row a value, the highest mean first (the lowest, where less is better): the values;
        ``configurations``, how many; ``scored``, how many have a score; ``best``; ``mean`` of the
        configurations' scores; ``ci_low`` and ``ci_high``, its 95 % interval (Student's t: how it varies with the
        other parameters and by chance); ``elapsed_s``, the mean; ``peak_memory_mib``, the highest.

    Raises
    ------
    UsageError
        There is no such column.
    """
    if not names:
        raise UsageError("--by names nothing", "--by learning_rate, or crossed: --by learning_rate,optimizer")
    require(table, names)
    for name in names:
        if name in ("elapsed_s", "peak_memory_mib"):
            raise UsageError(f"--by {name} is what is summed up", "name a parameter")
    metric, fewer = metric_column(objective), objective.goal == "minimize"
    shown = {name: f"param.{name}" if name in SUMS else name for name in names}
    # Lists are cells, and 1 and "1" are two values.
    keys = [table[name].astype(object).map(repr) for name in names]
    rows = []
    for _, part in table.groupby(keys, sort=False) if len(table) else ():
        scores = part[metric].dropna().to_numpy(float)
        half = statistics.student_half(scores) if len(scores) > 1 else np.nan
        mean = scores.mean() if len(scores) else np.nan
        rows.append(
            {
                **{shown[name]: part[name].iloc[0] for name in names},
                "configurations": len(part),
                "scored": len(scores),
                "best": (scores.min() if fewer else scores.max()) if len(scores) else np.nan,
                "mean": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "elapsed_s": part["elapsed_s"].mean(),
                "peak_memory_mib": part["peak_memory_mib"].max(),
            }
        )
    columns = [*shown.values(), *SUMS]
    made = pd.DataFrame(rows, columns=columns)
    return made.sort_values("mean", ascending=fewer, na_position="last", kind="stable").reset_index(drop=True)


def balanced(table: pd.DataFrame, names: Sequence[str], params: Sequence[str], metric: str) -> bool:
    """Say whether each value has a score with the very same values of the other parameters.

    Where exclusions or failures took some away, a table by value compares other things as well.
    """
    scored = table.dropna(subset=[metric])
    others = [name for name in params if name not in names]
    groups: dict[str, list[str]] = {}
    for row in scored[[*names, *others]].itertuples(index=False):
        groups.setdefault(repr(row[: len(names)]), []).append(repr(row[len(names) :]))
    return len({tuple(sorted(group)) for group in groups.values()}) <= 1


def require(table: pd.DataFrame, names: Sequence[str]) -> None:
    """See that a table has these columns.

    Raises
    ------
    UsageError
        It has not; the nearest that it has are named.
    """
    for name in names:
        if name not in table.columns:
            raise UsageError(f"there is no column {name!r}", nearest(name, map(str, table.columns)))


def directions(wanted: Sequence[str], objective: Objective) -> dict[str, bool]:
    """Read ``segMeasure,elapsed_s,f1:max``: measure → whether less is better.

    Raises
    ------
    UsageError
        A measure's direction is not known, or there are not two or three of them.

    Examples
    --------
    >>> directions(["segMeasure", "elapsed_s", "test.f1:max"], Objective())
    {'segMeasure': False, 'elapsed_s': True, 'test.f1': False}
    """
    told: dict[str, bool] = {}
    ways: Mapping[str, bool] = {"min": True, "max": False}
    for text in wanted:
        name, colon, way = text.strip().rpartition(":")
        if colon and way in ways:
            told[name] = ways[way]
        elif text.strip() in (objective.metric, metric_column(objective)):
            told[metric_column(objective)] = objective.goal == "minimize"
        elif text.strip() in COSTS:
            told[text.strip()] = True
        else:
            plain = name or text.strip()
            raise UsageError(
                f"--pareto cannot know whether more or less of {text.strip()!r} is better",
                f"write {plain}:max or {plain}:min",
            )
    if not 2 <= len(told) <= 3:
        raise UsageError(f"--pareto takes two or three measures, not {len(told)}", "--pareto segMeasure,elapsed_s")
    return told


def pareto(table: pd.DataFrame, told: Mapping[str, bool]) -> pd.DataFrame:
    """Keep the rows that no other row beats: is at least as good in every measure and better in one.

    Parameters
    ----------
    told : mapping
        Measure → whether less is better.
    """
    require(table, [*told])
    for name in told:
        if table[name].dtype.kind not in "iuf":
            raise UsageError(f"--pareto names {name!r}, which is no number", "name measures: segMeasure,elapsed_s")
    whole = table.dropna(subset=[*told])
    values = np.column_stack([whole[name].to_numpy(float) * (1 if fewer else -1) for name, fewer in told.items()])
    order = np.lexsort(values.T[::-1])  # who is beaten is beaten by one that comes before
    front = np.empty((0, len(told)))
    kept: list[int] = []
    for place in order:
        row = values[place]
        beaten = (front <= row).all(axis=1) & (front < row).any(axis=1)
        if not beaten.any():
            kept.append(int(place))
            front = np.vstack([front, row])
    return whole.iloc[sorted(kept, key=lambda place: tuple(values[place]))].reset_index(drop=True)
