"""What is known of one trial: the node's record of an attempt, the result, and all of it together (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from sweep.model import ResultProblem, SchedulerStatus, Submission


class StartFailure(StrEnum):
    """Why a trial's command was never started, as the node's record says it."""

    NONE = ""
    ENVIRONMENT = "environment"  # a line of the grid's `environment` failed
    START = "start"  # the command could not be executed


class OwnLimit(StrEnum):
    """Why its runner ended it: a limit of its own, in a packed worker, or a rule of the grid's ``stop``."""

    NONE = ""
    WALLTIME = "walltime"
    MEMORY = "memory"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a node wrote about one attempt: a claim and, once it has ended, the exit record.

    Each attribute is a key of ``attempt-N.json``; `sweep.node.runner` writes them. None: not said.

    Attributes
    ----------
    trial, number : str, int
        The trial's id and number.
    attempt : int
        1 for the first.
    job, job_id, job_name : str
        The job, as the sweep and as the scheduler name it.
    index : int or None
        The task, or the worker of a packed job.
    packed : bool
        A worker of a packed job ran it.
    host, node : str
        The machine, by its own name and by the scheduler's.
    pid : int
        The runner's process.
    started_at, ended_at, heartbeat_at : float
        Unix times by the node's clock.
    restarts : int
        How often a requeued job has taken this attempt up again.
    exit_code, signal : int or None
        How the command ended.
    failure : StartFailure
        Why the command was never started; `error` says it in words.
    signals : tuple of str
        The signals that the runner was sent and passed on, by name.
    limit : OwnLimit
        The limit that it exceeded in a packed worker, or that it met a rule.
    rule : str
        That rule, and what the history had.
    stopped : bool
        The runner itself ended the command.
    worker_is_over : bool
        The command was told to end when its packed worker's own walltime was over.
    elapsed_s, cpu_s : float
        Wall-clock and CPU time of the command and all its processes.
    memory_mib, peak_memory_mib : float
        Memory in use at the last look, and the most that was seen.
    cancelled : bool
        It was cancelled before anyone began it: the claim was taken so that nobody would.
    suspended_s : float
        For how long the scheduler had stopped it. `elapsed_s` does not count that.
    given_back : bool
        It was not begun, because its node is unfit; `error` says so.
    setup_s : float
        How long the job had run before the command began: its script and the grid's ``environment``.
    commit, script, script_sha256 : str
        The code as it was when the attempt began; empty: not known.
    """

    format: int = 1
    trial: str = ""
    number: int = 0
    attempt: int = 1
    job: str = ""
    job_id: str = ""
    job_name: str = ""
    index: int | None = None
    packed: bool = False
    host: str = ""
    node: str = ""
    pid: int = 0
    started_at: float | None = None
    heartbeat_at: float | None = None
    restarts: int = 0
    ended: bool = False
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    failure: StartFailure = StartFailure.NONE
    error: str = ""
    signals: tuple[str, ...] = ()
    limit: OwnLimit = OwnLimit.NONE
    rule: str = ""
    stopped: bool = False
    worker_is_over: bool = False
    elapsed_s: float | None = None
    cpu_s: float | None = None
    memory_mib: float | None = None
    peak_memory_mib: float | None = None
    cancelled: bool = False
    suspended_s: float = 0.0
    setup_s: float = 0.0
    given_back: bool = False
    commit: str = ""
    script: str = ""
    script_sha256: str = ""


class ResultFault(msgspec.Struct, frozen=True):
    """What is wrong with a result: the problem, which decides, and the words for people."""

    problem: ResultProblem
    words: str


class ReadResult(msgspec.Struct, frozen=True):
    """What was read of a result file: the value, or the fault."""

    value: object = None
    fault: ResultFault | None = None


@dataclass(frozen=True, slots=True)
class PartialResult:
    """How far a trial has come, by what its result file holds so far. It decides nothing: it is no result yet.

    Attributes
    ----------
    metric : str
        The name under which the scores stand in the result's ``history``: the objective's, or the last part of it.
    epochs : tuple of int
        The number of each entry of the history, in order: its ``epoch``, or else its place, from 1.
    scores : tuple of float or None
        The score of each. None where an entry has no finite number.
    score : float or None
        The objective's value in the result itself, as far as there is one.
    written_at : float or None
        When the file was last written (Unix time, by the file server's clock). None: nobody can tell.
    fault : ResultFault or None
        Why nothing of it could be read: it is half written, too large, or closed to this user.
    """

    metric: str = ""
    epochs: tuple[int, ...] = ()
    scores: tuple[float | None, ...] = ()
    score: float | None = None
    written_at: float | None = None
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
    packed : bool
        Its job is packed. While no worker has begun it, `status` is about all of them.
    memory_mib, walltime_s : float
        What it asked for; 0: that was left to the site.
    heard_s : float or None
        How long ago the node wrote the record. None: it has not begun.
    begun_since : bool
        The node wrote the record after the scheduler's answer.
    unreadable : str
        Which of its files cannot be read, and why. Nothing final comes of that.
    until : int
        How far it was to go, in entries of its history; 0: to its end.
    memory_error : bool
        It ended with an error near its memory, and its log says that it got no more.
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
    packed: bool = False
    memory_mib: float = 0.0
    walltime_s: float = 0.0
    heard_s: float | None = None
    begun_since: bool = False
    memory_error: bool = False
    unreadable: str = ""
    until: int = 0
