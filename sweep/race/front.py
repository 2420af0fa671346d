"""Two objectives at once: what nothing beats in both of them (pure). Higher is better in both."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: How much of a weighted value is the sum of the two, so that of what is equal in one the better is taken.
_SUM = 0.01

#: So many rows of a front are spread over its length.
MOST_SPREAD = 500


def weighted(first: Floats, second: Floats, weight: float) -> Floats:
    """Make one value of two, which is highest at one place of the front.

    The augmented Tchebycheff function, here of ranks, with random weights as in ParEGO (Knowles, *IEEE
    Transactions on Evolutionary Computation* 10, 2006): all weights together find all of the front, also where it
    is not convex.

    Parameters
    ----------
    first, second : ndarray, (rows,)
        The ranks of both, from 0 to 1: see `ranked`.
    weight : float
        Of the second, from 0 to 1.
    """
    short = (1 - weight) * (first - 1), weight * (second - 1)
    return np.asarray(np.minimum(*short) + _SUM * (short[0] + short[1]), np.float64)


def ranked(values: Floats) -> Floats:
    """Turn values into their ranks, from 0 to 1; equal ones share theirs."""
    _, ranks = np.unique(values, return_inverse=True)
    return np.asarray(ranks / max(1, int(ranks.max(initial=0))), np.float64)


def front_first(first: Floats, second: Floats) -> NDArray[np.intp]:
    """Return the order in which two objectives prefer rows; its beginnings are spread over the front.

    First comes the front, then the front of what is left, and so on (non-dominated ranks; Deb et al., *IEEE
    Transactions on Evolutionary Computation* 6, 2002). On each front its two ends come first, and then always what
    is farthest from all that came before (Gonzalez, *Theoretical Computer Science* 38, 1985).

    Parameters
    ----------
    first, second : ndarray, (rows,)
        None is NaN.

    Returns
    -------
    ndarray of int
        Row numbers.

    >>> front_first(np.array([0.0, 1.0, 2.8, 3.0, 4.0]), np.array([0.0, 4.0, 2.2, 2.0, 1.0])).tolist()
    [4, 1, 2, 3, 0]
    """
    fronts = fronts_of(first, second)
    order: list[int] = []
    for front in range(int(fronts.max(initial=-1)) + 1):
        rows = np.flatnonzero(fronts == front)
        order += rows[_spread(first[rows], second[rows])].tolist()
    return np.array(order, dtype=np.intp)


def _spread(first: Floats, second: Floats) -> NDArray[np.intp]:
    """Return the order of a front's rows: one end, the other, then what is farthest from those before.

    After `MOST_SPREAD` of them the order is any: no decision has that many places to give away.
    """
    places = np.column_stack([own / (float(np.ptp(own)) or 1.0) for own in (first, second)])
    order: list[int] = []
    nearest = np.full(len(places), np.inf)
    row = int(np.argmax(places[:, 0]))
    for _ in range(min(len(places), MOST_SPREAD)):
        order.append(row)
        nearest = np.minimum(nearest, np.abs(places - places[row]).sum(axis=1))
        nearest[row] = -1.0
        row = int(np.argmax(nearest))
    return np.array([*order, *np.flatnonzero(nearest >= 0)], dtype=np.intp)


def fronts_of(first: Floats, second: Floats) -> NDArray[np.intp]:
    """Return how many fronts have to be taken away before each row is on one.

    >>> fronts_of(np.array([1.0, 2.0, 2.0, 0.0, 2.0]), np.array([3.0, 2.0, 1.0, 0.0, 2.0])).tolist()
    [0, 0, 1, 2, 0]
    """
    fronts = np.zeros(len(first), dtype=np.intp)
    best: list[float] = []  # of each front, the best second value so far: no later front has a better one
    before: tuple[float, float] | None = None
    front = 0
    for row in np.lexsort((-second, -first)):
        here = (float(first[row]), float(second[row]))
        if here != before:  # equal rows share a front
            front = bisect_left(best, True, key=lambda own: own < here[1])
            best[front : front + 1] = [here[1]]
        fronts[row], before = front, here
    return fronts


def by_both(promise: Floats, second: Floats) -> Floats:
    """Rank rows by both objectives: higher is better, NaN where there is no promise.

    What nothing is known of in the second comes behind all others, by the first.

    >>> by_both(np.array([1.0, np.nan, 2.0, 3.0]), np.array([5.0, 9.0, 4.0, np.nan])).tolist()
    [2.0, nan, 3.0, 1.0]
    """
    both = np.flatnonzero(np.isfinite(promise) & np.isfinite(second))
    rest = np.flatnonzero(np.isfinite(promise) & ~np.isfinite(second))
    order = [*both[front_first(promise[both], second[both])], *rest[np.argsort(-promise[rest], kind="stable")]]
    values = np.full(len(promise), np.nan)
    values[order] = np.arange(len(order), 0.0, -1)
    return values
