"""What a rung tells of the end, by configurations that chance drew and that were trained whole (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: With fewer configurations than this nothing is said.
FEWEST = 10

#: A rung is passed by where its rank correlation with the end is below this, with 95 %.
LEAST = 0.5

#: One-sided, 95 %.
_Z = 1.645


@dataclass(frozen=True)
class Agreement:
    """How well the scores on a rung agree with those at the end.

    Attributes
    ----------
    until : int
        The rung, in entries of the history.
    drawn : int
        How many configurations say so. They were drawn uniformly, so each stands for as many others.
    correlation, at_most : float
        Spearman's rank correlation, and its upper limit, with 95 %.
    best, dropped : int
        The best of them at the end, as many as a rung keeps; and those that the rung would have dropped.
    """

    until: int
    drawn: int
    correlation: float
    at_most: float
    best: int
    dropped: int

    @property
    def tells_nothing(self) -> bool:
        """Whether it is sure that the rung says too little to drop anything there."""
        return self.at_most < LEAST


def agreements(scores: ArrayLike, rungs: Sequence[int], keep: float) -> tuple[Agreement, ...]:
    """Compare each rung but the last with the last; empty where too few were drawn.

    The limit is Fisher's, with the variance of Fieller, Hartley and Pearson (Biometrika 44, 1957).

    Parameters
    ----------
    scores : array, (configurations, rungs)
        Of configurations that were drawn uniformly; higher is better. Those that miss a score do not count.
    rungs : sequence of int
        In entries of the history.
    keep : float
        The share of each rung that goes on.
    """
    rows = np.asarray(scores, dtype=float).reshape(-1, len(rungs))
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < FEWEST:
        return ()
    ranks = np.column_stack([_ranks(own) for own in rows.T])
    best = max(1, int(len(rows) * keep))
    end = np.argsort(-ranks[:, -1], kind="stable")[:best]
    compared = []
    for rung, until in enumerate(rungs[:-1]):
        kept = np.argsort(-ranks[:, rung], kind="stable")[:best]
        correlation = _correlation(ranks[:, rung], ranks[:, -1])
        compared.append(
            Agreement(
                until,
                len(rows),
                correlation,
                _upper_limit(correlation, len(rows)),
                best,
                best - len(np.intersect1d(end, kept)),
            )
        )
    return tuple(compared)


def first_rung(each_rung: tuple[Agreement, ...]) -> int:
    """Return the first rung, from 0, of which it is not sure that it tells nothing of the end."""
    return next((rung for rung, own in enumerate(each_rung) if not own.tells_nothing), len(each_rung))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 0; equal values have the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def _correlation(left: np.ndarray, right: np.ndarray) -> float:
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0  # all are equal: that tells nothing
    return float(np.corrcoef(left, right)[0, 1])


def _upper_limit(correlation: float, count: int) -> float:
    z = math.atanh(min(max(correlation, -0.9999), 0.9999))
    return math.tanh(z + _Z * math.sqrt(1.06 / (count - 3)))
