"""observe: gather the evidence of every trial and judge it. The other verbs begin with it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from sweep.errors import LockHeld, NoSuch, SchedulerError, StoreError, UsageError
from sweep.ledger import Ledger, observed
from sweep.model import (
    Evidence,
    JobState,
    Objective,
    Outcome,
    State,
    Submission,
    TaskRef,
    Trial,
    Verdict,
    Word,
)
from sweep.schedulers import SCHEDULERS, Scheduler
from sweep.schedulers.base import absent
from sweep.shell import Shell
from sweep.store import Planned, Store
from sweep.verdict import judge, result_problem


@dataclass(frozen=True)
class Settings:
    """What the grid said that later commands need; the journal keeps it, so that none reads the grid again."""

    kind: str
    objective: Objective
    placement: str
    max_queued: int | None

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
    return Settings(planned["kind"], Objective(**planned["objective"]), submit["placement"], submit["max_queued"])


@dataclass(frozen=True)
class Sent:
    """A trial's newest submission: which attempt, and how the scheduler names it."""

    submission: Submission
    attempt: int
    task: TaskRef | None


@dataclass(frozen=True)
class Seen:
    """A trial as it stands."""

    trial: Trial
    verdict: Verdict
    attempt: int = 1
    sent: Sent | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Snapshot:
    """All trials as they stand.

    Attributes
    ----------
    seen : list of Seen
        By number, retired ones included.
    stale : str
        Why the scheduler's word is an old one; empty if it is fresh or was not needed.
    notes : tuple of str
        What a person should know: torn lines, doubts, an accounting that is down.
    """

    seen: list[Seen]
    ledger: Ledger
    settings: Settings
    stale: str
    notes: tuple[str, ...]
    at: float

    @property
    def active(self) -> list[Seen]:
        """The trials that the grid asks for."""
        return [one for one in self.seen if not one.trial.retired]

    def of(self, *states: State) -> list[Seen]:
        """Return the active trials in one of these states."""
        return [one for one in self.active if one.verdict.state in states]


def observe(store: Store, shell: Shell, *, ask: bool = True) -> Snapshot:
    """Judge every trial by the journal, the nodes' records, the results and the scheduler.

    Parameters
    ----------
    ask : bool
        Whether to ask the scheduler; if not, its latest word is used.
    """
    planned = store.trials()
    ledger, torn = store.ledger()
    has = settings(ledger)
    sent = newest(store, ledger)
    unsettled = [sent.get(number) for number in planned.trials if number not in ledger.settled]
    words, gone, stale, notes = _words(store, has, shell, unsettled, ask)
    witness = _Witness(store, ledger, has, words, gone)
    seen = [
        Seen(trial, ledger.settled[trial.number][1], ledger.settled[trial.number][0], sent.get(trial.number))
        if trial.number in ledger.settled
        else witness.see(trial, sent.get(trial.number))
        for trial in planned.trials.values()
    ]
    _settle(store, ledger, seen, fresh=not stale)
    return Snapshot(seen, ledger, has, stale, (*planned.torn, *torn, *notes), time.time())


def newest(store: Store, ledger: Ledger) -> dict[int, Sent]:
    """Map each trial to the newest submission of the attempt it is at. A refused one counts least."""
    out: dict[int, Sent] = {}
    jobs: dict[str, tuple[tuple[int, int], ...]] = {}
    for one in ledger.submissions.values():
        if one.job not in jobs:
            try:
                jobs[one.job] = store.tasks(one.job)
            except NoSuch:  # refused, and its files replaced by a newer plan's
                jobs[one.job] = ()
        tasks = list(enumerate(jobs[one.job]))
        for index, (number, attempt) in tasks if one.index is None else tasks[one.index : one.index + 1]:
            if attempt < ledger.attempts.get(number, 1) or (one.refused and number in out):
                continue
            task = TaskRef(one.job_id, index if one.index is None else None) if one.job_id else None
            out[number] = Sent(one, attempt, task)
    return out


# --- the scheduler's word ---------------------------------------------------------------------------------

Words = dict[TaskRef, Word]


def _words(
    store: Store, has: Settings, shell: Shell, sent: Iterable[Sent | None], ask: bool
) -> tuple[Words, dict[TaskRef, float], str, tuple[str, ...]]:
    """Return (word by task, since when it is gone, why the words are old, notes)."""
    asked = {one.task: one.submission for one in sent if one and one.task}
    at, known, gone = _read_poll(store)
    if not asked:
        return {}, {}, "", ()
    if not ask:
        return known, gone, "", ()
    try:
        poll = shell.converse(has.scheduler.poll(list(asked)))
    except SchedulerError as error:  # silent, or a word that we do not know yet: nothing is judged by it
        since = f"; shown as of {time.ctime(at)}" if at else ""
        return known, gone, f"{error}{since}", ()
    words = {task: _checked(word, asked[task]) for task, word in poll.words.items()}
    now = time.time()
    gone = {
        task: gone.get(task, now)
        for task, word in words.items()
        if word.state in (JobState.ENDED, JobState.ABSENT)
    }
    _write_poll(store, now, words, gone)
    return words, gone, "", poll.notes


def _checked(word: Word, submission: Submission) -> Word:
    """Believe a word only if it is about our job: ids start again when a controller is rebuilt."""
    if word.job_name and submission.job_name not in word.job_name:
        return replace(absent(), reason=f"job {submission.job_id} is now another one, {word.job_name!r}")
    return word


def _write_poll(store: Store, at: float, words: Words, gone: dict[TaskRef, float]) -> None:
    rows = [
        [
            task.job_id,
            task.index,
            gone.get(task),
            {name: value for name, value in asdict(word).items() if value},
        ]
        for task, word in words.items()
    ]
    try:
        store.write("poll.json", json.dumps({"at": at, "tasks": rows}))
    except StoreError:
        return  # a reader without the right to write: she sees the same, and keeps nothing


def _read_poll(store: Store) -> tuple[float, Words, dict[TaskRef, float]]:
    try:
        kept = json.loads(store.read("poll.json"))
        words, gone = {}, {}
        for job_id, index, since, word in kept["tasks"]:
            task = TaskRef(job_id, index)
            word["state"] = JobState(word["state"])
            if "outcome" in word:
                word["outcome"] = Outcome(word["outcome"])
            words[task] = Word(**word)
            if since:
                gone[task] = since
        return float(kept["at"]), words, gone
    except (NoSuch, ValueError, KeyError, TypeError):
        return 0.0, {}, {}


# --- the evidence -----------------------------------------------------------------------------------------


class _Witness:
    """Collects one trial's evidence after another."""

    def __init__(
        self, store: Store, ledger: Ledger, has: Settings, words: Words, gone: dict[TaskRef, float]
    ) -> None:
        self.store, self.ledger = store, ledger
        self.objective = has.objective
        self.grace_s = _grace_s(has)
        self.words, self.gone = words, gone
        self.begun = store.begun()
        self.now = time.time()

    def see(self, trial: Trial, sent: Sent | None) -> Seen:
        task = sent.task if sent else None
        word = self.words.get(task) if task else None
        # Of a trial that waits in the queue there is nothing to read, unless it was requeued.
        number = sent.attempt if sent else self.ledger.attempts.get(trial.number, 1)
        attempt = self.store.attempt(trial, number) if trial.id in self.begun else None
        if attempt and sent and attempt.job_name and sent.submission.job_name not in attempt.job_name:
            word = None  # another job of ours holds the claim; this one's word is not about it
        result, problem = None, ""
        if attempt and attempt.ended and attempt.exit_code == 0:
            value, problem = self.store.result(trial, self.objective.file)
            problem = problem or result_problem(value, self.objective)
            result = None if problem else value
        evidence = Evidence(
            submission=sent.submission if sent else None,
            attempt=attempt,
            word=word,
            result=result,
            result_problem=problem,
            cancel_asked=trial.number in self.ledger.cancelled,
            gone_s=self.now - self.gone[task] if task in self.gone else 0.0,
            grace_s=self.grace_s,
            now=self.now,
        )
        return Seen(trial, judge(evidence), number, sent, evidence)


def _grace_s(has: Settings) -> float:
    """Return how long a record may be late: the scheduler's own grace, or ``$SWEEP_GRACE_S``."""
    given = os.environ.get("SWEEP_GRACE_S")
    try:
        return float(given) if given else has.scheduler.grace_s
    except ValueError:
        raise UsageError(f"SWEEP_GRACE_S is {given!r}, not a number of seconds", "unset it, or give one") from None


def _settle(store: Store, ledger: Ledger, seen: list[Seen], *, fresh: bool) -> None:
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
