"""The nouns, frozen. One word for one thing, everywhere; ``docs/architecture.md`` tells their story."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "Attempt",
    "Evidence",
    "Job",
    "JobState",
    "Objective",
    "Outcome",
    "Resources",
    "State",
    "Submission",
    "TaskRef",
    "Trial",
    "Verdict",
    "Word",
]


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


@dataclass(frozen=True, slots=True)
class Objective:
    """What makes one trial better than another, and the file that says it."""

    metric: str = "segMeasure"
    goal: str = "maximize"
    file: str = "segMeasure.json"


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
    """A rendered script and the trials it runs: ``tasks[i]`` is (trial number, attempt)."""

    name: str
    resources: Resources
    tasks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TaskRef:
    """How the scheduler names one task: the job's id and, in an array, the index."""

    job_id: str
    index: int | None = None

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
        The task it runs; None is the whole job as an array.
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


class JobState(StrEnum):
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
class Word:
    """The scheduler's word on one task. None where it did not say."""

    state: JobState
    outcome: Outcome | None = None
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    elapsed_s: float | None = None
    cpu_s: float | None = None
    peak_memory_mib: float | None = None
    job_name: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What node.py left: a claim and, once it has ended, the exit record. None: not said."""

    number: int
    job_id: str = ""
    job_name: str = ""
    host: str = ""
    started_at: float | None = None
    ended: bool = False
    exit_code: int | None = None
    signal: int | None = None
    elapsed_s: float | None = None
    cpu_s: float | None = None
    memory_mib: float | None = None
    peak_memory_mib: float | None = None
    told: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a trial.

    Attributes
    ----------
    word : Word or None
        None: the scheduler did not answer, or was not asked.
    result : dict or None
        The result, if it is valid; else `result_problem` says why not.
    gone_s : float
        For how long the scheduler has been saying that the job ended, or is not there.
    grace_s : float
        How much later than that a record may still appear on this file system.
    """

    submission: Submission | None = None
    attempt: Attempt | None = None
    word: Word | None = None
    result: dict[str, Any] | None = None
    result_problem: str = ""
    cancel_asked: bool = False
    gone_s: float = 0.0
    grace_s: float = 60.0
    now: float = 0.0


class State(StrEnum):
    """Where a trial stands."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether nothing that may still happen by itself changes it."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A trial's state and why, in words, with what it used (from the best witness)."""

    state: State
    reason: str
    elapsed_s: float | None = None
    cpu_s: float | None = None
    peak_memory_mib: float | None = None
    host: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
