"""What is known of one trial, for the verdict (pure)."""

from __future__ import annotations

from typing import Any

import msgspec

from sweep.model import Attempt, ResultProblem, SchedulerStatus, Submission


class ResultFault(msgspec.Struct, frozen=True):
    """What is wrong with a result: the problem, which decides, and the words for people."""

    problem: ResultProblem
    words: str


class ReadResult(msgspec.Struct, frozen=True):
    """What was read of a result file: the value, or the fault."""

    value: object = None
    fault: ResultFault | None = None


class Evidence(msgspec.Struct, frozen=True):
    """All that is known of a trial.

    Attributes
    ----------
    status : SchedulerStatus or None
        None: the scheduler did not answer, or was not asked.
    result : dict or None
        The result, if it is valid; else `result_fault` says why not.
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
    result_fault: ResultFault | None = None
    cancel_asked: bool = False
    gone_s: float = 0.0
    grace_s: float = 60.0
    now: float = 0.0
    pooled: bool = False
    memory_mib: float = 0.0
