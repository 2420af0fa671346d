"""decision: what is to run next, and with what, and what is not to; and the one way in which that is written.

::

    plan  retry  confirm  …        pure code ─▶ Decision ─▶ prepare: jobs and scripts, nothing written
                                                              │
         trials.jsonl ─▶ jobs/*.tasks, *.sh ─▶ the journal's line, which makes it count ◀─ commit

A process that is killed before that line has decided nothing: files that nobody names are left, and no number of a
job or a trial is used twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import msgspec

from sweep.jobs.alike import can_wait
from sweep.jobs.pack import AttemptRequest, job_number
from sweep.model import Job, Raised, State, Trial, Verdict
from sweep.schedulers import SCHEDULERS
from sweep.state.events import Decided, NextAttempt, TrialEnd
from sweep.state.ledger import UNTIL, Ledger
from sweep.state.recovery import ASKED
from sweep.state.snapshot import TrialStatus
from sweep.state.submissions import unsent_units
from sweep.steps.make_jobs import JobMaker, next_job, workers_of
from sweep.store import Store


@dataclass(frozen=True)
class Decision:
    """What is to run next, decided by pure code.

    Attributes
    ----------
    event : Decided
        What the journal will say of it, without its jobs: `commit` names these.
    requests : tuple of AttemptRequest
        The attempts that are to run, each with its own resources, nodes to avoid, and variables.
    trials : tuple of Trial
        Lines of ``trials.jsonl``: trials that are added, changed, or retired.
    """

    event: Decided
    requests: tuple[AttemptRequest, ...] = ()
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """The jobs of a decision with their scripts, as they will be written."""

    decision: Decision
    jobs: list[Job] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)

    @property
    def event(self) -> Decided:
        """What the journal will say."""
        names, event = [job.name for job in self.jobs], self.decision.event
        last = max(map(job_number, [*names, *event.dropped]), default=0)
        return msgspec.structs.replace(event, jobs=names, workers=workers_of(self.jobs), last_job=last)


def digest(seen: Iterable[tuple[int, int, Verdict]]) -> str:
    """Return a digest of what was seen of trials: number, attempt and verdict of each."""
    lines = sorted(f"{number} {attempt} {verdict.state} {verdict.cause}" for number, attempt, verdict in seen)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def request_of(
    maker: JobMaker,
    ledger: Ledger,
    trial: Trial,
    *,
    raised: Raised | None = None,
    also_avoid: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> AttemptRequest:
    """Ask for the attempt that a trial is at, with all that earlier decisions gave it.

    Parameters
    ----------
    raised : Raised, optional
        What it asks for from now on, beyond what it asked for before.
    also_avoid : sequence of str
        Nodes that it is not to run on, beside those that earlier attempts avoid.
    variables : mapping of str to str, optional
        Instead of those that the attempt before had.
    """
    number = trial.number
    avoid = {*ledger.avoid.get(number, ()), *also_avoid}
    can_avoid = SCHEDULERS[maker.grid.scheduler.kind].can_exclude_nodes
    before = ledger.raised.get(number)
    kept = ledger.variables.get(number, {}) if variables is None else variables
    return AttemptRequest(
        number,
        ledger.attempt_of(number),
        maker.asks(trial, raised.over(before or Raised()) if raised else before),
        tuple(sorted(avoid)) if can_avoid else (),
        tuple(sorted(kept.items())),
    )


def going_on(
    maker: JobMaker, ledger: Ledger, status: TrialStatus, until: int
) -> tuple[AttemptRequest, NextAttempt]:
    """Ask for the attempt by which a trial begins, or goes on.

    Parameters
    ----------
    until : int
        How far, in entries of its history; 0: to its end.
    """
    number = status.trial.number
    variables = {name: value for name, value in ledger.variables.get(number, {}).items() if name != UNTIL}
    variables |= {UNTIL: str(until)} if until else {}
    attempt = status.attempt + 1 if status.has_run else status.attempt
    request = replace(request_of(maker, ledger, status.trial, variables=variables), attempt=attempt)
    return request, NextAttempt(number=number, attempt=attempt, rule=ASKED, variables=variables)


def ends_of(ledger: Ledger, statuses: Iterable[TrialStatus]) -> list[TrialEnd]:
    """Return how those trials ended that get another attempt, as far as the journal does not have it yet.

    What the scheduler has not confirmed to be over is settled by this decision: the attempt counts as it ended.
    """
    ends = []
    for status in statuses:
        verdict = status.verdict
        if verdict.state is State.HELD and status.has_run:
            verdict = msgspec.structs.replace(verdict, state=State.PAUSED)
        if verdict.state.final and status.trial.number not in ledger.settled:
            ends.append(TrialEnd(status.trial.number, status.attempt, verdict))
    return ends


def hold(
    store: Store, ledger: Ledger, maker: JobMaker, why: Mapping[int, str], *, by: str, saw: str = ""
) -> Decision:
    """Hold trials: they are taken out of the jobs that were not sent, and of no job that was.

    So are trials that are held already: a job that was sent when they were held may have come back.

    Parameters
    ----------
    why : mapping of int to str
        Trial number → why it is not to be sent now.
    by, saw : str
        Who decides so, and the `digest` of what they saw.
    """
    dropped, remaining = taken_out(store, ledger, {*ledger.held, *why})
    requests = tuple(request_of(maker, ledger, trial) for trial in remaining)
    return Decision(Decided(by=by, saw=saw, dropped=dropped, held=dict(why)), requests)


def taken_out(store: Store, ledger: Ledger, numbers: Set[int]) -> tuple[list[str], list[Trial]]:
    """Take trials out of the jobs that were not sent.

    Returns
    -------
    dropped : list of str
        The jobs that had some of these trials.
    remaining : list of Trial
        The other trials of these jobs: they need new ones.
    """
    tasks, trials = store.tasks_by_job(ledger.jobs), store.trials().trials
    unsent: dict[str, list[int]] = {}
    for unit in unsent_units(ledger, tasks, ledger.settings.submit):
        unsent.setdefault(unit.job, []).extend(unit.numbers(ledger, tasks[unit.job]))
    dropped = [job for job, in_job in unsent.items() if not numbers.isdisjoint(in_job)]
    return dropped, [trials[number] for job in dropped for number in unsent[job] if number not in numbers]


def prepare(store: Store, ledger: Ledger, maker: JobMaker, decision: Decision) -> Prepared:
    """Cut a decision's attempts into jobs and render their scripts. Nothing is written."""
    jobs = maker.jobs(decision.requests, next_job(store, ledger))
    return Prepared(decision, jobs, [maker.render(job) for job in jobs])


def commit(store: Store, prepared: Prepared) -> Decided:
    """Write a decision. The journal's line comes last, and makes it count. The lock is held.

    Returns
    -------
    Decided
        The event, with its jobs.
    """
    submitted = {submission.job for submission in store.ledger()[0].submissions.values()}
    offsets = store.offsets_with(prepared.decision.trials)
    if prepared.jobs:
        store.write_jobs(zip(prepared.jobs, prepared.scripts, strict=True), offsets)
        for made, script in zip(prepared.jobs, prepared.scripts, strict=True):
            if can_wait(script):
                store.expect_more(made.name)
    event = prepared.event
    store.note(event)
    for job in event.dropped:
        if job not in submitted:
            store.remove_job(job)
    store.cache.mark_poll_old()
    return event
