"""cancel: take trials out of the queue or stop them, those that wait first. Safe to repeat.

A trial of a packed job has no task of its own: one that waits is claimed, so that no worker begins it; one that
runs is asked to end by a file that its runner looks for. A job of which nothing is spared is cancelled whole.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import SchedulerError, UsageError
from sweep.model import State, TaskRef
from sweep.shell import Shell
from sweep.steps.observe import Snapshot, TrialStatus, observe, pick
from sweep.store import Store, whoami


@dataclass
class CancelReport:
    """What was asked of the scheduler."""

    trials: list[int]
    jobs: list[str]
    tasks: list[str]
    planned: int


def cancel(store: Store, shell: Shell, wanted: Sequence[str] = ()) -> CancelReport:
    """Cancel these trials, or all that are queued or running. What is only planned stays planned.

    Raises
    ------
    UsageError
        A trial that was named is not in the queue.
    """
    snapshot = observe(store, shell)
    alive = {
        one.trial.number: one
        for one in snapshot.seen
        if one.sent and one.sent.submission.job_id and one.verdict.state in (State.QUEUED, State.RUNNING)
    }
    chosen = _chosen(store, snapshot, alive, wanted) if wanted else list(alive.values())
    chosen.sort(key=lambda one: one.verdict.state is State.RUNNING)
    jobs, tasks, pooled = _whole_jobs(snapshot, chosen)
    numbers = [one.trial.number for one in chosen]
    drivers = [] if wanted else list(snapshot.drivers)  # first: it would send what is only planned
    if numbers or not wanted:
        with store.lock():
            by = f"{whoami()} on {socket.gethostname()}"
            store.note(event="cancelled", trials=numbers, by=by, everything=not wanted)
        withdrawn = {one.trial.number for one in pooled}
        for one in pooled:
            if not store.withdraw(one.trial, one.attempt):
                store.ask_to_end(one.trial, one.attempt)
        try:
            if drivers or jobs or tasks:
                shell.converse(snapshot.settings.scheduler.cancel([*drivers, *jobs], tasks))
        except SchedulerError:  # what ends by itself later was not cancelled
            store.note(event="not cancelled", trials=[n for n in numbers if n not in withdrawn])
            raise
    return CancelReport(numbers, jobs, [str(task) for task in tasks], len(snapshot.of(State.PLANNED)))


def _chosen(
    store: Store, snapshot: Snapshot, alive: dict[int, TrialStatus], wanted: Sequence[str]
) -> list[TrialStatus]:
    planned = store.trials()
    by_number = {one.trial.number: one for one in snapshot.seen}
    chosen = []
    for text in dict.fromkeys(wanted):
        number = pick(planned, text).number
        state = by_number[number].verdict.state
        if number in alive:
            chosen.append(alive[number])
        elif not state.final:
            raise UsageError(f"trial {number} is {state}, not in the queue", "there is nothing to cancel")
    return chosen


def _whole_jobs(
    snapshot: Snapshot, chosen: list[TrialStatus]
) -> tuple[list[str], list[TaskRef], list[TrialStatus]]:
    """Name a job whole where all of it that lives is to go; else its tasks one by one, or its workers' trials."""
    numbers = {one.trial.number for one in chosen}
    spared = {
        one.sent.submission.job_id
        for one in snapshot.seen
        if one.sent and not one.verdict.state.final and one.trial.number not in numbers
    }
    jobs: dict[str, None] = {}
    tasks: list[TaskRef] = []
    pooled: list[TrialStatus] = []
    for one in chosen:
        assert one.sent
        task, job_id = one.sent.task, one.sent.submission.job_id
        if one.sent.submission.workers:
            pooled.append(one)
            if job_id not in spared:
                jobs[job_id] = None
        elif task and task.index is not None and job_id in spared:
            tasks.append(task)
        else:
            jobs[job_id] = None
    return list(jobs), tasks, pooled
