"""Torque: qsub, qstat, qdel, qselect, in a dialect other than OpenPBS's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweep.errors import SchedulerError, SchedulerRefused
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslike
from sweep.schedulers.base import (
    SHARED_GRACE_S,
    Call,
    Place,
    PollAnswer,
    SubmitRequest,
    Talk,
    absent,
    nothing_more,
    silent,
    smallest,
)

#: Torque's qstat(1B). C stays for keep_completed seconds (300 by default), then the job is unknown.
STATES: dict[str, TaskState] = {
    "Q": TaskState.PENDING,
    "H": TaskState.PENDING,  # held; also an array's task above the slot limit
    "W": TaskState.PENDING,  # waiting for its time
    "T": TaskState.PENDING,  # being moved
    "R": TaskState.RUNNING,
    "S": TaskState.RUNNING,  # suspended
    "E": TaskState.RUNNING,  # exiting: its record may not be there yet
    "C": TaskState.ENDED,
}

#: exit_status below zero is Torque's own word on the job (Torque Administrator Guide, "Job Exit Status").
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

#: qsub exits with the PBS error modulo 256: caps that ease, and a server that was not reached.
_BUSY = frozenset({200})
_NO_SERVER = frozenset({111})
_UNKNOWN_ID = 153
_HARMLESS = frozenset({_UNKNOWN_ID, 170})  # 170: completed

#: Torque tells a user no array limit (max_job_array_size is the administrator's to see); most sites allow this.
DEFAULT_MAX_ARRAY_SIZE = 1000


class Torque:
    """Talks to Torque's commands."""

    kind = "torque"
    clients: tuple[str, ...] = ("qsub", "qstat", "qdel", "qselect")
    grace_s = SHARED_GRACE_S
    avoids = False

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the server is up."""
        call = Call(("qstat", "--version"))
        reply = yield call
        found = re.search(r"Version:\s*(\S+)", reply.stdout + reply.stderr)
        if not found:
            raise silent(call, reply)
        up = Call(("qstat", "-q"))
        reply = yield up
        if reply.exit_code != 0:
            raise silent(up, reply)
        return f"Torque {found[1]}"

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask the queue and the nodes for theirs. Of arrays Torque tells a user nothing."""
        call = Call(("qstat", "-B", "-f"))
        reply = yield call
        if reply.exit_code != 0:
            raise silent(call, reply)
        server = next(iter(pbslike.attributes(reply.stdout).values()), {})
        about = yield Call(("qstat", "-Q", "-f", place.queue or server.get("default_queue", "batch")))
        records = [server, *pbslike.attributes(about.stdout).values()]
        nodes = yield Call(("pbsnodes", "-a"))
        known = pbslike.tightest(records, place.user)
        caps = (
            pbslike.whole(record.get(name)) for record in records for name in ("max_user_queuable", "max_queuable")
        )
        running = (pbslike.whole(record.get("max_user_run")) for record in records)
        cpus = [int(found) for found in re.findall(r"^\s*np = (\d+)", nodes.stdout, re.MULTILINE)]
        memory = [int(found) // 1024 for found in re.findall(r"physmem=(\d+)kb", nodes.stdout)]
        gpus = [int(found) for found in re.findall(r"^\s*gpus = (\d+)", nodes.stdout, re.MULTILINE)]
        return Limits(
            max_array_size=DEFAULT_MAX_ARRAY_SIZE,
            max_queued=smallest(*caps),
            max_running=smallest(known["max_running"], *running),
            walltime_s=known["walltime_s"],
            memory_mib=smallest(known["memory_mib"], max(memory, default=None)),
            cpus=smallest(known["cpus"], max(cpus, default=None)),
            gpus=max(gpus, default=0 if cpus else None),
        )

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with qsub."""
        array = ("-t", request.array) if request.array else ()
        if request.after:
            kind = "afteranyarray" if "[]" in request.after else "afterany"
            after = ("-W", f"depend={kind}:{request.after}")
            try:
                return (yield from pbslike.submit(request, _BUSY, _NO_SERVER, array, after))
            except SchedulerRefused as error:
                if "Invalid Job Dependency" not in str(error):
                    raise
                # The other job has ended: Torque will not wait for what is over, and there is nothing to wait for.
        return (yield from pbslike.submit(request, _BUSY, _NO_SERVER, array))

    def find(self, job_names: Sequence[str]) -> Talk[dict[str, str]]:
        """Ask qselect for each name."""
        found = {}
        for name in job_names:
            call = Call(("qselect", "-N", name))
            reply = yield call
            if reply.exit_code != 0:
                raise silent(call, reply)
            if reply.stdout.strip():
                found[name] = pbslike.whole_job(reply.stdout.split()[0])
        return found

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """One call by our own ids, with ``-t``: without it, an array's id lists the whole server."""
        ids = tuple(sorted({task.job_id for task in tasks}))
        call = Call(("qstat", "-f", "-t", *ids), timeout_s=90)  # the first unknown id took 35 s
        reply = yield call
        if reply.exit_code not in (0, _UNKNOWN_ID):
            raise silent(call, reply)
        records = pbslike.by_task(pbslike.read_answer(call, reply), tasks)
        return PollAnswer({task: _status(records[task]) if task in records else absent() for task in tasks})

    usage = staticmethod(nothing_more)

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Delete with qdel."""
        yield from pbslike.cancel(jobs, tasks, _HARMLESS)


def _status(record: pbslike.Record) -> SchedulerStatus:
    letter = record.get("job_state", "")
    if letter not in STATES:
        raise SchedulerError(
            f"unknown Torque job state {letter!r}", "add it to STATES in sweep/schedulers/torque.py"
        )
    state = STATES[letter]
    outcome, reason, exit_code, signal = (
        _end(pbslike.whole(record.get("exit_status"))) if state is TaskState.ENDED else (None, "", None, None)
    )
    return SchedulerStatus(
        state,
        outcome,
        reason,
        exit_code,
        signal,
        elapsed_s=pbslike.seconds(record.get("resources_used.walltime")),
        cpu_s=pbslike.seconds(record.get("resources_used.cput")) or None,
        peak_memory_mib=pbslike.mib(record.get("resources_used.mem")) or None,
        job_name=record.get("Job_Name", ""),
    )


def _end(status: int | None) -> tuple[Outcome, str, int | None, int | None]:
    """How it ended: (outcome, reason, exit code, signal)."""
    if status is None:
        return Outcome.CANCELLED, "it was deleted before it started", None, None
    if status < 0:
        outcome, reason = ENDS.get(status, (Outcome.UNKNOWN, f"Torque exit status {status}"))
        return outcome, reason, None, None
    if status > 256:
        # Torque has no mark for qdel but the signal, which a job may also have got elsewhere.
        number = status - 256
        return (Outcome.CANCELLED if number == 15 else Outcome.FAILED), "", None, number
    return (Outcome.FAILED if status else Outcome.COMPLETED), "", status, None
