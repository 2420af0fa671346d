"""extend: let trials that have ended, or stopped on their way, go on to a later entry of their history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import UsageError
from sweep.model import State
from sweep.shell import Shell
from sweep.state.events import Decided
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.steps import home
from sweep.steps.decision import Decision, commit, digest, ends_of, going_on, prepare
from sweep.steps.make_jobs import maker_of
from sweep.steps.observe import observe, pick
from sweep.store import Store


@dataclass(frozen=True)
class ExtendReport:
    """Which trials go on, in which jobs.

    Attributes
    ----------
    until : int
        To which entry of their history.
    reached : dict
        Trial number → how many entries it has.
    """

    until: int
    trials: tuple[int, ...]
    jobs: tuple[str, ...]
    reached: dict[int, int]


def extend(store: Store, shell: Shell, names: Sequence[str], until: int) -> ExtendReport:
    """Plan an attempt of each of these trials that goes to a later entry of its history.

    The command is told so by ``SWEEP_UNTIL``. It goes on from what it has saved; what it has not, it trains anew.

    Raises
    ------
    UsageError
        A trial has neither ended well nor stopped on its way, or has come so far.
    """
    with store.lock():
        home.check(store, store.ledger()[0])
        planned = store.trials()
        numbers = {pick(planned, name).number for name in names}
        snapshot = observe(store, shell, partial_of=numbers)
        statuses = [status for status in snapshot.trials if status.trial.number in numbers]
        reached = {status.trial.number: _reached(snapshot, status, until) for status in statuses}
        ledger, maker = snapshot.ledger, maker_of(store, snapshot.settings)
        asked = [going_on(maker, ledger, status, until) for status in statuses]
        event = Decided(
            by="extend",
            saw=digest((status.trial.number, status.attempt, status.verdict) for status in statuses),
            attempts=[attempt for _, attempt in asked],
            ends=ends_of(ledger, statuses),
        )
        decision = Decision(event, tuple(request for request, _ in asked))
        jobs = commit(store, prepare(store, ledger, maker, decision)).jobs
    return ExtendReport(until, tuple(sorted(numbers)), tuple(jobs), reached)


def _reached(snapshot: Snapshot, status: TrialStatus, until: int) -> int:
    """Return how many entries a trial's history has. Refuse what cannot go on, or not to there."""
    number, verdict = status.trial.number, status.verdict
    if verdict.state not in (State.DONE, State.PAUSED, State.HELD) or not status.has_run:
        raise UsageError(
            f"trial {number} is {verdict.state}: {verdict.reason}",
            "only what is done, or stopped on its way, goes on; `sweep retry` tries again what failed",
        )
    partial = snapshot.partial_results.get(number)
    reached = len(partial.epochs) if partial else 0
    if reached >= until:
        raise UsageError(
            f"the history of trial {number} has {reached} entries already", f"name more: --until {reached + 1}"
        )
    return reached
