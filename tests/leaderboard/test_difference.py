"""Whether one configuration is better than another: by hand, against scipy, and simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from sweep.leaderboard.difference import Answer, Side, judge
from sweep.leaderboard.ranking import Board, rank
from sweep.model import Objective
from tests.leaderboard.conftest import entry


def board_of(*scores: list[float], objective: str = "maximize", seeds: int = 0) -> Board:
    """Make a board of configurations with these scores; `seeds` is the number of the first seed."""
    entries = [
        entry(100 * x + run, score, replicate=seeds + run, seed=seeds + run, x=x)
        for x, of_x in enumerate(scores)
        for run, score in enumerate(of_x)
    ]
    return rank(entries, Objective("score", objective))


def side(board: Board, x: int) -> Side:
    [configuration] = [each for each in board.configurations if each.entry.trial.params["x"] == x]
    return Side(board, configuration)


def test_two_boards_are_compared_in_pairs_as_scipy_does() -> None:
    base, candidate = board_of([0.5, 0.6, 0.7, 0.55]), board_of([0.6, 0.68, 0.83, 0.66])
    judged = judge(side(base, 0), side(candidate, 0))
    test = scipy.stats.ttest_rel([0.6, 0.68, 0.83, 0.66], [0.5, 0.6, 0.7, 0.55])
    assert (judged.low, judged.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert (judged.answer, judged.shared_seeds, judged.further_runs) == (Answer.BETTER, 4, 0)
    assert judge(side(candidate, 0), side(base, 0)).answer is Answer.NOT_BETTER
    assert judge(side(base, 0), side(candidate, 0), at_least=0.1).answer is Answer.OPEN
    assert judge(side(base, 0), side(candidate, 0), at_least=0.2).answer is Answer.NOT_BETTER


def test_other_seeds_are_compared_as_welch_does() -> None:
    ours, theirs = [0.6, 0.68, 0.83], [0.5, 0.61, 0.7, 0.55]
    judged = judge(side(board_of(theirs), 0), side(board_of(ours, seeds=50), 0))
    test = scipy.stats.ttest_ind(ours, theirs, equal_var=False)
    assert (judged.low, judged.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert (judged.answer, judged.shared_seeds) == (Answer.OPEN, 0)


def test_less_is_better_where_the_objective_says_so() -> None:
    board = board_of([0.50, 0.51, 0.50], [0.40, 0.41, 0.40], objective="minimize")
    other = board_of([0.50, 0.51, 0.50], objective="minimize")
    judged = judge(side(other, 0), side(board, 1))
    assert judged.answer is Answer.BETTER
    assert judged.low < judged.difference < judged.high < 0


def test_one_run_each_tells_nothing() -> None:
    board = board_of([0.5], [0.9])
    judged = judge(side(board, 0), side(board, 1))
    assert (judged.answer, judged.further_runs) == (Answer.OPEN, 1)
    assert math.isnan(judged.low)


def test_equal_runs_are_not_better() -> None:
    board = board_of([0.5, 0.6], [0.5, 0.6])
    judged = judge(side(board, 0), side(board, 1))
    assert (judged.answer, judged.difference, judged.low, judged.high) == (Answer.NOT_BETTER, 0.0, 0.0, 0.0)


def test_the_order_of_a_board_is_kept() -> None:
    """What is taken off the best is taken off the second, too: it does not come out ahead for that."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        board = board_of(*rng.normal(size=(60, 3)).tolist())
        first, second = (Side(board, each) for each in board.configurations[:2])
        assert judge(first, second).difference <= 0
        assert judge(first, second).answer is not Answer.BETTER


def test_two_pairs_that_differ_alike_are_no_certainty() -> None:
    """A metric in steps of 1/50: two differences are often equal."""
    base, candidate = board_of([0.50, 0.54]), board_of([0.52, 0.56])
    judged = judge(side(base, 0), side(candidate, 0))
    assert judged.answer is Answer.OPEN
    assert judged.low < 0 < judged.high


def test_rounding_is_no_difference() -> None:
    ours, theirs = board_of([0.1 + 0.2] * 3), board_of([0.3] * 3)
    assert judge(side(theirs, 0), side(ours, 0)).answer is Answer.NOT_BETTER
    apart = judge(side(board_of([0.7] * 3), 0), side(board_of([0.7] * 10, seeds=50), 0))
    assert (apart.answer, apart.further_runs) == (Answer.NOT_BETTER, 0)


def test_the_best_of_many_is_not_better_for_its_luck() -> None:
    """All are equal. The best of 30 is compared with another one: its luck is taken off."""
    rng = np.random.default_rng(1)
    answers = []
    for _ in range(150):
        board = board_of(*rng.normal(size=(30, 4)).tolist())
        best = Side(board, board.configurations[0])
        middle = Side(board, board.configurations[15])
        answers.append(judge(middle, best).answer)
    assert answers.count(Answer.BETTER) <= 0.05 * 150


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_so_many_further_runs_tell(seed: int) -> None:
    """With as many runs as it says, the interval is as small as it has to be, if the difference is what it seemed."""
    rng = np.random.default_rng(seed)
    base, candidate = rng.normal(0, 1, 4).tolist(), rng.normal(0.4, 1, 4).tolist()
    judged = judge(side(board_of(base), 0), side(board_of(candidate), 0))
    assert judged.answer is Answer.OPEN
    assert judged.further_runs
    differences = np.array(candidate) - np.array(base)
    for more, tells in ((judged.further_runs, True), (judged.further_runs - 1, False)):
        runs = 4 + more
        half = scipy.stats.t.ppf(0.975, runs - 1) * differences.std(ddof=1) / runs**0.5
        assert bool(half < abs(differences.mean())) is tells
