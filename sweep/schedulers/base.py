"""The seam. A scheduler is commands to build and output to read; it starts no process and opens no file.

Each method is a *talk*: a generator that yields a `Call`, is sent the `Reply`, and returns what it learned.
So a scheduler may ask a second question in the light of the first answer and stays pure; ``shell.converse``
holds the talk for real, a test holds it with captured output::

    def version(self):
        reply = yield Call(("sbatch", "--version"))
        return reply.stdout.strip()
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sweep.errors import SchedulerSilent
from sweep.model import Limits, SchedulerStatus, TaskRef, TaskState


@dataclass(frozen=True)
class Call:
    """One command to run, with what it may take."""

    argv: tuple[str, ...]
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes
    ----------
    exit_code : int or None
        None: the command could not be started, or was killed at its time-out; `failure` says which.
    """

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    failure: str = ""
    duration_s: float = 0.0

    @property
    def said(self) -> str:
        """What it said, in a few words: the first lines of stderr, else of stdout."""
        if self.failure:
            return self.failure
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return " / ".join(lines[:3])[:500]


#: Attribute caches of file servers live up to a minute (nfs(5), acdirmax).
SHARED_GRACE_S = 60.0

T = TypeVar("T")
Talk = Generator[Call, Reply, T]


@dataclass(frozen=True)
class SubmitRequest:
    """What to submit.

    Attributes
    ----------
    script : str
        Absolute path of the job script.
    job_name : str
        The name to give it, with the token in it.
    index : int or None
        The task to run, as a job of its own; None: the script's array, if it has one.
    output : str
        Absolute path for what the scheduler itself writes about the job.
    span : (int, int) or None
        Only these of the array's tasks, first and last.
    throttle : int or None
        Of these, at most so many running at once.
    after : str
        The id of a job that is to end first, however it ends.
    """

    script: str
    job_name: str
    index: int | None
    output: str
    span: tuple[int, int] | None = None
    throttle: int | None = None
    after: str = ""

    @property
    def array(self) -> str:
        """The array's indices as all schedulers spell them, ``5-9%2``; empty: as the script says."""
        if self.span is None:
            return ""
        return f"{self.span[0]}-{self.span[1]}" + (f"%{self.throttle}" if self.throttle else "")


@dataclass(frozen=True)
class Place:
    """Where jobs go and whose they are: what a limit may depend on."""

    user: str
    queue: str | None = None
    account: str | None = None


@dataclass(frozen=True)
class PollAnswer:
    """The scheduler's answer about some tasks.

    Attributes
    ----------
    words : mapping of TaskRef to SchedulerStatus
        One for every task that was asked about and answered for; ABSENT if it was not named.
        A task that the scheduler did not answer for is missing.
    notes : tuple of str
        What a person should know about this answer.
    """

    statuses: Mapping[TaskRef, SchedulerStatus] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Scheduler(Protocol):
    """What a back end provides; ``docs/schedulers.md`` shows how to add one.

    Attributes
    ----------
    kind : str
        Its name in the grid.
    clients : tuple of str
        The commands it needs on PATH.
    grace_s : float
        How much later than its word a node's record may appear: what a shared file system may lag behind.
    avoids : bool
        Whether its jobs can be kept from nodes by name; the template then has to.
    """

    kind: str
    clients: tuple[str, ...]
    grace_s: float
    avoids: bool

    def version(self) -> Talk[str]:
        """Ask for name and version. SchedulerSilent if there is no answer."""
        ...

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask what it takes. A limit that it does not tell is None; SchedulerSilent if it does not answer."""
        ...

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit a script; the job's id. SchedulerRefused, SchedulerBusy or SchedulerSilent otherwise."""
        ...

    def find(self, job_names: Sequence[str]) -> Talk[dict[str, str]]:
        """Ask for jobs by their names: name → id of those it knows. SchedulerSilent if no answer."""
        ...

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask about tasks, in a constant number of calls. SchedulerSilent if there is no answer."""
        ...

    def usage(self, tasks: Sequence[TaskRef]) -> Talk[dict[TaskRef, SchedulerStatus]]:
        """Ask what running tasks use just now, where `poll` does not say: a costly question, so on request."""
        ...

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Cancel whole jobs and single tasks, in this order. Ended and unknown ones are no error."""
        ...


def nothing_more(_tasks: Sequence[TaskRef]) -> Talk[dict[TaskRef, SchedulerStatus]]:
    """Be the `usage` of a scheduler whose poll has said it all; no call is made."""
    yield from ()
    return {}


def smallest(*values: int | None) -> int | None:
    """Return the tightest of several limits; None where there is none."""
    return min((value for value in values if value is not None), default=None)


def silent(call: Call, reply: Reply) -> SchedulerSilent:
    """Make the error for a call that got no answer."""
    return SchedulerSilent(
        f"{call.argv[0]} did not answer: {reply.said or f'exit code {reply.exit_code}'}",
        "nothing was changed; try again when the scheduler is back (`sweep doctor` tells)",
    )


def absent() -> SchedulerStatus:
    """Make the word for a task that the scheduler was asked about and did not name."""
    return SchedulerStatus(TaskState.ABSENT, reason="the scheduler does not know this job")
