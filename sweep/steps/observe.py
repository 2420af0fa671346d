"""observe: gather the evidence of every trial and judge it. The other verbs begin with it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sweep.errors import LockHeld, NoSuch, StoreError
from sweep.model import (
    Attempt,
    Evidence,
    Objective,
    SchedulerStatus,
    State,
    Submission,
    TaskRef,
    TaskState,
    Trial,
    Verdict,
)
from sweep.schedulers import SCHEDULERS, Scheduler
from sweep.schedulers.base import absent
from sweep.shell import Shell
from sweep.state.ledger import DRIVER, Ledger, observed
from sweep.state.verdict import judge, result_problem
from sweep.steps.poll import PollResult, ask, grace_s
from sweep.store import Planned, Store


@dataclass(frozen=True)
class Settings:
    """What the grid said that later commands need; the journal keeps it, so that none reads the grid again."""

    kind: str
    objective: Objective
    placement: str
    max_queued: int | None
    throttle: int | None = None
    driver: bool = False
    auto_retry: bool = False

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler to talk to."""
        return SCHEDULERS[self.kind]


def settings(ledger: Ledger) -> Settings:
    """Take the settings from the newest plan."""
    planned = ledger.planned
    if planned is None:
        raise NoSuch("the sweep has no plan in its journal", "run `sweep plan grid.yaml`")
    submit = planned["submit"]
    return Settings(
        planned["kind"],
        Objective(**planned["objective"]),
        submit["placement"],
        submit["max_queued"] or planned.get("limits", {}).get("max_queued"),
        submit["throttle"],
        submit.get("driver", False),
        planned.get("auto_retry", False),
    )


@dataclass(frozen=True)
class TrialSubmission:
    """A submission that a trial is in: which attempt, and how the scheduler names it.

    Attributes
    ----------
    task : TaskRef or None
        None while the job's id is not known, or no worker of a packed job has begun the trial.
    pool : tuple of TaskRef
        The workers of a packed job.
    """

    submission: Submission
    attempt: int
    task: TaskRef | None
    pool: tuple[TaskRef, ...] = ()

    @property
    def refs(self) -> tuple[TaskRef, ...]:
        """What the scheduler has to be asked about."""
        return self.pool or ((self.task,) if self.task else ())


@dataclass(frozen=True)
class TrialStatus:
    """A trial as it stands."""

    trial: Trial
    verdict: Verdict
    attempt: int = 1
    sent: TrialSubmission | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Snapshot:
    """All trials as they stand.

    Attributes
    ----------
    seen : list of TrialStatus
        By number, retired ones included.
    in_queue : int
        How many tasks of ours are in the queue, or may be: what a cap counts.
    drivers : tuple of str
        The driver jobs among them.
    stale : str
        Why the scheduler's word is an old one; empty if it is fresh or was not needed.
    notes : tuple of str
        What a person should know: torn lines, doubts, an accounting that is down.
    """

    seen: list[TrialStatus]
    ledger: Ledger
    settings: Settings
    stale: str
    notes: tuple[str, ...]
    at: float
    in_queue: int = 0
    drivers: tuple[str, ...] = ()

    @cached_property
    def active(self) -> list[TrialStatus]:
        """The trials that the grid asks for."""
        return [one for one in self.seen if not one.trial.retired]

    def of(self, *states: State) -> list[TrialStatus]:
        """Return the active trials in one of these states."""
        return [one for one in self.active if one.verdict.state in states]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many of the active trials are in each state that some are in."""
        found = Counter([one.verdict.state for one in self.active])
        return {state.value: found[state] for state in State if found[state]}

    @property
    def confirming(self) -> tuple[int, int]:
        """Of the grid's trials that confirm, how many have ended, and how many there are."""
        some = [one for one in self.active if one.trial.number in self.ledger.confirming]
        return sum(one.verdict.state.final or one.verdict.state is State.LOST for one in some), len(some)

    @property
    def settled(self) -> bool:
        """Whether the journal says how every trial ended, so that no look will find anything else."""
        return all(
            one.trial.number in self.ledger.settled or (one.trial.retired and one.verdict.state is State.PLANNED)
            for one in self.seen
        )


def observe(store: Store, shell: Shell, *, recent_s: float = 0.0) -> Snapshot:
    """Judge every trial by the journal, the nodes' records, the results and the scheduler.

    Parameters
    ----------
    recent_s : float
        A word of the scheduler's that is no older is good enough, and it is not asked again.
    """
    planned = store.trials()
    ledger, torn = store.ledger()
    has = settings(ledger)
    sent = submissions(store, ledger)
    open_ = [number for number in sent if number in planned.trials and number not in ledger.settled]
    unsettled = [one for number in open_ for one in sent[number]]
    drivers = {
        TaskRef(one.job_id): one
        for one in ledger.submissions.values()
        if one.job == DRIVER and one.job_id and not one.dead
    }
    asked = {ref: one.submission for one in unsettled if not one.submission.dead for ref in one.refs} | drivers
    told = ask(store, shell, has.scheduler, asked, recent_s)
    witness = EvidenceReader(store, ledger, has, told)
    asking = [_as_raised(trial, ledger) for trial in planned.trials.values()]
    seen = [_settled(trial, ledger, sent) or witness.see(trial, sent.get(trial.number, ())) for trial in asking]
    _settle(store, ledger, seen, fresh=told.fresh)
    notes = (*planned.torn, *torn, *told.notes)
    in_queue = [ref for ref in asked if not told.ended(ref)]
    alive = tuple(ref.job_id for ref in in_queue if ref in drivers)
    return Snapshot(seen, ledger, has, told.stale, notes, time.time(), len(in_queue), alive)


def _as_raised(trial: Trial, ledger: Ledger) -> Trial:
    return replace(trial, resources=ledger.asks(trial)) if trial.number in ledger.raised else trial


def _settled(trial: Trial, ledger: Ledger, sent: Mapping[int, Sequence[TrialSubmission]]) -> TrialStatus | None:
    known = ledger.settled.get(trial.number)
    if known is None:
        return None
    return TrialStatus(trial, known[1], known[0], next(iter(sent.get(trial.number, ())), None))


def submissions(store: Store, ledger: Ledger) -> dict[int, list[TrialSubmission]]:
    """Map each trial to the submissions of the attempt it is at, the newest first, refused ones last.

    There is more than one where a packed job's workers ended before its turn, or a refused job was sent again.
    """
    out: dict[int, list[TrialSubmission]] = {}
    jobs: dict[str, tuple[tuple[int, int], ...]] = {}
    for one in ledger.submissions.values():
        if one.job not in jobs:
            try:
                jobs[one.job] = store.tasks(one.job)
            except NoSuch:  # refused, and its files replaced by a newer plan's; or the driver's
                jobs[one.job] = ()
        pool, single = one.pool(), bool(one.job_id and not one.workers)
        tasks = enumerate(jobs[one.job]) if one.index is None else [(one.index, jobs[one.job][one.index])]
        for index, (number, attempt) in tasks:
            if attempt < ledger.attempts.get(number, 1) or not one.covers(index):
                continue
            task = TaskRef(one.job_id, index if one.index is None else None) if single else None
            sent = TrialSubmission(one, attempt, task, pool)
            known = out.setdefault(number, [])
            known.insert(len(known) if one.refused else 0, sent)
    return out


def sent_trials(store: Store, ledger: Ledger) -> set[int]:
    """Return the trials whose attempt is with the scheduler, has been, or may be."""
    sent = submissions(store, ledger)
    return {number for number, known in sent.items() if any(not one.submission.refused for one in known)}


# --- the evidence -----------------------------------------------------------------------------------------


class EvidenceReader:
    """Collects one trial's evidence after another."""

    def __init__(self, store: Store, ledger: Ledger, has: Settings, told: PollResult) -> None:
        self.store, self.ledger = store, ledger
        self.objective = has.objective
        self.grace_s = grace_s(has.scheduler)
        self.statuses, self.gone, self.told_at = told.statuses, told.gone, told.at
        self.now = time.time()
        self.waiting: dict[tuple[object, ...], tuple[Evidence, Verdict]] = {}

    @cached_property
    def begun(self) -> set[str]:
        """The trials that have a folder; of a sweep that has ended, nobody asks."""
        return self.store.begun()

    def see(self, trial: Trial, known: Sequence[TrialSubmission]) -> TrialStatus:
        """Judge one trial."""
        # Of a trial that waits in the queue there is nothing to read, unless it was requeued.
        number = known[0].attempt if known else self.ledger.attempts.get(trial.number, 1)
        attempt = self.store.attempt(trial, number) if trial.id in self.begun else None
        sent = _holder(attempt, known)
        status, gone_s = self._status(sent.refs if sent else ())
        if attempt:
            evidence = self._evidence(trial, attempt, sent, status, gone_s)
            return TrialStatus(trial, judge(evidence), number, sent, evidence)
        # Of those that wait, thousands have the same evidence, which is judged once.
        cancelled = trial.number in self.ledger.cancelled
        key = (id(sent.submission) if sent else 0, id(status), gone_s, cancelled, trial.resources.memory_mib)
        if key not in self.waiting:
            evidence = self._evidence(trial, None, sent, status, gone_s)
            self.waiting[key] = evidence, judge(evidence)
        evidence, verdict = self.waiting[key]
        return TrialStatus(trial, verdict, number, sent, evidence)

    def _evidence(
        self,
        trial: Trial,
        attempt: Attempt | None,
        sent: TrialSubmission | None,
        status: SchedulerStatus | None,
        gone_s: float,
    ) -> Evidence:
        if sent and sent.submission.over:
            status, gone_s = replace(absent(), reason="its workers have all ended"), math.inf
        if attempt and sent and attempt.job_name and sent.submission.job_name not in attempt.job_name:
            status = None  # a job that the journal does not know holds the claim; this one's word is not about it
        result, problem = None, ""
        if attempt and attempt.ended and attempt.exit_code == 0:
            value, problem = self.store.result(trial, self.objective.file)
            problem = problem or result_problem(value, self.objective)
            result = None if problem else value
        return Evidence(
            submission=sent.submission if sent else None,
            attempt=attempt,
            status=status,
            result=result,
            result_problem=problem,
            cancel_asked=trial.number in self.ledger.cancelled,
            gone_s=gone_s,
            grace_s=self.grace_s,
            now=self.now,
            pooled=bool(sent and sent.submission.workers),
            memory_mib=trial.resources.memory_mib,
        )

    def _status(self, refs: Sequence[TaskRef]) -> tuple[SchedulerStatus | None, float]:
        """Return the word on a task, or of the best-off of a pool's workers, and for how long they are gone."""
        statuses = [status for ref in refs if (status := self.statuses.get(ref))]
        if not statuses or len(statuses) < len(refs):
            return None, 0.0
        status = statuses[0] if len(statuses) == 1 else min(statuses, key=lambda one: _ORDER.index(one.state))
        # Up to the scheduler's last answer: its silence makes nobody absent for longer.
        since = max((self.gone[ref] for ref in refs if ref in self.gone), default=self.told_at)
        return status, max(0.0, self.told_at - since)


#: The states of a pool's workers, from the one that promises most.
_ORDER = (TaskState.RUNNING, TaskState.PENDING, TaskState.ENDED, TaskState.ABSENT)


def _holder(attempt: Attempt | None, known: Sequence[TrialSubmission]) -> TrialSubmission | None:
    """Return the submission whose job holds the claim; while nobody does, the newest."""
    if attempt and attempt.job_name:
        for one in known:
            if one.submission.job_name in attempt.job_name:
                if not one.pool:
                    return one
                ref = one.pool[0] if one.pool[0].index is None else TaskRef(one.submission.job_id, attempt.index)
                return replace(one, task=ref, pool=())
    return next(iter(known), None)


def _settle(store: Store, ledger: Ledger, seen: list[TrialStatus], *, fresh: bool) -> None:
    """Journal what will not change, so that nobody asks again."""
    final = [
        (one.trial.number, one.attempt, one.verdict)
        for one in seen
        if one.evidence and one.verdict.state.final and (one.verdict.state is State.DONE or fresh)
    ]
    if not final:
        return
    try:
        with store.lock(patience_s=0):
            store.note(**observed(final))
    except (LockHeld, StoreError):
        return  # whoever holds the lock, or may write, settles it
    for number, attempt, verdict in final:
        ledger.settled[number] = (attempt, verdict)


def pick(planned: Planned, wanted: str) -> Trial:
    """Find a trial by its number or the beginning of its id.

    Raises
    ------
    NoSuch
        There is none, or several begin so.
    """
    if wanted.isascii() and wanted.isdecimal() and int(wanted) in planned.trials:
        return planned.trials[int(wanted)]
    # A short number is a number, and a mistyped one must not mean another trial.
    is_id = bool(wanted) and not (wanted.isdecimal() and len(wanted) < 6)
    found = [trial for trial in planned.trials.values() if is_id and trial.id.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuch(f"{len(found)} trials have an id that begins with {wanted!r}", "give more of it")
    last = max(planned.trials, default=0)
    raise NoSuch(f"there is no trial {wanted!r}", f"trials have numbers, 0 to {last}, and ids")
