"""extend: let trials that have ended, or stopped on their way, go on to a later entry of their history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.errors import UsageError, count
from sweep.model import State
from sweep.shell import Shell
from sweep.state.events import Decided
from sweep.state.evidence import PartialResult
from sweep.state.snapshot import TrialStatus
from sweep.steps import home
from sweep.steps.decision import Decision, commit, digest, ends_of, going_on, prepare
from sweep.steps.make_jobs import maker_of
from sweep.steps.observe import observe
from sweep.steps.partial import partial_results
from sweep.steps.select import Selection, selected
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


def extend(store: Store, shell: Shell, selection: Selection, until: int) -> ExtendReport:
    """Plan an attempt of each of these trials that goes to a later entry of its history.

    The command is told so by ``SWEEP_UNTIL``. It goes on from what it has saved; what it has not, it trains anew.

    Parameters
    ----------
    selection : Selection
        Each trial that is named has to go on. Of those that an expression fits, those go on that can.

    Raises
    ------
    UsageError
        A trial has neither ended well nor stopped on its way, or has come so far.
    """
    with store.lock():
        home.check(store, store.ledger()[0])
        snapshot = observe(store, shell)
        statuses = selected(store, snapshot, selection, [each for each in snapshot.active if _can_go_on(each)])
        statuses.sort(key=lambda status: status.trial.number)
        partials = partial_results(store, (status.trial for status in statuses), snapshot.settings.objective)
        if selection.where:
            fitting, statuses = statuses, [each for each in statuses if _entries(each, partials) < until]
            if not statuses:
                most = max(_entries(each, partials) for each in fitting)
                raise UsageError(
                    f"{count(len(fitting), 'trial')} that fit: the histories have {until} entries or more already",
                    f"name more: --until {most + 1}",
                )
        reached = {status.trial.number: _reached(status, partials, until) for status in statuses}
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
    return ExtendReport(until, tuple(reached), tuple(jobs), reached)


def _can_go_on(status: TrialStatus) -> bool:
    return status.verdict.state in (State.DONE, State.PAUSED, State.HELD) and status.has_run


def _entries(status: TrialStatus, partials: Mapping[int, PartialResult]) -> int:
    partial = partials.get(status.trial.number)
    return len(partial.epochs) if partial else 0


def _reached(status: TrialStatus, partials: Mapping[int, PartialResult], until: int) -> int:
    """Return how many entries a trial's history has. Refuse what cannot go on, or not to there."""
    number, verdict = status.trial.number, status.verdict
    if not _can_go_on(status):
        raise UsageError(
            f"trial {number} is {verdict.state}: {verdict.reason}",
            "only what is done, or stopped on its way, goes on; `sweep retry` tries again what failed",
        )
    reached = _entries(status, partials)
    if reached >= until:
        raise UsageError(
            f"the history of trial {number} has {reached} entries already", f"name more: --until {reached + 1}"
        )
    return reached
