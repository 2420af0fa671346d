"""How sure a score is: intervals, comparisons with the first, and the winner's curse.

docs/leaderboard.md says what each is for and how well it does; the sources are with each function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95

#: From so many replicates on, an interval needs no normal distribution: it is bootstrapped.
BOOTSTRAP_FROM = 30

#: Means so many of their own standard deviations below the one in question say nothing about it.
FAR = 12.0

#: Points of the grid that carries the distribution of the true scores, and steps of the EM algorithm: few enough
#: that the distribution stays smooth. Both were set on simulated sweeps, `bench/winners_curse.py`.
PRIOR_POINTS, EM_STEPS = 150, 30

#: A configuration's own variance, out of few runs, is moderated by that of all, as if by so many degrees of
#: freedom (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3, 2004).
MODERATING = 1


def interval(scores: ArrayLike, *, bootstrapped: bool = True) -> tuple[float, float]:
    """Give the interval that covers a configuration's mean score with 95 %.

    Parameters
    ----------
    scores : array_like, shape (replicates,)
    bootstrapped : bool
        Where there are many, without assuming a normal distribution: it takes 30 ms.

    Returns
    -------
    low, high : float
        NaN for fewer than two.

    Notes
    -----
    Student's t (Student, *Biometrika* 6, 1908); from 30 replicates on the bias-corrected and accelerated
    bootstrap (Efron, *JASA* 82, 1987) of scipy.

    Examples
    --------
    >>> low, high = interval([0.7, 0.8, 0.9])
    >>> round(low, 4), round(high, 4)
    (0.5516, 1.0484)
    """
    values = np.asarray(scores, float)
    if len(values) < 2:
        return np.nan, np.nan
    if (
        bootstrapped and len(values) >= BOOTSTRAP_FROM and np.ptp(values) > 0
    ):  # of equal ones there is nothing to draw
        from scipy.stats import bootstrap

        made = bootstrap((values,), np.mean, confidence_level=CONFIDENCE, n_resamples=2000, rng=0)
        return float(made.confidence_interval.low), float(made.confidence_interval.high)
    half = student_half(values)
    return float(values.mean() - half), float(values.mean() + half)


def student_half(values: Floats) -> float:
    """Give half the width of Student's interval."""
    n = len(values)
    from scipy.special import stdtrit  # a tenth of a second, and sweeps without replicates need none

    return float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * values.std(ddof=1) / np.sqrt(n))


def paired_p(differences: Floats) -> Floats:
    """Test whether paired differences have a mean of zero: two-sided p of Student's t.

    Parameters
    ----------
    differences : ndarray, shape (configurations, replicates)

    Returns
    -------
    ndarray, shape (configurations,)
        Where all differences are equal, 1 if they are zero and 0 if not.
    """
    n = differences.shape[1]
    mean, error = differences.mean(axis=1), differences.std(axis=1, ddof=1) / np.sqrt(n)
    return _p(mean, error, np.full(len(mean), n - 1.0))


def welch_p(ours: Floats, theirs: Floats) -> float:
    """Test whether two samples have one mean, their variances being what they are: two-sided p.

    Welch, *Biometrika* 34 (1947).
    """
    a, b = ours.var(ddof=1) / len(ours), theirs.var(ddof=1) / len(theirs)
    spread = a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1)
    freedom = (a + b) ** 2 / spread if spread > 0 else 1.0
    return float(_p(np.array([ours.mean() - theirs.mean()]), np.sqrt([a + b]), np.array([freedom]))[0])


def _p(mean: Floats, error: Floats, freedom: Floats) -> Floats:
    scale = np.maximum(np.abs(mean), 1e-300)
    still = error <= 1e-12 * scale  # differences that do not vary, but for rounding
    t = np.abs(mean) / np.where(still, 1.0, error)
    from scipy.special import stdtr

    return np.asarray(np.where(still, (mean == 0).astype(float), 2 * stdtr(freedom, -t)), np.float64)


def holm(p: Sequence[float], tests: int | None = None) -> list[float]:
    """Correct p-values for their number, so that the chance of one false difference among all stays 5 %.

    Holm, *Scandinavian Journal of Statistics* 6 (1979).

    Parameters
    ----------
    tests : int, optional
        How many there might have been, if more than these: who compares with the best of many has, by choosing
        it, looked at all pairs.

    >>> holm([0.01, 0.04, 0.03]), holm([0.01], 6)
    ([0.03, 0.06, 0.06], [0.06])
    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1) + (len(p) if tests is None else tests) - len(p)
    raised = np.maximum.accumulate(np.minimum(1.0, np.asarray(p, float)[order] * factors))
    out = np.empty(len(p))
    out[order] = raised
    return [float(value) for value in out]


def noise_variance(scores: Floats) -> tuple[float, float]:
    """Estimate the variance of one run's score about its configuration's: of all, and of the first alone.

    Parameters
    ----------
    scores : ndarray, shape (configurations, replicates)
        At least two by two. Replicate *j* is the same seed or fold in every row: what it adds to all alike decides
        nothing between them, and is taken out (the residual of the two-way layout).
    """
    rows, columns = scores.shape
    residual = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0, keepdims=True) + scores.mean()
    squares = (residual**2).sum(axis=1)
    freedom = (rows - 1) * (columns - 1)
    return float(squares.sum() / freedom), float(squares[0] * rows / freedom)


def moderated(variance: float, usual: float, freedom: int) -> float:
    """Draw a variance that was estimated with few degrees of freedom towards the usual one.

    >>> moderated(0.0, 3.0, 1), moderated(1.0, 3.0, 4)
    (1.5, 1.4)
    """
    return (MODERATING * usual + freedom * variance) / (MODERATING + freedom)


def shrunken(means: ArrayLike, variance: float, wanted: int, own_variance: float | None = None) -> float:
    """Estimate one configuration's true score, knowing that it was picked from many.

    Parameters
    ----------
    means : array_like, shape (configurations,)
        The mean score of each.
    variance : float
        Of the noise in each mean.
    wanted : int
        Which one.
    own_variance : float, optional
        Of the noise in that one's mean, if it is another.

    Returns
    -------
    float
        The expectation of its true score. The best of many means is too high (the winner's curse); this is not.

    Notes
    -----
    Empirical Bayes: the distribution of the true scores is estimated from all means by maximum likelihood
    (Kiefer and Wolfowitz, *Ann. Math. Stat.* 27, 1956) on a grid, with EM stopped early, and the posterior mean
    is taken: a selection does not bias it (Efron, "Tweedie's formula and selection bias", *JASA* 106, 2011). It
    assumes normal noise of one variance, and no form of the distribution of the true scores.
    """
    values = np.asarray(means, float)
    mean, deviation = float(values[wanted]), float(np.sqrt(variance))
    if deviation <= 1e-12 * max(1e-300, float(np.abs(values).max())):
        return mean
    values = values[np.abs(values - mean) <= FAR * deviation]
    # Means that lie a twentieth of the noise apart are one, so that 100,000 take no longer than a few hundred.
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
