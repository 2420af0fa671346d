"""poll: ask the scheduler about tasks, no more often than needed, and keep the answer for when it is silent."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace

from sweep.errors import SchedulerError, UsageError
from sweep.model import SchedulerStatus, Submission, TaskRef, TaskState
from sweep.schedulers import Scheduler
from sweep.schedulers.base import absent
from sweep.shell import Shell
from sweep.state.snapshot import GONE, PollResult
from sweep.store import Store, whoami


def poll(
    store: Store, shell: Shell, scheduler: Scheduler, asked: Mapping[TaskRef, Submission], recent_s: float
) -> PollResult:
    """Ask about tasks, unless the kept answer is recent enough, and keep what was said.

    Parameters
    ----------
    asked : mapping of TaskRef to Submission
        The tasks, and the submission that each belongs to.
    recent_s : float
        An answer that is no older is good enough.
    """
    if not asked:
        return PollResult()
    if scheduler.is_private and not store.is_ours:
        words = f"the {scheduler.kind} queue is its owner's alone: the trials' records decide"
        return PollResult(notes=(words,), fresh=False)
    at, statuses, gone = store.cache.poll()
    age_s, every_s = store.clock.now() - at, _seconds_of("SWEEP_POLL_EVERY_S", scheduler.poll_every_s)
    if 0 <= age_s < min(recent_s, every_s) and asked.keys() <= statuses.keys() and not store.cache.poll_is_old:
        note = f"the scheduler was asked {age_s:.0f} s ago; it is asked every {every_s:.0f} s at most"
        return PollResult(statuses, gone, notes=(note,), at=at, fresh=False)
    try:
        answer = shell.converse(scheduler.poll(list(asked)))
    except SchedulerError as error:  # silent, or a status that we do not know yet: nothing is judged by it
        since = f"; shown as of {time.ctime(at)}" if at else ""
        return PollResult(statuses, gone, silent=True, stale=f"{error}{since}", at=at, fresh=False)
    statuses = {task: _if_ours(status, asked[task]) for task, status in answer.statuses.items()}
    notes = answer.notes
    if not store.is_ours:
        # What the scheduler hides from others, or keeps for each person apart, is not therefore gone.
        hidden = [task for task, status in statuses.items() if status.state is TaskState.ABSENT]
        statuses = {task: status for task, status in statuses.items() if status.state is not TaskState.ABSENT}
        if hidden:
            words = f"{len(hidden)} tasks of this sweep are over, or hidden from {whoami()}"
            notes += (f"{words}: the nodes' records decide",)
    now = store.clock.now()
    gone = {task: gone.get(task, now) for task, status in statuses.items() if status.state in GONE}
    store.cache.keep_poll(now, statuses, gone)
    return PollResult(statuses, gone, notes=notes, at=now)


def _if_ours(status: SchedulerStatus, submission: Submission) -> SchedulerStatus:
    """Believe a status only if it is about our job: ids start again when a controller is rebuilt."""
    if status.job_name and submission.job_name not in status.job_name:
        reason = f"job {submission.job_id} is now another one, {status.job_name!r}"
        return replace(absent(), reason=reason, other_job=status.job_name)
    return status


def grace_s(scheduler: Scheduler) -> float:
    """Return how long a record may be late: the scheduler's own grace, or ``$SWEEP_GRACE_S``."""
    return _seconds_of("SWEEP_GRACE_S", scheduler.grace_s)


def _seconds_of(variable: str, default_s: float) -> float:
    text = os.environ.get(variable)
    try:
        return float(text) if text else default_s
    except ValueError:
        raise UsageError(f"{variable} is {text!r}, not a number of seconds", "unset it, or give one") from None
