"""What a race may have missed, by configurations that chance chose and that were trained to the end (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: No wave has this number, so no other draw has this seed.
_DRAW = 2**31

#: How sure the bound is.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Audit:
    """Configurations drawn uniformly, beside the winner.

    Attributes
    ----------
    drawn : int
        How many were drawn and have ended.
    better : int
        Those of them that scored better than the winner. They have one score each: their luck counts against it.
    at_most : float
        The share of all configurations that scores better than the winner is no larger than this, with 95 %.
    """

    drawn: int
    better: int
    at_most: float


def audit(scores: Sequence[float | None], winner: float) -> Audit:
    """Bound the share of configurations that a race has missed.

    The bound is Clopper and Pearson's (Biometrika 26, 1934), one-sided. Where none of `m` is better, it is
    1 − 0.05^(1/m), which is nearly 3/m: the rule of three.

    Parameters
    ----------
    scores : sequence of float or None
        Of the configurations that were drawn; higher is better, None: it failed.
    winner : float
        The winner's score.
    """
    drawn = len(scores)
    better = sum(score is not None and score > winner for score in scores)
    if better == drawn:
        return Audit(drawn, better, 1.0)
    if not better:
        return Audit(drawn, 0, float(1 - (1 - CONFIDENCE) ** (1 / drawn)))
    from scipy.special import betaincinv

    return Audit(drawn, better, float(betaincinv(better + 1, drawn - better, CONFIDENCE)))


def audit_order(configurations: int, seed: int) -> NDArray[np.intp]:
    """Return the order in which configurations are drawn to be run to the end, whatever their scores.

    The first ones of it that were run are a uniform sample: what stops the drawing is the budget.
    """
    return np.random.default_rng([seed, _DRAW]).permutation(configurations)


def chance_drawn(
    configurations: int, seed: int, ended: NDArray[np.bool_], asked: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Return the configurations that chance drew and that have ended: the beginning of `audit_order`.

    It goes up to the first that has not ended: those behind it that have ended were chosen otherwise.

    Parameters
    ----------
    ended : ndarray of bool, (configurations,)
    asked : ndarray of bool, optional
        Those that were run because they are next in this order. It goes no further than the last of these: that
        others behind it were run says something of their scores.
    """
    order = audit_order(configurations, seed)
    still = np.flatnonzero(~ended[order])
    until = still[0] if len(still) else configurations
    if asked is not None:
        places = np.flatnonzero(asked[order])
        until = min(until, places[-1] + 1) if len(places) else 0
    return order[:until]
