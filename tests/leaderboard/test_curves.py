"""Learning curves: which epochs, which names, of which trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.leaderboard.curves import MAX_POINTS, Curve, Times, learning_curves, times
from sweep.leaderboard.ranking import rank
from sweep.model import Objective
from tests.leaderboard.conftest import entry

OBJECTIVE = Objective("test.score")


def curves(*histories: Any) -> dict[str, list[Curve]]:
    """Return the curves of one configuration with a replicate for each history."""
    entries = [
        replace(entry(n, 0.5, replicate=n, x=1), result={"test": {"score": 0.5}, "history": history})
        for n, history in enumerate(histories)
    ]
    [configuration] = rank(entries, OBJECTIVE).configurations
    return learning_curves(configuration, OBJECTIVE)


def test_the_metric_by_either_name_and_the_losses() -> None:
    history = [{"score": 0.1, "loss": 3}, "odd", {"score": "?", "loss": 2, "accuracy": 1}]
    assert curves(history, [{"loss": 1}]) == {
        "score": [Curve(range(1, 3), [0.1, None], Times([5.0, 10.0]), 2)],
        "loss": [
            Curve(range(1, 3), [3.0, 2.0], Times([5.0, 10.0]), 2),
            Curve(range(1, 2), [1.0], Times([10.0]), 2),
        ],
    }


def test_a_long_history_loses_epochs_and_keeps_the_last() -> None:
    epochs = 2 * MAX_POINTS + 1
    [curve] = curves([{"loss": epoch, "seconds": 3} for epoch in range(1, epochs + 1)])["loss"]
    assert len(curve.epochs) <= MAX_POINTS
    assert curve.epochs[-1] == epochs
    assert curve.values == [*curve.epochs]
    assert curve.times == Times([3.0 * epoch for epoch in curve.epochs], own=True)  # those left out count, too


@pytest.mark.parametrize(
    "odd", [{}, {"seconds": -1}, {"seconds": "3"}, {"seconds": float("nan")}, {"seconds": True}]
)
def test_times_that_are_not_all_there_are_not_summed(odd: dict[str, Any]) -> None:
    assert times([{"seconds": 1}, odd, {"seconds": 1}], 30.0) == Times([10.0, 20.0, 30.0])
    assert times([{"seconds": 1}, odd], None) == Times([])


def test_what_is_no_history() -> None:
    assert curves(None, [], 7, {"a": 1}, ["text"]) == {}
