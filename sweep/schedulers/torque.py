"""Torque: qsub, qstat, qdel, qselect. Their options and output differ from OpenPBS's."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

from sweep.errors import SchedulerRefused
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslike
from sweep.schedulers.base import (
    Call,
    Place,
    PollAnswer,
    SoughtJob,
    SubmitRequest,
    Talk,
    absent,
    no_answer,
    smallest,
)
from sweep.schedulers.pbslike import MOST_IDS, End, PbsLike, ended_by_itself
from sweep.schedulers.pbslimits import shared_limits
from sweep.schedulers.pbsoutput import (
    Record,
    array_id,
    no_sense,
    parse_int,
    read_attributes,
    read_text,
    records_of_tasks,
    split_id,
)
from sweep.schedulers.refusals import Kind

#: Torque's qstat(1B). A job stays in C for keep_completed seconds (300 by default). Then it is unknown.
STATES: dict[str, TaskState] = pbslike.STATES | {"C": TaskState.ENDED}

#: Below zero, exit_status says why Torque ended the job (Torque Administrator Guide, "Job Exit Status").
ENDS: dict[int, tuple[Outcome, str]] = pbslike.ENDS | {
    -7: (Outcome.NODE_FAIL, "the node restarted"),
    -8: (Outcome.NODE_FAIL, "the node was lost"),
    -9: (Outcome.LAUNCH, "the node could not start it"),
    -10: (Outcome.OUT_OF_MEMORY, "exceeded its memory"),
    -11: (Outcome.TIMEOUT, "exceeded its walltime"),
    -12: (Outcome.TIMEOUT, "exceeded its CPU time"),
}

#: Torque's errors (pbs_error_db.h), in the same way. They are numbered in the order of that file.
REFUSALS: Mapping[int, tuple[Kind, str]] = {
    111: (Kind.NO_ANSWER, "the server does not answer"),
    237: (Kind.NO_ANSWER, "time out"),
    248: (Kind.NO_ANSWER, "no connection to the socket"),
    249: (Kind.NO_ANSWER, "the request was not written"),
    250: (Kind.NO_ANSWER, "the reply was not read"),
    251: (Kind.NO_ANSWER, "the connection was closed"),
    16: (Kind.NO_ANSWER, "no connection to the server"),
    29: (Kind.NO_ANSWER, "the server was not reached"),
    17: (Kind.NOW, "the server puts it off"),
    187: (Kind.NOW, "no free connections"),
    198: (Kind.NOW, "resources temporarily unavailable"),
    200: (Kind.NOW, "the most jobs in the queue"),
    228: (Kind.NOW, "the most jobs of a user in the queue"),
    175: (Kind.NOW, "the queue is not enabled"),
    255: (Kind.NOW, "the queue is currently not available"),
    214: (Kind.NOW, "the server is shutting down"),
    243: (Kind.NOW, "the server is out of memory"),
    30: (Kind.NOW, "the server is busy"),
    159: (Kind.NEVER, "no permission"),
    162: (Kind.NEVER, "no access from this host"),
    176: (Kind.NEVER, "no access to the queue"),
    177: (Kind.NEVER, "the user is not known where jobs run"),
    199: (Kind.NEVER, "the group is not known where jobs run"),
    168: (Kind.LINE, "a value of a resource"),
    172: (Kind.LINE, "the queue's name"),
    189: (Kind.LINE, "a resource that is not known"),
    190: (Kind.LINE, "more than the queue's limits"),
    193: (Kind.LINE, "no destination of the routing queue takes it"),
    203: (Kind.LINE, "the account"),
    208: (Kind.LINE, "the job to wait for"),
    231: (Kind.LINE, "the queue takes no batch jobs"),
    235: (Kind.LINE, "the array"),
    241: (Kind.LINE, "the queue takes no arrays"),
    2: (Kind.LINE, "an option"),
}

_UNKNOWN_ID = 153
#: What qstat says of a single id: the others are answered all the same.
_DENIED = re.compile(r"(?:Unknown Job Id(?: Error)?|Unauthorized Request)\s+(\d\S*)")
_ROUTED = SchedulerStatus(TaskState.PENDING, reason="Torque has not routed it to a queue yet")

#: The most tasks of an array, where the server sets no max_job_array_size. Torque itself would take far more.
DEFAULT_MAX_ARRAY_SIZE = 1000

#: The most idle tasks that Torque makes of an array, where the server sets no idle_slot_limit.
DEFAULT_IDLE_SLOT_LIMIT = 300


class Torque(PbsLike):
    """Runs and reads the commands of Torque."""

    kind = "torque"
    name = short_name = "Torque"
    states = STATES
    refusals = REFUSALS
    harmless = frozenset({_UNKNOWN_ID, 170})  # 170: completed
    array_option = "-t"
    server_is_up = ("qstat", "-q")
    queued_states = "EHQRTW"
    exit_status = "exit_status"
    ends = ENDS
    default_queue = "batch"

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with qsub, after another job where one is named and has not ended."""
        if request.after:
            kind = "afteranyarray" if "[]" in request.after else "afterany"
            try:
                return (yield from self.submit_after(request, f"depend={kind}:{request.after}"))
            except SchedulerRefused as error:
                if "Invalid Job Dependency" not in error.answer:
                    raise
                # The other job has ended, so there is nothing to wait for. Torque refuses such a dependency.
        return (yield from self.submit_after(request, ""))

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
                    ids[job.job_name] = array_id(reply.stdout.split()[0])
                    break
        return ids

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask in one call: by our own ids where they are few, else for everything.

        Without ``-t``, an array's id lists the whole server.

        Torque makes at most ``idle_slot_limit`` idle tasks of an array, and names the others when it makes them.
        So a task that it does not name is unnamed, and not absent, while it names others of its array that live.
        """
        ids = tuple(sorted({task.job_id for task in tasks}))
        if len(ids) > MOST_IDS:
            ids = ()
        call = Call(("qstat", "-f", "-t", *ids), timeout_s=90)  # the first unknown id took 35 s
        reply = yield call
        shown = read_text(reply.stdout)
        denied = {split_id(job_id)[0] for job_id in _DENIED.findall(reply.stderr)}
        if not (reply.exit_code in (0, _UNKNOWN_ID) or (reply.exit_code is not None and (shown or denied))):
            raise no_answer(call, reply)
        numbers = {split_id(full_id)[0] for full_id in shown}
        if ids and not shown and not denied and not all("[]" in job_id for job_id in ids):
            raise no_sense(call, reply)
        statuses = {task: self.status_of(record, task) for task, record in records_of_tasks(shown, tasks).items()}
        living = self._living_arrays(shown, {_array_number(task) for task in tasks})
        for task in [task for task in tasks if task not in statuses]:
            number = split_id(task.job_id)[0]
            known = number in numbers or number in denied or not ids
            if not known and reply.exit_code == 0 and "[]" in task.job_id:
                # The server knows the array, and shows none of its tasks: it is in a routing queue.
                statuses[task] = _ROUTED
            elif known or reply.exit_code in (0, _UNKNOWN_ID):
                statuses[task] = living.get(_array_number(task)) or absent()
        notes = (f"qstat ended with {reply.exit_code} ({reply.summary})",) if len(statuses) < len(tasks) else ()
        return PollAnswer(statuses, notes)

    def read_attributes(self, text: str, section: str) -> Mapping[str, Record]:  # noqa: ARG002
        """Read ``qstat -B -f`` and ``qstat -Q -f``."""
        return read_attributes(text)

    def read_limits(self, records: Sequence[Record], nodes: str, place: Place) -> Limits:
        """Read the limits from the attributes of a server and its queues, the server's first, and of the nodes."""
        server = records[0]
        shared = shared_limits(records, place.user)
        queued = (
            parse_int(record.get(name)) for record in records for name in ("max_user_queuable", "max_queuable")
        )
        running = (parse_int(record.get("max_user_run")) for record in records)
        cpus = [int(count) for count in re.findall(r"^\s*np = (\d+)", nodes, re.MULTILINE)]
        memory_mib = [int(kib) // 1024 for kib in re.findall(r"physmem=(\d+)kb", nodes)]
        gpus = [int(count) for count in re.findall(r"^\s*gpus = (\d+)", nodes, re.MULTILINE)]
        return Limits(
            max_array_size=parse_int(server.get("max_job_array_size")) or DEFAULT_MAX_ARRAY_SIZE,
            max_queued=smallest(*queued),
            max_running=smallest(shared["max_running"], *running),
            max_throttle=parse_int(server.get("max_slot_limit")),
            max_idle=parse_int(server.get("idle_slot_limit")) or DEFAULT_IDLE_SLOT_LIMIT,
            walltime_s=shared["walltime_s"],
            memory_mib=smallest(shared["memory_mib"], max(memory_mib, default=None)),
            cpus=smallest(shared["cpus"], max(cpus, default=None)),
            gpus=max(gpus, default=0 if cpus else None),
        )

    def _living_arrays(
        self, records: Mapping[str, Record], numbers: Container[str | None]
    ) -> dict[str | None, SchedulerStatus]:
        """Return, for each of these arrays that lives, the status of its tasks that are not named."""
        arrays: dict[str | None, SchedulerStatus] = {}
        for full_id, record in records.items():
            number, index = split_id(full_id)
            ours = index is not None and number in numbers
            if ours and number not in arrays and self.state_of(record) is not TaskState.ENDED:
                array_name = record.get("Job_Name", "").rpartition("-")[0]
                arrays[number] = SchedulerStatus(
                    TaskState.UNNAMED, reason="Torque makes it when earlier ones have begun", job_name=array_name
                )
        return arrays

    def why_it_waits(self, record: Record) -> str:
        """Return what keeps a task in the queue, in the server's words or those of its holds."""
        holds = {"u": "by its user", "o": "by an operator", "s": "by the system"}
        held = [holds[letter] for letter in record.get("Hold_Types", "") if letter in holds]
        comment = record.get("comment", "").removeprefix("Not Running: ")
        return comment or (f"held {' and '.join(held)}" if held else "")

    def end_of_script(self, exit_status: int, record: Record) -> End:  # noqa: ARG002
        """Return how a job ended: above 256, by a signal."""
        if exit_status > 256:
            # Torque marks a job that qdel ended by the signal alone. The signal may have another source.
            number = exit_status - 256
            return (Outcome.CANCELLED if number == 15 else Outcome.FAILED), "", None, number
        if 128 < exit_status <= 128 + 64:  # as a shell says it; the runner ends by its command's signal
            return Outcome.FAILED, "", None, exit_status - 128
        return ended_by_itself(exit_status)


def _array_number(task: TaskRef) -> str | None:
    return None if task.index is None else split_id(task.job_id)[0]
