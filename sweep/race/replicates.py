"""Where nobody can tell which finalist is best: how many of them run again, and how often (pure)."""

from __future__ import annotations

from collections.abc import Sequence

#: No configuration gets more fresh runs than this: what differs by less than so many tell is as good as equal.
MOST = 30


def cannot_tell(finalists: int, alike: int) -> bool:
    """Return whether the noise is as large as the differences.

    Parameters
    ----------
    finalists : int
        How many configurations were confirmed.
    alike : int
        How many of those behind the first may be the best as well. Half of them is too many.

    >>> cannot_tell(5, 1), cannot_tell(5, 2), cannot_tell(1, 0)
    (False, True, False)
    """
    return finalists > 1 and 2 * alike >= finalists - 1


def further_runs(costs_s: Sequence[float], had: int, left_s: float) -> tuple[int, int]:
    """Say how many of the finalists run again, and how often: as many times as before, if that is paid for.

    Where what is left pays for no further run of each, it goes to the best of them; at least to two, since one
    alone is compared with nothing.

    Parameters
    ----------
    costs_s : sequence of float
        What one run of each costs, in core-seconds, the best first.
    had : int
        How many runs they had, the most of any.
    left_s : float
        What is left of the budget, in core-seconds.

    Returns
    -------
    top, runs : int
        0 and 0 where nothing more is to run.

    >>> further_runs([10, 10, 10], 3, 1000), further_runs([10, 10, 10], 3, 70), further_runs([10, 10, 10], 3, 25)
    ((3, 3), (3, 2), (2, 1))
    >>> further_runs([10, 10, 10], 3, 19), further_runs([10, 10], 30, 1000)
    ((0, 0), (0, 0))
    """
    for top in range(len(costs_s), 1, -1):
        round_s = sum(costs_s[:top])
        if round_s > 0 and (runs := min(had, MOST - had, int(left_s / round_s))) > 0:
            return top, runs
    return 0, 0
