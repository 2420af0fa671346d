"""What a race may have missed: the bound, and how often it holds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from sweep.race.audit import audit


def test_none_of_m_better_is_the_rule_of_three() -> None:
    bound = audit([0.5] * 100, winner=0.9)
    assert (bound.drawn, bound.better) == (100, 0)
    assert bound.at_most == pytest.approx(3 / 100, rel=0.02)
    assert bound.at_most < 3 / 100


@pytest.mark.parametrize(("better", "drawn"), [(0, 37), (1, 10), (2, 20), (5, 50), (9, 10)])
def test_with_that_share_so_few_better_ones_would_be_drawn_in_5_of_100(better: int, drawn: int) -> None:
    bound = audit([1.0] * better + [0.0] * (drawn - better), winner=0.5)
    assert bound.better == better
    assert scipy.stats.binom.cdf(better, drawn, bound.at_most) == pytest.approx(0.05)


def test_failures_are_drawn_and_not_better() -> None:
    assert audit([None, 0.1, None], winner=0.5).drawn == 3
    assert audit([None], winner=0.5).better == 0
    assert audit([1.0], winner=0.5).at_most == 1.0


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("drawn", [10, 60])
def test_the_bound_holds_in_at_least_95_of_100_races(share: float, drawn: int) -> None:
    """Where so large a share of the grid is better than the winner, the bound says no less, in ≥ 95 %."""
    random = np.random.default_rng(0)
    counts = random.binomial(drawn, share, 4000)
    bounds = {count: audit([1.0] * count + [0.0] * (drawn - count), 0.5).at_most for count in set(counts.tolist())}
    assert np.mean([bounds[count] >= share for count in counts.tolist()]) >= 0.94
