"""The batch system that comes with sweep, for one machine; see ``sweep/localbatch/``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from sweep.errors import SchedulerRefused
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers.base import Call, Place, PollAnswer, Reply, SubmitRequest, Talk, absent, nothing_more, silent

#: -P: no module of the user's own, in the folder where she is, stands in for one of Python's.
_COMMAND = (sys.executable, "-P", "-m", "sweep.localbatch")

#: localbatch's own words; its docstring is the manual.
STATES: dict[str, tuple[TaskState, Outcome | None]] = {
    "PENDING": (TaskState.PENDING, None),
    "RUNNING": (TaskState.RUNNING, None),
    "COMPLETED": (TaskState.ENDED, Outcome.COMPLETED),
    "FAILED": (TaskState.ENDED, Outcome.FAILED),
    "CANCELLED": (TaskState.ENDED, Outcome.CANCELLED),
    "TIMEOUT": (TaskState.ENDED, Outcome.TIMEOUT),
    "LAUNCH_FAILED": (TaskState.ENDED, Outcome.LAUNCH),
    "UNKNOWN": (TaskState.ENDED, Outcome.UNKNOWN),  # its manager was killed: nobody saw how it ended
}


class Local:
    """Talks to localbatch."""

    kind = "local"
    clients: tuple[str, ...] = ()
    grace_s = 1.0
    avoids = False

    def version(self) -> Talk[str]:
        """Ask what the machine has."""
        call = Call((*_COMMAND, "info"))
        reply = yield call
        has = _lines(call, reply)[0]
        return f"local: {has['cpus']} CPUs, {has['memory_mib']} MiB, {has['gpus']} GPUs"

    def limits(self, place: Place) -> Talk[Limits]:  # noqa: ARG002 - one queue, one person
        """Ask what the machine has."""
        call = Call((*_COMMAND, "info"))
        reply = yield call
        has = _lines(call, reply)[0]
        return Limits(1_000_000, memory_mib=has["memory_mib"], cpus=has["cpus"], gpus=has["gpus"])

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Queue a script."""
        task = () if request.index is None else ("--set", f"SWEEP_TASK={request.index}")
        array = ("--array", request.array) if request.array else ()
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
            )
        )
        reply = yield call
        if reply.exit_code == 2:
            raise SchedulerRefused(f"the local scheduler refused: {reply.said}", "change `resources` in the grid")
        job_id = reply.stdout.strip()
        if reply.exit_code != 0 or not re.fullmatch(r"\d+\.[\w-]+", job_id):
            raise silent(call, reply)
        return job_id

    def find(self, job_names: Sequence[str]) -> Talk[dict[str, str]]:
        """Look for jobs by name."""
        call = Call((*_COMMAND, "status"))
        reply = yield call
        wanted = set(job_names)
        return {line["name"]: line["id"] for line in _lines(call, reply) if line["name"] in wanted}

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask about tasks."""
        call = Call((*_COMMAND, "status", *sorted({task.job_id for task in tasks})))
        reply = yield call
        told = {TaskRef(line["id"], line["index"]): _status(line) for line in _lines(call, reply)}
        return PollAnswer({task: told.get(task, absent()) for task in tasks})

    usage = staticmethod(nothing_more)

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Cancel jobs and tasks."""
        call = Call((*_COMMAND, "cancel", *jobs, *(f"{task.job_id}_{task.index}" for task in tasks)))
        reply = yield call
        if reply.exit_code != 0:
            raise silent(call, reply)


def _lines(call: Call, reply: Reply) -> list[dict[str, Any]]:
    if reply.exit_code != 0:
        raise silent(call, reply)
    try:
        return [json.loads(line) for line in reply.stdout.splitlines()]
    except ValueError:
        raise silent(call, reply) from None


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
