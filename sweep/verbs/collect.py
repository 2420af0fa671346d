"""collect: every trial with its result, for those who rank them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.model import State, Verdict
from sweep.store import Store
from sweep.verbs.observe import Seen, Snapshot

if TYPE_CHECKING:
    from sweep.leaderboard.cost import Attempted
    from sweep.leaderboard.entries import Entry


#: Of more trials than this, histories are not kept: they are most of a result, and a login node is shared.
MOST_WHOLE = 20_000


def entries(store: Store, snapshot: Snapshot, chosen: Sequence[Seen], *, whole: bool = False) -> list[Entry]:
    """Read the results of those that are done.

    Parameters
    ----------
    whole : bool
        With their lists, learning curves and names of pictures, which no number of the leaderboard comes from.
    """
    from sweep.leaderboard.entries import Entry

    whole = whole and len(chosen) <= MOST_WHOLE
    confirming, file = snapshot.ledger.counting, snapshot.settings.objective.file
    made = []
    for one in chosen:
        result = one.verdict.metrics
        if one.verdict.state is State.DONE and not result:
            value, _ = store.result(one.trial, file)
            result = value if isinstance(value, dict) else {}
        if not whole:
            result = {name: value for name, value in result.items() if not isinstance(value, list)}
        made.append(Entry(one.trial, one.verdict, result, one.trial.number in confirming))
    return made


def attempts(store: Store, snapshot: Snapshot) -> list[Attempted]:
    """List what has ended, with the attempts before the last; retired trials cost, too."""
    from sweep.leaderboard.cost import Attempted

    planned = store.trials().trials
    earlier = [
        Attempted(replace(planned[number].resources, **raised), verdict)
        for number, verdict, raised in snapshot.ledger.earlier
        if number in planned and not _never_began(verdict)
    ]
    ran = [one for one in snapshot.seen if one.verdict.state.final and not _never_began(one.verdict)]
    return [*earlier, *(Attempted(one.trial.resources, one.verdict) for one in ran)]


def _never_began(verdict: Verdict) -> bool:
    """Whether nothing ran: it was cancelled while it waited."""
    return verdict.state is State.CANCELLED and not verdict.elapsed_s
