"""observe: gather the evidence of every trial, judge it, record what will not change. Most verbs begin with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TypeVar

from sweep.clock import Clock
from sweep.errors import CannotRead, LockHeld, NoSuch, StoreError
from sweep.model import ResultProblem, TaskRef, Trial
from sweep.schedulers import SCHEDULERS
from sweep.schedulers.base import absent
from sweep.shell import Shell
from sweep.state.conditions import gone
from sweep.state.events import Observed, TrialEnd
from sweep.state.evidence import Attempt, Evidence, ReadResult
from sweep.state.ledger import DRIVER, Ledger
from sweep.state.snapshot import Facts, PollResult, Snapshot, judge_all, with_holds
from sweep.state.submissions import TrialSubmission, sent_trials, submissions_by_trial
from sweep.steps import home
from sweep.steps.partial import partial_results
from sweep.steps.poll import grace_s, poll
from sweep.store import PlannedTrials, Store

T = TypeVar("T")


def observe(store: Store, shell: Shell, *, recent_s: float = 0.0, partial_of: Collection[int] = ()) -> Snapshot:
    """Judge every trial by the journal, the nodes' records, the results and the scheduler.

    Parameters
    ----------
    recent_s : float
        An answer of the scheduler that is no older is good enough, and it is not asked again.
    partial_of : collection of int
        The trials whose intermediate results are read, too: a file for each that has begun.
    """
    facts = gather(store, shell, recent_s, partial_of)
    snapshot = judge_all(facts)
    news = record(store, snapshot)
    return with_holds(replace(snapshot, ledger=facts.ledger.with_ends(news), news=news))


def gather(store: Store, shell: Shell, recent_s: float, partial_of: Collection[int] = ()) -> Facts:
    """Read the folder and ask the scheduler; see `observe`."""
    planned = store.trials()
    ledger, torn = store.ledger()
    settings = ledger.settings
    scheduler = SCHEDULERS[settings.kind]
    submissions = submissions_of(store, ledger)
    elsewhere = home.elsewhere_of(store, ledger)
    unsettled = [trial for number, trial in planned.trials.items() if number not in ledger.settled]
    drivers = {
        TaskRef(submission.job_id): submission
        for submission in ledger.submissions.values()
        if submission.job == DRIVER
        and submission.job_id
        and not submission.dead
        and submission.token not in elsewhere
    }
    asked = {
        task: sent.submission
        for trial in unsettled
        for sent in submissions.get(trial.number, ())
        if not sent.submission.dead and sent.submission.token not in elsewhere
        for task in sent.refs
    } | drivers
    # The scheduler first: what a node writes while it is asked is then known, too.
    answer = poll(store, shell, scheduler, asked, recent_s)
    unreadable: dict[int, str] = {}
    begun = _begun(store, unsettled, submissions)
    attempts = _attempts(store, ledger, unsettled, begun, submissions, unreadable)
    if elsewhere:
        answer = _without(elsewhere, answer, submissions, attempts)
    results = _results(store, planned, attempts, settings.objective.file, unreadable)
    wanted = [planned.trials[number] for number in partial_of if planned.trials[number].id in begun]
    return Facts(
        planned.trials,
        ledger,
        settings,
        submissions,
        attempts,
        _written_at(store, planned, attempts, results),
        results,
        unreadable,
        _memory_errors(store, planned, ledger, attempts),
        answer,
        asked,
        frozenset(drivers),
        grace_s(scheduler),
        store.clock.now(),
        (*planned.torn, *torn, *filter(None, [home.displaced(store, ledger)]), *unfit_words(store, settings.kind)),
        begun,
        partial_results(store, wanted, settings.objective),
    )


def unfit_words(store: Store, kind: str) -> list[str]:
    """Say of each unfit node what happened on it, and what is made of that."""
    left_out = "it is left out of what is sent now, and " if SCHEDULERS[kind].can_exclude_nodes else ""
    return [
        f"node {name} looks unfit: its last trials failed at once, and elsewhere they do not: {left_out}no trial "
        "begins there for a day, or until `sweep submit --no-exclude`"
        for name in store.unfit_nodes()
    ]


def _without(
    elsewhere: frozenset[str],
    answer: PollResult,
    submissions: dict[int, list[TrialSubmission]],
    attempts: dict[int, Attempt],
) -> PollResult:
    """Leave out the submissions that are none of this folder's.

    What nobody has begun was not sent from here. What was begun, in the folder that this is a copy of, will never
    be heard of here: nobody has to be asked.
    """
    statuses, gone_since = dict(answer.statuses), dict(answer.gone)
    for number, of_trial in submissions.items():
        if number not in attempts:
            of_trial[:] = [sent for sent in of_trial if sent.submission.token not in elsewhere]
            continue
        for sent in of_trial:
            if sent.submission.token in elsewhere:
                reason = f"it was sent from {sent.submission.home!r}"
                statuses.update((task, replace(absent(), reason=reason)) for task in sent.refs)
                gone_since.update((task, -math.inf) for task in sent.refs)
    return replace(answer, statuses=statuses, gone=gone_since)


def _begun(
    store: Store, unsettled: Sequence[Trial], submissions: Mapping[int, Sequence[TrialSubmission]]
) -> Set[str]:
    """Return the ids of the trials that have a folder. StoreError if something hangs on it and it is not known."""
    try:
        return store.begun()
    except StoreError:
        if any(trial.number in submissions for trial in unsettled):
            raise
        return set()


def submissions_of(store: Store, ledger: Ledger) -> dict[int, list[TrialSubmission]]:
    """Map each trial to the submissions of the attempt it is at; see `submissions_by_trial`."""
    # The driver has no tasks; nor has a job that was refused, and whose files a newer plan has removed.
    return submissions_by_trial(
        ledger, store.tasks_by_job({each.job: None for each in ledger.submissions.values()})
    )


def sent_from(store: Store, ledger: Ledger) -> set[int]:
    """Return the trials whose attempt is with the scheduler, has been, or may be, and that were sent from here.

    What was sent before the folder was copied or moved here counts as sent if it has ended, or begun.
    """
    by_trial = submissions_of(store, ledger)
    others = [each for each in ledger.submissions.values() if not store.is_at(each.home)]
    if others:
        tokens, trials = {each.token for each in others}, store.trials().trials
        for number, of_trial in by_trial.items():
            if number in ledger.settled or number not in trials or not of_trial:
                continue
            if store.attempt(trials[number], of_trial[0].attempt) is None:
                of_trial[:] = [sent for sent in of_trial if sent.submission.token not in tokens]
    return sent_trials(by_trial)


#: A file that cannot be read is tried once more after so long.
SECOND_TRY_S = 0.3


def _read(
    clock: Clock, keys: Iterable[int], read: Callable[[int], T | None], unreadable: dict[int, str]
) -> dict[int, T]:
    """Read something of each trial, by its number; what cannot be read is tried twice, and then noted."""
    values: dict[int, T] = {}
    open_, failed = list(keys), False
    for pause_s in (SECOND_TRY_S, 0.0):
        again: list[int] = []
        for number in open_:
            try:
                value = read(number)
            except CannotRead as error:
                again.append(number)
                unreadable[number] = str(error)
                continue
            if failed:
                unreadable.pop(number, None)
            if value is not None:
                values[number] = value
        if not again:
            break
        open_, failed = again, True
        clock.sleep(pause_s)
    return values


def _attempts(
    store: Store,
    ledger: Ledger,
    unsettled: list[Trial],
    begun: Set[str],
    submissions: dict[int, list[TrialSubmission]],
    unreadable: dict[int, str],
) -> dict[int, Attempt]:
    """Read what the nodes wrote. Of a trial that nobody began there is nothing to read."""
    trials = {trial.number: trial for trial in unsettled if trial.id in begun}

    def read(number: int) -> Attempt | None:
        sent = submissions.get(number)
        return store.attempt(trials[number], sent[0].attempt if sent else ledger.attempt_of(number))

    return _read(store.clock, trials, read, unreadable)


def _results(
    store: Store, planned: PlannedTrials, attempts: dict[int, Attempt], file: str, unreadable: dict[int, str]
) -> dict[int, ReadResult]:
    ended = [number for number, attempt in attempts.items() if attempt.ended and attempt.exit_code == 0]
    return _read(store.clock, ended, lambda number: store.result(planned.trials[number], file), unreadable)


def _written_at(
    store: Store, planned: PlannedTrials, attempts: dict[int, Attempt], results: dict[int, ReadResult]
) -> dict[int, float]:
    """Look when the nodes last wrote the records of what has not ended, or whose result is not there yet."""
    times = {
        number: store.written_at(planned.trials[number], attempt.attempt)
        for number, attempt in attempts.items()
        if not attempt.ended or _is_missing(results.get(number))
    }
    return {number: time_ for number, time_ in times.items() if time_ is not None}


def _is_missing(read: ReadResult | None) -> bool:
    return read is not None and read.fault is not None and read.fault.problem is ResultProblem.MISSING


#: A program that ends with an error has used so much of its memory, if that was why.
_NEAR_MEMORY = 0.9

#: What the last lines of a log say where a program got no more memory: Python, NumPy, C++, the C library.
_NO_MEMORY = re.compile(
    r"\bMemoryError\b|can't start new thread|Cannot allocate memory|std::bad_alloc|Unable to allocate \d"
)


def _memory_errors(
    store: Store, planned: PlannedTrials, ledger: Ledger, attempts: dict[int, Attempt]
) -> frozenset[int]:
    """Return the trials whose log says that they got no more memory, where a limit refuses it and kills nobody."""
    numbers = set()
    for number, attempt in attempts.items():
        if not (attempt.ended and attempt.exit_code and attempt.peak_memory_mib):
            continue
        trial = planned.trials[number]
        limit_mib = ledger.asks(trial).memory_mib
        if limit_mib and attempt.peak_memory_mib >= _NEAR_MEMORY * limit_mib:
            lines = store.log_tail(trial, 5)
            if any(_NO_MEMORY.search(line) for line in lines):
                numbers.add(number)
    return frozenset(numbers)


def record(store: Store, snapshot: Snapshot) -> tuple[TrialEnd, ...]:
    """Journal what will not change, so that nobody asks again. Returns what was not journalled before.

    What another command is just journalling is news to it alone.
    """
    ends = [
        TrialEnd(status.trial.number, status.attempt, status.verdict)
        for status in snapshot.trials
        if status.evidence
        and status.verdict.state.final
        and _is_settled(status.evidence, fresh=snapshot.poll.fresh)
    ]
    if not ends:
        return ()
    try:
        with store.lock(patience_s=0):
            store.note(Observed(trials=ends))
    except (LockHeld, StoreError):
        return ()  # whoever holds the lock, or may write, records it
    return tuple(ends)


def _is_settled(evidence: Evidence, *, fresh: bool) -> bool:
    """Whether nothing that may still be heard changes how a trial ended.

    The scheduler says last that a job was killed, after the command's own exit record. A worker of a packed job
    goes on after its trial: what becomes of it later says nothing about that trial.
    """
    attempt = evidence.attempt
    if attempt and attempt.ended and not attempt.cancelled and not evidence.packed:
        submitted = evidence.submission is not None and bool(evidence.submission.job_id)
        return not submitted or gone(evidence)
    return fresh or (attempt is not None and attempt.ended and attempt.exit_code == 0)


def pick(planned: PlannedTrials, name: str) -> Trial:
    """Find a trial by its number or the beginning of its id.

    Raises
    ------
    NoSuch
        There is none, or several begin so.
    """
    if name.isascii() and name.isdecimal() and int(name) in planned.trials:
        return planned.trials[int(name)]
    # A short number is a number, and a mistyped one must not mean another trial.
    is_id = bool(name) and not (name.isdecimal() and len(name) < 6)
    matches = [trial for trial in planned.trials.values() if is_id and trial.id.startswith(name.lower())]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NoSuch(f"{len(matches)} trials have an id that begins with {name!r}", "give more of it")
    last = max(planned.trials, default=0)
    raise NoSuch(f"there is no trial {name!r}", f"trials have numbers, 0 to {last}, and ids")
