"""What is uncertain about a winner is said, and nothing is said where nothing is uncertain."""

from __future__ import annotations

import pytest

from sweep.leaderboard import doubts
from sweep.leaderboard.ranking import rank
from sweep.model import Objective, State
from tests.leaderboard.conftest import Make

OBJECTIVE = Objective("score")


@pytest.mark.parametrize(
    ("replicates", "expected"),
    [
        ([[0.5], [0.4]], ["the best of 2 scores"]),
        ([[0.5, 0.6], [0.4, 0.3]], ["two runs make a wide interval"]),
        ([[0.5, 0.5, 0.5], [0.4, 0.3, 0.2]], ["score exactly alike"]),
        ([[0.5, 0.6, 0.55], [0.4, 0.3, 0.2]], []),
        ([], []),
    ],
)
def test_few_or_equal_runs(make: Make, replicates: list[list[float]], expected: list[str]) -> None:
    entries = [
        make(10 * x + replicate, score, replicate=replicate, x=x)
        for x, scores in enumerate(replicates)
        for replicate, score in enumerate(scores)
    ]
    said = doubts.of_winner(rank(entries, OBJECTIVE), confirming=0, ended=0)
    assert len(said) == len(expected)
    assert all(words in line for words, line in zip(expected, said, strict=True))


def test_a_confirmation_that_runs_or_failed(make: Make) -> None:
    chosen = [make(0, 0.5, x=0), make(1, 0.6, x=1)]
    [under_way] = doubts.of_winner(rank(chosen, OBJECTIVE), confirming=3, ended=1)
    assert under_way.startswith("2 of 3 confirming trials have not ended")
    confirming = [make(n, 0.4 + n / 100, replicate=n, confirms=True, x=0) for n in (2, 3, 4)]
    failed = make(5, None, state=State.FAILED, replicate=5, confirms=True, x=0)
    said = doubts.of_winner(rank([*chosen, *confirming, failed], OBJECTIVE), confirming=4, ended=4)
    assert [line.partition(":")[0] for line in said] == [
        "1 of 4 confirming trials failed",
        "1 that was not confirmed scored better, and no confirming run has tested that",
    ]


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({1: {"score": 0.9}}, "better ones are among those whose results are gone: trial 1 had 0.9"),
        ({1: {"score": 0.1}}, ""),
        ({}, "the best may be among those whose results are gone"),
    ],
)
def test_a_result_that_is_gone(make: Make, kept: dict[int, dict[str, float]], expected: str) -> None:
    board, gone = rank([make(0, 0.5, x=0)], OBJECTIVE), [make(1, None, state=State.GONE, x=1)]
    first, *others = doubts.of_gone_results(board, gone, kept, noted=())
    assert first.startswith("trial 1 was done")
    assert [line.startswith(expected) for line in others] == [True] * bool(expected)
    assert doubts.of_gone_results(board, gone, kept, noted={1}) == others  # the look has said it
    assert doubts.of_gone_results(board, [], {}, noted={1}) == []


def test_results_with_another_metric() -> None:
    [line] = doubts.of_metric(Objective("acuracy"), ["loss", "accuracy", "loss"])
    assert line == "results have no 'acuracy', but loss, accuracy; did you mean 'accuracy'?"
    assert doubts.of_metric(Objective("loss"), ["loss"]) == []
    assert doubts.of_metric(Objective("loss"), []) == []
