"""Torque: qsub, qstat, qdel, qselect. Their options and output differ from OpenPBS's."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

from sweep.errors import SchedulerError, SchedulerRefused
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslike, refusals
from sweep.schedulers.base import (
    SHARED_GRACE_S,
    Call,
    Place,
    PollAnswer,
    SoughtJob,
    SubmitRequest,
    Talk,
    absent,
    no_answer,
    no_usage,
    smallest,
)

#: Torque's qstat(1B). A job stays in C for keep_completed seconds (300 by default). Then it is unknown.
STATES: dict[str, TaskState] = {
    "Q": TaskState.PENDING,
    "H": TaskState.PENDING,  # held; also an array's task above the slot limit
    "W": TaskState.PENDING,  # waiting for its time
    "T": TaskState.PENDING,  # being moved
    "R": TaskState.RUNNING,
    "S": TaskState.SUSPENDED,
    "E": TaskState.RUNNING,  # exiting: its record may not be there yet
    "C": TaskState.ENDED,
}

#: Below zero, exit_status says why Torque ended the job (Torque Administrator Guide, "Job Exit Status").
ENDS: dict[int, tuple[Outcome, str]] = {
    -1: (Outcome.LAUNCH, "the node could not start it"),
    -2: (Outcome.LAUNCH, "the node could not start it"),
    -3: (Outcome.NODE_FAIL, "the node gave it back"),
    -4: (Outcome.NODE_FAIL, "the node restarted"),
    -5: (Outcome.NODE_FAIL, "the node restarted"),
    -6: (Outcome.NODE_FAIL, "the node restarted"),
    -7: (Outcome.NODE_FAIL, "the node restarted"),
    -8: (Outcome.NODE_FAIL, "the node was lost"),
    -9: (Outcome.LAUNCH, "the node could not start it"),
    -10: (Outcome.OUT_OF_MEMORY, "exceeded its memory"),
    -11: (Outcome.TIMEOUT, "exceeded its walltime"),
    -12: (Outcome.TIMEOUT, "exceeded its CPU time"),
}

_UNKNOWN_ID = 153
#: What qstat says of a single id: the others are answered all the same.
_DENIED = re.compile(r"(?:Unknown Job Id(?: Error)?|Unauthorized Request)\s+(\d\S*)")
_ROUTED = SchedulerStatus(TaskState.PENDING, reason="Torque has not routed it to a queue yet")
_HARMLESS = frozenset({_UNKNOWN_ID, 170})  # 170: completed

#: The most tasks of an array, where the server sets no max_job_array_size. Torque itself would take far more.
DEFAULT_MAX_ARRAY_SIZE = 1000

#: The most idle tasks that Torque makes of an array, where the server sets no idle_slot_limit.
DEFAULT_IDLE_SLOT_LIMIT = 300


class Torque:
    """Runs and reads the commands of Torque."""

    kind = "torque"
    clients: tuple[str, ...] = ("qsub", "qstat", "qdel", "qselect")
    grace_s = SHARED_GRACE_S
    can_exclude_nodes = False

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the server is up."""
        call = Call(("qstat", "--version"))
        reply = yield call
        version = re.search(r"Version:\s*(\S+)", reply.stdout + reply.stderr)
        if not version:
            raise no_answer(call, reply)
        server_call = Call(("qstat", "-q"))
        reply = yield server_call
        if reply.exit_code != 0:
            raise no_answer(server_call, reply)
        return f"Torque {version[1]}"

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask for the limits of the server, the queue and the nodes."""
        call = Call(("qstat", "-B", "-f"))
        reply = yield call
        if reply.exit_code != 0:
            raise no_answer(call, reply)
        server = next(iter(pbslike.read_attributes(reply.stdout).values()), {})
        ways = yield from pbslike.ways(place, server, "batch", ("qstat", "-Q", "-f"), pbslike.read_attributes)
        nodes = yield Call(("pbsnodes", "-a"))
        return pbslike.either({way: _limits(records, nodes.stdout, place) for way, records in ways.items()})

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with qsub."""
        array = ("-t", request.array) if request.array else ()
        if request.after:
            kind = "afteranyarray" if "[]" in request.after else "afterany"
            after = ("-W", f"depend={kind}:{request.after}")
            try:
                return (yield from pbslike.submit(self, request, refusals.TORQUE, array, after))
            except SchedulerRefused as error:
                if "Invalid Job Dependency" not in error.answer:
                    raise
                # The other job has ended, so there is nothing to wait for. Torque refuses such a dependency.
        return (yield from pbslike.submit(self, request, refusals.TORQUE, array))

    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:  # noqa: ARG002
        """Ask qselect for each name and, as it lists no array, for the name of the array's first task."""
        ids = {}
        for job in jobs:
            names = (
                [job.job_name] if job.first_task is None else [job.job_name, f"{job.job_name}-{job.first_task}"]
            )
            for name in names:
                call = Call(("qselect", "-N", name))
                reply = yield call
                if reply.exit_code != 0:
                    raise no_answer(call, reply)
                if reply.stdout.strip():
                    ids[job.job_name] = pbslike.array_id(reply.stdout.split()[0])
                    break
        return ids

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask in one call: by our own ids where they are few, else for everything.

        Without ``-t``, an array's id lists the whole server.

        Torque makes at most ``idle_slot_limit`` idle tasks of an array, and names the others when it makes them.
        So a task that it does not name is unnamed, and not absent, while it names others of its array that live.
        """
        ids = tuple(sorted({task.job_id for task in tasks}))
        if len(ids) > pbslike.MOST_IDS:
            ids = ()
        call = Call(("qstat", "-f", "-t", *ids), timeout_s=90)  # the first unknown id took 35 s
        reply = yield call
        shown = pbslike.read_text(reply.stdout)
        denied = {pbslike.split_id(job_id)[0] for job_id in _DENIED.findall(reply.stderr)}
        if not (reply.exit_code in (0, _UNKNOWN_ID) or (reply.exit_code is not None and (shown or denied))):
            raise no_answer(call, reply)
        numbers = {pbslike.split_id(full_id)[0] for full_id in shown}
        if ids and not shown and not denied and not all("[]" in job_id for job_id in ids):
            raise pbslike.no_sense(call, reply)
        statuses = {task: _status(record) for task, record in pbslike.records_of_tasks(shown, tasks).items()}
        living = _living_arrays(shown, {_array_number(task) for task in tasks})
        for task in [task for task in tasks if task not in statuses]:
            number = pbslike.split_id(task.job_id)[0]
            known = number in numbers or number in denied or not ids
            if not known and reply.exit_code == 0 and "[]" in task.job_id:
                # The server knows the array, and shows none of its tasks: it is in a routing queue.
                statuses[task] = _ROUTED
            elif known or reply.exit_code in (0, _UNKNOWN_ID):
                statuses[task] = living.get(_array_number(task)) or absent()
        notes = (f"qstat ended with {reply.exit_code} ({reply.summary})",) if len(statuses) < len(tasks) else ()
        return PollAnswer(statuses, notes)

    usage = staticmethod(no_usage)

    def queued(self, place: Place) -> Talk[int]:
        """Ask qselect for the user's jobs, every task of an array among them."""
        call = Call(("qselect", "-u", place.user, "-s", "EHQRTW"))
        reply = yield call
        if reply.exit_code != 0:
            raise no_answer(call, reply)
        return len(reply.stdout.split())

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Delete with qdel."""
        yield from pbslike.cancel(jobs, tasks, _HARMLESS)

    spell = staticmethod(pbslike.spell)


def _limits(records: Sequence[pbslike.Record], nodes: str, place: Place) -> Limits:
    """Read the limits from the attributes of a server and its queues, the server's first, and of the nodes."""
    server = records[0]
    shared = pbslike.shared_limits(records, place.user)
    queued = (
        pbslike.parse_int(record.get(name)) for record in records for name in ("max_user_queuable", "max_queuable")
    )
    running = (pbslike.parse_int(record.get("max_user_run")) for record in records)
    cpus = [int(count) for count in re.findall(r"^\s*np = (\d+)", nodes, re.MULTILINE)]
    memory_mib = [int(kib) // 1024 for kib in re.findall(r"physmem=(\d+)kb", nodes)]
    gpus = [int(count) for count in re.findall(r"^\s*gpus = (\d+)", nodes, re.MULTILINE)]
    return Limits(
        max_array_size=pbslike.parse_int(server.get("max_job_array_size")) or DEFAULT_MAX_ARRAY_SIZE,
        max_queued=smallest(*queued),
        max_running=smallest(shared["max_running"], *running),
        max_throttle=pbslike.parse_int(server.get("max_slot_limit")),
        max_idle=pbslike.parse_int(server.get("idle_slot_limit")) or DEFAULT_IDLE_SLOT_LIMIT,
        walltime_s=shared["walltime_s"],
        memory_mib=smallest(shared["memory_mib"], max(memory_mib, default=None)),
        cpus=smallest(shared["cpus"], max(cpus, default=None)),
        gpus=max(gpus, default=0 if cpus else None),
    )


def _array_number(task: TaskRef) -> str | None:
    return None if task.index is None else pbslike.split_id(task.job_id)[0]


def _living_arrays(
    records: Mapping[str, pbslike.Record], numbers: Container[str | None]
) -> dict[str | None, SchedulerStatus]:
    """Return, for each of these arrays that lives, the status of its tasks that are not named."""
    arrays: dict[str | None, SchedulerStatus] = {}
    for full_id, record in records.items():
        number, index = pbslike.split_id(full_id)
        ours = index is not None and number in numbers
        if ours and number not in arrays and _status(record).state is not TaskState.ENDED:
            array_name = record.get("Job_Name", "").rpartition("-")[0]
            arrays[number] = SchedulerStatus(
                TaskState.UNNAMED, reason="Torque makes it when earlier ones have begun", job_name=array_name
            )
    return arrays


def _status(record: pbslike.Record) -> SchedulerStatus:
    letter = record.get("job_state", "")
    if letter not in STATES:
        raise SchedulerError(
            f"unknown Torque job state {letter!r}", "add it to STATES in sweep/schedulers/torque.py"
        )
    state = STATES[letter]
    outcome, reason, exit_code, signal = (
        _end(pbslike.parse_int(record.get("exit_status"))) if state is TaskState.ENDED else (None, "", None, None)
    )
    if state is not TaskState.ENDED:
        reason = _why_it_waits(record) if state is TaskState.PENDING else ""
    return SchedulerStatus(
        state,
        outcome,
        reason,
        exit_code,
        signal,
        elapsed_s=pbslike.parse_seconds(record.get("resources_used.walltime")),
        cpu_s=pbslike.parse_seconds(record.get("resources_used.cput")) or None,
        peak_memory_mib=pbslike.parse_mib(record.get("resources_used.mem")) or None,
        job_name=record.get("Job_Name", ""),
    )


def _why_it_waits(record: pbslike.Record) -> str:
    """Return what keeps a task in the queue, in the scheduler's words or those of its holds."""
    holds = {"u": "by its user", "o": "by an operator", "s": "by the system"}
    held = [holds[letter] for letter in record.get("Hold_Types", "") if letter in holds]
    comment = record.get("comment", "").removeprefix("Not Running: ")
    return comment or (f"held {' and '.join(held)}" if held else "")


def _end(exit_status: int | None) -> tuple[Outcome, str, int | None, int | None]:
    """How the job ended: (outcome, reason, exit code, signal)."""
    if exit_status is None:
        return Outcome.CANCELLED, "it was deleted before it started", None, None
    if exit_status < 0:
        outcome, reason = ENDS.get(exit_status, (Outcome.UNKNOWN, f"Torque exit status {exit_status}"))
        return outcome, reason, None, None
    if exit_status > 256:
        # Torque marks a job that qdel ended by the signal alone. The signal may have another source.
        number = exit_status - 256
        return (Outcome.CANCELLED if number == 15 else Outcome.FAILED), "", None, number
    if 128 < exit_status <= 128 + 64:  # as a shell says it; the runner ends by its command's signal
        return Outcome.FAILED, "", None, exit_status - 128
    return (Outcome.FAILED if exit_status else Outcome.COMPLETED), "", exit_status, None
