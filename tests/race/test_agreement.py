"""What a rung tells of the end: the correlation, its limit, and what the rung would have dropped."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from sweep.race.agreement import agreements

RUNGS = (1, 3, 9)


def test_a_rung_is_compared_with_the_end() -> None:
    end = np.arange(12.0)
    first, second = agreements(np.column_stack([end[::-1], end, end]), RUNGS, 1 / 3)
    assert (first.until, first.drawn, first.correlation, first.best, first.dropped) == (1, 12, -1.0, 4, 4)
    assert (second.until, second.correlation, second.dropped) == (3, 1.0, 0)
    assert first.tells_nothing
    assert not second.tells_nothing


def test_equal_scores_have_the_mean_of_their_ranks() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 4, (30, 3)).astype(float)
    for own, column in zip(agreements(rows, RUNGS, 1 / 3), rows.T, strict=False):
        assert own.correlation == pytest.approx(scipy.stats.spearmanr(column, rows[:, 2]).statistic)
    assert agreements(np.ones((12, 3)), RUNGS, 1 / 3)[0].correlation == 0.0


def test_too_few_say_nothing_and_what_failed_does_not_count() -> None:
    rows = np.random.default_rng(0).random((12, 3))
    assert agreements(rows[:9], RUNGS, 1 / 3) == ()
    rows[:3, 1] = np.nan
    assert agreements(rows, RUNGS, 1 / 3) == ()
    assert agreements([], RUNGS, 1 / 3) == ()


@pytest.mark.parametrize("drawn", [12, 60])
@pytest.mark.parametrize("pearson", [0.0, 0.5, 0.8])
def test_the_limit_is_above_the_true_correlation_in_95_of_100(drawn: int, pearson: float) -> None:
    random = np.random.default_rng(1)
    true = 6 / np.pi * np.arcsin(pearson / 2)  # of a normal distribution
    normal = random.normal(size=(2000, drawn, 2))
    normal[:, :, 0] = pearson * normal[:, :, 1] + np.sqrt(1 - pearson**2) * normal[:, :, 0]
    assert 0.93 <= np.mean([agreements(rows, (1, 2), 1 / 3)[0].at_most >= true for rows in normal]) <= 0.975
