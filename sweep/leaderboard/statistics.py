"""How sure a score is: intervals, tests against the first, and the winner's curse (pure).

docs/leaderboard.md says what each is for and how well it does. Each function names its source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95

#: With more degrees of freedom than this, a variance is as good as known.
LARGE_FREEDOM = 10_000.0

#: With at least this many replicates an interval is bootstrapped, which needs no normal distribution.
BOOTSTRAP_FROM = 30

#: Means further than this from the estimated one, in standard deviations of the noise, say nothing about it.
FAR = 12.0

#: The points of the grid on which the distribution of the true scores is estimated, and the steps of the EM
#: algorithm. The steps are few, so that the distribution stays smooth. Both were set on simulated sweeps, see
#: `bench/winners_curse.py`.
PRIOR_POINTS, EM_STEPS = 150, 30

#: A configuration's own variance comes from few runs. It is moved towards the variance of all configurations,
#: which weighs as much as this number of degrees of freedom (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3, 2004).
MODERATING = 1


def interval(scores: ArrayLike, *, bootstrapped: bool = True) -> tuple[float, float]:
    """Return the interval that covers a configuration's mean score with 95 % probability.

    Parameters
    ----------
    scores : array_like, shape (replicates,)
    bootstrapped : bool
        Whether many scores may be bootstrapped, which takes 30 ms.

    Returns
    -------
    low, high : float
        NaN for fewer than two scores.

    Notes
    -----
    Student's t (Student, *Biometrika* 6, 1908). With 30 or more replicates, scipy's bias-corrected and accelerated
    bootstrap (Efron, *JASA* 82, 1987).

    Examples
    --------
    >>> low, high = interval([0.7, 0.8, 0.9])
    >>> round(low, 4), round(high, 4)
    (0.5516, 1.0484)
    """
    values = np.asarray(scores, float)
    if len(values) < 2:
        return np.nan, np.nan
    # Equal scores have no distribution to draw from.
    if bootstrapped and len(values) >= BOOTSTRAP_FROM and np.ptp(values) > 0:
        from scipy.stats import bootstrap

        bounds = bootstrap((values,), np.mean, confidence_level=CONFIDENCE, n_resamples=2000, rng=0)
        return float(bounds.confidence_interval.low), float(bounds.confidence_interval.high)
    half = student_half(values)
    return float(values.mean() - half), float(values.mean() + half)


def student_half(values: Floats) -> float:
    """Return half the width of Student's interval."""
    n = len(values)
    return float(student_bound(n - 1.0) * values.std(ddof=1) / np.sqrt(n))


def student_bound(freedom: float) -> float:
    """Return the bound that Student's t stays within with 95 % probability.

    >>> round(student_bound(2.0), 3), round(student_bound(np.inf), 3)
    (4.303, 1.96)
    """
    from scipy.special import ndtri, stdtrit  # takes 0.1 s, and sweeps without replicates do not need it

    share = 0.5 + CONFIDENCE / 2
    return float(ndtri(share) if np.isinf(freedom) else stdtrit(freedom, share))


def paired_p(differences: Floats) -> Floats:
    """Test whether the mean of paired differences is zero: the two-sided p of Student's t.

    Parameters
    ----------
    differences : ndarray, shape (configurations, replicates)

    Returns
    -------
    ndarray, shape (configurations,)
        Where all differences of a row are equal: 1 if they are zero, else 0.
    """
    n = differences.shape[1]
    mean, error = differences.mean(axis=1), differences.std(axis=1, ddof=1) / np.sqrt(n)
    return _p(mean, error, np.full(len(mean), n - 1.0))


def welch_p(ours: Floats, theirs: Floats) -> float:
    """Test whether two samples have the same mean: the two-sided p. Their variances may differ.

    Welch, *Biometrika* 34 (1947).
    """
    a, b = ours.var(ddof=1) / len(ours), theirs.var(ddof=1) / len(theirs)
    spread = a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1)
    freedom = (a + b) ** 2 / spread if spread > 0 else 1.0
    return float(_p(np.array([ours.mean() - theirs.mean()]), np.sqrt([a + b]), np.array([freedom]))[0])


def _p(mean: Floats, error: Floats, freedom: Floats) -> Floats:
    scale = np.maximum(np.abs(mean), 1e-300)
    still = error <= 1e-12 * scale  # the differences vary by rounding alone
    t = np.abs(mean) / np.where(still, 1.0, error)
    from scipy.special import stdtr

    return np.asarray(np.where(still, (mean == 0).astype(float), 2 * stdtr(freedom, -t)), np.float64)


def holm(p: Sequence[float], tests: int | None = None) -> list[float]:
    """Correct p-values for their number. The chance of even one false difference then stays below 5 %.

    Holm, *Scandinavian Journal of Statistics* 6 (1979).

    Parameters
    ----------
    tests : int, optional
        The number of tests, if more than the p-values. Choosing the best of many looks at all pairs, so a test
        against the best counts all of them.

    >>> holm([0.01, 0.04, 0.03]), holm([0.01], 6)
    ([0.03, 0.06, 0.06], [0.06])
    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1) + (len(p) if tests is None else tests) - len(p)
    raised = np.maximum.accumulate(np.minimum(1.0, np.asarray(p, float)[order] * factors))
    out = np.empty(len(p))
    out[order] = raised
    return [float(value) for value in out]


def may_be_best(gaps: ArrayLike, freedom: float) -> NDArray[np.bool_]:
    """Tell which configurations may be the best: with a probability of 95 % the best is among them.

    Parameters
    ----------
    gaps : array_like, shape (configurations,)
        By how much each is behind the first, over the standard error of that difference; the first, with a gap of
        0, included. Infinite where there is no noise.
    freedom : float
        The degrees of freedom of these errors; infinite if they are known.

    Returns
    -------
    ndarray of bool, shape (configurations,)

    Notes
    -----
    Subset selection (Gupta, *Technometrics* 7, 1965): the first is the one with the best mean, whichever it turns
    out to be, and the bound is that of the largest of all these differences if none of them is real. It is used
    stepwise: what is far behind is set aside, and the rest is compared as if it had been all. Before, the first
    and the last have to differ by Tukey's range test (Tukey, 1953): where all are equal, nothing is told apart in
    95 % of the cases. For the errors that remain see `bench/winners_curse.py`.

    Examples
    --------
    >>> may_be_best([0.0, 1.0, 3.0, 40.0], np.inf).tolist()
    [True, True, False, False]
    """
    behind = np.asarray(gaps, float)
    kept = np.ones(len(behind), bool)
    if not (behind > _range_by_chance(len(behind), freedom)).any():
        return kept
    while True:
        far = kept & (behind > _largest_by_chance(int(kept.sum()), freedom))
        if not far.any():
            return kept
        kept &= ~far


@lru_cache(maxsize=1000)
def _largest_by_chance(count: int, freedom: float) -> float:
    """Return the bound that the largest of ``count - 1`` differences from one exceeds by chance in 5 % of cases.

    Each difference is in units of its standard error. All have the same error and one term in common, so that they
    are correlated by 1/2 (Dunnett, *JASA* 50, 1955, one-sided).
    """
    from scipy.special import log_ndtr  # takes 0.1 s, and sweeps without replicates do not need it

    return (
        _bound(lambda common, gap: np.exp((count - 1) * log_ndtr(common + gap)), freedom) if count > 1 else np.inf
    )


@lru_cache(maxsize=1000)
def _range_by_chance(count: int, freedom: float) -> float:
    """Return the bound that the largest of all differences in pairs exceeds by chance in 5 % of cases.

    The studentized range, over the square root of 2: in units of the standard error of a difference.
    """
    from scipy.special import ndtr

    def covers(common: Floats, gap: Floats) -> Floats:
        return np.asarray(count * (ndtr(common + gap) - ndtr(common)) ** (count - 1), np.float64)

    return _bound(covers, freedom) if count > 1 else np.inf


def _bound(covers: Callable[[Floats, Floats], Floats], freedom: float) -> float:
    """Return the smallest bound that covers differences with 95 % probability.

    Parameters
    ----------
    covers : callable
        ``covers(common, gap)``: the probability, given the common term, that no difference exceeds the gap; both
        in units of the standard error of one mean.
    """
    from scipy.special import gammaincinv

    common = np.linspace(-9, 9, 181)[:, None]
    weights = np.exp(-0.5 * common[:, 0] ** 2) * 0.1 / np.sqrt(2 * np.pi)
    scale, scale_weights = np.ones(1), np.ones(1)
    if freedom < LARGE_FREEDOM:
        points, scale_weights = np.polynomial.legendre.leggauss(32)
        scale, scale_weights = np.sqrt(2 * gammaincinv(freedom / 2, (points + 1) / 2) / freedom), scale_weights / 2
    low, high = 0.0, 1.0

    def is_enough(bound: float) -> bool:
        return bool(weights @ covers(common, np.sqrt(2) * bound * scale) @ scale_weights > CONFIDENCE)

    while not is_enough(high) and high < 1e6:
        low, high = high, 2 * high
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def moderated_variances(variances: ArrayLike, freedom: float) -> tuple[Floats, float]:
    """Move variances, each of few degrees of freedom, towards what is usual, the more the more alike they are.

    Parameters
    ----------
    variances : array_like, shape (configurations,)
    freedom : float
        The degrees of freedom of each.

    Returns
    -------
    moderated : ndarray, shape (configurations,)
    freedom : float
        Of each of these; infinite where all are taken for one and the same.

    Notes
    -----
    Empirical Bayes (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3, 2004): how much the logarithms of the variances
    differ beyond chance says how much weight each has of its own. A variance of 0 says nothing of that.
    """
    from scipy.special import digamma, polygamma

    values = np.asarray(variances, float)
    positive = values[values > 0]
    if len(positive) < 3:
        return np.full(len(values), values.mean()), np.inf
    logs = np.log(positive) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, freedom / 2))
    if excess <= 0:
        return np.full(len(values), values.mean()), np.inf
    prior = 2 * _inverse_trigamma(excess)
    usual = np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2))
    return (prior * usual + freedom * values) / (prior + freedom), prior + freedom


def _inverse_trigamma(value: float) -> float:
    """Return the y whose trigamma is this positive value, by Newton's method (Smyth, 2004, appendix)."""
    from scipy.special import polygamma

    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if abs(step) < 1e-8 * y:
            break
    return y


def residual_variances(scores: Floats) -> tuple[Floats, float]:
    """Estimate each configuration's variance of one run's score, without what a seed adds to all of them.

    Parameters
    ----------
    scores : ndarray, shape (configurations, replicates)
        At least two by two; replicate *j* is the same seed or fold in every row.

    Returns
    -------
    variances : ndarray, shape (configurations,)
        Of the residuals of the two-way layout.
    freedom : float
        The degrees of freedom of each.
    """
    rows, columns = scores.shape
    residual = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0, keepdims=True) + scores.mean()
    freedom = (rows - 1) * (columns - 1) / rows
    return (residual**2).sum(axis=1) / freedom, freedom


def noise_variance(scores: Floats) -> tuple[float, float]:
    """Estimate the variance of one run's score about the mean of its configuration.

    Parameters
    ----------
    scores : ndarray, shape (configurations, replicates)
        At least two by two. Replicate *j* is the same seed or fold in every row. What it adds to all rows alike
        makes no difference between them, so it is taken out: the residual of the two-way layout remains.

    Returns
    -------
    all, first : float
        The variance over all configurations, and that of the first alone.
    """
    variances, _ = residual_variances(scores)
    return float(variances.mean()), float(variances[0])


def moderated(variance: float, usual: float, freedom: int) -> float:
    """Move a variance that was estimated with few degrees of freedom towards the usual one.

    >>> moderated(0.0, 3.0, 1), moderated(1.0, 3.0, 4)
    (1.5, 1.4)
    """
    return (MODERATING * usual + freedom * variance) / (MODERATING + freedom)


def shrunken(means: ArrayLike, variance: float, index: int, own_variance: float | None = None) -> float:
    """Estimate the true score of one configuration that may have been chosen as the best of many.

    Parameters
    ----------
    means : array_like, shape (configurations,)
        The mean score of each configuration.
    variance : float
        The variance of the noise in each mean.
    index : int
        The configuration whose true score is estimated.
    own_variance : float, optional
        The variance of the noise in its own mean, where that differs.

    Returns
    -------
    float
        The expected true score. The best of many means is too high (the winner's curse); the expectation is not.

    Notes
    -----
    Empirical Bayes. The distribution of the true scores is estimated from all means, on a grid, by maximum
    likelihood (Kiefer and Wolfowitz, *Ann. Math. Stat.* 27, 1956). EM is stopped early. The result is the
    posterior mean, which a selection does not bias (Efron, "Tweedie's formula and selection bias", *JASA* 106,
    2011). The noise is assumed to be normal and of one variance; the true scores may have any distribution.
    """
    values = np.asarray(means, float)
    mean, deviation = float(values[index]), float(np.sqrt(variance))
    if deviation <= 1e-12 * max(1e-300, float(np.abs(values).max())):
        return mean
    values = values[np.abs(values - mean) <= FAR * deviation]
    # Means are rounded to a twentieth of the noise. 100,000 means then take no longer than a few hundred.
    bins, counts = np.unique(np.round(values / deviation * 20), return_counts=True)
    points = np.linspace(values.min() - deviation, values.max() + deviation, PRIOR_POINTS)
    likelihood = np.exp(-0.5 * ((bins[:, None] / 20 - points / deviation) ** 2))
    likelihood = np.maximum(likelihood, 1e-300)
    prior = np.full(PRIOR_POINTS, 1 / PRIOR_POINTS)
    for _ in range(EM_STEPS):
        posterior = likelihood * prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        prior = counts @ posterior / counts.sum()
    own_deviation = np.sqrt(variance if own_variance is None else own_variance)
    own = np.exp(-0.5 * ((mean - points) / own_deviation) ** 2) * prior
    return float((own * points).sum() / own.sum())
