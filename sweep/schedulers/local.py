"""The batch system for one machine that comes with sweep; see ``sweep/localbatch/``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sweep
from sweep.errors import SchedulerRefused, SchedulerSilent
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

#: PYTHON… variables are for the jobs, and no module of the user's folder may replace one of Python's or ours.
_COMMAND = (sys.executable, "-E", "-P", f"{sweep.__path__[0]}/localbatch/__main__.py")

#: The states as localbatch names them; its docstring is the manual.
STATES: dict[str, tuple[TaskState, Outcome | None]] = {
    "PENDING": (TaskState.PENDING, None),
    "RUNNING": (TaskState.RUNNING, None),
    "COMPLETED": (TaskState.ENDED, Outcome.COMPLETED),
    "FAILED": (TaskState.ENDED, Outcome.FAILED),
    "CANCELLED": (TaskState.ENDED, Outcome.CANCELLED),
    "TIMEOUT": (TaskState.ENDED, Outcome.TIMEOUT),
    "LAUNCH_FAILED": (TaskState.ENDED, Outcome.LAUNCH),
    "UNKNOWN": (TaskState.ENDED, Outcome.UNKNOWN),  # its manager was killed, and nothing saw how it ended
}


#: localbatch's exit code where there is no place for the queue, and what to do about it.
_NO_SPOOL = 4
_NAME_A_SPOOL = "name a folder that you may write in the variable SWEEP_LOCAL_SPOOL"


class Local(Scheduler):
    """Runs and reads the commands of localbatch."""

    kind = "local"
    variables = Variables(own="SWEEP_LOCAL_(TASK_ID|JOB_ID|JOB_NAME)", job="SWEEP_LOCAL_JOB_ID")
    grace_s = 1.0
    heartbeat_s = 2.0
    poll_every_s = 0.0
    caps_arrays = False
    this_machine = True
    is_private = True

    def version(self) -> Talk[str]:
        """Ask what the machine has."""
        machine = yield from _machine()
        return f"local: {machine['cpus']} CPUs, {machine['memory_mib']} MiB, {machine['gpus']} GPUs"

    def limits(self, place: Place) -> Talk[Limits]:  # noqa: ARG002 - one queue, one person
        """Ask what the machine has."""
        machine = yield from _machine()
        return Limits(1_000_000, memory_mib=machine["memory_mib"], cpus=machine["cpus"], gpus=machine["gpus"])

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Queue a script."""
        task = () if request.index is None else ("--set", f"SWEEP_TASK={request.index}")
        array = ("--array", self.array_of(request)) if request.span else ()
        after = ("--after", request.after) if request.after else ()
        call = Call(
            (
                *_COMMAND,
                "submit",
                "--name",
                request.job_name,
                "--output",
                request.output,
                *task,
                *array,
                *after,
                request.script,
            ),
            submits=True,
        )
        reply = yield call
        if reply.exit_code == _NO_SPOOL:
            raise SchedulerRefused(reply.summary, _NAME_A_SPOOL)
        if reply.exit_code == 2:
            raise SchedulerRefused(
                f"the local scheduler refused: {reply.summary}", "change `resources` in the grid"
            )
        job_id = reply.stdout.strip()
        if reply.exit_code != 0 or not re.fullmatch(r"\d+\.[\w-]+", job_id):
            raise no_answer(call, reply)
        return job_id

    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:  # noqa: ARG002
        """Look for jobs by name."""
        call = Call((*_COMMAND, "status"))
        reply = yield call
        names = {job.job_name for job in jobs}
        return {line["name"]: line["id"] for line in _lines(call, reply) if line["name"] in names}

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask about tasks."""
        call = Call((*_COMMAND, "status", *sorted({task.job_id for task in tasks})))
        lines = _lines(call, (yield call))
        elsewhere = {line["id"]: line["queue"] for line in lines if "queue" in line}
        statuses = {TaskRef(line["id"], line["index"]): _status(line) for line in lines if "queue" not in line}
        notes = tuple(
            f"not asked about {_count(queue, elsewhere)} in the local queue {queue}: only its own host can be"
            for queue in dict.fromkeys(elsewhere.values())
        )
        return PollAnswer(
            {task: statuses.get(task, absent()) for task in tasks if task.job_id not in elsewhere}, notes
        )

    def queued(self, place: Place) -> Talk[int]:  # noqa: ARG002 - one queue, one person
        """Count the tasks that have not ended."""
        call = Call((*_COMMAND, "status"))
        reply = yield call
        return sum(STATES[line["state"]][0] is not TaskState.ENDED for line in _lines(call, reply))

    def objections(self, requests: Requests) -> Iterator[Objection]:
        """Refuse units: they are a site's."""
        if requests.units:
            yield Objection(("resources", "extra"), "this machine has no units of its own", "take extra out")

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Cancel jobs and tasks."""
        call = Call((*_COMMAND, "cancel", *jobs, *(self.spell(task) for task in tasks)))
        _lines(call, (yield call))


def _count(queue: str, elsewhere: Mapping[str, str]) -> str:
    count = list(elsewhere.values()).count(queue)
    return "1 job" if count == 1 else f"{count} jobs"


def _machine() -> Talk[dict[str, Any]]:
    call = Call((*_COMMAND, "info"))
    reply = yield call
    return _lines(call, reply)[0]


def _lines(call: Call, reply: Reply) -> list[dict[str, Any]]:
    if reply.exit_code == _NO_SPOOL:
        raise SchedulerSilent(reply.summary, _NAME_A_SPOOL)
    if reply.exit_code != 0:
        raise no_answer(call, reply)
    try:
        return [json.loads(line) for line in reply.stdout.splitlines()]
    except ValueError:
        raise no_answer(call, reply) from None


def _status(line: dict[str, Any]) -> SchedulerStatus:
    state, outcome = STATES[line["state"]]
    return SchedulerStatus(
        state,
        outcome,
        exit_code=line["exit_code"],
        signal=line["signal"],
        elapsed_s=line["elapsed_s"],
        cpu_s=line["cpu_s"],
        job_name=line["name"],
    )
