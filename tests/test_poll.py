"""The scheduler's last answer is kept for the time when it is silent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sweep.errors import SchedulerSilent
from sweep.model import Outcome, SchedulerStatus, Submission, TaskRef, TaskState
from sweep.schedulers.base import PollAnswer, Talk
from sweep.schedulers.slurm import Slurm
from sweep.shell import Shell
from sweep.state.snapshot import PollResult
from sweep.steps.poll import poll
from sweep.store import Shelf, Store

TASKS = [TaskRef("7", 0), TaskRef("7", 1), TaskRef("8")]
OURS = Submission("t0ken", "j0001", "toy.j0001.t0ken", None, 0.0)


class FakeScheduler(Slurm):
    """A scheduler that answers with these statuses, or not at all."""

    def __init__(self, *statuses: SchedulerStatus) -> None:
        self.statuses = statuses

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        yield from ()
        if not self.statuses:
            raise SchedulerSilent("the controller did not answer")
        return PollAnswer(dict(zip(tasks, self.statuses, strict=True)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Shelf(tmp_path).create("toy")


def polled(store: Store, *statuses: SchedulerStatus) -> PollResult:
    return poll(store, Shell(), FakeScheduler(*statuses), dict.fromkeys(TASKS, OURS), 0.0)


WAITS = SchedulerStatus(TaskState.PENDING, reason="Priority \udc80", job_name=OURS.job_name)
ENDED = SchedulerStatus(TaskState.ENDED, Outcome.TIMEOUT, "", 1, 15, 61.5, 60.25, 93.0, OURS.job_name)


@pytest.mark.parametrize("statuses", [(WAITS, WAITS, ENDED), (ENDED, ENDED, WAITS)])
def test_the_last_answer_is_shown_while_the_scheduler_is_silent(
    store: Store, statuses: tuple[SchedulerStatus, ...]
) -> None:
    answered = polled(store, *statuses)
    silent = polled(store)
    assert "did not answer; shown as of" in silent.stale
    assert (silent.statuses, silent.gone, silent.at) == (answered.statuses, answered.gone, answered.at)


def test_a_task_is_gone_since_it_was_first_reported_as_gone(store: Store) -> None:
    first = polled(store, WAITS, WAITS, ENDED).gone
    again = polled(store, WAITS, ENDED, ENDED).gone
    assert again[TASKS[2]] == first[TASKS[2]] < again[TASKS[1]]
    assert TASKS[0] not in again


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"at": 1.0, "tasks": [["7", 0, 5.0, {"state": "ended"}]]}',
     '{"at": 1.0, "statuses": [], "tasks": [["7", 0, 3, null]]}'],
)  # fmt: skip
def test_a_kept_poll_that_is_torn_or_of_another_version_is_ignored(store: Store, content: str) -> None:
    store.write("poll.json", content)
    silent = polled(store)
    assert (silent.statuses, silent.gone, silent.stale) == ({}, {}, "the controller did not answer")
