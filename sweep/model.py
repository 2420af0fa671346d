"""The nouns, frozen. One word for one thing, everywhere; ``docs/architecture.md`` has the glossary.

Some are msgspec structs: those that the journal holds, and those of which there are thousands. Python makes such a
class in a twentieth of the time that a dataclass takes, and every command makes all of these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

__all__ = [
    "ALIVE",
    "ENDED",
    "IN_QUEUE",
    "Cause",
    "Job",
    "Limits",
    "Objective",
    "Outcome",
    "Raised",
    "Resources",
    "ResultProblem",
    "SchedulerStatus",
    "State",
    "Submission",
    "Task",
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
    """What one trial asks of a node. Trials that ask for the same form a group.

    Attributes
    ----------
    walltime_s, memory_mib, cpus, gpus : int
        0: not asked for; it is left to the site.
    extra : tuple of (str, str)
        The site's own units, by name: ``("mpiprocs", "4")``. An empty value: the name alone.
    """

    walltime_s: int
    memory_mib: int
    cpus: int
    gpus: int = 0
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def cores(self) -> int:
        """How many CPUs to reckon with: one, where that is left to the site."""
        return self.cpus or 1

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
    """Return the peak memory over that requested, in %. None where the peak is unknown, or none was requested.

    >>> memory_percent(512.0, 2048), memory_percent(None, 2048)
    (25.0, None)
    """
    return None if peak_mib is None or not requested_mib else 100.0 * peak_mib / requested_mib


class Raised(msgspec.Struct, frozen=True):
    """What a retry asks for instead of what the grid gives. None: the grid's."""

    memory_mib: int | None = None
    walltime_s: int | None = None

    def __bool__(self) -> bool:
        return self.memory_mib is not None or self.walltime_s is not None

    @classmethod
    def beyond(cls, asked: Resources, memory_mib: int, walltime_s: int) -> Raised:
        """Return what of these values is more than was asked for."""
        return cls(
            memory_mib if memory_mib > asked.memory_mib else None,
            walltime_s if walltime_s > asked.walltime_s else None,
        )

    def over(self, earlier: Raised) -> Raised:
        """Return this, with an earlier one's values where this has none."""
        return Raised(
            earlier.memory_mib if self.memory_mib is None else self.memory_mib,
            earlier.walltime_s if self.walltime_s is None else self.walltime_s,
        )

    def replacing(self, resources: Resources) -> Resources:
        """Return the resources with these values instead, whether larger or not."""
        return replace(
            resources,
            memory_mib=resources.memory_mib if self.memory_mib is None else self.memory_mib,
            walltime_s=resources.walltime_s if self.walltime_s is None else self.walltime_s,
        )

    def applied_to(self, resources: Resources) -> Resources:
        """Return the resources with these values, where they are larger."""
        return replace(
            resources,
            memory_mib=max(resources.memory_mib, self.memory_mib or 0),
            walltime_s=max(resources.walltime_s, self.walltime_s or 0),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scheduler accepts, as it says itself or as the grid says. None: no limit is known.

    Attributes
    ----------
    max_array_size : int
        Tasks in one array.
    max_queued : int or None
        The largest number of one person's tasks in the queue. Every task of an array counts.
    group_queued : int or None
        The largest number of tasks that all users of the account, or of the QOS, have in the queue together.
    max_running : int or None
        The largest number of one person's tasks that run.
    max_throttle : int or None
        The largest number of an array's tasks that may be asked to run at once.
    max_idle : int or None
        The largest number of an array's tasks that wait in the queue. The scheduler makes the others when these
        have begun, and does not name them until then.
    walltime_s, memory_mib, cpus, gpus : int or None
        The most that one job may ask for. Memory, CPUs and GPUs are those of one node.
    one_of : dict
        The queues that a routing queue leads to, by name, with their own limits. A job has to fit one of them.
    """

    max_array_size: int
    max_queued: int | None = None
    group_queued: int | None = None
    max_running: int | None = None
    max_throttle: int | None = None
    max_idle: int | None = None
    walltime_s: int | None = None
    memory_mib: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    one_of: dict[str, Limits] = field(default_factory=dict)

    def exceeded_by(self, asks: Resources) -> list[str]:
        """Name the requests that are more than may be asked for, by their attribute."""
        names = ("walltime_s", "memory_mib", "cpus", "gpus")
        limits = {name: getattr(self, name) for name in names}
        return [name for name in names if limits[name] is not None and getattr(asks, name) > limits[name]]


@dataclass(frozen=True, slots=True)
class Objective:
    """What makes one trial better than another, and the file that says it.

    Attributes
    ----------
    require : tuple of str
        What a configuration has to meet to be ranked among the best: ``f1 > 0.8``.
    second, second_goal : str
        A second objective, which ranks nothing; empty: there is none.
    """

    metric: str = "segMeasure"
    goal: str = "maximize"
    file: str = "segMeasure.json"
    require: tuple[str, ...] = ()
    second: str = ""
    second_goal: str = "minimize"

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


class Task(NamedTuple):
    """One element of a job: which attempt of which trial it runs."""

    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Job:
    """A rendered script and the trials that it runs, a task each.

    Attributes
    ----------
    resources : Resources
        What one trial asks for; `asks` is what the job does, more where a worker runs several side by side.
    workers : int
        How many workers run the trials of a packed job; 0: it is not packed, and each task is a trial.
    avoid : tuple of str
        Nodes it is not to run on: they failed under earlier attempts.
    variables : dict
        Trial number → what that attempt's command gets in its environment, beside what every trial does.
    """

    name: str
    resources: Resources
    tasks: tuple[Task, ...]
    workers: int = 0
    worker_asks: Resources | None = None
    avoid: tuple[str, ...] = ()
    variables: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def asks(self) -> Resources:
        """What the scheduler is asked for, a task of the job."""
        return self.worker_asks or self.resources


class TaskRef(NamedTuple):
    """One task of the scheduler: the job's id and, in an array, the index, from 0. `Scheduler.spell` spells it."""

    job_id: str
    index: int | None = None  # type: ignore[assignment] # a tuple, since it is hashed so often: it has an `index`


@dataclass(frozen=True, slots=True)
class Submission:
    """One call of the submit command for a job.

    Attributes
    ----------
    token : str
        Fresh for every call and part of the job's name, so that the scheduler can be asked for it.
    index : int or None
        The task that it runs as a job of its own. None: it is an array.
    span : (int, int) or None
        The array's first and last task. None: all of the job's.
    workers : int
        How many workers were asked for. 0: the job is not packed.
    open : int
        How many trials a packed job had to run when it was submitted.
    exhausted : bool
        The workers have ended. The trials that they left may be sent again.
    job_id : str
        The scheduler's answer. Empty while it is not known.
    refused : bool
        The scheduler did not accept the job, or does not know it.
    refusal : str
        What the scheduler said when it refused.
    unanswered : bool
        The call has ended without an answer: the job exists by now, or never will.
    cluster : str
        The cluster that was asked for. Empty: the one that the commands belong to. The id says which it became.
    home : str
        The sweep's folder when it was submitted: its script runs there. Empty in older folders.
    """

    token: str
    job: str
    job_name: str
    index: int | None
    at: float
    job_id: str = ""
    refused: bool = False
    refusal: str = ""
    unanswered: bool = False
    span: tuple[int, int] | None = None
    workers: int = 0
    open: int = 0
    exhausted: bool = False
    cluster: str = ""
    home: str = ""

    @property
    def first_task(self) -> int | None:
        """The first index of the array that it is, or may be: a job of one task is none. None: it is no array."""
        if self.index is not None:
            return None
        return self.span[0] if self.span else 0

    @property
    def dead(self) -> bool:
        """Whether nothing can come of it any more."""
        return self.exhausted or self.refused

    @property
    def in_doubt(self) -> bool:
        """Whether the call was begun and its outcome is not known."""
        return not self.job_id and not self.refused

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
    SUSPENDED = "suspended"
    ENDED = "ended"
    ABSENT = "absent"  # it answered, and did not name this task
    UNNAMED = "unnamed"  # it named others of the array, which lives: not made yet, or ended and forgotten


class Outcome(StrEnum):
    """How a task ended, as the scheduler says."""

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
    other_job : str
        The name of the job that has this id now. Ours is absent.
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
    other_job: str = ""


class ResultProblem(StrEnum):
    """Why a result does not count."""

    MISSING = "missing"
    TOO_LARGE = "too large"
    UNREADABLE = "unreadable"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    INCOMPLETE = "incomplete"
    NO_METRIC = "no metric"
    NULL_METRIC = "metric is null"
    NOT_A_NUMBER = "metric is not a number"
    NOT_FINITE = "metric is not finite"


class State(StrEnum):
    """Where a trial stands."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    SUSPENDED = "suspended"  # the scheduler has stopped it for now
    DONE = "done"
    PAUSED = "paused"  # saved where it was and asked to go on: neither failed nor done
    HELD = "held"  # planned or paused, and a decision says that it is not to be sent now
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNREADABLE = "unreadable"  # its record or its result cannot be read: nothing is known
    GONE = "gone"  # it was done, and its result is not there any more

    @property
    def final(self) -> bool:
        """Whether nothing that may still happen by itself changes it."""
        return self in (State.DONE, State.PAUSED, State.FAILED, State.CANCELLED, State.GONE)

    @property
    def alive(self) -> bool:
        """Whether the trial may still run by itself."""
        return self in ALIVE

    @property
    def in_queue(self) -> bool:
        """Whether the scheduler has the trial's job."""
        return self in IN_QUEUE


#: The states of trials whose job the scheduler has.
IN_QUEUE = (State.QUEUED, State.RUNNING, State.SUSPENDED)

#: The states of trials that may still run by themselves.
ALIVE = (State.SUBMITTING, *IN_QUEUE)

#: The states of trials that have ended; one that paused goes on.
ENDED = (State.DONE, State.FAILED, State.CANCELLED, State.LOST, State.GONE)


class Cause(StrEnum):
    """Why a trial is where it is, as far as anything is decided by it. The words beside it are for people."""

    NONE = ""
    NOT_SUBMITTED = "not submitted"  # this and the next two are of a trial that waits to be submitted
    REFUSED = "refused"
    LEFT_OVER = "left over"  # a packed job's workers ended before its turn
    # of one that did not end well: whether another attempt may help
    OUT_OF_MEMORY = "out of memory"
    WALLTIME = "walltime"
    NODE_FAILURE = "node failure"
    BAD_NODE = "unfit node"  # where other trials failed at once, so it was not begun
    PREEMPTED = "pre-emption"
    LAUNCH = "launch failure"
    ENVIRONMENT = "environment"
    ERROR = "error"  # the program's own
    NO_RESULT = "no result"
    BAD_RESULT = "result not valid"
    CANCELLED = "cancelled"
    RULE = "stop rule"
    LOST = "lost"
    GONE = "result gone"
    PAUSED = "paused"
    HELD = "held"


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """A trial's state, its cause, the reason in words, and what the trial used.

    Attributes
    ----------
    exit_code, signal : int or None
        How the command ended, or its job, where no record says it.
    problem : ResultProblem or None
        What is wrong with the result.
    said : str
        What the scheduler said of the end, in words.
    witness : str
        Whose figures these are: ``node`` (node.py saw the process tree) or ``scheduler``.
    started_at : float or None
        When it began on its node, by that node's clock.
    code : str
        The code that it ran, as `state.provenance.Code` spells it.
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
    exit_code: int | None = None
    signal: int | None = None
    problem: ResultProblem | None = None
    said: str = ""
    code: str = ""
