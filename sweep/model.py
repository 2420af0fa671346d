"""The nouns, frozen. One word for one thing, everywhere; ``docs/architecture.md`` tells their story."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = [
    "Attempt",
    "Cause",
    "Evidence",
    "Job",
    "Limits",
    "Objective",
    "Outcome",
    "Resources",
    "SchedulerStatus",
    "State",
    "Submission",
    "TaskRef",
    "TaskState",
    "Trial",
    "Verdict",
    "canonical",
    "efficiency",
    "memory_percent",
]


def canonical(value: Any) -> Any:
    """Give equal numbers one form: 1 and 1.0 are equal, 1 and true are not."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial asks of a node. Trials that ask for the same form a group."""

    walltime_s: int
    memory_mib: int
    cpus: int
    gpus: int = 0

    @property
    def walltime(self) -> str:
        """The wall time as ``[days-]hours:minutes:seconds`` without days: ``36:00:00``."""
        hours, rest = divmod(self.walltime_s, 3600)
        return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"


def efficiency(cpu_s: float | None, elapsed_s: float | None, cpus: int) -> float | None:
    """Return the CPU time used over that allotted, in %. None where either time is unknown.

    >>> efficiency(30.0, 10.0, 4), efficiency(None, 10.0, 4)
    (75.0, None)
    """
    return None if cpu_s is None or not elapsed_s else 100.0 * cpu_s / (elapsed_s * cpus)


def memory_percent(peak_mib: float | None, requested_mib: float) -> float | None:
    """Return the peak memory over that requested, in %. None where the peak is unknown.

    >>> memory_percent(512.0, 2048), memory_percent(None, 2048)
    (25.0, None)
    """
    return None if peak_mib is None else 100.0 * peak_mib / requested_mib


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scheduler takes, by its own word and the grid's. None: no limit that we know of.

    Attributes
    ----------
    max_array_size : int
        Tasks in one array.
    max_queued : int or None
        Of one person's tasks, so many in the queue at once, each of an array's counted.
    max_running : int or None
        … and so many running.
    walltime_s, memory_mib, cpus, gpus : int or None
        The most that one job may ask for, memory, CPUs and GPUs of one node.
    """

    max_array_size: int
    max_queued: int | None = None
    max_running: int | None = None
    walltime_s: int | None = None
    memory_mib: int | None = None
    cpus: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """What makes one trial better than another, and the file that says it."""

    metric: str = "segMeasure"
    goal: str = "maximize"
    file: str = "segMeasure.json"

    @property
    def minimize(self) -> bool:
        """Whether the smallest score is the best."""
        return self.goal == "minimize"


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration and one replicate of it.

    Attributes
    ----------
    number : int
        Its place in the plan, never given twice in one sweep.
    id : str
        A hash of its parameters and replicate (16 hex digits): an edited grid renumbers nothing.
    argv : tuple of str
        The command, filled in: exactly what the program receives.
    retired : bool
        The grid no longer asks for it. Its results stay.
    """

    number: int
    id: str
    params: dict[str, Any]
    replicate: int
    seed: int
    resources: Resources
    argv: tuple[str, ...]
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A rendered script and the trials it runs: ``tasks[i]`` is (trial number, attempt).

    Attributes
    ----------
    resources : Resources
        What one trial asks for; `asks` is what the job does, more where a worker runs several side by side.
    workers : int
        Of a packed job, how many workers pull its trials; 0 where each task is a trial.
    avoid : tuple of str
        Nodes it is not to run on: they failed under earlier attempts.
    """

    name: str
    resources: Resources
    tasks: tuple[tuple[int, int], ...]
    workers: int = 0
    worker_asks: Resources | None = None
    avoid: tuple[str, ...] = ()

    @property
    def asks(self) -> Resources:
        """What the scheduler is asked for, a task of the job."""
        return self.worker_asks or self.resources


class TaskRef(NamedTuple):
    """How the scheduler names one task: the job's id and, in an array, the index."""

    job_id: str
    index: int | None = None  # type: ignore[assignment] # a tuple, since it is hashed so often: it has an `index`

    def __str__(self) -> str:
        return self.job_id if self.index is None else f"{self.job_id}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Submission:
    """One call of the submit command for a job.

    Attributes
    ----------
    token : str
        Fresh for every call and part of the job's name, so that the scheduler can be asked for it.
    index : int or None
        The task it runs, as a job of its own; None: an array.
    span : (int, int) or None
        The array's first and last task; None: all of the job's.
    workers : int
        The job is packed, and so many workers were asked for, for `open` trials.
    over : bool
        The workers have ended; what they left may be sent again.
    job_id : str
        What the scheduler answered; empty while that is not known.
    refused : str
        Why the scheduler would not have it; empty otherwise.
    unanswered : bool
        The call is over and brought no answer; so the job is there by now, or never will be.
    """

    token: str
    job: str
    job_name: str
    index: int | None
    at: float
    job_id: str = ""
    refused: str = ""
    unanswered: bool = False
    span: tuple[int, int] | None = None
    workers: int = 0
    open: int = 0
    over: bool = False

    @property
    def dead(self) -> bool:
        """Whether nothing can come of it any more."""
        return self.over or bool(self.refused)

    def covers(self, index: int) -> bool:
        """Whether this call is about this task of the job."""
        if self.index is not None:
            return index == self.index
        return self.span is None or bool(self.workers) or self.span[0] <= index <= self.span[1]

    def pool(self) -> tuple[TaskRef, ...]:
        """Name the workers of a packed job."""
        if not self.job_id or not self.workers:
            return ()
        if self.workers == 1 and self.span is None:  # one task never goes out as an array
            return (TaskRef(self.job_id),)
        return tuple(TaskRef(self.job_id, worker) for worker in range(self.workers))


class TaskState(StrEnum):
    """What a scheduler can say of one task."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    ABSENT = "absent"  # it answered, and did not name this task


class Outcome(StrEnum):
    """How a task ended, in the scheduler's word."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "walltime exceeded"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAIL = "node failure"
    PREEMPTED = "pre-empted"
    LAUNCH = "launch failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SchedulerStatus:
    """What the scheduler says of one task. None or empty: it did not say.

    Attributes
    ----------
    cancelled_by : str
        Who cancelled the job, where the scheduler says so: ``user 1000``, ``eve@login1``.
    """

    state: TaskState
    outcome: Outcome | None = None
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    elapsed_s: float | None = None
    cpu_s: float | None = None
    peak_memory_mib: float | None = None
    job_name: str = ""
    cancelled_by: str = ""


class StartFailure(StrEnum):
    """Why a trial's command was never started, as the node's record says it."""

    NONE = ""
    ENVIRONMENT = "environment"  # a line of the grid's `environment` failed
    START = "start"  # the command could not be executed


@dataclass(frozen=True, slots=True)
class Attempt:
    """What node.py left: a claim and, once it has ended, the exit record. None: not said.

    Attributes
    ----------
    limit : str
        What of its own it exceeded, ``walltime`` or ``memory``, where a packed worker had to see to that.
    cancelled : bool
        It was cancelled before anyone began it: the claim was taken so that nobody would.
    """

    number: int
    job_id: str = ""
    job_name: str = ""
    index: int | None = None
    host: str = ""
    started_at: float | None = None
    ended: bool = False
    exit_code: int | None = None
    signal: int | None = None
    elapsed_s: float | None = None
    cpu_s: float | None = None
    memory_mib: float | None = None
    peak_memory_mib: float | None = None
    signals: tuple[str, ...] = ()
    failure: StartFailure = StartFailure.NONE
    error: str = ""
    limit: str = ""
    cancelled: bool = False
    node: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a trial.

    Attributes
    ----------
    word : SchedulerStatus or None
        None: the scheduler did not answer, or was not asked.
    result : dict or None
        The result, if it is valid; else `result_problem` says why not.
    gone_s : float
        For how long the scheduler has been saying that the job ended, or is not there.
    grace_s : float
        How much later than that a record may still appear on this file system.
    pooled : bool
        Its job is packed. While no worker has begun it, `status` is about all of them.
    memory_mib : float
        What it asked for.
    """

    submission: Submission | None = None
    attempt: Attempt | None = None
    status: SchedulerStatus | None = None
    result: dict[str, Any] | None = None
    result_problem: str = ""
    cancel_asked: bool = False
    gone_s: float = 0.0
    grace_s: float = 60.0
    now: float = 0.0
    pooled: bool = False
    memory_mib: float = 0.0


class State(StrEnum):
    """Where a trial stands."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    PAUSED = "paused"  # saved where it was and asked to go on: neither failed nor done
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether nothing that may still happen by itself changes it."""
        return self in (State.DONE, State.PAUSED, State.FAILED, State.CANCELLED)


class Cause(StrEnum):
    """Why a trial did not end well: what decides whether another attempt may help."""

    NONE = ""
    OUT_OF_MEMORY = "out of memory"
    WALLTIME = "walltime"
    NODE_FAILURE = "node failure"
    PREEMPTED = "pre-emption"
    LAUNCH = "launch failure"
    ENVIRONMENT = "environment"
    ERROR = "error"  # the program's own
    NO_RESULT = "no result"
    BAD_RESULT = "result not valid"
    CANCELLED = "cancelled"
    LOST = "lost"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A trial's state and why, in words, with what it used.

    Attributes
    ----------
    witness : str
        Whose figures these are: ``node`` (node.py saw the process tree) or ``scheduler``.
    started_at : float or None
        When it began on its node, by that node's clock.
    """

    state: State
    reason: str
    elapsed_s: float | None = None
    cpu_s: float | None = None
    peak_memory_mib: float | None = None
    host: str = ""
    cause: Cause = Cause.NONE
    witness: str = ""
    started_at: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
