"""submit: hand to the scheduler what is planned and was not sent. Safe to repeat, whatever happened before.

::

    for every doubt:   ask for its token ─▶ adopt the job, or free its trials
    what paused:       another attempt, which goes on where it was
    for every unit:    journal "submitting" with a fresh token, synced ─▶ call ─▶ journal the id
    what has no room:  stays planned; the driver job, if there is one, comes back for it
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweep.errors import CannotRead, SchedulerError, SchedulerSilent
from sweep.model import ALIVE, IN_QUEUE, Cause, State, Submission
from sweep.schedulers import SCHEDULERS, Place, SoughtJob
from sweep.shell import Shell
from sweep.state.events import Exhausted, Refused, Submitted
from sweep.state.ledger import DRIVER, Ledger
from sweep.state.settings import Settings
from sweep.state.snapshot import Snapshot
from sweep.state.submissions import Unit, is_handed, unsent_units
from sweep.steps import home
from sweep.steps.hand import dismiss
from sweep.steps.observe import observe
from sweep.steps.poll import grace_s
from sweep.steps.send import Exclusions, Sender, SentUnit, request_for
from sweep.store import Store, whoami
from sweep.verbs.retry import RetryReport, Spared

#: No trial was given another attempt.
NOTHING_RETRIED = RetryReport()

#: A submit command that outlives a killed `sweep submit` has given up by then: its time-out, and some.
IN_FLIGHT_S = 90.0


@dataclass(frozen=True)
class SubmitReport:
    """What was sent and what was not.

    Attributes
    ----------
    adopted : int
        Jobs of an interrupted submission that the scheduler turned out to know.
    resumed : int
        Paused trials that go on.
    spared : tuple of Spared
        Paused trials that do not go on.
    retried : RetryReport
        What the grid's rules gave another attempt first.
    why_left : str
        Why trials are left, in words.
    driver : str
        What there is to say about the driver job.
    alive : int
        How many trials were queued or running before.
    may_come_back : bool
        What is queued or running may have to be sent again: by the grid's ``retry``, or because a packed job's
        workers left it.
    stuck : bool
        Sending the rest again would end as it did before.
    abandoned : bool
        Trials are left, or may come back, for a driver job that could not be queued.
    """

    sent: tuple[SentUnit, ...] = ()
    trials_sent: int = 0
    trials_left: int = 0
    adopted: int = 0
    resumed: int = 0
    spared: tuple[Spared, ...] = ()
    retried: RetryReport = NOTHING_RETRIED
    why_left: str = ""
    driver: str = ""
    alive: int = 0
    may_come_back: bool = False
    stuck: bool = False
    abandoned: bool = False


@dataclass(frozen=True)
class SubmitCall:
    """One command that `submit` would run."""

    job: str
    index: int | None
    trials: int
    command: tuple[str, ...]


@dataclass(frozen=True)
class _Outcome:
    """What became of sending everything that waits."""

    sent: tuple[SentUnit, ...]
    trials_left: int
    why_left: str
    driver: str
    abandoned: bool = False

    @property
    def trials_sent(self) -> int:
        return sum(unit.trials for unit in self.sent)


def submit(store: Store, shell: Shell, *, patience_s: float = 0.0, retry: bool = False) -> SubmitReport:
    """Send what is planned, as far as there is room for it.

    Parameters
    ----------
    patience_s : float
        How long a call that is refused for now is repeated.
    retry : bool
        First plan again what failed, as far as the grid's rules do so by themselves; nobody is watching.

    Raises
    ------
    SchedulerRefused
        The scheduler will not have it; what was sent before stays sent, the rest stays planned.
    SchedulerSilent
        The scheduler did not answer; the next `submit` finds out what became of the call.
    """
    home.check(store, store.ledger()[0])
    _check_clients(store)
    _await_records(store, shell)
    with store.lock():
        ledger = store.ledger()[0]
        settings = ledger.settings
        _end_own_driver(store, ledger)
        adopted = _resolve_doubts(store, shell, settings, ledger)
        snapshot = observe(store, shell)
        paused = _tried_again(store, snapshot, State.PAUSED)
        retried = NOTHING_RETRIED
        if retry and settings.auto_retry:
            retried = _tried_again(store, snapshot, State.FAILED)
        packed = settings.submit.placement == "packed"
        may_come_back = settings.auto_retry or packed or snapshot.ledger.is_racing
        why_stuck = _release(store, snapshot, unattended=retry)
        _leave_out_held(store)
        outcome = _send_all(store, shell, snapshot, patience_s, may_come_back=may_come_back)
        if (
            settings.submit.linger_s
            and settings.race
            and not snapshot.ledger.is_racing
            and not outcome.trials_left
        ):
            dismiss(store)
        return SubmitReport(
            sent=outcome.sent,
            trials_sent=outcome.trials_sent,
            trials_left=outcome.trials_left,
            adopted=adopted,
            resumed=len(paused.trials),
            spared=paused.spared,
            retried=retried,
            why_left=outcome.why_left or " ".join(why_stuck),
            driver=outcome.driver,
            alive=_alive(snapshot),
            may_come_back=may_come_back,
            stuck=bool(why_stuck),
            abandoned=outcome.abandoned,
        )


def _check_clients(store: Store) -> None:
    """Say what is missing on PATH before anything is journalled: nothing could come of it."""
    kind = store.ledger()[0].settings.kind
    missing = [client for client in SCHEDULERS[kind].clients if shutil.which(client) is None]
    if missing:
        raise SchedulerError(
            f"{', '.join(f'{client}: not found' for client in missing)} on PATH; nothing was submitted",
            f"load the module of {kind}, or go to a machine that submits to it (`sweep doctor` tells)",
        )


def _alive(snapshot: Snapshot) -> int:
    return len(snapshot.of(*ALIVE))


def _tried_again(store: Store, snapshot: Snapshot, state: State) -> RetryReport:
    """Plan what the rules give another attempt by themselves."""
    if not snapshot.of(state):
        return NOTHING_RETRIED
    from sweep.verbs.retry import by_itself  # it renders scripts: a fifth of a second that most calls save

    return by_itself(store, snapshot, (state,))


def _await_records(store: Store, shell: Shell) -> None:
    """As the driver job, wait for the records of what has just ended: there is nobody who would come later."""
    if not os.environ.get("SWEEP_DRIVER"):
        return
    snapshot = observe(store, shell)
    wait_s = grace_s(SCHEDULERS[snapshot.settings.kind])
    deadline = shell.clock.elapsed_s() + 2 * wait_s
    while shell.clock.elapsed_s() < deadline:
        awaited = snapshot.of(*IN_QUEUE)
        if not awaited or snapshot.in_queue > len(snapshot.drivers):
            return
        shell.clock.sleep(max(1.0, wait_s / 4))
        snapshot = observe(store, shell)


def _end_own_driver(store: Store, ledger: Ledger) -> None:
    """If this is the driver job itself, say so: it is no longer one that will come."""
    name = os.environ.get("SWEEP_DRIVER")
    for submission in ledger.submissions.values():
        if name and submission.job == DRIVER and submission.job_name in name and not submission.dead:
            store.note(Exhausted(token=submission.token))


def _resolve_doubts(store: Store, shell: Shell, settings: Settings, ledger: Ledger) -> int:
    """Ask the scheduler about calls whose outcome is not known. Returns how many jobs were adopted."""
    elsewhere = home.elsewhere_of(store, ledger)
    doubts = [doubt for doubt in ledger.doubts if doubt.token not in elsewhere]
    if not doubts:
        return 0
    scheduler = SCHEDULERS[settings.kind]
    sought: dict[str, list[SoughtJob]] = {}
    for doubt in doubts:
        sought.setdefault(doubt.cluster, []).append(SoughtJob(doubt.job_name, doubt.first_task))
    ids: dict[str, str] = {}
    for cluster, on_cluster in sought.items():
        ids |= shell.converse(scheduler.find(on_cluster, cluster))
    ids = _claimed_under(store, doubts) | ids
    for submission in doubts:
        left_s = submission.at + IN_FLIGHT_S - shell.clock.now()
        on_its_way = not submission.unanswered and not is_handed(submission)  # to hand a job on calls nobody
        if submission.job_name not in ids and on_its_way and left_s > 0:
            raise SchedulerSilent(
                f"a submission that was killed {IN_FLIGHT_S - left_s:.0f} s ago may still be on its way",
                f"repeat `sweep submit` in {left_s:.0f} s: then the scheduler knows it, or never will",
            )
    for submission in doubts:
        token = submission.token
        if submission.job_name in ids:
            store.note(Submitted(token=token, id=ids[submission.job_name], adopted=True))
        else:
            store.note(Refused(token=token, reason="the scheduler does not know its name"))
    return len(ids)


def _claimed_under(store: Store, doubts: Sequence[Submission]) -> dict[str, str]:
    """Return name → id of those jobs that a node has begun trials of. The scheduler may have forgotten them."""
    ids = {}
    begun = store.begun()
    trials = store.trials().trials
    for submission in doubts:
        for task in store.tasks(submission.job) if submission.job != DRIVER else ():
            trial = trials[task.number]
            attempt = None
            with contextlib.suppress(CannotRead):  # another of the job's trials may say it
                attempt = store.attempt(trial, task.attempt) if trial.id in begun else None
            if attempt and attempt.job_id and submission.job_name in attempt.job_name:
                ids[submission.job_name] = attempt.job_id
                break
    return ids


def _release(store: Store, snapshot: Snapshot, *, unattended: bool) -> list[str]:
    """Let packed jobs be sent again whose workers ended before all trials had their turn.

    With nobody watching, workers that began no trial at all are not: they would end the same way for ever.
    Returns what to say about those.
    """
    left_over: dict[str, list[Submission]] = {}
    for status in snapshot.of(State.PLANNED):
        submission = status.sent.submission if status.sent else None
        if submission and status.verdict.cause is Cause.LEFT_OVER and not submission.dead:
            left_over.setdefault(submission.token, []).append(submission)
    why_stuck = []
    for token, (submission, *other_trials) in left_over.items():
        if unattended and 1 + len(other_trials) >= submission.open and not is_handed(submission):
            log = store.job_log(submission.job)
            why_stuck.append(f"the workers of job {submission.job_id} began no trial; {log} says more")
        else:
            store.note(Exhausted(token=token))
    return why_stuck


def _leave_out_held(store: Store) -> None:
    """Make jobs that come back anew, without those of their trials that were held meanwhile."""
    ledger = store.ledger()[0]
    if not ledger.held:
        return
    from sweep.steps import decision as decisions  # few sweeps hold anything
    from sweep.steps.make_jobs import maker_of

    maker = maker_of(store, ledger.settings)
    decision = decisions.hold(store, ledger, maker, {}, by="submit")
    if decision.event.dropped:
        decisions.commit(store, decisions.prepare(store, ledger, maker, decision))


def _send_all(
    store: Store, shell: Shell, snapshot: Snapshot, patience_s: float, *, may_come_back: bool
) -> _Outcome:
    ledger, settings = store.ledger()[0], snapshot.settings
    waiting = _waiting(store, ledger)
    sender = Sender(store, shell, settings, _room(shell, snapshot, waiting), patience_s)
    try:
        for unit in waiting:
            sender.send(unit)
            if sender.full:
                break
    finally:
        if sender.sent:
            store.cache.mark_poll_old()
    if sender.refusal:
        raise sender.refusal
    outcome = _Outcome(
        tuple(sender.sent),
        sum(unit.trials for unit in waiting) - sum(unit.trials for unit in sender.sent),
        sender.why_full,
        "",
    )
    coming_back = outcome.trials_left or may_come_back
    # Behind nothing, the driver would run at once, find what this call has found, and send the next one.
    behind = outcome.trials_sent or _alive(snapshot)
    if sender.stopped:  # a driver sends its rest and its successor once that is over
        return replace(outcome, abandoned=settings.submit.driver)
    if settings.submit.driver and coming_back and behind and not snapshot.drivers:
        words = sender.send_driver(_last_job(sender, snapshot))
        return replace(outcome, driver=words, abandoned=not sender.driver_sent)
    abandoned = settings.submit.driver and bool(coming_back) and not snapshot.drivers
    return replace(outcome, abandoned=abandoned)


def _waiting(store: Store, ledger: Ledger) -> list[Unit]:
    """Return what is planned and was not sent. A job whose tasks cannot be read is an error."""
    tasks = store.tasks_by_job(ledger.jobs)
    if missing := [job for job in ledger.jobs if not tasks[job]]:
        store.tasks(missing[0])
    return list(unsent_units(ledger, tasks, ledger.settings.submit))


def _room(shell: Shell, snapshot: Snapshot, waiting: list[Unit]) -> int | None:
    """Return how many places in the queue are free; None where no cap is known.

    The cap is on all of the person's tasks, those of other sweeps and of none among them.
    """
    settings = snapshot.settings
    if settings.limits.max_queued is None or not waiting:
        return settings.limits.max_queued
    place = Place(whoami(), cluster=settings.cluster)
    in_queue = snapshot.in_queue
    with contextlib.suppress(SchedulerError):  # else what is sent is refused, and stays planned
        in_queue = max(in_queue, shell.converse(SCHEDULERS[settings.kind].queued(place)))
    room = max(0, settings.limits.max_queued - in_queue)
    needed = sum(unit.tasks for unit in waiting)
    if settings.submit.driver and (room < needed or settings.auto_retry):
        return max(0, room - 1)  # the driver's own place
    return room


def _last_job(sender: Sender, snapshot: Snapshot) -> str:
    """Return the job after which the driver is to run: the last one sent, or the last that still lives."""
    if sender.sent:
        return sender.sent[-1].id
    living = snapshot.of(*IN_QUEUE)
    ids = [status.sent.submission.job_id for status in living if status.sent]
    return ids[-1] if ids else ""


def preview(store: Store) -> tuple[SubmitCall, ...]:
    """List the commands that `submit` would run, as far as nothing stands in their way."""
    ledger = store.ledger()[0]
    home.check(store, ledger)
    settings, calls = ledger.settings, []
    exclusions = Exclusions(store, settings)
    for unit in _waiting(store, ledger):
        request = request_for(store, unit, "TOKEN", settings, exclusions)
        talk = SCHEDULERS[settings.kind].submit(request)
        calls.append(SubmitCall(unit.job, unit.index, unit.trials, next(talk).argv))
        talk.close()
    return tuple(calls)
