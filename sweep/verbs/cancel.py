"""cancel: take trials out of the queue or stop them. Safe to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import UsageError
from sweep.model import State, TaskRef
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.observe import Seen, Snapshot, observe, pick


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
        if one.sent and one.sent.task and one.verdict.state in (State.QUEUED, State.RUNNING)
    }
    chosen = _chosen(store, snapshot, alive, wanted) if wanted else list(alive.values())
    jobs, tasks = _whole_jobs(snapshot, chosen)
    numbers = [one.trial.number for one in chosen]
    if numbers:
        with store.lock():
            store.note(event="cancelled", trials=numbers)
        shell.converse(snapshot.settings.scheduler.cancel(jobs, tasks))
    return CancelReport(numbers, jobs, [str(task) for task in tasks], len(snapshot.of(State.PLANNED)))


def _chosen(store: Store, snapshot: Snapshot, alive: dict[int, Seen], wanted: Sequence[str]) -> list[Seen]:
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


def _whole_jobs(snapshot: Snapshot, chosen: list[Seen]) -> tuple[list[str], list[TaskRef]]:
    """Name a job whole where all of it that lives is to go; else its tasks one by one."""
    numbers = {one.trial.number for one in chosen}
    spared = {
        one.sent.task.job_id
        for one in snapshot.seen
        if one.sent and one.sent.task and not one.verdict.state.final and one.trial.number not in numbers
    }
    refs = [one.sent.task for one in chosen if one.sent and one.sent.task]
    whole = dict.fromkeys(ref.job_id for ref in refs if ref.index is None or ref.job_id not in spared)
    return list(whole), [ref for ref in refs if ref.job_id not in whole]
