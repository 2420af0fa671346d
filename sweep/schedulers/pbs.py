"""OpenPBS and PBS Pro: qsub, qstat, qdel, qselect. Torque speaks another dialect and has its own file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sweep.errors import SchedulerError
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslike, refusals
from sweep.schedulers.base import (
    SHARED_GRACE_S,
    Call,
    Place,
    PollAnswer,
    Reply,
    SoughtJob,
    SubmitRequest,
    Talk,
    absent,
    no_answer,
    no_usage,
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
    "S": TaskState.SUSPENDED,
    "U": TaskState.SUSPENDED,  # while the workstation's user is at work
    "E": TaskState.RUNNING,  # exiting: its record may not be there yet
    "X": TaskState.ENDED,  # a subjob that has finished, while its array lives
    "F": TaskState.ENDED,
}

#: Below zero, Exit_status says why PBS ended the job (OpenPBS job.h, JOB_EXEC_*).
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
_UNKNOWN_ID = 153
_FINISHED = 35
#: qstat's exit codes that are an answer.
_ANSWERED = frozenset({0, _FINISHED, _UNKNOWN_ID})
_HARMLESS = frozenset({_FINISHED, _UNKNOWN_ID, 55})  # 55: a subjob that has finished

#: OpenPBS's own default (server attribute max_array_size).
DEFAULT_MAX_ARRAY_SIZE = 10_000


class Pbs:
    """Runs and reads the commands of OpenPBS."""

    kind = "pbs"
    clients: tuple[str, ...] = ("qsub", "qstat", "qdel", "qselect")
    grace_s = SHARED_GRACE_S
    can_exclude_nodes = False

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the server is up."""
        call = Call(("qstat", "--version"))
        reply = yield call
        version = re.search(r"pbs_version\s*=\s*(\S+)", reply.stdout + reply.stderr)
        if not version:
            raise no_answer(call, reply)
        server_call = Call(("qstat", "-B"))
        reply = yield server_call
        if reply.exit_code != 0:
            raise no_answer(server_call, reply)
        return f"OpenPBS {version[1]}"

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask for the limits of the server, the queue and the nodes."""
        call = Call(("qstat", "-B", "-f", "-F", "json"))
        reply = yield call
        if reply.exit_code != 0:
            raise no_answer(call, reply)
        server = next(iter((pbslike.read_json(reply.stdout, "Server") or {}).values()), {})
        attributes = ("qstat", "-Q", "-f", "-F", "json")
        ways = yield from pbslike.ways(place, server, "", attributes, _read_queues)
        nodes = yield Call(("pbsnodes", "-a", "-F", "json"))
        return pbslike.either({way: _limits(records, nodes.stdout, place) for way, records in ways.items()})

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with qsub."""
        after = ("-W", f"depend=afterany:{request.after}") if request.after else ()
        return (yield from pbslike.submit(self, request, refusals.PBS, _array(request), after))

    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:  # noqa: ARG002
        """Ask qselect for each name, among ended jobs too where the server keeps them."""
        ids = {}
        for name in (job.job_name for job in jobs):
            call = Call(("qselect", "-x", "-N", name))
            reply = yield call
            if reply.exit_code != 0 or "not configured" in reply.stderr:
                call = Call(("qselect", "-N", name))
                reply = yield call
            if reply.exit_code != 0:
                raise no_answer(call, reply)
            if reply.stdout.strip():
                ids[name] = pbslike.array_id(reply.stdout.split()[0])
        return ids

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask with at most three calls: by our own ids where they are few, else once for everything.

        ``qstat -x -t`` without ids is never asked: it may never end.
        """
        ids = tuple(sorted({task.job_id for task in tasks}))
        if len(ids) > pbslike.MOST_IDS:
            return (yield from _poll_many(tasks))
        history: tuple[str, ...] = ("-x",)
        # One odd job of another user breaks the JSON of the whole server, and not that of our own ids.
        call = Call(("qstat", *history, "-t", "-f", "-F", "json", *ids))
        reply = yield call
        _check_answered(call, reply)
        if _keeps_no_history(reply):
            history = ()
        records = pbslike.records_of_tasks(pbslike.read_json(reply.stdout) or {}, tasks) if history else {}
        if len(records) < len(tasks):
            # The text form always parses and names every id of the call. The JSON form may do neither.
            call = Call(("qstat", *history, "-t", "-f", *ids))
            reply = yield call
            _check_answered(call, reply)
            records = pbslike.records_of_tasks(pbslike.read_text_reply(call, reply), tasks)
        return PollAnswer({task: _status(records[task], task) if task in records else absent() for task in tasks})

    usage = staticmethod(no_usage)

    def queued(self, place: Place) -> Talk[int]:
        """Ask qselect for the user's jobs and subjobs, without those subjobs that have finished."""
        call = Call(("qselect", "-T", "-u", place.user, "-s", "EHQRSTUW"))
        reply = yield call
        if reply.exit_code != 0:
            raise no_answer(call, reply)
        return len(reply.stdout.split())

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Delete with qdel."""
        yield from pbslike.cancel(jobs, tasks, _HARMLESS)

    spell = staticmethod(pbslike.spell)


def _poll_many(tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
    """Ask for all living jobs of the server, for our arrays by their ids, and for what has ended.

    The text form, which always parses: one odd job of another user breaks the JSON of a whole server.
    """
    arrays = sorted({task.job_id for task in tasks if "[]" in task.job_id})
    few_arrays = len(arrays) <= pbslike.MOST_IDS
    records: dict[TaskRef, pbslike.Record] = {}
    if few_arrays and arrays:
        call = Call(("qstat", "-x", "-t", "-f", *arrays))
        reply = yield call
        _check_answered(call, reply)
        if not _keeps_no_history(reply):
            records |= pbslike.records_of_tasks(pbslike.read_text_reply(call, reply), tasks)
    subjobs = () if all(task in records for task in tasks if "[]" in task.job_id) else ("-t",)
    call = Call(("qstat", *subjobs, "-f"))
    reply = yield call
    _check_answered(call, reply)
    records |= pbslike.records_of_tasks(pbslike.read_text(reply.stdout), tasks)
    missing = [task for task in tasks if task not in records]
    notes: tuple[str, ...] = ()
    if missing:
        ids = sorted({task.job_id for task in missing})
        few = len(ids) <= pbslike.MOST_IDS
        call = Call(("qstat", "-x", "-t", "-f", *ids) if few else ("qstat", "-x", "-f"))
        reply = yield call
        if reply.exit_code in _ANSWERED:
            if not _keeps_no_history(reply):
                records |= pbslike.records_of_tasks(pbslike.read_text(reply.stdout), missing)
            missing = []
        else:  # the history of a whole server may be more than it can tell in a minute
            notes = (
                f"{call.argv[0]} -x did not answer ({reply.summary}); jobs that left the queue are not judged",
            )
    unknown = {task for task in missing if task not in records}
    return PollAnswer(
        {
            task: _status(records[task], task) if task in records else absent()
            for task in tasks
            if task not in unknown
        },
        notes,
    )


def _read_queues(text: str) -> dict[str, pbslike.Record]:
    return pbslike.read_json(text, "Queue") or {}


def _limits(records: Sequence[pbslike.Record], nodes: str, place: Place) -> Limits:
    """Read the limits from the attributes of a server and its queues, and of the nodes."""
    shared = pbslike.shared_limits(records, place.user)
    memory_mib, cpus, gpus = _largest_node(nodes)
    array_sizes = (pbslike.parse_int(record.get("max_array_size")) for record in records)
    of_user = (pbslike.limit_of_user(record.get("max_queued"), place.user) for record in records)
    of_all_users = (pbslike.parse_int(record.get("max_queuable")) for record in records)
    return Limits(
        max_array_size=smallest(*array_sizes) or DEFAULT_MAX_ARRAY_SIZE,
        max_queued=smallest(*of_user, *of_all_users),
        max_running=shared["max_running"],
        walltime_s=shared["walltime_s"],
        memory_mib=smallest(shared["memory_mib"], memory_mib),
        cpus=smallest(shared["cpus"], cpus),
        gpus=gpus,
    )


def _array(request: SubmitRequest) -> tuple[str, ...]:
    """Spell the array's indices. PBS refuses an array of one task, but takes every second task of two."""
    if request.span and request.span[0] == request.span[1]:
        return ("-J", f"{request.span[0]}-{request.span[0] + 1}:2")
    return ("-J", request.array) if request.array else ()


def _largest_node(text: str) -> tuple[int | None, int | None, int | None]:
    """Read ``pbsnodes -a -F json``: (MiB, CPUs, GPUs) of the largest node. None: it does not say."""
    try:
        nodes = json.loads(text, strict=False)["nodes"].values()
        resources = [{name: str(value) for name, value in node["resources_available"].items()} for node in nodes]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None, None
    memory_mib = max((pbslike.parse_mib(node.get("mem")) or 0.0 for node in resources), default=0.0)
    cpus = max((pbslike.parse_int(node.get("ncpus")) or 0 for node in resources), default=0)
    gpus = max((pbslike.parse_int(node.get("ngpus")) or 0 for node in resources), default=0)
    return int(memory_mib) or None, cpus or None, gpus if resources else None


def _check_answered(call: Call, reply: Reply) -> None:
    """Raise if the server did not answer. A dead server prints an empty queue's JSON with another exit code."""
    if reply.exit_code not in _ANSWERED:
        raise no_answer(call, reply)


def _keeps_no_history(reply: Reply) -> bool:
    return "not configured to maintain job history" in reply.stderr


def _status(record: pbslike.Record, task: TaskRef) -> SchedulerStatus:
    letter = record.get("job_state", "")
    if letter not in STATES:
        raise SchedulerError(f"unknown PBS job state {letter!r}", "add it to STATES in sweep/schedulers/pbs.py")
    state = STATES[letter]
    # A subjob that never ran has no record. PBS prints its parent's, with the parent's Exit_status.
    has_record = task.index is None or "array_index" in record
    exit_status = pbslike.parse_int(record.get("Exit_status")) if has_record and state is TaskState.ENDED else None
    outcome, reason, exit_code, signal = (
        _end(exit_status, record) if state is TaskState.ENDED else (None, None, None, None)
    )
    return SchedulerStatus(
        state,
        outcome,
        reason if reason is not None else record.get("comment", "") if state is TaskState.PENDING else "",
        exit_code,
        signal,
        elapsed_s=pbslike.parse_seconds(record.get("resources_used.walltime")),
        # PBS says 0 for a job that is shorter than the node's poll. It does not know the value.
        cpu_s=pbslike.parse_seconds(record.get("resources_used.cput")) or None,
        peak_memory_mib=pbslike.parse_mib(record.get("resources_used.mem")) or None,
        job_name=record.get("Job_Name", ""),
        cancelled_by=_cancelled_by(record) if outcome is Outcome.CANCELLED else "",
    )


def _cancelled_by(record: pbslike.Record) -> str:
    """Who deleted the job, as ``user@host``. PBS says so only of a job that ran."""
    user = re.search(r"terminated by (\S+)", record.get("comment", ""))
    return user[1] if user else ""


def _end(exit_status: int | None, record: pbslike.Record) -> tuple[Outcome, str, int | None, int | None]:
    """How the job ended: (outcome, reason, exit code, signal)."""
    if exit_status is None:
        return Outcome.CANCELLED, "it was deleted before it started", None, None
    if exit_status < 0:
        outcome, reason = ENDS.get(exit_status, (Outcome.UNKNOWN, f"PBS exit status {exit_status}"))
        return outcome, reason, None, None
    if record.get("substate") == _SUBSTATE_TERMINATED:
        user = _cancelled_by(record)
        reason = f"deleted by {user}" if user else "it was deleted while it ran"
        return Outcome.CANCELLED, reason, None, exit_status - 256 if exit_status > 256 else None
    if exit_status > 256:
        return Outcome.FAILED, "", None, exit_status - 256
    return (Outcome.FAILED if exit_status else Outcome.COMPLETED), "", exit_status, None
