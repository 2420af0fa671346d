"""A scheduler that nobody has, to see that the core assumes nothing of those that sites have.

Its ids are letters. It counts an array's tasks from 1, and has an option of its own for how many run at once, as Grid
Engine does. It has a name of its own for its node. A second one has no arrays at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweep.errors import SchedulerBusy, SchedulerRefused, SchedulerSilent
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers.base import (
    Call,
    Place,
    PollAnswer,
    Reply,
    Scheduler,
    SoughtJob,
    SubmitRequest,
    Talk,
    Variables,
    absent,
    no_answer,
)
from sweep.schedulers.directives import Objection, Requests

#: client.py is the manual.
STATES: dict[str, TaskState] = {
    "w": TaskState.PENDING,
    "r": TaskState.RUNNING,
    "z": TaskState.ENDED,
}


class Fifth(Scheduler):
    """Runs and reads the commands of client.py."""

    kind = "fifth"
    clients = ("fifth-sub", "fifth-stat", "fifth-del")
    template = str(Path(__file__).with_name("fifth.sh.j2"))
    variables = Variables(frozenset({"FIFTH_ROOT"}), own="FIFTH_.*", job="FIFTH_JOB", options="FIFTH_SUB_.*")
    grace_s = 2.0
    example_queue = "any"
    example_directive = "-p 3"

    def version(self) -> Talk[str]:
        """Ask for the version."""
        return "Fifth " + (yield from _answer("fifth-stat", "-V")).strip()

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask for the largest array."""
        largest = yield from _answer("fifth-stat", "-l")
        return Limits(int(largest))

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with fifth-sub. Its first task is 1."""
        task = () if request.index is None else ("-v", f"SWEEP_TASK={request.index}")
        array = ("-t", self.spell_array(*request.span, request.throttle)) if request.span else ()
        at_once = ("-tc", str(request.throttle)) if request.span and request.throttle else ()
        after = ("-W", request.after) if request.after else ()
        call = Call(
            ("fifth-sub", "-N", request.job_name, *task, *array, *at_once, *after, request.script), submits=True
        )
        reply = yield call
        job_id = re.search(r"^your job (\w+) waits$", reply.stdout, re.MULTILINE)
        if reply.exit_code == 0 and job_id:
            return job_id[1]
        if reply.exit_code == 7:
            raise SchedulerBusy(f"fifth-sub will not take more now: {reply.summary}")
        if reply.exit_code == 2:
            raise SchedulerRefused(f"fifth-sub refused: {reply.summary}", "change the grid and plan again")
        raise SchedulerSilent(f"fifth-sub: {reply.summary}")

    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:
        """Ask for everything, and look for the names."""
        names = {job.job_name for job in jobs}
        rows = yield from _rows()
        return {name: job_id for job_id, _, _, name, _ in rows if name in names}

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask in one call."""
        rows = yield from _rows(*sorted({task.job_id for task in tasks}))
        statuses = {TaskRef(job_id, _index(number)): _status(*row) for job_id, number, *row in rows}
        return PollAnswer({task: statuses.get(task, absent()) for task in tasks})

    def queued(self, place: Place) -> Talk[int]:
        """Count what has not ended."""
        return sum(STATES[state] is not TaskState.ENDED for _, _, state, _, _ in (yield from _rows()))

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Delete with fifth-del."""
        yield from _answer("fifth-del", *jobs, *map(self.spell, tasks))

    def spell(self, task: TaskRef) -> str:
        """Spell a task as fifth-del takes it: ``qa.3`` is the third of an array."""
        return task.job_id if task.index is None else f"{task.job_id}.{task.index + 1}"

    def spell_array(self, first: int, last: int, throttle: int | None) -> str:
        """Spell the tasks alone: how many run at once is another option."""
        return f"{first + 1}-{last + 1}"

    def objections(self, requests: Requests) -> Iterator[Objection]:
        """Refuse units: it knows none."""
        for name in requests.units:
            yield Objection(("resources", "extra", name), f"the fifth knows no {name}", "take it out")


class FifthSingle(Fifth):
    """The same, on a site that has switched arrays off."""

    kind = "fifth-single"
    has_arrays = False


def _answer(*argv: str) -> Talk[str]:
    call = Call(argv)
    reply: Reply = yield call
    if reply.exit_code != 0:
        raise no_answer(call, reply)
    return reply.stdout


def _rows(*job_ids: str) -> Talk[list[list[str]]]:
    """Ask for jobs, or for all: (id, task or ``-``, state, name, exit status or ``-``) of each task."""
    text = yield from _answer("fifth-stat", *job_ids)
    return [line.split("\t") for line in text.splitlines()]


def _index(number: str) -> int | None:
    return None if number == "-" else int(number) - 1


def _status(state: str, name: str, code: str) -> SchedulerStatus:
    if STATES[state] is not TaskState.ENDED:
        return SchedulerStatus(STATES[state], job_name=name)
    if code == "-":
        return SchedulerStatus(TaskState.ENDED, Outcome.CANCELLED, "it was deleted", job_name=name)
    outcome = Outcome.FAILED if int(code) else Outcome.COMPLETED
    return SchedulerStatus(TaskState.ENDED, outcome, exit_code=int(code), job_name=name)
