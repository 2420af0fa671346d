"""OpenPBS and PBS Pro: qsub, qstat, qdel, qselect. Torque speaks another dialect and has its own file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from sweep.model import Limits, Outcome, TaskRef, TaskState
from sweep.schedulers import pbslike
from sweep.schedulers.base import (
    Call,
    Place,
    PollAnswer,
    Reply,
    SoughtJob,
    Talk,
    absent,
    no_answer,
    smallest,
)
from sweep.schedulers.directives import Objection, Requests
from sweep.schedulers.pbslike import MOST_IDS, End, PbsLike, ended_by_itself
from sweep.schedulers.pbslimits import limit_of_user, shared_limits
from sweep.schedulers.pbsoutput import (
    Record,
    array_id,
    parse_int,
    parse_mib,
    read_json,
    read_text,
    read_text_reply,
    records_of_tasks,
)
from sweep.schedulers.refusals import Kind

#: qstat(1B), "job_state", and the OpenPBS Reference Guide, "Job States" and "Job Array States".
STATES: dict[str, TaskState] = pbslike.STATES | {
    "M": TaskState.PENDING,  # moved to another server
    "B": TaskState.RUNNING,  # an array that has begun
    "U": TaskState.SUSPENDED,  # while the workstation's user is at work
    "X": TaskState.ENDED,  # a subjob that has finished, while its array lives
    "F": TaskState.ENDED,
}

#: Below zero, Exit_status says why PBS ended the job (OpenPBS job.h, JOB_EXEC_*).
ENDS: dict[int, tuple[Outcome, str]] = pbslike.ENDS | {
    -11: (Outcome.NODE_FAIL, "it was given back to the queue"),
    -24: (Outcome.FAILED, "used more CPUs than it asked for"),
    -25: (Outcome.FAILED, "used more CPUs than it asked for"),
    -26: (Outcome.OUT_OF_MEMORY, "exceeded its virtual memory"),
    -27: (Outcome.OUT_OF_MEMORY, "exceeded its memory"),
    -28: (Outcome.TIMEOUT, "exceeded its CPU time"),
    -29: (Outcome.TIMEOUT, "exceeded its walltime"),
}

#: OpenPBS's errors (pbs_error.h), as the client ends with them: modulo 256. 255 and 1 are the client's own.
REFUSALS: Mapping[int, tuple[Kind, str]] = {
    160: (Kind.NO_ANSWER, "system error"),
    162: (Kind.NO_ANSWER, "the server does not answer"),
    255: (Kind.NO_ANSWER, "the server does not answer"),
    185: (Kind.NOW, "no free connections"),
    13: (Kind.NOW, "the server's table of connections is full"),
    212: (Kind.NOW, "the server is shutting down"),
    104: (Kind.NOW, "try again later"),
    57: (Kind.NOW, "the server could not save the job"),
    196: (Kind.NOW, "resources temporarily unavailable"),
    250: (Kind.NOW, "a floating license is unavailable"),
    173: (Kind.NOW, "the queue is not enabled"),
    198: (Kind.NOW, "the most jobs in the queue"),
    38: (Kind.NOW, "a limit on jobs, of a user, a group or a project"),
    39: (Kind.NOW, "a limit on resources, of a user, a group or a project"),
    159: (Kind.NEVER, "no permission"),
    174: (Kind.NEVER, "no access to the queue"),
    175: (Kind.NEVER, "the user is not known where jobs run"),
    197: (Kind.NEVER, "the group is not known where jobs run"),
    171: (Kind.NEVER, "credential not valid"),
    166: (Kind.LINE, "a value of a resource"),
    170: (Kind.LINE, "the queue's name"),
    187: (Kind.LINE, "a resource that is not known"),
    188: (Kind.LINE, "more than the queue's limits"),
    191: (Kind.LINE, "no destination of the routing queue takes it"),
    201: (Kind.LINE, "the account"),
    3: (Kind.LINE, "the array is too large"),
    2: (Kind.LINE, "an option"),
}

_SUBSTATE_TERMINATED = "91"
_UNKNOWN_ID = 153
_FINISHED = 35
#: qstat's exit codes that are an answer.
_ANSWERED = frozenset({0, _FINISHED, _UNKNOWN_ID})

#: OpenPBS's own default (server attribute max_array_size).
DEFAULT_MAX_ARRAY_SIZE = 10_000


class Pbs(PbsLike):
    """Runs and reads the commands of OpenPBS."""

    kind = "pbs"
    name = "OpenPBS"
    short_name = "PBS"
    states = STATES
    refusals = REFUSALS
    harmless = frozenset({_FINISHED, _UNKNOWN_ID, 55})  # 55: a subjob that has finished
    array_option = "-J"
    format = ("-F", "json")
    server_is_up = ("qstat", "-B")
    list_tasks = ("-T",)
    queued_states = "EHQRSTUW"
    exit_status = "Exit_status"
    ends = ENDS

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
                ids[name] = array_id(reply.stdout.split()[0])
        return ids

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask with at most three calls: by our own ids where they are few, else once for everything.

        ``qstat -x -t`` without ids is never asked: it may never end.
        """
        ids = tuple(sorted({task.job_id for task in tasks}))
        if len(ids) > MOST_IDS:
            return (yield from self._poll_many(tasks))
        history: tuple[str, ...] = ("-x",)
        # One odd job of another user breaks the JSON of the whole server, and not that of our own ids.
        call = Call(("qstat", *history, "-t", "-f", "-F", "json", *ids))
        reply = yield call
        _check_answered(call, reply)
        if _keeps_no_history(reply):
            history = ()
        records = records_of_tasks(read_json(reply.stdout) or {}, tasks) if history else {}
        if len(records) < len(tasks):
            # The text form always parses and names every id of the call. The JSON form may do neither.
            call = Call(("qstat", *history, "-t", "-f", *ids))
            reply = yield call
            _check_answered(call, reply)
            records = records_of_tasks(read_text_reply(call, reply), tasks)
        return PollAnswer(
            {task: self.status_of(records[task], task) if task in records else absent() for task in tasks}
        )

    def _poll_many(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask for all living jobs of the server, for our arrays by their ids, and for what has ended.

        The text form, which always parses: one odd job of another user breaks the JSON of a whole server.
        """
        arrays = sorted({task.job_id for task in tasks if "[]" in task.job_id})
        few_arrays = len(arrays) <= MOST_IDS
        records: dict[TaskRef, Record] = {}
        if few_arrays and arrays:
            call = Call(("qstat", "-x", "-t", "-f", *arrays))
            reply = yield call
            _check_answered(call, reply)
            if not _keeps_no_history(reply):
                records |= records_of_tasks(read_text_reply(call, reply), tasks)
        subjobs = () if all(task in records for task in tasks if "[]" in task.job_id) else ("-t",)
        call = Call(("qstat", *subjobs, "-f"))
        reply = yield call
        _check_answered(call, reply)
        records |= records_of_tasks(read_text(reply.stdout), tasks)
        missing = [task for task in tasks if task not in records]
        notes: tuple[str, ...] = ()
        if missing:
            ids = sorted({task.job_id for task in missing})
            few = len(ids) <= MOST_IDS
            call = Call(("qstat", "-x", "-t", "-f", *ids) if few else ("qstat", "-x", "-f"))
            reply = yield call
            if reply.exit_code in _ANSWERED:
                if not _keeps_no_history(reply):
                    records |= records_of_tasks(read_text(reply.stdout), missing)
                missing = []
            else:  # the history of a whole server may be more than it can tell in a minute
                notes = (
                    f"{call.argv[0]} -x did not answer ({reply.summary}); jobs that left the queue are not judged",
                )
        unknown = {task for task in missing if task not in records}
        return PollAnswer(
            {
                task: self.status_of(records[task], task) if task in records else absent()
                for task in tasks
                if task not in unknown
            },
            notes,
        )

    def read_attributes(self, text: str, section: str) -> Mapping[str, Record]:
        """Read ``qstat -B -f -F json`` and ``qstat -Q -f -F json``."""
        return read_json(text, section) or {}

    def read_limits(self, records: Sequence[Record], nodes: str, place: Place) -> Limits:
        """Read the limits from the attributes of a server and its queues, and of the nodes."""
        shared = shared_limits(records, place.user)
        memory_mib, cpus, gpus = _largest_node(nodes)
        array_sizes = (parse_int(record.get("max_array_size")) for record in records)
        of_user = (limit_of_user(record.get("max_queued"), place.user) for record in records)
        of_all_users = (parse_int(record.get("max_queuable")) for record in records)
        return Limits(
            max_array_size=smallest(*array_sizes) or DEFAULT_MAX_ARRAY_SIZE,
            max_queued=smallest(*of_user, *of_all_users),
            max_running=shared["max_running"],
            walltime_s=shared["walltime_s"],
            memory_mib=smallest(shared["memory_mib"], memory_mib),
            cpus=smallest(shared["cpus"], cpus),
            gpus=gpus,
        )

    def spell_array(self, first: int, last: int, throttle: int | None) -> str:
        """Spell an array. PBS refuses an array of one task, but takes every second task of two."""
        return f"{first}-{first + 1}:2" if first == last else super().spell_array(first, last, throttle)

    def objections(self, requests: Requests) -> Iterator[Objection]:
        """Refuse what would break a chunk, too."""
        yield from super().objections(requests)
        for name, values in requests.units.items():
            if any(":" in value for value in values):
                yield Objection(("resources", "extra", name), "a colon ends a part of a PBS chunk", "take it out")

    def exit_status_of(self, record: Record, task: TaskRef) -> int | None:
        """Read a task's exit status. Of a subjob that never ran, PBS prints its parent's record."""
        has_record = task.index is None or "array_index" in record
        return super().exit_status_of(record, task) if has_record else None

    def cancelled_by(self, record: Record) -> str:
        """Return who deleted the job. PBS says so only of a job that ran."""
        user = re.search(r"terminated by (\S+)", record.get("comment", ""))
        return user[1] if user else ""

    def end_of_script(self, exit_status: int, record: Record) -> End:
        """Return how a job ended: above 256, by a signal."""
        signal = exit_status - 256 if exit_status > 256 else None
        if record.get("substate") == _SUBSTATE_TERMINATED:
            user = self.cancelled_by(record)
            return Outcome.CANCELLED, f"deleted by {user}" if user else "it was deleted while it ran", None, signal
        return (Outcome.FAILED, "", None, signal) if signal else ended_by_itself(exit_status)


def _largest_node(text: str) -> tuple[int | None, int | None, int | None]:
    """Read ``pbsnodes -a -F json``: (MiB, CPUs, GPUs) of the largest node. None: it does not say."""
    try:
        nodes = json.loads(text, strict=False)["nodes"].values()
        resources = [{name: str(value) for name, value in node["resources_available"].items()} for node in nodes]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None, None
    memory_mib = max((parse_mib(node.get("mem")) or 0.0 for node in resources), default=0.0)
    cpus = max((parse_int(node.get("ncpus")) or 0 for node in resources), default=0)
    gpus = max((parse_int(node.get("ngpus")) or 0 for node in resources), default=0)
    return int(memory_mib) or None, cpus or None, gpus if resources else None


def _check_answered(call: Call, reply: Reply) -> None:
    """Raise if the server did not answer. A dead server prints an empty queue's JSON with another exit code."""
    if reply.exit_code not in _ANSWERED:
        raise no_answer(call, reply)


def _keeps_no_history(reply: Reply) -> bool:
    return "not configured to maintain job history" in reply.stderr
