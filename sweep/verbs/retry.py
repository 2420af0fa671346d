"""retry: plan another attempt of trials that did not end well, by cause; `submit` sends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.errors import UsageError
from sweep.jobs import pack
from sweep.jobs.pack import AttemptRequest
from sweep.model import Cause, State
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.state import recovery
from sweep.state.ledger import Ledger
from sweep.steps.make_jobs import limits_of, maker_of, next_job
from sweep.steps.observe import Snapshot, TrialStatus, observe, pick
from sweep.store import Store

ALL_FAILED = tuple(cause for cause in recovery.RULE_OF if cause is not Cause.PAUSED)
CANCELLED = (Cause.CANCELLED,)

#: What there may be another attempt of; PAUSED ones take it by themselves, at the next `submit`.
RETRIED = (State.FAILED, State.CANCELLED, State.LOST, State.PAUSED)


@dataclass
class RetryReport:
    """Which trials get another attempt, in which jobs, and which do not, by reason."""

    trials: list[int] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    raised: dict[int, dict[str, int]] = field(default_factory=dict)
    spared: dict[str, list[int]] = field(default_factory=dict)


def retry(store: Store, shell: Shell, wanted: Sequence[str] = (), *, also: Sequence[Cause] = ()) -> RetryReport:
    """Plan the next attempt of these trials; of none named, of all that the grid's rules give another one.

    Parameters
    ----------
    also : sequence of Cause
        Causes that the rules leave alone, and that are tried again this time.

    Raises
    ------
    UsageError
        A trial that was named has not ended, or is done.
    """
    with store.lock():  # from the first look on: of two at once, the second sees what the first has planned
        snapshot = observe(store, shell)
        chosen = snapshot.of(*RETRIED)
        if wanted:
            planned = store.trials()
            numbers = {pick(planned, text).number for text in wanted}
            chosen = [_retryable(one) for one in snapshot.seen if one.trial.number in numbers]
        # Of a trial that is lost by an old word, nobody knows whether it runs.
        causes = {*also} if snapshot.stale else {*also, Cause.LOST}
        return again(store, [(one, bool(wanted) or one.verdict.cause in causes) for one in chosen])


def by_itself(store: Store, snapshot: Snapshot, states: Sequence[State]) -> RetryReport:
    """Plan the attempts that the rules give without anyone's asking, of trials in these states.

    The caller holds the lock.
    """
    return again(store, [(one, False) for one in snapshot.of(*states)])


def again(store: Store, chosen: Sequence[tuple[TrialStatus, bool]]) -> RetryReport:
    """Plan another attempt of each trial that the rules, or a person (True), give one. The lock is held."""
    report = RetryReport()
    ledger = store.ledger()[0]
    event = ledger.planned or {}
    rules, limits = event.get("retry") or RULES, limits_of(event)
    most = pack.of_one_trial(limits, event["submit"])
    avoids = SCHEDULERS[event["kind"]].can_exclude_nodes
    todo: list[tuple[AttemptRequest, TrialStatus]] = []
    for one, told in chosen:
        number = one.trial.number
        asks = recovery.decide(
            one.verdict, ledger.asks(one.trial), ledger.causes.get(number, []), rules, most, told=told
        )
        if isinstance(asks, str):
            report.spared.setdefault(asks, []).append(number)
        else:
            avoid = (*ledger.avoid.get(number, ()), *recovery.avoided(one.verdict)) if avoids else ()
            todo.append((AttemptRequest(number, one.attempt + 1, asks, tuple(sorted(set(avoid)))), one))
    if todo:
        _plan(store, ledger, todo, report)
    return report


def _plan(
    store: Store, ledger: Ledger, todo: Sequence[tuple[AttemptRequest, TrialStatus]], report: RetryReport
) -> None:
    maker = maker_of(store, ledger)
    jobs = maker.jobs([wanted for wanted, _ in todo], next_job(store, ledger))
    offsets = store.trials().offsets
    for job in jobs:
        store.write_job(job, maker.render(job), offsets)
    why: list[tuple[int, str, dict[str, int], tuple[str, ...]]] = []
    for wanted, one in todo:
        asked = ledger.asks(one.trial)
        raised = {
            name: getattr(wanted.resources, name)
            for name in ("memory_mib", "walltime_s")
            if getattr(wanted.resources, name) > getattr(asked, name)
        }
        rule = recovery.RULE_OF.get(one.verdict.cause, "told")
        why.append((wanted.number, rule, raised, recovery.avoided(one.verdict)))
        report.trials.append(wanted.number)
        if raised:
            report.raised[wanted.number] = raised
    report.jobs = [job.name for job in jobs]
    trials = [[wanted.number, wanted.attempt] for wanted, _ in todo]
    store.note(event="retried", trials=trials, jobs=report.jobs, why=why, workers=workers_of(jobs))


def workers_of(jobs: Sequence[Any]) -> dict[str, int]:
    """Say how many workers each packed job has."""
    return {job.name: job.workers for job in jobs if job.workers}


def _retryable(one: TrialStatus) -> TrialStatus:
    if one.verdict.state not in RETRIED:
        raise UsageError(
            f"trial {one.trial.number} is {one.verdict.state}: {one.verdict.reason}",
            "only trials that failed, were cancelled, got lost or paused are tried again",
        )
    return one


#: The rules of a sweep that was planned before there were any; grid/schema.py has the same as defaults.
RULES: recovery.Rules = {
    "out_of_memory": {"times": 3, "factor": 1.5},
    "walltime": {"times": 2, "factor": 2.0},
    "node_failure": {"times": 3},
    "error": {"times": 0},
    "resume": {"times": 1000},
}
