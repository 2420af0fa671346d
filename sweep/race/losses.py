"""How many later winners a rung has dropped, by some of it that chance drew and that were trained whole (pure).

What scores too low on a rung is mostly never trained further, so nobody sees what it would have come to. Some of
it is spared: drawn with a known probability, and trained to the end. Each winner among the drawn then stands for
one over that probability (Horvitz and Thompson, *Journal of the American Statistical Association* 47, 1952).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweep.race.standing import Standing
from sweep.state.racing import RungLoss
from sweep.state.settings import RaceRules

#: How sure the lower limit is.
CONFIDENCE = 0.95

#: No other draw has this seed: `sweep.race.audit` has 2**31.
_DRAW = 2**31 + 1


def losses(standing: Standing, rules: RaceRules, seed: int, first: int) -> tuple[int, list[RungLoss]]:
    """Raise the first rung as long as what it has dropped is, with 95 %, more than what the race has found.

    Parameters
    ----------
    first : int
        The rung, from 0, that trials would begin for otherwise.

    Returns
    -------
    first : int
        The rung that they should begin for.
    losses : list of RungLoss
        Of the rungs from `first` on that were looked at: those that are passed by, and the one that is not.
    """
    found = []
    while first < len(rules.rungs) - 1:
        own = loss(standing, rules, seed, first)
        found += [own] if own else []
        if own is None or not own.too_many:
            break
        first += 1
    return first, found


def dropped_order(standing: Standing, rung: int, keep: float, seed: int) -> NDArray[np.intp]:
    """Return what a rung drops by the scores there, in the order in which chance spares it.

    The order has nothing to do with any score, so its beginning is a sample in which all had the same probability.
    Only what has stopped on that rung, or goes no further, is in it: what has gone on otherwise, but not to the
    end, would tell nothing.
    """
    scores = standing.scores[:, rung]
    here = np.flatnonzero(np.isfinite(scores))
    below = here[np.argsort(-scores[here], kind="stable")][int(len(here) * keep) :]
    below = below[(standing.reached[below] == rung + 1) | standing.ended[below]]
    places = np.random.default_rng([seed, _DRAW, rung]).permutation(len(scores))
    order: NDArray[np.intp] = below[np.argsort(places[below])]
    return order


def loss(standing: Standing, rules: RaceRules, seed: int, rung: int) -> RungLoss | None:
    """Estimate how many later winners a rung has dropped; None where too little was trained whole.

    A winner is what scores at the end as the best of those do that were trained whole for other reasons: a share
    `keep` of these, and no more than are confirmed. The lower limit is exact: with fewer winners among what was
    dropped, so many would be drawn in at most 5 % (the hypergeometric distribution; Wright, *Exact Confidence
    Bounds when Sampling from Small Finite Universes*, 1991).
    """
    order = dropped_order(standing, rung, rules.keep, seed)
    waits = np.flatnonzero(~standing.ended[order])
    drawn = order[: waits[0]] if len(waits) else order
    end = np.where(standing.ended, standing.scores[:, -1], np.nan)
    others = np.isfinite(end)
    others[drawn] = False
    seen = np.sort(end[others])[::-1]
    best = min(max((stage.top for stage in rules.confirm), default=1), int(len(seen) * rules.keep))
    if not len(drawn) or not best:
        return None
    wins = end > seen[best]  # what is NaN wins nothing
    found = int((wins & others).sum())
    if not found:
        return None  # all are equal
    winners = int(wins[drawn].sum())
    known = winners + int((wins & others)[order].sum())  # the race went on with them all the same
    return RungLoss(
        rules.rungs[rung],
        dropped=len(order),
        drawn=len(drawn),
        winners=winners,
        found=found,
        lost=max(0.0, winners * len(order) / len(drawn) - known),
        at_least=max(0, _fewest(len(order), len(drawn), winners) - known),
    )


def _fewest(population: int, drawn: int, winners: int) -> int:
    """Return the fewest winners in a population of which so many would be drawn in more than 5 %."""
    if not winners:
        return 0
    from scipy.stats import hypergeom

    possible = np.arange(winners, population - drawn + winners + 1)
    chance = hypergeom.sf(winners - 1, population, possible, drawn)
    return int(possible[np.argmax(chance > 1 - CONFIDENCE)])
