"""All that is known of a sweep → every trial's state (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec

from sweep.model import Cause, SchedulerStatus, State, Submission, TaskRef, TaskState, Trial, Verdict
from sweep.state.events import TrialEnd
from sweep.state.evidence import Attempt, Evidence, PartialResult, ReadResult, ResultFault
from sweep.state.ledger import Hold, Ledger
from sweep.state.results import gone_words, result_fault, without_result
from sweep.state.settings import Settings
from sweep.state.submissions import TrialSubmission, holder
from sweep.state.verdict import judge

#: The states of tasks that have left the queue.
GONE = (TaskState.ENDED, TaskState.ABSENT)

#: The states of a packed job's workers, from the one that promises most to its trials.
_PROMISE = (
    TaskState.RUNNING,
    TaskState.SUSPENDED,
    TaskState.PENDING,
    TaskState.UNNAMED,
    TaskState.ENDED,
    TaskState.ABSENT,
)


@dataclass(frozen=True)
class PollResult:
    """What the scheduler said of the tasks, now or when it was last asked.

    Attributes
    ----------
    statuses : dict
        Task → its status.
    gone : dict
        Task → since when the scheduler has been saying that it ended, or is not there (Unix time).
    silent : bool
        The scheduler was asked and did not answer.
    stale : str
        Why these are old statuses, in words; empty if they are not.
    notes : tuple of str
        What a person should know.
    at : float
        When it said so (Unix time).
    fresh : bool
        It said so just now, so a trial's end may be settled by it.
    """

    statuses: Mapping[TaskRef, SchedulerStatus] = field(default_factory=dict)
    gone: Mapping[TaskRef, float] = field(default_factory=dict)
    silent: bool = False
    stale: str = ""
    notes: tuple[str, ...] = ()
    at: float = 0.0
    fresh: bool = True

    def ended(self, task: TaskRef) -> bool:
        """Whether the scheduler says that a task is not in the queue. No, if it says nothing of it."""
        status = self.statuses.get(task)
        return status is not None and status.state in GONE


@dataclass(frozen=True)
class Facts:
    """All that was gathered about a sweep at one moment.

    Attributes
    ----------
    trials : dict
        Number → trial, retired ones included.
    submissions : dict
        Trial number → the submissions of the attempt it is at, the newest first.
    attempts : dict
        Trial number → what the node wrote about that attempt. Settled trials are left out.
    written_at : dict
        Trial number → when the node last wrote the record of an attempt that has not ended (Unix time).
    results : dict
        Trial number → the result, of those attempts that ended with exit code 0.
    unreadable : dict
        Trial number → which file of it cannot be read, and why.
    memory_errors : frozenset of int
        The trials that ended with an error near their memory, and whose log says that they got no more.
    asked : dict
        The tasks that the scheduler was asked about, with their submissions.
    drivers : frozenset of TaskRef
        The driver jobs among them.
    grace_s : float
        How much later than the scheduler's answer a record may appear.
    now : float
        Unix time.
    begun : set of str
        The ids of the trials that have a folder. None: nobody looked.
    partial_results : dict
        Trial number → how far it has come, of those that were asked for and have written something.
    """

    trials: Mapping[int, Trial]
    ledger: Ledger
    settings: Settings
    submissions: Mapping[int, Sequence[TrialSubmission]]
    attempts: Mapping[int, Attempt]
    written_at: Mapping[int, float]
    results: Mapping[int, ReadResult]
    unreadable: Mapping[int, str]
    memory_errors: frozenset[int]
    poll: PollResult
    asked: Mapping[TaskRef, Submission]
    drivers: frozenset[TaskRef]
    grace_s: float
    now: float
    notes: tuple[str, ...] = ()
    begun: Set[str] | None = None
    partial_results: Mapping[int, PartialResult] = field(default_factory=dict)


class TrialStatus(msgspec.Struct, frozen=True):
    """A trial as it stands.

    Attributes
    ----------
    sent : TrialSubmission or None
        The submission that runs it, or is to.
    evidence : Evidence or None
        None: the journal says how it ended, and nothing else was looked at.
    """

    trial: Trial
    verdict: Verdict
    attempt: int = 1
    sent: TrialSubmission | None = None
    evidence: Evidence | None = None

    @property
    def has_run(self) -> bool:
        """Whether its attempt was begun, or has ended: a further one has the next number."""
        return self.evidence is None or self.evidence.attempt is not None


@dataclass(frozen=True)
class Snapshot:
    """All trials as they stand.

    Attributes
    ----------
    trials : list of TrialStatus
        By number, retired ones included.
    in_queue : int
        How many tasks of ours are in the queue, or may be: what a cap counts.
    drivers : tuple of str
        The ids of the driver jobs among them.
    news : tuple of TrialEnd
        The trials of which this look has been the first to see that they ended.
    notes : tuple of str
        What a person should know: torn lines, doubts, an accounting that is down.
    at : float
        Unix time.
    partial_results : dict
        Trial number → how far it has come, of those that were asked for and have written something.
    """

    trials: list[TrialStatus]
    ledger: Ledger
    settings: Settings
    poll: PollResult
    notes: tuple[str, ...]
    at: float
    in_queue: int = 0
    drivers: tuple[str, ...] = ()
    news: tuple[TrialEnd, ...] = ()
    partial_results: Mapping[int, PartialResult] = field(default_factory=dict)

    @property
    def stale(self) -> str:
        """Why the scheduler's statuses are old ones, in words; empty if they are fresh or were not needed."""
        return self.poll.stale

    @cached_property
    def active(self) -> list[TrialStatus]:
        """The trials that the grid asks for."""
        return [status for status in self.trials if not status.trial.retired]

    def of(self, *states: State) -> list[TrialStatus]:
        """Return the active trials in one of these states."""
        return [status for status in self.active if status.verdict.state in states]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many of the active trials are in each state that some are in."""
        return count_states([status.verdict.state for status in self.active])

    @property
    def confirming(self) -> tuple[int, int]:
        """Of the grid's trials that confirm: how many have ended, and how many there are."""
        states = [status.verdict.state for status in self.active if status.trial.number in self.ledger.confirming]
        return sum(state.final or state is State.LOST for state in states), len(states)

    @property
    def all_settled(self) -> bool:
        """Whether the journal says how every trial ended, so that no look will find anything else."""
        return all(
            status.trial.number in self.ledger.settled
            or (status.trial.retired and status.verdict.state is State.PLANNED)
            for status in self.trials
        )


def count_states(states: Iterable[State]) -> dict[str, int]:
    """Count states, in the order in which trials pass through them.

    >>> count_states([State.DONE, State.QUEUED, State.DONE])
    {'queued': 1, 'done': 2}
    """
    counts = Counter(states)
    return {state.value: counts[state] for state in State if counts[state]}


def judge_all(facts: Facts) -> Snapshot:
    """Judge every trial by what was gathered. Nothing is read and nothing is written."""
    trial_judge = _TrialJudge(facts)
    trials = [trial_judge.judge(_as_raised(trial, facts.ledger)) for trial in facts.trials.values()]
    gone = [s.trial.number for s in trials if s.verdict.state is State.GONE and not s.trial.retired]
    in_queue = [task for task in facts.asked if not facts.poll.ended(task)]
    if facts.poll.silent:  # what has left its record has left the queue, too, or leaves it now
        recorded = {
            status.sent.task
            for status in trials
            if status.sent and not status.sent.submission.workers and status.verdict.state.final
        }
        in_queue = [task for task in in_queue if task not in recorded]
    return Snapshot(
        trials,
        facts.ledger,
        facts.settings,
        facts.poll,
        (*facts.notes, *facts.poll.notes, *([gone_words(gone)] if gone else ())),
        facts.now,
        len(in_queue),
        tuple(task.job_id for task in in_queue if task in facts.drivers),
        partial_results=facts.partial_results,
    )


def with_holds(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot in which trials that are held, and would be sent otherwise, are *held*.

    So is what was told how far to go, and has come there.
    """
    held = snapshot.ledger.held
    if not held and not snapshot.ledger.variables:
        return snapshot
    trials = [
        msgspec.structs.replace(status, verdict=_held(status.verdict, held.get(status.trial.number)))
        if _is_held(status, held)
        else status
        for status in snapshot.trials
    ]
    return replace(snapshot, trials=trials)


def _is_held(status: TrialStatus, held: Mapping[int, Hold]) -> bool:
    verdict = status.verdict
    if verdict.state is State.PAUSED and verdict.cause is Cause.HELD:
        return True
    return status.trial.number in held and verdict.state in (State.PLANNED, State.PAUSED)


def _held(verdict: Verdict, hold: Hold | None) -> Verdict:
    reason = f"held by {hold.by}: {hold.why}" if hold else verdict.reason
    return msgspec.structs.replace(verdict, state=State.HELD, cause=Cause.HELD, reason=reason)


def _as_raised(trial: Trial, ledger: Ledger) -> Trial:
    return replace(trial, resources=ledger.asks(trial)) if trial.number in ledger.raised else trial


class _TrialJudge:
    """Judges one trial after another. Thousands that wait have the same evidence, which is judged once."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._waiting: dict[tuple[object, ...], tuple[Evidence, Verdict]] = {}

    def judge(self, trial: Trial) -> TrialStatus:
        """Judge a trial."""
        ledger, number = self.facts.ledger, trial.number
        submissions = self.facts.submissions.get(number, ())
        settled = ledger.settled.get(number)
        if settled is not None:
            verdict = settled[1]
            if verdict.state is State.DONE and self.facts.begun is not None and trial.id not in self.facts.begun:
                verdict = without_result(verdict, f"its folder, trials/{trial.id[:2]}/{trial.id},")
            return TrialStatus(trial, verdict, settled[0], submissions[0] if submissions else None)
        number_of_attempt = submissions[0].attempt if submissions else ledger.attempt_of(number)
        attempt = self.facts.attempts.get(number)
        sent = holder(attempt, submissions)
        scheduler_status, gone_s = self._scheduler_status(sent)
        if attempt or number in self.facts.unreadable:
            evidence = self._evidence(trial, attempt, sent, scheduler_status, gone_s)
            return TrialStatus(trial, judge(evidence), number_of_attempt, sent, evidence)
        cancelled = number in ledger.cancelled
        key = (
            id(sent.submission) if sent else 0,
            id(scheduler_status),
            gone_s,
            cancelled,
            trial.resources.memory_mib,
        )
        if key not in self._waiting:
            evidence = self._evidence(trial, None, sent, scheduler_status, gone_s)
            self._waiting[key] = evidence, judge(evidence)
        evidence, verdict = self._waiting[key]
        return TrialStatus(trial, verdict, number_of_attempt, sent, evidence)

    def _evidence(
        self,
        trial: Trial,
        attempt: Attempt | None,
        sent: TrialSubmission | None,
        scheduler_status: SchedulerStatus | None,
        gone_s: float,
    ) -> Evidence:
        if sent and sent.submission.exhausted:
            scheduler_status, gone_s = _WORKERS_ENDED, math.inf
        if attempt and sent and attempt.job_name and sent.submission.job_name not in attempt.job_name:
            scheduler_status = (
                None  # a job that the journal does not know holds the claim: the status is not about it
            )
        result, fault = self._result(trial.number)
        written_at = self.facts.written_at.get(trial.number)
        return Evidence(
            submission=sent.submission if sent else None,
            attempt=attempt,
            status=scheduler_status,
            result=result,
            result_fault=fault,
            cancel_asked=trial.number in self.facts.ledger.cancelled,
            gone_s=gone_s,
            grace_s=self.facts.grace_s,
            now=self.facts.now,
            packed=bool(sent and sent.submission.workers),
            memory_mib=trial.resources.memory_mib,
            walltime_s=trial.resources.walltime_s,
            heard_s=None if written_at is None else self.facts.now - written_at,
            begun_since=written_at is not None and written_at > self.facts.poll.at,
            memory_error=trial.number in self.facts.memory_errors,
            unreadable=self.facts.unreadable.get(trial.number, ""),
            until=self.facts.ledger.until_of(trial.number) if self.facts.ledger.variables else 0,
        )

    def _result(self, number: int) -> tuple[dict[str, object] | None, ResultFault | None]:
        read = self.facts.results.get(number)
        if read is None:
            return None, None
        fault = read.fault or result_fault(read.value, self.facts.settings.objective)
        return (None, fault) if fault or not isinstance(read.value, dict) else (read.value, None)

    def _scheduler_status(self, sent: TrialSubmission | None) -> tuple[SchedulerStatus | None, float]:
        """Return the status of a trial's task, or of the most promising worker, and for how long it is gone."""
        refs = sent.refs if sent else ()
        poll = self.facts.poll
        statuses = [status for ref in refs if (status := poll.statuses.get(ref))]
        if not statuses or len(statuses) < len(refs):
            return None, 0.0
        status = (
            statuses[0] if len(statuses) == 1 else min(statuses, key=lambda status: _PROMISE.index(status.state))
        )
        # Up to the scheduler's last answer: its silence makes nobody absent for longer.
        since = max((poll.gone[ref] for ref in refs if ref in poll.gone), default=poll.at)
        return status, max(0.0, poll.at - since)


_WORKERS_ENDED = SchedulerStatus(TaskState.ABSENT, reason="its workers have all ended")
