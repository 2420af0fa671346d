"""The seam. A scheduler builds commands and reads their output. It starts no process and opens no file.

Each method returns a `Talk`: a conversation with the scheduler, written as a generator. It yields a `Call`, is
sent the `Reply`, and returns the result. So a scheduler stays pure, and its next command may depend on the last
reply. ``shell.converse`` runs a `Talk` with real commands; a test runs it with captured output::

    def version(self):
        reply = yield Call(("sbatch", "--version"))
        return reply.stdout.strip()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from sweep.errors import SchedulerSilent
from sweep.model import Limits, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers.directives import Objection, Requests, Speaker


@dataclass(frozen=True)
class Call:
    """One command to run.

    Attributes
    ----------
    timeout_s : float
        How long it may take.
    submits : bool
        It submits a job, which gets the command's environment; see ``environment.py``.
    unset : tuple of str
        Variables that it does not get.
    most_output_bytes : int
        It is ended once it has written more. A qstat that never ends was seen; no answer about our own jobs is
        as long as this.
    """

    argv: tuple[str, ...]
    timeout_s: float = 60.0
    submits: bool = False
    unset: tuple[str, ...] = ()
    most_output_bytes: int = 256 * 2**20


class CallFailure(StrEnum):
    """Why a command has no exit code of its own."""

    NONE = ""
    NOT_FOUND = "not found"
    TIMED_OUT = "timed out"
    KILLED = "was killed"
    WROTE_TOO_MUCH = "wrote too much"


@dataclass(frozen=True)
class Reply:
    """What a command printed, and how it ended.

    Attributes
    ----------
    exit_code : int or None
        None: the command could not be started, or was killed. `failure` says which, and `detail` in words.
    """

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    failure: CallFailure = CallFailure.NONE
    duration_s: float = 0.0
    detail: str = ""

    @property
    def summary(self) -> str:
        """The failure, or the first lines of stderr, or of stdout where stderr is empty."""
        if self.failure:
            return self.detail or self.failure
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return " / ".join(lines[:3])[:500]


#: File servers' clients cache attributes for up to a minute (nfs(5), acdirmax).
SHARED_GRACE_S = 60.0

#: No scheduler that many people share is asked again so short a time after it was asked.
POLL_EVERY_S = 10.0

T = TypeVar("T")
#: A conversation with a scheduler. It yields calls, is sent replies, and returns a T.
Talk = Generator[Call, Reply, T]


@dataclass(frozen=True)
class SubmitRequest:
    """What to submit.

    Attributes
    ----------
    script : str
        Absolute path of the job script.
    job_name : str
        The job's name. It contains the token.
    index : int or None
        The task to run as a job of its own. None: the script's array, if it has one. Tasks are counted from 0.
    output : str
        Absolute path of the file that the scheduler writes its own messages to.
    span : (int, int) or None
        The first and last task of the array to submit. None: all of them.
    throttle : int or None
        The largest number of tasks of `span` that run at once. None: no limit.
    after : str
        The id of a job that must end first, in whatever way. Empty: none.
    cluster : str
        The cluster that the script asks for. Empty: the one that the commands belong to.
    exclude : tuple of str
        Nodes that it must not run on, where `Scheduler.can_exclude_nodes`; they replace those of the script.
    """

    script: str
    job_name: str
    index: int | None
    output: str
    span: tuple[int, int] | None = None
    throttle: int | None = None
    after: str = ""
    cluster: str = ""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class SoughtJob:
    """A job that may be in the queue, as it was to be submitted.

    Attributes
    ----------
    job_name : str
        The name, which contains the token.
    first_task : int or None
        The first index of the array that it may be. None: it is no array.
    """

    job_name: str
    first_task: int | None = None


@dataclass(frozen=True)
class Place:
    """The user with their groups, and the queue, account, QOS and cluster of a job. Limits may depend on all."""

    user: str
    queue: str | None = None
    account: str | None = None
    qos: str | None = None
    cluster: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class PollAnswer:
    """The scheduler's answer about some tasks.

    Attributes
    ----------
    statuses : mapping of TaskRef to SchedulerStatus
        The status of each task. ABSENT: the scheduler answered and did not name the task. A task is missing
        where the scheduler did not answer.
    notes : tuple of str
        What people should know about this answer.
    """

    statuses: Mapping[TaskRef, SchedulerStatus] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variables:
    """A scheduler's environment variables, as patterns that fit a whole name; see ``environment.py``.

    Attributes
    ----------
    cluster : frozenset of str
        They name the cluster and the way to it, or are the site's own settings: every command gets them.
    own : str
        All others of this scheduler that a job has, or that stand for options of the submit command.
    questions : str
        Those that filter, sort or format what its other commands print.
    job : str
        The name of one that is set in a job and nowhere else.
    options : str
        Those that a person's own submit command heeds, and a job of ours does not get.
    """

    cluster: frozenset[str] = frozenset()
    own: str = ""
    questions: str = ""
    job: str = ""
    options: str = ""


class Scheduler(ABC):
    """What a scheduler's file provides: facts, calls to make, output to read. CONTRIBUTING.md says how to add one.

    sweep counts the tasks of a job from 0: `TaskRef`, `SubmitRequest` and `SoughtJob` do so, and so do the
    script's ``index`` and all files. A scheduler that counts otherwise translates in its methods and its template.

    Attributes
    ----------
    kind : str
        Its name in the grid.
    clients : tuple of str
        The commands it needs on PATH.
    template : str
        The job script's template: a name among ``templates/``, or an absolute path. Empty: ``<kind>.sh.j2``.
    variables : Variables
        Its environment variables.
    grace_s : float
        A node's record may appear so many seconds after the scheduler says that the job ended, because a shared
        file system shows new files late.
    heartbeat_s : float
        How often node.py refreshes a running trial's record. A file server is shared: it is written to less often.
    poll_every_s : float
        For so long an answer is good enough. 0: asking costs nobody anything.
    has_arrays : bool
        Whether a job can be an array. If not, each trial is a job of its own, and a packed job has one worker.
    caps_arrays : bool
        Whether there is a largest array. If not, no report says how large one may be.
    can_exclude_nodes : bool
        Whether a job can name nodes that it must not run on. If so, the template writes `avoid`.
    this_machine : bool
        Whether jobs run on this machine and nowhere else.
    is_private : bool
        Whether each person has a queue of their own, which nobody else can ask.
    further_keys : tuple of str
        Those keys of the grid's `scheduler` that not all schedulers have: ``qos``, ``cluster``.
    speakers : mapping of str to Speaker
        What gives a key of the grid's `scheduler` where the grid is silent. Other variables stand back.
    example_queue, example_directive : str
        What `sweep init` shows. Empty: it has no queues.
    """

    kind: str
    clients: tuple[str, ...] = ()
    template: str = ""
    variables = Variables()
    grace_s: float = SHARED_GRACE_S
    heartbeat_s: float = 60.0
    poll_every_s: float = POLL_EVERY_S
    has_arrays: bool = True
    caps_arrays: bool = True
    can_exclude_nodes: bool = False
    this_machine: bool = False
    is_private: bool = False
    further_keys: tuple[str, ...] = ()
    speakers: Mapping[str, Speaker] = {}
    example_queue: str = ""
    example_directive: str = ""

    @abstractmethod
    def version(self) -> Talk[str]:
        """Ask for the scheduler's name and version. SchedulerSilent if it does not answer."""

    def others_client(self) -> Talk[str]:
        """Say whose a client is, if another scheduler's has the same name: ``qstat is Torque's``. Else nothing.

        No server is asked.
        """
        yield from ()
        return ""

    @abstractmethod
    def limits(self, place: Place) -> Talk[Limits]:
        """Ask for the limits. A limit that it does not tell is None.

        Raises
        ------
        SchedulerRefused
            There is no such queue, or it does not take this user's jobs.
        SchedulerSilent
            It does not answer.
        """

    @abstractmethod
    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit a script and return the job's id. Else SchedulerRefused, SchedulerBusy or SchedulerSilent."""

    @abstractmethod
    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:
        """Ask for jobs by name. Returns name → id of the jobs it knows. SchedulerSilent if it does not answer."""

    @abstractmethod
    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask about tasks, in a constant number of calls. SchedulerSilent if it does not answer."""

    def usage(self, tasks: Sequence[TaskRef]) -> Talk[dict[TaskRef, SchedulerStatus]]:  # noqa: ARG002
        """Ask what running tasks use now, where `poll` does not say. It costs much, so only on request."""
        yield from ()
        return {}

    @abstractmethod
    def queued(self, place: Place) -> Talk[int]:
        """Count the user's tasks in the queue, whoever submitted them. SchedulerSilent if it does not answer."""

    @abstractmethod
    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Cancel whole jobs and single tasks. A job that has ended, or is unknown, is no error.

        The caller has asked whose they are: an id alone may be another job's by now.
        """

    def spell(self, task: TaskRef) -> str:
        """Spell a task as the scheduler's own commands take it: ``12_3``."""
        return task.job_id if task.index is None else f"{task.job_id}_{task.index}"

    def spell_array(self, first: int, last: int, throttle: int | None) -> str:
        """Spell the first and the last task of an array, and how many run at once at most: ``5-9%2``."""
        return f"{first}-{last}" + (f"%{throttle}" if throttle else "")

    def array_of(self, request: SubmitRequest) -> str:
        """Spell the array that a request names. Empty: the script does."""
        return "" if request.span is None else self.spell_array(*request.span, request.throttle)

    def unfit_folder(self, folder: str) -> str:  # noqa: ARG002
        """Say what in the path of a sweep's folder the scheduler cannot take. Empty: nothing."""
        return ""

    def objections(self, requests: Requests) -> Iterator[Objection]:  # noqa: ARG002
        """Yield the requests that it would not heed, or would refuse."""
        yield from ()


def confirmed(scheduler: Scheduler, request: SubmitRequest, reply: Reply, candidates: Sequence[str]) -> Talk[str]:
    """Return the id in the submit command's answer. Of several lines, the scheduler says which one it is.

    A site's wrapper may print a line of its own before the id, and the line may be a number.

    Parameters
    ----------
    candidates : sequence of str
        What looks like an id in the answer; at least one.

    Raises
    ------
    SchedulerSilent
        The scheduler confirms none of them under the job's name.
    """
    if len([line for line in reply.stdout.splitlines() if line.strip()]) == 1:
        return candidates[0]
    sought = SoughtJob(request.job_name, request.span[0] if request.span else None)
    ids = yield from scheduler.find([sought], request.cluster)
    job_id = ids.get(request.job_name)
    if job_id is None:
        raise SchedulerSilent(
            f"the answer was {' / '.join(reply.stdout.split())[:200]!r}, and the scheduler knows no job "
            f"{request.job_name!r} yet",
            "repeat `sweep submit`: it asks again",
        )
    return job_id


def smallest(*values: int | None) -> int | None:
    """Return the smallest of several limits; None where there is none."""
    return min((value for value in values if value is not None), default=None)


def no_answer(call: Call, reply: Reply) -> SchedulerSilent:
    """Make the error for a call that got no answer."""
    return SchedulerSilent(
        f"{call.argv[0]} did not answer: {reply.summary or f'exit code {reply.exit_code}'}",
        "nothing was changed; try again when the scheduler is back (`sweep doctor` tells)",
    )


def absent() -> SchedulerStatus:
    """Make the status of a task that the scheduler was asked about and did not name."""
    return SchedulerStatus(TaskState.ABSENT, reason="the scheduler does not know this job")
