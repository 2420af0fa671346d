"""Each statistic against hand-worked cases, scipy, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sweep.leaderboard.statistics import (
    _largest_by_chance,
    _range_by_chance,
    holm,
    interval,
    may_be_best,
    moderated_variances,
    noise_variance,
    paired_p,
    shrunken,
    student_half,
    welch_p,
)


def test_students_interval_by_hand() -> None:
    """Mean 3, standard deviation √2.5, t(4, 97.5 %) = 2.776445."""
    low, high = interval([1, 2, 3, 4, 5])
    half = 2.776445 * 2.5**0.5 / 5**0.5
    assert (low, high) == pytest.approx((3 - half, 3 + half), abs=1e-5)
    assert np.isnan(interval([0.5])).all()
    assert np.isnan(interval([])).all()
    assert interval([0.5, 0.5]) == pytest.approx((0.5, 0.5))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=29))
def test_students_interval_is_scipys(values: list[float]) -> None:
    if np.std(values) < 1e-9:
        return
    n = len(values)
    expected = scipy.stats.t.interval(0.95, n - 1, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert interval(values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_many_replicates_are_bootstrapped() -> None:
    """Skewed scores: the bootstrap's interval is not symmetric, Student's would be."""
    values = np.random.default_rng(1).exponential(1.0, 40)
    low, high = interval(values)
    assert high - values.mean() > 1.05 * (values.mean() - low)
    assert (low, high) == pytest.approx(
        (values.mean() - student_half(values), values.mean() + student_half(values)), rel=0.25
    )
    assert interval([0.5] * 40) == pytest.approx((0.5, 0.5))


def test_paired_differences_are_scipys() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(0, 1, (20, 5)), rng.normal(0.5, 1, (20, 5))
    expected = scipy.stats.ttest_rel(ours, theirs, axis=1).pvalue
    assert paired_p(ours - theirs) == pytest.approx(expected, rel=1e-9)
    assert paired_p(np.array([[0.0, 0, 0], [0.1, 0.1, 0.1]])) == pytest.approx([1.0, 0.0])


def test_unpaired_differences_are_scipys() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(0, 1, 4), rng.normal(1, 3, 7)
    assert welch_p(ours, theirs) == pytest.approx(scipy.stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    assert welch_p(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == 1.0
    assert welch_p(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == 0.0


def test_holm_by_hand() -> None:
    """Holm's method: the smallest times four, the next times three, and never less than the one before."""
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_false_differences_at_five_percent() -> None:
    rng = np.random.default_rng(4)
    wrong = sum(min(holm([*rng.uniform(0, 1, 50)])) < 0.05 for _ in range(2000))
    assert wrong / 2000 == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 2000) ** 0.5)


def test_noise_leaves_out_what_a_seed_adds_to_all() -> None:
    """A seed that adds 0.1 to every configuration is no noise between them."""
    scores = np.array([[0.5, 0.6], [0.7, 0.8], [0.6, 0.7]])
    assert noise_variance(scores) == pytest.approx((0.0, 0.0), abs=1e-15)
    rng = np.random.default_rng(5)
    many = rng.normal(0, 0.3, (4000, 1)) + rng.normal(0, 0.5, (1, 4)) + rng.normal(0, 0.02, (4000, 4))
    assert noise_variance(many)[0] == pytest.approx(0.02**2, rel=0.05)
    first = [noise_variance(rng.normal(0, [[2.0], [1.0], [1.0], [1.0]], (4, 3)))[1] for _ in range(2000)]
    # The first row's residuals hold three quarters of its own variance, and a quarter of the others', by the means.
    assert np.mean(first) == pytest.approx(0.75 * 4.0 + 0.25 * 1.0, rel=0.1)


def test_without_noise_nothing_falls_and_noise_alone_falls_to_the_middle() -> None:
    assert shrunken([0.5, 0.9, 0.7], 0.0, 1) == pytest.approx(0.9)
    assert shrunken([0.9], 0.01, 0) == pytest.approx(0.9)
    means = np.random.default_rng(6).normal(0.7, 0.05, 2000)
    best = int(means.argmax())
    assert shrunken(means, 0.05**2, best) == pytest.approx(0.7, abs=0.03)  # by all of 0.17
    assert shrunken(means, 1e-8, best) == pytest.approx(means[best], abs=1e-3)


@pytest.mark.parametrize("shape", ["normal", "half collapsed", "exponential"])
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_the_estimated_optimism_is_the_true_one(shape: str, spread: float) -> None:
    """The mean over 400 sweeps of 100 configurations with three runs each and noise of 1 in each run."""
    rng = np.random.default_rng(7)
    estimated, true = [], []
    for _ in range(400):
        truths = rng.normal(0, spread, 100) if shape != "exponential" else -rng.exponential(2 * spread, 100)
        if shape == "half collapsed":
            truths[rng.random(100) < 0.5] -= 20
        scores = truths[:, None] + rng.normal(0, 1, (100, 3))
        means = scores.mean(axis=1)
        best = int(means.argmax())
        estimated.append(means[best] - shrunken(means, noise_variance(scores)[0] / 3, best))
        true.append(means[best] - truths[best])
    assert np.mean(estimated) == pytest.approx(np.mean(true), abs=0.25)


@pytest.mark.parametrize("far", [0.0, 20.0, 1e4, 1e9])
def test_means_far_below_change_nothing(far: float) -> None:
    """Half the trainings collapsed: the winner is still the best of the other half."""
    rng = np.random.default_rng(8)
    means = rng.normal(0, 1, 100)
    best = int(means.argmax())
    alone = shrunken(means, 1.0, best)
    assert alone == pytest.approx(0, abs=0.6)
    if far:
        both = shrunken([*means, *(rng.normal(0, 1, 100) - far)], 1.0, best)
        assert both == pytest.approx(alone, abs=0.05)


@pytest.mark.parametrize(("count", "freedom"), [(2, 10.0), (5, 16.0), (60, 118.0), (100, 4.0), (1000, np.inf)])
def test_the_range_is_scipys(count: int, freedom: float) -> None:
    expected = scipy.stats.studentized_range.ppf(0.95, count, freedom) / 2**0.5
    assert _range_by_chance(count, freedom) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("count", "freedom"), [(2, 10.0), (4, 16.0), (10, 50.0), (20, np.inf)])
def test_the_largest_difference_is_as_simulated(count: int, freedom: float) -> None:
    rng = np.random.default_rng(7)
    means = rng.normal(size=(40_000, count))
    scale = 1.0 if np.isinf(freedom) else np.sqrt(rng.chisquare(freedom, 40_000) / freedom)
    largest = (means[:, 1:].max(axis=1) - means[:, 0]) / 2**0.5 / scale
    assert _largest_by_chance(count, freedom) == pytest.approx(np.quantile(largest, 0.95), rel=0.02)


def test_two_may_be_the_best_by_students_bound() -> None:
    assert may_be_best([0.0, 2.2], 10.0).tolist() == [True, True]
    assert may_be_best([0.0, 2.3], 10.0).tolist() == [True, False]
    assert may_be_best([0.0], np.inf).tolist() == [True]
    assert may_be_best([0.0, np.inf, 0.0], np.inf).tolist() == [True, False, True]


def test_variances_count_for_themselves_as_far_as_they_differ() -> None:
    """Smyth's estimate: of one variance, chi-square draws are taken for one; of very different ones, they are not."""
    rng = np.random.default_rng(8)
    alike = rng.chisquare(4, 2000) / 4
    moderated, freedom = moderated_variances(alike, 4)
    assert freedom > 60
    assert np.ptp(moderated) < 0.2 * np.ptp(alike)
    spread = alike * np.exp(rng.normal(0, 1, 2000))
    moderated, freedom = moderated_variances(spread, 4)
    # The trigamma of half the prior's freedom is the variance of the logarithms, here 1: a freedom of 2.9.
    assert freedom == pytest.approx(4 + 2.9, abs=0.5)
    assert np.corrcoef(moderated, spread)[0, 1] > 0.95
    assert moderated_variances([0.0, 0.0], 2)[0].tolist() == [0.0, 0.0]
