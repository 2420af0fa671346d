"""Pareto, tables by value, cost: against brute force and sums made by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import UsageError
from sweep.leaderboard.cost import Attempted, cost
from sweep.leaderboard.effects import (
    MAX_VALUES,
    SPANS,
    Effects,
    by,
    by_value,
    directions,
    grouped,
    in_common,
    pareto,
)
from sweep.leaderboard.filters import where
from sweep.leaderboard.frames import leaderboard
from sweep.leaderboard.ranking import rank
from sweep.model import Cause, Objective, Resources, State, Verdict
from tests.leaderboard.conftest import entry

SCORE = Objective("score")
SMALL = st.integers(0, 4).map(float)


@given(st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=25))
def test_the_front_is_what_brute_force_finds(points: list[tuple[float, float, float]]) -> None:
    table = pd.DataFrame(points, columns=["a", "b", "c"], dtype=float).assign(place=range(len(points)))
    unbeaten = set(pareto(table, {"a": True, "b": False, "c": True})["place"])

    def beats(point: tuple[float, ...], other: tuple[float, ...]) -> bool:
        ours, theirs = (point[0], -point[1], point[2]), (other[0], -other[1], other[2])
        return all(x <= y for x, y in zip(ours, theirs, strict=True)) and ours != theirs

    assert unbeaten == {n for n, point in enumerate(points) if not any(beats(other, point) for other in points)}


def test_the_front_leaves_out_rows_with_a_missing_measure() -> None:
    table = pd.DataFrame({"a": [1.0, None], "b": [1.0, 9.0]})
    assert len(pareto(table, {"a": False, "b": False})) == 1


def frame(**columns: Any) -> pd.DataFrame:
    """Make a leaderboard of these columns; the best score is the last."""
    rows = len(next(iter(columns.values())))
    scores = [float(row) for row in range(rows)]
    return pd.DataFrame(
        {"trial": range(rows), **columns, "score": scores, "elapsed_s": 1.0, "peak_memory_mib": 1.0}
    )


@pytest.mark.parametrize(
    ("values", "in_order"),
    [
        ([10, 9, 1.5], [1.5, 9, 10]),
        (["b", "a", "10"], ["10", "a", "b"]),
        ([True, 2, None], [2, None, True]),  # as text
        ([(2.0, 3.0), (1.0, 2.0)], [(1.0, 2.0), (2.0, 3.0)]),
    ],
)
def test_values_are_ordered_by_size_or_as_text(values: list[Any], in_order: list[Any]) -> None:
    table = by_value(frame(x=pd.Series(values, dtype=object)), "x", SCORE)
    assert table["x"].tolist() == in_order


def test_many_numbers_become_spans_and_rare_texts_others() -> None:
    few = [*range(MAX_VALUES)] * 3
    many = [n * 1.5 for n in range(3 * MAX_VALUES)]
    texts = [f"name {n % 7}" if n % 2 else f"rare {n}" for n in range(3 * MAX_VALUES)]
    table = grouped(frame(few=few, many=many, texts=texts, other=many), ["few", "many", "texts"])
    assert (table["few"].tolist(), table["other"].tolist()) == (few, many)
    spans = [*dict.fromkeys(table["many"])]
    assert len(spans) == SPANS
    assert all(low <= number <= high for number, (low, high) in zip(many, table["many"], strict=True))
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(spans))
    kept = {*table["texts"]}
    assert len(kept) == MAX_VALUES
    assert kept >= {"all others", *(f"name {n}" for n in range(7))}


def test_effects_are_single_and_crossed() -> None:
    effects = Effects(frame(a=[1, 1, 2, 2], b=["x", "y", "x", "y"]), ["b", "a"], SCORE)
    assert {name: table.iloc[:, 0].tolist() for name, table in effects.single.items()} == {
        "b": ["x", "y"],
        "a": [1, 2],
    }
    assert effects.crossed is not None
    assert list(effects.crossed)[:2] == ["a", "b"]
    assert len(effects.crossed) == 4
    assert Effects(effects.table, ["b"], SCORE).crossed is None


@pytest.mark.parametrize(
    "measures", [["score"], ["score", "f1"], ["a:max", "b:min", "c:min", "d:min"], ["score", "score"]]
)
def test_directions_that_are_refused(measures: list[str]) -> None:
    with pytest.raises(UsageError):
        directions(measures, SCORE)


def test_by_with_names_and_values_that_are_odd() -> None:
    entries = [
        entry(n, n / 10, mean=value, best=n % 2) for n, value in enumerate([1, "1", [1], None, True, 1])
    ]  # the last is 1 again
    table = leaderboard(rank(entries, SCORE))
    by_mean = by(table, ["mean"], SCORE)
    assert by_mean["configurations"].sum() == 6
    assert by_mean.loc[by_mean["param.mean"].map(repr) == "1", "configurations"].tolist() == [2]
    assert by_mean["mean"].is_monotonic_decreasing
    minimized = by(
        leaderboard(rank(entries, Objective("score", "minimize"))), ["best"], Objective("score", "minimize")
    )
    assert minimized["best"].tolist() == [0.0, 0.1]
    assert by(leaderboard(rank([], SCORE)), ["trial"], SCORE).empty
    for names in ([], ["elapsed_s"], ["nothing"]):
        with pytest.raises(UsageError):
            by(table, names, SCORE)


def test_values_of_parameters_stay_what_they_are() -> None:
    """Whole numbers above 2^53 stay whole and different beside a missing value."""
    values = [None, 2**60 + 1, 2**60 + 2, 2**70, True]
    for part in (values[:3], values[:4], values):
        table = leaderboard(rank([entry(n, n / 10, x=value) for n, value in enumerate(part)], SCORE))
        column = [None if value is pd.NA else value for value in table.sort_values("trial")["x"].tolist()]
        assert column == part
        assert len(by(table, ["x"], SCORE)) == len(part)


def test_where_prefers_parameters_to_columns_and_no_comparison_holds_for_a_missing_value() -> None:
    entries = [entry(0, 0.5, x=[1, 2]), entry(1, None, state=State.FAILED, x=[3])]
    board = rank(entries, SCORE)
    assert [each.trial.number for each in where(board, "2 in x")] == [0]
    assert where(board, "score < 9 or score >= 9") == entries[:1]
    assert where(board, "state == 'failed'") == entries[1:]
    with pytest.raises(UsageError, match="--where"):
        where(board, "x.__class__.__mro__")


def test_cost_by_hand() -> None:
    requested = Resources(7200, 2048, 4)

    def attempt(
        state: State, cause: Cause = Cause.NONE, hours: float | None = 1.0, cpu_h: float = 3.0
    ) -> Attempted:
        elapsed_s = None if hours is None else hours * 3600
        return Attempted(requested, Verdict(state, "why", elapsed_s, cpu_h * 3600, 1024.0, cause=cause))

    spent = cost([
        attempt(State.DONE), attempt(State.FAILED, Cause.OUT_OF_MEMORY, 0.5), attempt(State.CANCELLED, Cause.CANCELLED, 0.25),
        attempt(State.PAUSED, Cause.PAUSED, 2.0, 8.0), attempt(State.FAILED, Cause.ERROR, None),
    ])  # fmt: skip
    assert spent.allotted_core_h == pytest.approx(4 * (1 + 0.5 + 0.25 + 2))
    assert spent.used_core_h == pytest.approx(3 + 3 + 3 + 8)
    assert spent.wasted_core_h == pytest.approx({"out of memory": 2.0, "cancelled": 1.0, "idle CPUs": 1.0})
    assert next(iter(spent.wasted_core_h)) == "out of memory"
    assert spent.unused_memory_gib_h == pytest.approx(1.0)
    assert spent.unused_walltime_core_h == pytest.approx(4.0)
    assert spent.unknown == 1
    [use] = spent.requests
    assert (use.trials, use.memory_mib, use.enough_memory_mib) == (2, float("inf"), 2048)
    assert (use.out_of_memory, use.out_of_walltime) == (1, 0)  # the one that ran out needed more than it had
    assert (use.walltime_s, use.enough_walltime_s) == (3600.0, 4500)


def test_what_the_best_have_in_common_and_the_others_seldom() -> None:
    """Of forty, the best five: all have b 1, which a tenth has; four have a "x", as nearly all have."""
    table = pd.DataFrame(
        {
            "a": ["y", "x", "x", "x", "x", *["x"] * 35],
            "b": [1, 1, 1, 1, 1, *[0] * 35],
            "c": [(1, 2), (1, 2), (1, 2), 3, 4, *[5] * 35],  # a list is a value like any other
        }
    )
    common = in_common(table, ["a", "b", "c"])
    assert common.configurations == 5
    assert common.values == (("b", 1, 5), ("c", (1, 2), 3))
    assert in_common(table.head(9), ["b"]).values == ()  # of nine, five are not the best few


def test_with_many_the_best_tenth_is_looked_at() -> None:
    table = pd.DataFrame({"a": [*[True] * 12, *[False] * 88]})
    assert in_common(table, ["a"]).values == (("a", True, 10),)
