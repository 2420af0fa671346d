"""cancel: take trials out of the queue or stop them, those that wait first. Safe to repeat.

A trial may have no task that the scheduler knows: it is one of a packed job, or its array's task is not made yet.
One that waits is claimed, so that nobody begins it. One that runs is asked to end by a file that its runner looks
for. A job of which nothing is spared is cancelled whole.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import SchedulerError, UsageError
from sweep.model import State, TaskRef, TaskState
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.state.events import Cancelled, NotCancelled
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.steps.observe import observe, pick
from sweep.store import Store, whoami


@dataclass(frozen=True)
class CancelReport:
    """What was asked of the scheduler.

    Attributes
    ----------
    planned : int
        Trials that are only planned, and stay so.
    """

    trials: tuple[int, ...]
    jobs: tuple[str, ...]
    tasks: tuple[str, ...]
    planned: int


@dataclass(frozen=True)
class _Targets:
    """What has to go: whole jobs, single tasks, and trials of which the scheduler cannot be asked alone."""

    jobs: list[str]
    tasks: list[TaskRef]
    taskless: list[TrialStatus]


def cancel(store: Store, shell: Shell, names: Sequence[str] = ()) -> CancelReport:
    """Cancel these trials, or all that are queued or running. What is only planned stays planned.

    Raises
    ------
    UsageError
        A trial that was named is not in the queue.
    """
    snapshot = observe(store, shell)
    alive = {
        status.trial.number: status
        for status in snapshot.trials
        if status.sent and status.sent.submission.job_id and status.verdict.state.in_queue
    }
    chosen = _chosen(store, snapshot, alive, names) if names else list(alive.values())
    chosen.sort(key=lambda status: status.verdict.state is State.RUNNING)
    targets = _targets(snapshot, chosen)
    numbers = [status.trial.number for status in chosen]
    if numbers or not names:
        drivers = [] if names else list(snapshot.drivers)  # first: they would send what is only planned
        _cancel(store, shell, snapshot, numbers, targets, drivers, everything=not names)
    return CancelReport(
        tuple(numbers), tuple(targets.jobs), tuple(map(str, targets.tasks)), len(snapshot.of(State.PLANNED))
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
    with store.lock():
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


def _chosen(
    store: Store, snapshot: Snapshot, alive: dict[int, TrialStatus], names: Sequence[str]
) -> list[TrialStatus]:
    planned = store.trials()
    states = {status.trial.number: status.verdict.state for status in snapshot.trials}
    chosen = []
    for name in dict.fromkeys(names):
        number = pick(planned, name).number
        if number in alive:
            chosen.append(alive[number])
        elif not states[number].final:
            raise UsageError(f"trial {number} is {states[number]}, not in the queue", "there is nothing to cancel")
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
