"""Pareto, tables by value, cost: against brute force and sums made by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import UsageError
from sweep.leaderboard.cost import Attempted, cost
from sweep.leaderboard.effects import by, directions, pareto
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
    kept = set(pareto(table, {"a": True, "b": False, "c": True})["place"])

    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        ours, theirs = (one[0], -one[1], one[2]), (other[0], -other[1], other[2])
        return all(x <= y for x, y in zip(ours, theirs, strict=True)) and ours != theirs

    assert kept == {n for n, one in enumerate(points) if not any(beats(other, one) for other in points)}


def test_a_front_leaves_out_what_is_not_known() -> None:
    table = pd.DataFrame({"a": [1.0, None], "b": [1.0, 9.0]})
    assert len(pareto(table, {"a": False, "b": False})) == 1


@pytest.mark.parametrize(
    "wanted", [["score"], ["score", "f1"], ["a:max", "b:min", "c:min", "d:min"], ["score", "score"]]
)
def test_directions_that_cannot_be(wanted: list[str]) -> None:
    with pytest.raises(UsageError):
        directions(wanted, SCORE)


def test_by_with_names_and_values_that_are_odd() -> None:
    entries = [
        entry(n, n / 10, mean=value, best=n % 2) for n, value in enumerate([1, "1", [1], None, True, 1])
    ]  # the last is 1 again
    table = leaderboard(rank(entries, SCORE))
    made = by(table, ["mean"], SCORE)
    assert made["configurations"].sum() == 6
    assert made.loc[made["param.mean"].map(repr) == "1", "configurations"].tolist() == [2]
    assert made["mean"].is_monotonic_decreasing
    fewer = by(
        leaderboard(rank(entries, Objective("score", "minimize"))), ["best"], Objective("score", "minimize")
    )
    assert fewer["best"].tolist() == [0.0, 0.1]
    assert by(leaderboard(rank([], SCORE)), ["trial"], SCORE).empty
    for names in ([], ["elapsed_s"], ["nothing"]):
        with pytest.raises(UsageError):
            by(table, names, SCORE)


def test_values_of_parameters_stay_what_they_are() -> None:
    """Seeds above 2^53 beside none are whole numbers, and different ones."""
    values = [None, 2**60 + 1, 2**60 + 2, 2**70, True]
    for some in (values[:3], values[:4], values):
        table = leaderboard(rank([entry(n, n / 10, x=value) for n, value in enumerate(some)], SCORE))
        found = [None if value is pd.NA else value for value in table.sort_values("trial")["x"].tolist()]
        assert found == some
        assert len(by(table, ["x"], SCORE)) == len(some)


def test_where_sees_parameters_before_columns_and_missing_holds_for_nothing() -> None:
    entries = [entry(0, 0.5, x=[1, 2]), entry(1, None, state=State.FAILED, x=[3])]
    board = rank(entries, SCORE)
    assert [one.trial.number for one in where(board, "2 in x")] == [0]
    assert where(board, "score < 9 or score >= 9") == entries[:1]
    assert where(board, "state == 'failed'") == entries[1:]
    with pytest.raises(UsageError, match="--where"):
        where(board, "x.__class__.__mro__")


def test_cost_by_hand() -> None:
    asked = Resources(7200, 2048, 4)

    def attempt(
        state: State, cause: Cause = Cause.NONE, hours: float | None = 1.0, cpu_h: float = 3.0
    ) -> Attempted:
        elapsed_s = None if hours is None else hours * 3600
        return Attempted(asked, Verdict(state, "why", elapsed_s, cpu_h * 3600, 1024.0, cause=cause))

    made = cost([
        attempt(State.DONE), attempt(State.FAILED, Cause.OUT_OF_MEMORY, 0.5), attempt(State.CANCELLED, Cause.CANCELLED, 0.25),
        attempt(State.PAUSED, Cause.PAUSED, 2.0, 8.0), attempt(State.FAILED, Cause.ERROR, None),
    ])  # fmt: skip
    assert made.allotted_core_h == pytest.approx(4 * (1 + 0.5 + 0.25 + 2))
    assert made.used_core_h == pytest.approx(3 + 3 + 3 + 8)
    assert made.wasted_core_h == pytest.approx({"out of memory": 2.0, "cancelled": 1.0, "idle CPUs": 1.0})
    assert next(iter(made.wasted_core_h)) == "out of memory"
    assert made.unused_memory_gib_h == pytest.approx(1.0)
    assert made.unused_walltime_core_h == pytest.approx(4.0)
    assert made.unknown == 1
    [request] = made.requests
    assert (request.trials, request.memory_mib, request.enough_memory_mib) == (2, float("inf"), 2048)
    assert (request.out_of_memory, request.out_of_walltime) == (1, 0)  # what ran out needed more than all of it
    assert (request.walltime_s, request.enough_walltime_s) == (3600.0, 4500)
