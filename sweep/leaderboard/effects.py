"""Tables by a parameter's values, and the configurations that no other one beats (pure)."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sweep.errors import UsageError, nearest
from sweep.leaderboard import statistics
from sweep.leaderboard.frames import metric_column
from sweep.model import Objective

#: Columns of which less is better, whatever the objective.
COSTS = ("elapsed_s", "cpu_s", "peak_memory_mib", "memory_percent")

#: The columns of a table by values. A parameter with such a name becomes ``param.NAME``.
SUMS = ("configurations", "scored", "best", "mean", "ci_low", "ci_high", "elapsed_s", "peak_memory_mib")

#: The values of a parameter with more of them than this are grouped.
MAX_VALUES = 40

#: The number of spans into which so many numbers are cut.
SPANS = 10


#: The best are this share of the configurations with a score, and at least so many.
BEST_SHARE, FEWEST_BEST = 0.1, 5

#: A value is in common where so large a share of the best have it, and it is so many times as frequent as in all.
COMMON_SHARE, COMMON_RATIO = 0.6, 1.5


@dataclass(frozen=True)
class InCommon:
    """Values that the best configurations have, and the others seldom.

    Attributes
    ----------
    configurations : int
        How many are the best.
    values : tuple of (str, Any, int)
        Column of a parameter, its value, and how many of the best have it. The most frequent first.
    """

    configurations: int
    values: tuple[tuple[str, Any, int], ...] = ()


def in_common(table: pd.DataFrame, names: Sequence[str]) -> InCommon:
    """Say what the best configurations have in common.

    Parameters
    ----------
    table : DataFrame
        Rows of a leaderboard that have a score, the best first. Fewer than twice `FEWEST_BEST` say nothing.
    names : sequence of str
        Columns of parameters.
    """
    count = max(FEWEST_BEST, round(BEST_SHARE * len(table)))
    if len(table) < 2 * FEWEST_BEST:
        return InCommon(min(count, len(table)))
    common = []
    for name in names:
        keys = table[name].map(repr)
        [(key, those)] = Counter(keys.iloc[:count]).most_common(1)
        share = float((keys == key).mean())
        if those >= COMMON_SHARE * count and those / count >= COMMON_RATIO * share:
            common.append((name, table[name][keys == key].iloc[0], those))
    return InCommon(count, tuple(sorted(common, key=lambda each: -each[2])))


def by(table: pd.DataFrame, names: Sequence[str], objective: Objective) -> pd.DataFrame:
    """Sum up the leaderboard by the values of one or several parameters.

    Parameters
    ----------
    table : DataFrame
        A leaderboard.
    names : sequence of str
        Columns of parameters. With several, each combination of values that occurs is a row.

    Returns
    -------
    DataFrame
        One row for each value, the best mean first. The columns are the parameters; ``configurations``, their
        number; ``scored``, how many of them have a score; ``best``, the best score; ``mean``, the mean of the
        scores; ``ci_low`` and ``ci_high``, the mean's 95 % interval by Student's t, over the other parameters and
        chance; ``elapsed_s``, the mean; ``peak_memory_mib``, the highest.

    Raises
    ------
    UsageError
        No names, or a name that is no column or one of those that are summed up.
    """
    if not names:
        raise UsageError("--by names nothing", "--by learning_rate, or crossed: --by learning_rate,optimizer")
    require(table, names)
    for name in names:
        if name in ("elapsed_s", "peak_memory_mib"):
            raise UsageError(f"--by {name} is what is summed up", "name a parameter")
    metric = metric_column(objective)
    headings = {name: f"param.{name}" if name in SUMS else name for name in names}
    # Lists are cells, and 1 and "1" are two values.
    keys = [table[name].astype(object).map(repr) for name in names]
    rows = []
    for _, group in table.groupby(keys, sort=False) if len(table) else ():
        scores = group[metric].dropna().to_numpy(float)
        half = statistics.student_half(scores) if len(scores) > 1 else np.nan
        mean = scores.mean() if len(scores) else np.nan
        rows.append(
            {
                **{headings[name]: group[name].iloc[0] for name in names},
                "configurations": len(group),
                "scored": len(scores),
                "best": (scores.min() if objective.minimize else scores.max()) if len(scores) else np.nan,
                "mean": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "elapsed_s": group["elapsed_s"].mean(),
                "peak_memory_mib": group["peak_memory_mib"].max(),
            }
        )
    columns = [*headings.values(), *SUMS]
    sums = pd.DataFrame(rows, columns=columns)
    sums = sums.sort_values("mean", ascending=objective.minimize, na_position="last", kind="stable")
    return sums.reset_index(drop=True)


def by_value(table: pd.DataFrame, name: str, objective: Objective) -> pd.DataFrame:
    """Sum up the leaderboard by the values of one parameter, as `by` does, in the order of the values.

    Numbers and spans are ordered by size, all else as text.
    """
    by_mean = by(table, [name], objective)
    values = by_mean.iloc[:, 0].tolist()
    has_sizes = _all_numbers(values) or all(isinstance(value, tuple) for value in values)
    order = sorted(range(len(values)), key=lambda row: values[row] if has_sizes else str(values[row]))
    return by_mean.iloc[order]


def grouped(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Group the values of a column where nobody could read so many.

    Numbers are replaced by the span that they are in, the rarer texts by ``all others``.
    """
    result = table.copy()
    for name in names:
        groups: list[Any]
        values = table[name].tolist()
        if len({repr(value) for value in values}) <= MAX_VALUES:
            continue
        if _all_numbers(values):
            ordered = sorted({*values})
            edges = [ordered[round(index * (len(ordered) - 1) / SPANS)] for index in range(SPANS + 1)]
            spans = [*itertools.pairwise(edges)]
            groups = [spans[max(0, bisect.bisect_left(edges, value) - 1)] for value in values]
        else:
            common = {key for key, _ in Counter(map(repr, values)).most_common(MAX_VALUES - 1)}
            groups = [value if repr(value) in common else "all others" for value in values]
        result[name] = pd.Series(groups, index=table.index, dtype=object)
    return result


def values_of(table: pd.DataFrame, name: str, objective: Objective) -> list[Any]:
    """Return the different values of a parameter in a leaderboard, in their order."""
    values: list[Any] = by_value(table, name, objective).iloc[:, 0].tolist()
    return values


def _all_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


@dataclass(frozen=True)
class Effects:
    """The effects of some parameters on the score, where many values are in groups.

    Attributes
    ----------
    table : DataFrame
        Rows of the leaderboard, with the parameters' values in groups.
    names : list of str
        The parameters' columns.
    objective : Objective
        What ranks.
    """

    table: pd.DataFrame
    names: list[str]
    objective: Objective

    @cached_property
    def single(self) -> dict[str, pd.DataFrame]:
        """For each parameter the table by its values, in their order."""
        return {name: by_value(self.table, name, self.objective) for name in self.names}

    @cached_property
    def crossed(self) -> pd.DataFrame | None:
        """The table by the pairs of values of the first two parameters, the second first; None with fewer."""
        return by(self.table, self.names[1::-1], self.objective) if len(self.names) > 1 else None


def balanced(table: pd.DataFrame, names: Sequence[str], params: Sequence[str], metric: str) -> bool:
    """Whether every value of these parameters has scores with the same values of the other parameters.

    Otherwise, where exclusions or failures took some away, the rows of a table by value differ in the other
    parameters as well.
    """
    scored = table.dropna(subset=[metric])
    others = [name for name in params if name not in names]
    groups: dict[str, list[str]] = {}
    for row in scored[[*names, *others]].itertuples(index=False):
        groups.setdefault(repr(row[: len(names)]), []).append(repr(row[len(names) :]))
    return len({tuple(sorted(group)) for group in groups.values()}) <= 1


def require(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Check that a table has these columns.

    Raises
    ------
    UsageError
        A column is missing. The hint has the nearest names.
    """
    for name in names:
        if name not in table.columns:
            raise UsageError(f"there is no column {name!r}", nearest(name, map(str, table.columns)))


def directions(measures: Sequence[str], objective: Objective) -> dict[str, bool]:
    """Parse the measures of ``--pareto segMeasure,elapsed_s,f1:max``.

    Returns
    -------
    dict
        Column → whether less is better.

    Raises
    ------
    UsageError
        The direction of a measure is unknown, or there are not two or three measures.

    Examples
    --------
    >>> directions(["segMeasure", "elapsed_s", "test.f1:max"], Objective())
    {'segMeasure': False, 'elapsed_s': True, 'test.f1': False}
    """
    minimize: dict[str, bool] = {}
    suffixes = {"min": True, "max": False}
    for text in map(str.strip, measures):
        name, colon, suffix = text.rpartition(":")
        if colon and suffix in suffixes:
            minimize[name] = suffixes[suffix]
        elif text in (objective.metric, metric_column(objective)):
            minimize[metric_column(objective)] = objective.minimize
        elif text in COSTS:
            minimize[text] = True
        else:
            bare = name or text
            raise UsageError(
                f"--pareto cannot know whether more or less of {text!r} is better",
                f"write {bare}:max or {bare}:min",
            )
    if not 2 <= len(minimize) <= 3:
        raise UsageError(
            f"--pareto takes two or three measures, not {len(minimize)}", "--pareto segMeasure,elapsed_s"
        )
    return minimize


def pareto(table: pd.DataFrame, minimize: Mapping[str, bool]) -> pd.DataFrame:
    """Return the rows that no other row beats. Rows without one of the measures are left out.

    One row beats another if it is at least as good in every measure and better in one.

    Parameters
    ----------
    minimize : mapping
        Column → whether less is better.
    """
    require(table, [*minimize])
    for name in minimize:
        if table[name].dtype.kind not in "iuf":
            raise UsageError(f"--pareto names {name!r}, which is no number", "name measures: segMeasure,elapsed_s")
    complete = table.dropna(subset=[*minimize])
    signs = {name: 1 if less else -1 for name, less in minimize.items()}
    values = np.column_stack([complete[name].to_numpy(float) * sign for name, sign in signs.items()])
    order = np.lexsort(values.T[::-1])  # a row that is beaten is beaten by one before it in this order
    front = np.empty((0, len(minimize)))
    unbeaten: list[int] = []
    for place in order:
        row = values[place]
        beaten = (front <= row).all(axis=1) & (front < row).any(axis=1)
        if not beaten.any():
            unbeaten.append(int(place))
            front = np.vstack([front, row])
    return complete.iloc[sorted(unbeaten, key=lambda place: tuple(values[place]))].reset_index(drop=True)
