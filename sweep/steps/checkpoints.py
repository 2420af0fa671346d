"""checkpoints: what trials that have stopped on a rung keep on the disk, within what their race allows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sweep.model import State
from sweep.state.racing import Judged
from sweep.state.snapshot import Snapshot
from sweep.steps.standing import Racing
from sweep.store import Store, saved


@dataclass(frozen=True)
class ParkedDisk:
    """What the checkpoints of trials that have stopped on a rung take.

    Attributes
    ----------
    kept_bytes : int
        What they take now.
    freed_bytes : int
        What was removed, or would be.
    freed : tuple of int
        The trials that begin anew, should they go on after all.
    """

    kept_bytes: int = 0
    freed_bytes: int = 0
    freed: tuple[int, ...] = ()


NOTHING_KEPT = ParkedDisk()


def tidy(
    store: Store, snapshot: Snapshot, racing: Racing, going_on: Collection[int], *, over: bool, dry_run: bool
) -> ParkedDisk:
    """Remove the checkpoints of trials that go on no more, or that take more than they may.

    Parameters
    ----------
    going_on : collection of int
        Trials that the newest decision lets go on.
    over : bool
        Nothing goes on any more.
    """
    rules = snapshot.settings.race
    if rules is None or not rules.checkpoints:
        return NOTHING_KEPT
    parked = [
        status
        for status in racing.statuses
        if status.verdict.state is State.HELD and status.has_run and status.trial.number not in going_on
    ]
    file = snapshot.settings.objective.file
    kept = {
        status.trial.number: saved.checkpoints(store.trial_folder(status.trial), rules.checkpoints, file)
        for status in parked
    }
    total = sum(sum(sizes.values()) for sizes in kept.values())
    most = 0 if over else rules.disk_mib * 2**20 or total
    judged = snapshot.ledger.race.judged | {each.number: each for each in racing.judged}
    sign = -1.0 if snapshot.settings.objective.minimize else 1.0
    freed_bytes, freed = 0, []
    for status in sorted(parked, key=lambda status: _promise(judged.get(status.trial.number), sign)):
        sizes = kept[status.trial.number]
        if total - freed_bytes <= most:
            break
        if sizes:
            if not dry_run:
                saved.remove(store.trial_folder(status.trial), sizes)
            freed.append(status.trial.number)
            freed_bytes += sum(sizes.values())
    return ParkedDisk(total - freed_bytes, freed_bytes, tuple(freed))


def _promise(judged: Judged | None, sign: float) -> tuple[int, float]:
    """Return what sorts parked trials, the worst first: how far they came, and their score there."""
    scores = judged.scores if judged else ()
    score = scores[-1] if scores else None
    return len(scores), float("-inf") if score is None else sign * score
