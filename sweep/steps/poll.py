"""poll: what the scheduler says of some tasks, asked no more often than needed, and kept for when it is silent."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sweep.errors import NoSuch, SchedulerError, StoreError, UsageError
from sweep.model import SchedulerStatus, Submission, TaskRef, TaskState
from sweep.schedulers import Scheduler
from sweep.schedulers.base import absent
from sweep.shell import Shell
from sweep.store import Store, records

Statuses = dict[TaskRef, SchedulerStatus]

#: `status` and `report` ask no scheduler again that was asked so short a time ago.
POLL_EVERY_S = 10.0


def _poll_every_s(scheduler: Scheduler) -> float:
    """Return how long a word is good enough: not at all where asking costs nobody anything."""
    given = os.environ.get("SWEEP_POLL_EVERY_S")
    return _seconds("SWEEP_POLL_EVERY_S", given) if given else 0.0 if scheduler.kind == "local" else POLL_EVERY_S


@dataclass(frozen=True)
class PollResult:
    """What the scheduler said of the tasks, now or when it was last asked.

    Attributes
    ----------
    words : dict
        Task → word.
    gone : dict
        Task → since when it has been saying that this one ended, or is not there.
    stale : str
        Why the words are old ones; empty if they are not.
    notes : tuple of str
        What a person should know.
    at : float
        When it said so.
    fresh : bool
        Whether they are of just now, and may settle something.
    """

    statuses: Statuses = field(default_factory=dict)
    gone: dict[TaskRef, float] = field(default_factory=dict)
    stale: str = ""
    notes: tuple[str, ...] = ()
    at: float = 0.0
    fresh: bool = True

    def ended(self, task: TaskRef) -> bool:
        """Whether the scheduler says that it is not in the queue; no, if it says nothing of it."""
        status = self.statuses.get(task)
        return status is not None and status.state in (TaskState.ENDED, TaskState.ABSENT)


def ask(
    store: Store, shell: Shell, scheduler: Scheduler, asked: Mapping[TaskRef, Submission], recent_s: float
) -> PollResult:
    """Ask about these tasks, unless the kept answer is recent enough, and keep what was said."""
    if not asked:
        return PollResult()
    at, known, gone = _read_poll(store)
    age_s = time.time() - at
    every_s = _poll_every_s(scheduler)
    if 0 <= age_s < min(recent_s, every_s) and asked.keys() <= known.keys():
        note = f"the scheduler's word is {age_s:.0f} s old; it is asked every {every_s:.0f} s at most"
        return PollResult(known, gone, notes=(note,), at=at, fresh=False)
    try:
        poll = shell.converse(scheduler.poll(list(asked)))
    except SchedulerError as error:  # silent, or a word that we do not know yet: nothing is judged by it
        since = f"; shown as of {time.ctime(at)}" if at else ""
        return PollResult(known, gone, stale=f"{error}{since}", at=at, fresh=False)
    statuses = {task: _checked(status, asked[task]) for task, status in poll.statuses.items()}
    now = time.time()
    gone = {
        task: gone.get(task, now)
        for task, status in statuses.items()
        if status.state in (TaskState.ENDED, TaskState.ABSENT)
    }
    _write_poll(store, now, statuses, gone)
    return PollResult(statuses, gone, notes=poll.notes, at=now)


def _checked(status: SchedulerStatus, submission: Submission) -> SchedulerStatus:
    """Believe a word only if it is about our job: ids start again when a controller is rebuilt."""
    if status.job_name and submission.job_name not in status.job_name:
        return replace(absent(), reason=f"job {submission.job_id} is now another one, {status.job_name!r}")
    return status


def _write_poll(store: Store, at: float, statuses: Statuses, gone: dict[TaskRef, float]) -> None:
    distinct = {id(status): status for status in statuses.values()}  # thousands that wait share one
    places = {key: place for place, key in enumerate(distinct)}
    tasks = [(*task, places[id(status)], gone.get(task)) for task, status in statuses.items()]
    try:
        store.write("poll.json", records.spelled(records.KeptPoll(at, [*distinct.values()], tasks)))
    except StoreError:
        return  # a reader without the right to write: she sees the same, and keeps nothing


def _read_poll(store: Store) -> tuple[float, Statuses, dict[TaskRef, float]]:
    try:
        kept = records.poll_of(store.read("poll.json"))
    except NoSuch:
        kept = None
    if kept is None or any(status >= len(kept.statuses) for _, _, status, _ in kept.tasks):
        return 0.0, {}, {}
    tasks = [(TaskRef(job_id, index), status, since) for job_id, index, status, since in kept.tasks]
    statuses = {task: kept.statuses[status] for task, status, _ in tasks}
    return kept.at, statuses, {task: since for task, _, since in tasks if since}


def grace_s(scheduler: Scheduler) -> float:
    """Return how long a record may be late: the scheduler's own grace, or ``$SWEEP_GRACE_S``."""
    given = os.environ.get("SWEEP_GRACE_S")
    return _seconds("SWEEP_GRACE_S", given) if given else scheduler.grace_s


def _seconds(name: str, given: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise UsageError(f"{name} is {given!r}, not a number of seconds", "unset it, or give one") from None
