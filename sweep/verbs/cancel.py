"""cancel: take trials out of the queue or stop them, those that wait first. Safe to repeat.

A trial may have no task that the scheduler knows: it is one of a packed job, or its array's task is not made yet.
One that waits is claimed, so that nobody begins it. One that runs is asked to end by a file that its runner looks
for. A job of which nothing is spared is cancelled whole.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import SchedulerError, SchedulerSilent, UsageError
from sweep.model import State, TaskRef, TaskState
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.state.events import Cancelled, NotCancelled
from sweep.state.snapshot import GONE, Snapshot, TrialStatus
from sweep.steps import home
from sweep.steps.hand import dismiss
from sweep.steps.observe import observe
from sweep.steps.select import ALL, Selection, selected
from sweep.store import Store, whoami


@dataclass(frozen=True)
class CancelReport:
    """What was asked of the scheduler.

    Attributes
    ----------
    jobs, tasks : tuple of str
        Whole jobs and single tasks, as the scheduler spells them.
    planned : int
        Trials that are only planned, and stay so.
    left_alone : tuple of LeftAlone
        Jobs that are not ours, or not there: nothing was done about them.
    """

    trials: tuple[int, ...]
    jobs: tuple[str, ...]
    tasks: tuple[str, ...]
    planned: int
    left_alone: tuple[LeftAlone, ...] = ()


@dataclass(frozen=True)
class LeftAlone:
    """Jobs that the scheduler does not confirm to be ours, the trials that were sent in them, and why."""

    jobs: tuple[str, ...]
    trials: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class _Targets:
    """What has to go: whole jobs, single tasks, and trials of which the scheduler cannot be asked alone."""

    jobs: list[str]
    tasks: list[TaskRef]
    taskless: list[TrialStatus]


def cancel(store: Store, shell: Shell, selection: Selection = ALL) -> CancelReport:
    """Cancel these trials, or all that are queued or running. What is only planned stays planned.

    Only jobs are touched that the scheduler has just shown under our name: an id may be another job's by now.

    Raises
    ------
    UsageError
        A trial that was named is not in the queue.
    SchedulerSilent
        The scheduler cannot say whose jobs these are.
    """
    # Whoever is sending holds the lock until all is sent: they are asked to stop, and what they sent is cancelled.
    ledger = store.ledger()[0]
    if ledger.planned and store.is_copy_of(ledger.planned.home):
        raise UsageError(f"{home.displaced(store, ledger)}; nothing was cancelled", "cancel them there")
    with store.stopping(), store.lock():
        return _cancel_under_lock(store, shell, selection)


def _cancel_under_lock(store: Store, shell: Shell, selection: Selection) -> CancelReport:
    snapshot = observe(store, shell)
    if snapshot.poll.silent:
        raise SchedulerSilent(f"{snapshot.stale}: nothing was cancelled", "try again when the scheduler is back")
    spell = SCHEDULERS[snapshot.settings.kind].spell
    alive = {
        status.trial.number: status
        for status in snapshot.trials
        if status.sent and status.sent.submission.job_id and status.verdict.state.in_queue
    }
    chosen = _chosen(store, snapshot, alive, selection) if selection else list(alive.values())
    chosen, left_alone = _ours(snapshot, chosen)
    chosen.sort(key=lambda status: status.verdict.state is not State.QUEUED)
    targets = _targets(snapshot, chosen)
    numbers = [status.trial.number for status in chosen]
    if numbers or not selection:
        # First: they would send what is only planned.
        statuses = snapshot.poll.statuses
        known = {task.job_id for task, status in statuses.items() if status.job_name}
        drivers = [] if selection else [driver for driver in snapshot.drivers if driver in known]
        _cancel(store, shell, snapshot, numbers, targets, drivers, everything=not selection)
        if not selection and snapshot.settings.submit.linger_s:
            dismiss(store)
    return CancelReport(
        tuple(numbers),
        tuple(spell(TaskRef(job)) for job in targets.jobs),
        tuple(spell(task) for task in targets.tasks),
        len(snapshot.of(State.PLANNED)),
        left_alone,
    )


def _ours(snapshot: Snapshot, chosen: Sequence[TrialStatus]) -> tuple[list[TrialStatus], tuple[LeftAlone, ...]]:
    """Keep those trials whose job the scheduler has just shown under our name; say why of the others."""
    statuses = snapshot.poll.statuses
    named = {task.job_id for task, status in statuses.items() if status.state not in GONE and status.job_name}
    ours: list[TrialStatus] = []
    others: dict[str, list[TrialStatus]] = {}
    for status in chosen:
        assert status.sent
        job_id = status.sent.submission.job_id
        if job_id in named:
            ours.append(status)
            continue
        said = next((statuses[task] for task in status.sent.refs if task in statuses), None)
        reason = said.reason if said and said.other_job else "the job is not in the queue"
        if said is None:  # it may well be in a queue, and that of another host
            reason = "; ".join(snapshot.poll.notes) or "the scheduler did not answer about it"
        others.setdefault(reason, []).append(status)
    return ours, tuple(
        LeftAlone(
            tuple(dict.fromkeys(status.sent.submission.job_id for status in left if status.sent)),
            tuple(status.trial.number for status in left),
            reason,
        )
        for reason, left in others.items()
    )


def _cancel(
    store: Store,
    shell: Shell,
    snapshot: Snapshot,
    numbers: list[int],
    targets: _Targets,
    drivers: list[str],
    *,
    everything: bool,
) -> None:
    by = f"{whoami()} on {socket.gethostname()}"
    store.note(Cancelled(trials=numbers, by=by, everything=everything))
    withdrawn = {status.trial.number for status in targets.taskless}
    for status in targets.taskless:
        if not store.withdraw(status.trial, status.attempt):
            store.ask_to_end(status.trial, status.attempt)
    jobs = [*drivers, *targets.jobs]
    try:
        if jobs or targets.tasks:
            shell.converse(SCHEDULERS[snapshot.settings.kind].cancel(jobs, targets.tasks))
    except SchedulerError:  # what ends by itself later was not cancelled
        store.note(NotCancelled(trials=[number for number in numbers if number not in withdrawn]))
        raise
    finally:
        store.cache.mark_poll_old()


def _chosen(
    store: Store, snapshot: Snapshot, alive: dict[int, TrialStatus], selection: Selection
) -> list[TrialStatus]:
    """Return those in the queue that a person means. UsageError if a trial that they named waits to be sent."""
    chosen = []
    for status in selected(store, snapshot, selection, snapshot.trials):
        number, state = status.trial.number, status.verdict.state
        if number in alive:
            chosen.append(alive[number])
        elif selection.names and not state.final:
            raise UsageError(f"trial {number} is {state}, not in the queue", "there is nothing to cancel")
    return chosen


def _targets(snapshot: Snapshot, chosen: list[TrialStatus]) -> _Targets:
    """Name a job whole where all of it that lives is to go; else its tasks one by one, or its workers' trials."""
    numbers = {status.trial.number for status in chosen}
    spared = {
        status.sent.submission.job_id
        for status in snapshot.trials
        if status.sent and not status.verdict.state.final and status.trial.number not in numbers
    }
    jobs: dict[str, None] = {}
    tasks: list[TaskRef] = []
    taskless: list[TrialStatus] = []
    for status in chosen:
        assert status.sent
        task, job_id = status.sent.task, status.sent.submission.job_id
        if status.sent.submission.workers:
            taskless.append(status)
            if job_id not in spared:
                jobs[job_id] = None
        elif task and task.index is not None and job_id in spared:
            tasks.append(task)
            said = snapshot.poll.statuses.get(task)
            if (
                said and said.state is TaskState.UNNAMED
            ):  # by now it may have been made: the scheduler is asked, too
                taskless.append(status)
        else:
            jobs[job_id] = None
    return _Targets(list(jobs), tasks, taskless)
