"""The journal's events → what they add up to (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from sweep.errors import NoSuch
from sweep.model import Cause, Raised, Resources, State, Submission, Trial, Verdict
from sweep.state import events
from sweep.state.events import Event, TrialEnd
from sweep.state.provenance import Provenance
from sweep.state.racing import Race
from sweep.state.settings import Settings

#: The name under which the driver job, which runs no trial, is submitted.
DRIVER = "driver"

#: The variable that tells a command how far to go, in entries of its result's history. There it saves, and ends
#: with exit code 75.
UNTIL = "SWEEP_UNTIL"

#: The causes of failure that a result decided.
RESULT_CAUSES = frozenset((Cause.NO_RESULT, Cause.BAD_RESULT))


class EarlierAttempt(msgspec.Struct, frozen=True):
    """An attempt that ended and was followed by another one.

    Attributes
    ----------
    raised : Raised
        What earlier retries had raised for it.
    """

    number: int
    verdict: Verdict
    raised: Raised


@dataclass(frozen=True)
class Hold:
    """Why a trial is not to be sent, and who says so."""

    by: str
    why: str
    at: float


@dataclass
class Ledger:
    """What has been done so far, by the journal. `add_up` fills it; from then on nobody changes it.

    Attributes
    ----------
    jobs : list of str
        The jobs of the newest plan, in order: those that may still be sent.
    submissions : dict
        Token → submission, in the order of the calls.
    cancelled : dict
        Trial number → who asked to cancel it.
    settled : dict
        Trial number → (attempt, verdict) that will not change any more.
    attempts : dict
        Trial number → the attempt it is at, where that is not the first.
    raised : dict
        Trial number → what it asks for since a retry.
    rules : dict
        Trial number → the rules that its retries were made under so far.
    avoid : dict
        Trial number → nodes that failed under it.
    variables : dict
        Trial number → what its attempt gets in its environment beside what every trial does.
    held : dict
        Trial number → why it is not to be sent.
    last_job : int
        The highest number that a job of a decision has had.
    workers : dict
        Packed job → how many workers it has.
    confirming : set of int
        Trials that were added to confirm their configurations.
    counting : set of int
        Those of them whose configurations were chosen by the metric that ranks today; of a race in phases, in the
        phase of today.
    earlier : list of EarlierAttempt
        Attempts that ended and were tried again.
    stopped_at : float
        When someone last cancelled everything. `sweep submit --follow` stops when it sees this.
    race : Race
        What a race has decided.
    planned : Planned or None
        The newest plan.
    """

    jobs: list[str] = field(default_factory=list)
    submissions: dict[str, Submission] = field(default_factory=dict)
    cancelled: dict[int, str] = field(default_factory=dict)
    settled: dict[int, tuple[int, Verdict]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    raised: dict[int, Raised] = field(default_factory=dict)
    rules: dict[int, list[str]] = field(default_factory=dict)
    avoid: dict[int, tuple[str, ...]] = field(default_factory=dict)
    variables: dict[int, dict[str, str]] = field(default_factory=dict)
    held: dict[int, Hold] = field(default_factory=dict)
    last_job: int = 0
    workers: dict[str, int] = field(default_factory=dict)
    confirming: set[int] = field(default_factory=set)
    counting: set[int] = field(default_factory=set)
    earlier: list[EarlierAttempt] = field(default_factory=list)
    stopped_at: float = 0.0
    race: Race = field(default_factory=Race)
    planned: events.Planned | None = None

    @property
    def settings(self) -> Settings:
        """What the newest plan says that later commands need.

        Raises
        ------
        NoSuch
            There is no plan.
        """
        if self.planned is None:
            raise NoSuch("the sweep has no plan in its journal", "run `sweep plan grid.yaml`")
        return self.planned.settings

    @property
    def provenance(self) -> Provenance | None:
        """Where the newest plan came from, with its time and the version of sweep; None in older folders."""
        if self.planned is None or self.planned.provenance is None:
            return None
        at, version = self.planned.at, self.planned.version
        return msgspec.structs.replace(self.planned.provenance, at=at, version=version)

    def attempt_of(self, number: int) -> int:
        """Return the attempt that a trial is at."""
        return self.attempts.get(number, 1)

    def until_of(self, number: int) -> int:
        """Return how far a trial's attempt is to go, in entries of its history; 0: to its end."""
        return int(self.variables.get(number, {}).get(UNTIL, 0))

    def asks(self, trial: Trial) -> Resources:
        """Return what a trial asks for: more than the grid gives it, where a retry has raised that."""
        raised = self.raised.get(trial.number)
        return raised.applied_to(trial.resources) if raised else trial.resources

    def raise_for(self, number: int, raised: Raised) -> None:
        """Note that a trial asks for more from now on."""
        self.raised[number] = raised.over(self.raised.get(number, Raised()))

    def judge_again(self, hangs_on: Callable[[Verdict], bool]) -> None:
        """Unsettle the verdicts that hang on a rule that has changed: their evidence is there, and is read again.

        Parameters
        ----------
        hangs_on : callable
            Whether a verdict does.
        """
        self.settled = {number: end for number, end in self.settled.items() if not hangs_on(end[1])}

    def with_ends(self, ends: Sequence[TrialEnd]) -> Ledger:
        """Return what it is after these ends have been journalled, too. It stays as it is itself."""
        if not ends:
            return self
        return replace(self, settled=self.settled | {end.number: (end.attempt, end.verdict) for end in ends})

    @property
    def is_racing(self) -> bool:
        """Whether a race has something left to decide."""
        return self.settings.race is not None and not self.race.is_finished

    @property
    def doubts(self) -> list[Submission]:
        """Return the submissions that were begun and whose outcome is not known."""
        return [submission for submission in self.submissions.values() if submission.in_doubt]


def add_up(journal: Iterable[Event]) -> Ledger:
    """Read the journal's events in order."""
    ledger = Ledger()
    for event in journal:
        _ADDERS[type(event)](ledger, event)
    return ledger


def _planned(ledger: Ledger, event: events.Planned) -> None:
    before = ledger.planned.settings.objective if ledger.planned else event.settings.objective
    now = event.settings.objective
    if (before.second, before.second_goal) != (now.second, now.second_goal):
        ledger.race.look_again()
        before = replace(before, second=now.second, second_goal=now.second_goal)  # it ranks nothing
    if before != now:
        ledger.judge_again(lambda verdict: verdict.state is State.DONE or verdict.cause in RESULT_CAUSES)
        ledger.counting.clear()  # they confirm what another metric chose
        ledger.race.begin_anew("objective")
    phases = len(ledger.race.phases)
    ledger.race.go_by(event.settings.race, event.configurations)
    if phases > len(ledger.race.phases):
        ledger.counting.clear()
    ledger.planned = event
    # What a packed job's workers leave over stays with that job, which may be sent again; so may one whose
    # submission is in doubt, if it turns out not to be there.
    submissions = ledger.submissions.values()
    staying = {submission.job for submission in submissions if submission.workers and not submission.refused}
    staying |= {submission.job for submission in ledger.doubts}
    # Of a folder that was copied or moved, their scripts run in the old place.
    staying -= {submission.job for submission in submissions if submission.home != event.home and event.home}
    ledger.jobs = [job for job in ledger.jobs if job in staying]
    _decided(ledger, event)


def _decided(ledger: Ledger, event: events.Decided) -> None:
    _add_ends(ledger, event.ends)
    dropped = {*event.dropped}
    ledger.jobs = [job for job in ledger.jobs if job not in dropped] + event.jobs
    ledger.workers.update(event.workers)
    ledger.last_job = max(ledger.last_job, event.last_job)
    for attempt in event.attempts:
        _give_attempt(ledger, attempt)
    ledger.confirming.update(event.confirming)
    ledger.counting.update(event.confirming)
    if event.race is not None:
        ledger.race.add(event.race)
        if event.race.phase_winner is not None:
            ledger.counting.clear()  # they chose it: the next phase is decided by others
    for number in event.released:
        ledger.held.pop(number, None)
    for number, why in event.held.items():
        ledger.held[number] = Hold(event.by, why, event.at)


def _give_attempt(ledger: Ledger, attempt: events.NextAttempt) -> None:
    number = attempt.number
    ledger.held.pop(number, None)
    if attempt.attempt > ledger.attempt_of(number):
        ledger.attempts[number] = attempt.attempt
        lost = (0, Verdict(State.LOST, "tried again without a record", cause=Cause.LOST))
        verdict = ledger.settled.pop(number, lost)[1]
        ledger.earlier.append(EarlierAttempt(number, verdict, ledger.raised.get(number, Raised())))
        ledger.cancelled.pop(number, None)
        ledger.rules.setdefault(number, []).append(attempt.rule)
    if attempt.raised:
        ledger.raise_for(number, attempt.raised)
    if attempt.avoid:
        ledger.avoid[number] = (*ledger.avoid.get(number, ()), *attempt.avoid)
    if attempt.variables is not None:
        ledger.variables[number] = attempt.variables


def _retried(ledger: Ledger, event: events.Retried) -> None:
    _decided(ledger, events.Decided(jobs=event.jobs, workers=event.workers, attempts=event.trials))


def _confirmed(ledger: Ledger, event: events.Confirmed) -> None:
    raised = event.raised.items()
    firsts = [events.NextAttempt(number=number, attempt=1, raised=more) for number, more in raised]
    new = events.Decided(jobs=event.jobs, workers=event.workers, attempts=firsts, confirming=event.trials)
    _decided(ledger, new)


def _submitting(ledger: Ledger, event: events.Submitting) -> None:
    ledger.submissions[event.token] = Submission(
        event.token,
        event.job,
        event.job_name,
        event.index,
        event.at,
        span=event.span,
        workers=event.workers,
        open=event.open,
        cluster=event.cluster,
        home=ledger.planned.home if ledger.planned else "",
    )


def _submitted(ledger: Ledger, event: events.Submitted) -> None:
    _update(ledger, event.token, job_id=event.id)


def _unanswered(ledger: Ledger, event: events.Unanswered) -> None:
    _update(ledger, event.token, unanswered=True)


def _refused(ledger: Ledger, event: events.Refused) -> None:
    _update(ledger, event.token, refused=True, refusal=event.reason)


def _exhausted(ledger: Ledger, event: events.Exhausted) -> None:
    _update(ledger, event.token, exhausted=True)


def _update(ledger: Ledger, token: str, **changes: Any) -> None:
    if token in ledger.submissions:  # else its own line was torn, and the claim on the node guards
        ledger.submissions[token] = replace(ledger.submissions[token], **changes)


def _cancelled(ledger: Ledger, event: events.Cancelled) -> None:
    ledger.cancelled.update(dict.fromkeys(event.trials, event.by))
    if event.everything:
        ledger.stopped_at = event.at


def _not_cancelled(ledger: Ledger, event: events.NotCancelled) -> None:
    for number in event.trials:
        ledger.cancelled.pop(number, None)


def _observed(ledger: Ledger, event: events.Observed) -> None:
    _add_ends(ledger, event.trials)


def _add_ends(ledger: Ledger, ends: Iterable[events.TrialEnd]) -> None:
    attempts = ledger.attempts
    for end in ends:
        # Someone may have looked before a retry, and written after it.
        if end.attempt >= attempts.get(end.number, 1):
            ledger.settled[end.number] = (end.attempt, end.verdict)


#: What each event adds to the ledger.
_ADDERS: dict[type, Callable[[Ledger, Any], None]] = {
    events.Decided: _decided,
    events.Planned: _planned,
    events.Retried: _retried,
    events.Confirmed: _confirmed,
    events.Submitting: _submitting,
    events.Submitted: _submitted,
    events.Unanswered: _unanswered,
    events.Refused: _refused,
    events.Exhausted: _exhausted,
    events.Cancelled: _cancelled,
    events.NotCancelled: _not_cancelled,
    events.Observed: _observed,
}
