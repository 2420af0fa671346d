"""What OpenPBS and Torque share: four commands, most states and ends, and how a job's record is read."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

from sweep.errors import SchedulerError, SchedulerSilent
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslimits, refusals
from sweep.schedulers.base import (
    Call,
    Place,
    Reply,
    Scheduler,
    SubmitRequest,
    Talk,
    Variables,
    confirmed,
    no_answer,
)
from sweep.schedulers.directives import Objection, Requests
from sweep.schedulers.pbsoutput import Record, parse_int, parse_mib, parse_seconds, spelled

#: The states that both have, by qstat(1B).
STATES: dict[str, TaskState] = {
    "Q": TaskState.PENDING,
    "H": TaskState.PENDING,  # held; also what waits for another job, or is above its array's throttle
    "W": TaskState.PENDING,  # waiting for its time
    "T": TaskState.PENDING,  # being moved
    "R": TaskState.RUNNING,
    "S": TaskState.SUSPENDED,
    "E": TaskState.RUNNING,  # exiting: its record may not be there yet
}

#: Below zero, the exit status says why the server ended the job. Both have these.
ENDS: dict[int, tuple[Outcome, str]] = {
    -1: (Outcome.LAUNCH, "the node could not start it"),
    -2: (Outcome.LAUNCH, "the node could not start it"),
    -3: (Outcome.NODE_FAIL, "the node gave it back"),
    -4: (Outcome.NODE_FAIL, "the node restarted"),
    -5: (Outcome.NODE_FAIL, "the node restarted"),
    -6: (Outcome.NODE_FAIL, "the node restarted"),
}

#: qstat makes two connections for every id, from ports of which a server has some hundred for all of its users:
#: 200 ids take it half a minute, 400 end in a time-out, and other people's commands wait as long. So no look asks
#: for more ids than this; from there on it asks once for everything.
MOST_IDS = 20

#: A pattern in qsub's message → the directive it is about. Empty: the pattern's first group names it.
_DIRECTIVES: tuple[tuple[str, str], ...] = (
    (r"Resource_List\.(\w+)", ""),
    (r"select\.(\w+)", ""),
    (r"max (walltime|mem|ncpus|nodect)", ""),
    (r"illegal (-\w) value", ""),
    (r"[Uu]nknown queue|queue not found|Queue is not enabled|Unauthorized", "-q"),
    (r"[Aa]rray", "-J"),
    (r"queue and/or server resource limits", "-l"),
    (r"[Aa]ccount", "-A"),
)

#: What ``qstat --version`` says, by the name of whose it is.
_VERSIONS = {"OpenPBS": r"pbs_version\s*=\s*(\S+)", "Torque": r"Version:\s*(\S+)"}

#: How a job ended: outcome, reason, exit code, signal.
End = tuple[Outcome | None, str, int | None, int | None]


class PbsLike(Scheduler):
    """Runs and reads the commands that OpenPBS and Torque have both.

    Attributes
    ----------
    name, short_name : str
        What people call it, and what errors do.
    states : mapping of str to TaskState
        Its job states, by their letter.
    refusals : mapping of int to (Kind, str)
        What qsub's exit codes mean.
    harmless : collection of int
        qdel's exit codes that mean "the job has ended" or "there is no such job".
    array_option : str
        qsub's option for an array.
    format : tuple of str
        The options by which qstat and pbsnodes show attributes in the form that is read here.
    server_is_up : tuple of str
        A cheap question to the server.
    list_tasks : tuple of str
        qselect's option to list every task of an array. Empty: it does so anyway.
    queued_states : str
        The letters of the states that count as in the queue.
    exit_status : str
        The attribute that has a job's exit status.
    ends : mapping of int to (Outcome, str)
        What an exit status below zero means: why the server ended the job.
    default_queue : str
        The queue where neither the grid nor the server names one.
    """

    clients = ("qsub", "qstat", "qdel", "qselect")
    variables = Variables(
        cluster=frozenset(
            f"PBS_{name}"
            for name in (
                *("CONF_FILE", "DEFAULT", "SERVER", "SERVER_HOST_NAME", "PRIMARY", "SECONDARY", "EXEC", "HOME"),
                *("LEAF_NAME", "LEAF_ROUTERS", "PUBLIC_HOST_NAME", "BATCH_SERVICE_PORT", "BATCH_SERVICE_PORT_DIS"),
                *("MANAGER_SERVICE_PORT", "AUTH_METHOD", "ENCRYPT_METHOD", "SUPPORTED_AUTH_METHODS"),
            )
        ),
        own="PBS_.*|QSTATRCHOME",
        questions="PBSDEBUG",
        job="PBS_JOBID",
        options="PBS_DPREFIX",
    )
    example_queue = "batch"
    example_directive = "-m n"

    name: str
    short_name: str
    states: Mapping[str, TaskState]
    refusals: Mapping[int, tuple[refusals.Kind, str]]
    harmless: Collection[int]
    array_option: str
    format: tuple[str, ...] = ()
    server_is_up: tuple[str, ...]
    list_tasks: tuple[str, ...] = ()
    queued_states: str
    exit_status: str
    ends: Mapping[int, tuple[Outcome, str]]
    default_queue: str = ""

    def others_client(self) -> Talk[str]:
        """Ask qstat which of the two it belongs to."""
        reply = yield Call(("qstat", "--version"), timeout_s=20)
        text = reply.stdout + reply.stderr
        owner = next((name for name, version in _VERSIONS.items() if re.search(version, text)), self.name)
        return "" if owner == self.name else f"qstat is {owner}'s"

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the server is up."""
        call = Call(("qstat", "--version"))
        reply = yield call
        version = re.search(_VERSIONS[self.name], reply.stdout + reply.stderr)
        if not version:
            raise no_answer(call, reply)
        yield from asked(*self.server_is_up)
        return f"{self.name} {version[1]}"

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask for the limits of the server, the queue and the nodes."""
        server_reply = yield from asked("qstat", "-B", "-f", *self.format)
        server = next(iter(self.read_attributes(server_reply.stdout, "Server").values()), {})
        show_queues = ("qstat", "-Q", "-f", *self.format)
        ways = yield from pbslimits.ways(
            place, server, self.default_queue, show_queues, lambda text: self.read_attributes(text, "Queue")
        )
        nodes = yield Call(("pbsnodes", "-a", *self.format))
        limits = {way: self.read_limits(records, nodes.stdout, place) for way, records in ways.items()}
        return pbslimits.either(limits)

    @abstractmethod
    def read_attributes(self, text: str, section: str) -> Mapping[str, Record]:
        """Read what qstat shows of servers (`section` is ``Server``) or queues (``Queue``): name → attributes."""

    @abstractmethod
    def read_limits(self, records: Sequence[Record], nodes: str, place: Place) -> Limits:
        """Read the limits from the attributes of a server and its queues, the server's first, and of the nodes."""

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with qsub, after another job where one is named."""
        return (yield from self.submit_after(request, f"depend=afterany:{request.after}" if request.after else ""))

    def submit_after(self, request: SubmitRequest, dependency: str) -> Talk[str]:
        """Submit with qsub. What differs from call to call is an option here, not a line of the script."""
        # -v takes only plain words. It refuses quotes, cuts at commas and doubles backslashes.
        task = () if request.index is None else ("-v", f"SWEEP_TASK={request.index}")
        array = (self.array_option, self.array_of(request)) if request.span else ()
        after = ("-W", dependency) if dependency else ()
        call = Call(("qsub", "-N", request.job_name, *task, *array, *after, request.script), submits=True)
        reply = yield call
        candidates = re.findall(r"^\d+(?:\[\])?(?:\.\S+)?$", reply.stdout, re.MULTILINE)
        if reply.exit_code == 0 and candidates:
            return (yield from confirmed(self, request, reply, candidates))
        if reply.exit_code is None or reply.exit_code == 0 or "qsub" not in reply.stderr:
            raise SchedulerSilent(f"qsub: {reply.summary or 'no job id in its answer'}")
        kind = self.refusals.get(reply.exit_code, (refusals.Kind.UNKNOWN, ""))[0]
        directive = refusals.blamed(reply.stderr, _DIRECTIVES)
        raise refusals.error_of("qsub", kind, reply.stderr, reply.summary, directive)

    def queued(self, place: Place) -> Talk[int]:
        """Ask qselect for the user's jobs, every task of an array among them."""
        reply = yield from asked("qselect", *self.list_tasks, "-u", place.user, "-s", self.queued_states)
        return len(reply.stdout.split())

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Delete single jobs, subjobs and arrays in separate calls. OpenPBS's qdel aborts where they are mixed."""
        arrays = tuple(job for job in jobs if "[]" in job)
        singles = tuple(job for job in jobs if "[]" not in job)
        subjobs = tuple(self.spell(task) for task in tasks)
        for ids in (singles, subjobs, arrays):
            if ids:
                call = Call(("qdel", *ids), timeout_s=120)  # 8192 queued subjobs took it 20 s
                reply = yield call
                if reply.exit_code != 0 and reply.exit_code not in self.harmless:
                    raise no_answer(call, reply)

    def spell(self, task: TaskRef) -> str:
        """Spell a task as qstat and qdel take it: ``17[0].vm``."""
        return spelled(task)

    def objections(self, requests: Requests) -> Iterator[Objection]:
        """Refuse a second request of nodes."""
        chunk = next((line for line in requests.directives if re.match(r"-l\s*(select|nodes)\b", line)), None)
        if chunk:
            yield Objection(
                ("scheduler", "extra"),
                f"{chunk!r} would be ignored: PBS heeds a script's first request, which is the one of `resources`",
                "write the site's own units as resources: {extra: {mpiprocs: 4}}",
            )

    def state_of(self, record: Record) -> TaskState:
        """Look up the state that a record has."""
        letter = record.get("job_state", "")
        if letter not in self.states:
            raise SchedulerError(
                f"unknown {self.short_name} job state {letter!r}",
                f"add it to STATES in sweep/schedulers/{self.kind}.py",
            )
        return self.states[letter]

    def status_of(self, record: Record, task: TaskRef) -> SchedulerStatus:
        """Read the record of a task."""
        state = self.state_of(record)
        end: End = (None, self.why_it_waits(record) if state is TaskState.PENDING else "", None, None)
        if state is TaskState.ENDED:
            end = self.end_of(self.exit_status_of(record, task), record)
        return SchedulerStatus(
            state,
            *end,
            elapsed_s=parse_seconds(record.get("resources_used.walltime")),
            # They say 0 of a job that is shorter than the node's poll: the value is not known.
            cpu_s=parse_seconds(record.get("resources_used.cput")) or None,
            peak_memory_mib=parse_mib(record.get("resources_used.mem")) or None,
            job_name=record.get("Job_Name", ""),
            cancelled_by=self.cancelled_by(record) if end[0] is Outcome.CANCELLED else "",
        )

    def why_it_waits(self, record: Record) -> str:
        """Return what keeps a task in the queue, in the server's words."""
        return record.get("comment", "")

    def cancelled_by(self, record: Record) -> str:  # noqa: ARG002
        """Return who deleted the job, as ``user@host``. Empty: the server does not say."""
        return ""

    def exit_status_of(self, record: Record, task: TaskRef) -> int | None:  # noqa: ARG002
        """Read a task's exit status. None: it never ran."""
        return parse_int(record.get(self.exit_status))

    def end_of(self, exit_status: int | None, record: Record) -> End:
        """Return how a job ended."""
        if exit_status is None:
            return Outcome.CANCELLED, "it was deleted before it started", None, None
        if exit_status < 0:
            unknown = (Outcome.UNKNOWN, f"{self.short_name} exit status {exit_status}")
            return *self.ends.get(exit_status, unknown), None, None
        return self.end_of_script(exit_status, record)

    @abstractmethod
    def end_of_script(self, exit_status: int, record: Record) -> End:
        """Return how a job ended whose script has an exit status: 0 to 255, or more where a signal ended it."""


def asked(*argv: str) -> Talk[Reply]:
    """Ask one question. SchedulerSilent if it fails."""
    call = Call(argv)
    reply = yield call
    if reply.exit_code != 0:
        raise no_answer(call, reply)
    return reply


def ended_by_itself(exit_status: int) -> End:
    """Return how a job ended whose script returned."""
    return (Outcome.FAILED if exit_status else Outcome.COMPLETED), "", exit_status, None
