"""OpenPBS and PBS Pro: qsub, qstat, qdel, qselect. Torque has a dialect and a file of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sweep.errors import SchedulerError
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslike
from sweep.schedulers.base import (
    SHARED_GRACE_S,
    Call,
    Place,
    PollAnswer,
    Reply,
    SubmitRequest,
    Talk,
    absent,
    nothing_more,
    silent,
    smallest,
)

#: qstat(1B), "job_state", and the OpenPBS Reference Guide, "Job States" and "Job Array States".
STATES: dict[str, TaskState] = {
    "Q": TaskState.PENDING,
    "H": TaskState.PENDING,  # held, or waiting for another job
    "W": TaskState.PENDING,  # waiting for its time
    "T": TaskState.PENDING,  # in transit to another server
    "M": TaskState.PENDING,  # moved to another server
    "B": TaskState.RUNNING,  # an array that has begun
    "R": TaskState.RUNNING,
    "S": TaskState.RUNNING,  # suspended
    "U": TaskState.RUNNING,  # suspended while the workstation's user is at work
    "E": TaskState.RUNNING,  # exiting: its record may not be there yet
    "X": TaskState.ENDED,  # a subjob that has finished, while its array lives
    "F": TaskState.ENDED,
}

#: Exit_status below zero is PBS's own word on the job (OpenPBS job.h, JOB_EXEC_*).
ENDS: dict[int, tuple[Outcome, str]] = {
    -1: (Outcome.LAUNCH, "the node could not start it"),
    -2: (Outcome.LAUNCH, "the node could not start it"),
    -3: (Outcome.NODE_FAIL, "the node gave it back"),
    -4: (Outcome.NODE_FAIL, "the node restarted"),
    -5: (Outcome.NODE_FAIL, "the node restarted"),
    -6: (Outcome.NODE_FAIL, "the node restarted"),
    -11: (Outcome.NODE_FAIL, "it was given back to the queue"),
    -24: (Outcome.FAILED, "used more CPUs than it asked for"),
    -25: (Outcome.FAILED, "used more CPUs than it asked for"),
    -26: (Outcome.OUT_OF_MEMORY, "exceeded its virtual memory"),
    -27: (Outcome.OUT_OF_MEMORY, "exceeded its memory"),
    -28: (Outcome.TIMEOUT, "exceeded its CPU time"),
    -29: (Outcome.TIMEOUT, "exceeded its walltime"),
}

_SUBSTATE_TERMINATED = "91"
#: pbs_error.h, modulo 256: what qsub exits with when a limit may ease, and when the server was not reached.
_BUSY = frozenset({38, 39, 173, 198})
_NO_SERVER = frozenset({160, 162, 255})
_UNKNOWN_ID = 153
_FINISHED = 35
_HARMLESS = frozenset({_FINISHED, _UNKNOWN_ID, 55})  # 55: a subjob that has finished

#: OpenPBS's own default (server attribute max_array_size).
DEFAULT_MAX_ARRAY_SIZE = 10_000


class Pbs:
    """Talks to OpenPBS's commands."""

    kind = "pbs"
    clients: tuple[str, ...] = ("qsub", "qstat", "qdel", "qselect")
    grace_s = SHARED_GRACE_S
    avoids = False

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the server is up."""
        call = Call(("qstat", "--version"))
        reply = yield call
        found = re.search(r"pbs_version\s*=\s*(\S+)", reply.stdout + reply.stderr)
        if not found:
            raise silent(call, reply)
        up = Call(("qstat", "-B"))
        reply = yield up
        if reply.exit_code != 0:
            raise silent(up, reply)
        return f"OpenPBS {found[1]}"

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask the server, the queue and the nodes for theirs."""
        call = Call(("qstat", "-B", "-f", "-F", "json"))
        reply = yield call
        if reply.exit_code != 0:
            raise silent(call, reply)
        server = next(iter((pbslike.read_json(reply.stdout, "Server") or {}).values()), {})
        queue = place.queue or server.get("default_queue", "")
        about = yield Call(("qstat", "-Q", "-f", "-F", "json", queue))
        records = [server, *(pbslike.read_json(about.stdout, "Queue") or {}).values()]
        nodes = yield Call(("pbsnodes", "-a", "-F", "json"))
        known = pbslike.tightest(records, place.user)
        memory, cpus, gpus = _largest_node(nodes.stdout)
        sizes = (pbslike.whole(record.get("max_array_size")) for record in records)
        caps = (pbslike.cap(record.get("max_queued"), place.user) for record in records)
        totals = (pbslike.whole(record.get("max_queuable")) for record in records)
        return Limits(
            max_array_size=smallest(*sizes) or DEFAULT_MAX_ARRAY_SIZE,
            max_queued=smallest(*caps, *totals),
            max_running=known["max_running"],
            walltime_s=known["walltime_s"],
            memory_mib=smallest(known["memory_mib"], memory),
            cpus=smallest(known["cpus"], cpus),
            gpus=gpus,
        )

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with qsub."""
        after = ("-W", f"depend=afterany:{request.after}") if request.after else ()
        return (yield from pbslike.submit(request, _BUSY, _NO_SERVER, _array(request), after))

    def find(self, job_names: Sequence[str]) -> Talk[dict[str, str]]:
        """Ask qselect for each name, with the history where the server keeps one."""
        found = {}
        for name in job_names:
            call = Call(("qselect", "-x", "-N", name))
            reply = yield call
            if reply.exit_code != 0 or "not configured" in reply.stderr:
                call = Call(("qselect", "-N", name))
                reply = yield call
            if reply.exit_code != 0:
                raise silent(call, reply)
            if reply.stdout.strip():
                found[name] = pbslike.whole_job(reply.stdout.split()[0])
        return found

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """One call, by our own ids; up to two more where its JSON is broken or history is off.

        Never server-wide: one odd job of anyone's breaks the JSON, and ``qstat -x -t`` may never end.
        """
        ids = tuple(sorted({task.job_id for task in tasks}))
        history: tuple[str, ...] = ("-x",)
        call = Call(("qstat", *history, "-t", "-f", "-F", "json", *ids))
        reply = yield call
        _check_answered(call, reply)
        if "not configured to maintain job history" in reply.stderr:
            history = ()
        records = pbslike.by_task(pbslike.read_json(reply.stdout) or {}, tasks) if history else {}
        if len(records) < len(tasks):
            # Text is right where the JSON is not: it always parses, and names every id asked for.
            call = Call(("qstat", *history, "-t", "-f", *ids))
            reply = yield call
            _check_answered(call, reply)
            records = pbslike.by_task(pbslike.read_answer(call, reply), tasks)
        return PollAnswer({task: _status(records[task], task) if task in records else absent() for task in tasks})

    usage = staticmethod(nothing_more)

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Delete with qdel."""
        yield from pbslike.cancel(jobs, tasks, _HARMLESS)


def _array(request: SubmitRequest) -> tuple[str, ...]:
    """Spell the part of an array. One of a single task is refused, but not as every second of two."""
    if request.span and request.span[0] == request.span[1]:
        return ("-J", f"{request.span[0]}-{request.span[0] + 1}:2")
    return ("-J", request.array) if request.array else ()


def _largest_node(text: str) -> tuple[int | None, int | None, int | None]:
    """Read ``pbsnodes -a -F json``: (MiB, CPUs, GPUs) of the largest node, None where nothing was said."""
    try:
        nodes = json.loads(text, strict=False)["nodes"].values()
        has = [{name: str(value) for name, value in node["resources_available"].items()} for node in nodes]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None, None
    memory = max((pbslike.mib(one.get("mem")) or 0.0 for one in has), default=0.0)
    cpus = max((pbslike.whole(one.get("ncpus")) or 0 for one in has), default=0)
    gpus = max((pbslike.whole(one.get("ngpus")) or 0 for one in has), default=0)
    return int(memory) or None, cpus or None, gpus if has else None


def _check_answered(call: Call, reply: Reply) -> None:
    """A dead server and an empty queue print the same JSON; the exit code tells them apart."""
    if reply.exit_code not in (0, _FINISHED, _UNKNOWN_ID):
        raise silent(call, reply)


def _status(record: pbslike.Record, task: TaskRef) -> SchedulerStatus:
    letter = record.get("job_state", "")
    if letter not in STATES:
        raise SchedulerError(f"unknown PBS job state {letter!r}", "add it to STATES in sweep/schedulers/pbs.py")
    state = STATES[letter]
    # A subjob without a record of its own is printed from its parent's, Exit_status and all.
    own = task.index is None or "array_index" in record
    status = pbslike.whole(record.get("Exit_status")) if own and state is TaskState.ENDED else None
    outcome, reason, exit_code, signal = (
        _end(status, record) if state is TaskState.ENDED else (None, None, None, None)
    )
    return SchedulerStatus(
        state,
        outcome,
        reason if reason is not None else record.get("comment", "") if state is TaskState.PENDING else "",
        exit_code,
        signal,
        elapsed_s=pbslike.seconds(record.get("resources_used.walltime")),
        # Of a job shorter than the node's poll, PBS says 0: that is not known, not none.
        cpu_s=pbslike.seconds(record.get("resources_used.cput")) or None,
        peak_memory_mib=pbslike.mib(record.get("resources_used.mem")) or None,
        job_name=record.get("Job_Name", ""),
        cancelled_by=_cancelled_by(record) if outcome is Outcome.CANCELLED else "",
    )


def _cancelled_by(record: pbslike.Record) -> str:
    """Who deleted the job, as ``user@host``. PBS says so only of a job that ran."""
    user = re.search(r"terminated by (\S+)", record.get("comment", ""))
    return user[1] if user else ""


def _end(status: int | None, record: pbslike.Record) -> tuple[Outcome, str, int | None, int | None]:
    """How it ended: (outcome, reason, exit code, signal)."""
    if status is None:
        return Outcome.CANCELLED, "it was deleted before it started", None, None
    if status < 0:
        outcome, reason = ENDS.get(status, (Outcome.UNKNOWN, f"PBS exit status {status}"))
        return outcome, reason, None, None
    if record.get("substate") == _SUBSTATE_TERMINATED:
        user = _cancelled_by(record)
        reason = f"deleted by {user}" if user else "it was deleted while it ran"
        return Outcome.CANCELLED, reason, None, status - 256 if status > 256 else None
    if status > 256:
        return Outcome.FAILED, "", None, status - 256
    return (Outcome.FAILED if status else Outcome.COMPLETED), "", status, None
