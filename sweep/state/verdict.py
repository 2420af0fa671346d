"""Evidence → State, and why (pure). One table; the first row that fits decides.

Two witnesses make a trial done: an exit record that says 0 *and* a valid result. Absent is not finished. Where
`status` is None, the scheduler did not answer, and a trial stays where it was.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable
from dataclasses import dataclass

from sweep.model import Cause, Outcome, ResultProblem, SchedulerStatus, State, TaskState, Verdict
from sweep.state.evidence import Attempt, Evidence, OwnLimit, StartFailure

#: sysexits.h, EX_TEMPFAIL: a command that ends with it has saved where it was, and is to be run again.
EX_TEMPFAIL = 75


@dataclass(frozen=True)
class Row:
    """One combination of evidence, the state it means, the reason to give, and what a retry goes by."""

    when: Callable[[Evidence], bool]
    state: State
    why: Callable[[Evidence], str]
    cause: Callable[[Evidence], Cause] = lambda _: Cause.NONE


def judge(evidence: Evidence) -> Verdict:
    """Decide a trial's state from what is known of it.

    Parameters
    ----------
    evidence : Evidence
        What the journal, the node, the result and the scheduler say.

    Returns
    -------
    Verdict
        The state, the reason in words, and the usage by the best witness: the exit record, which saw the
        process tree, before the scheduler, which may have sampled or rounded.
    """
    row = next(row for row in TABLE if row.when(evidence))
    attempt, status = evidence.attempt, evidence.status
    end = attempt if attempt and attempt.ended else status
    return Verdict(
        row.state,
        row.why(evidence),
        elapsed_s=_elapsed(evidence),
        cpu_s=_best("cpu_s", attempt, status),
        peak_memory_mib=_best("peak_memory_mib", attempt, status),
        host=(attempt.node or attempt.host) if attempt else "",
        cause=row.cause(evidence),
        witness=_witness(attempt, status),
        started_at=attempt.started_at if attempt else None,
        exit_code=end.exit_code if end else None,
        signal=end.signal if end else None,
        problem=evidence.result_fault.problem if evidence.result_fault else None,
    )


def _elapsed(evidence: Evidence) -> float | None:
    attempt = evidence.attempt
    if attempt and not attempt.ended and attempt.started_at and not _ended(evidence) and evidence.now:
        return max(0.0, evidence.now - attempt.started_at)
    return _best("elapsed_s", attempt, evidence.status)


def _witness(attempt: Attempt | None, status: SchedulerStatus | None) -> str:
    """Return whose figures the CPU time and memory are: the node's, where it has any."""
    for name, source in (("node", attempt), ("scheduler", status)):
        if source and (source.cpu_s is not None or source.peak_memory_mib is not None):
            return name
    return ""


def _best(name: str, attempt: Attempt | None, status: SchedulerStatus | None) -> float | None:
    from_node: float | None = getattr(attempt, name, None)
    return from_node if from_node is not None else getattr(status, name, None)


_KILLED = (Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.NODE_FAIL, Outcome.PREEMPTED)


# --- the conditions ---------------------------------------------------------------------------------------


def _recorded(evidence: Evidence) -> bool:
    return evidence.attempt is not None and evidence.attempt.ended


def _claimed(evidence: Evidence) -> bool:
    return evidence.attempt is not None and not evidence.attempt.ended


def _exit_0(evidence: Evidence) -> bool:
    return _recorded(evidence) and evidence.attempt is not None and evidence.attempt.exit_code == 0


def _paused(evidence: Evidence) -> bool:
    """Whether the command saved where it was and asks to go on, nobody having cancelled it."""
    attempt = evidence.attempt
    return _recorded(evidence) and attempt is not None and attempt.exit_code == EX_TEMPFAIL


def _withdrawn(evidence: Evidence) -> bool:
    return evidence.attempt is not None and evidence.attempt.cancelled


def _over_limit(evidence: Evidence) -> bool:
    return _recorded(evidence) and evidence.attempt is not None and bool(evidence.attempt.limit)


def _waits_for_worker(evidence: Evidence) -> bool:
    return (
        evidence.pooled and evidence.attempt is None and bool(evidence.submission and evidence.submission.job_id)
    )


def _interrupted(evidence: Evidence) -> bool:
    """Whether a signal ended it: it may have been requeued, and the scheduler will say so.

    A worker that lives on has seen its trial die: that was no requeue.
    """
    attempt = evidence.attempt
    if attempt is None or not attempt.ended:
        return False
    return bool(attempt.signals or (attempt.signal and not evidence.pooled))


def _says(state: TaskState) -> Callable[[Evidence], bool]:
    return lambda evidence: evidence.status is not None and evidence.status.state is state


_running, _ended = _says(TaskState.RUNNING), _says(TaskState.ENDED)


def _pending(evidence: Evidence) -> bool:
    """Whether it waits. Of an array that lives, so does a task that is not named and that no node has begun."""
    status = evidence.status
    if status is None:
        return False
    return status.state is TaskState.PENDING or (status.state is TaskState.UNNAMED and evidence.attempt is None)


def _absent(evidence: Evidence) -> bool:
    """Whether the scheduler does not know it. A task that a node has begun and that is not named has ended."""
    status = evidence.status
    if status is None:
        return False
    return status.state is TaskState.ABSENT or (status.state is TaskState.UNNAMED and evidence.attempt is not None)


def _outcome(*outcomes: Outcome) -> Callable[[Evidence], bool]:
    return lambda evidence: evidence.status is not None and evidence.status.outcome in outcomes


def _gone(evidence: Evidence) -> bool:
    return _ended(evidence) or _absent(evidence)


def _gone_for_long(evidence: Evidence) -> bool:
    return evidence.gone_s > evidence.grace_s


def _ended_with_its_job(evidence: Evidence) -> bool:
    """Whether the trial ended because its job did. In a packed job: the trial was sent a signal."""
    return not evidence.pooled or bool(evidence.attempt and evidence.attempt.signals)


def _undecided(evidence: Evidence) -> bool:
    """Whether the scheduler may still say that it was requeued: it says it runs, or has not said that it ended."""
    if evidence.status is None:
        return evidence.submission is not None and bool(evidence.submission.job_id)
    absent = evidence.status.state is TaskState.ABSENT
    return _running(evidence) or (absent and not _gone_for_long(evidence))


def _all_of(*conditions: Callable[[Evidence], bool]) -> Callable[[Evidence], bool]:
    def all_hold(evidence: Evidence) -> bool:
        for condition in conditions:  # noqa: SIM110 - asked twenty times a trial, and all() takes twice as long
            if not condition(evidence):
                return False
        return True

    return all_hold


def _not(condition: Callable[[Evidence], bool]) -> Callable[[Evidence], bool]:
    return lambda evidence: not condition(evidence)


def _stopped_by_cancellation(evidence: Evidence) -> bool:
    """Whether the job was told to end before it did so with an error."""
    attempt = evidence.attempt
    killed = attempt is not None and attempt.signal == signals.SIGKILL and not evidence.pooled
    stopped = killed or bool(attempt and {"SIGTERM", "SIGINT"} & set(attempt.signals))
    # A cancellation that came to nothing is no reason, where the scheduler knows another.
    cancel_counts = evidence.cancel_asked and not _outcome(*_KILLED)(evidence)
    return stopped and (cancel_counts or _outcome(Outcome.CANCELLED)(evidence))


# --- the causes -------------------------------------------------------------------------------------------

_OF_OUTCOME = {
    Outcome.TIMEOUT: Cause.WALLTIME,
    Outcome.OUT_OF_MEMORY: Cause.OUT_OF_MEMORY,
    Outcome.NODE_FAIL: Cause.NODE_FAILURE,
    Outcome.PREEMPTED: Cause.PREEMPTED,
    Outcome.LAUNCH: Cause.LAUNCH,
}

#: Killed at this share of the memory it asked for, it was most likely killed for that.
NEAR_LIMIT = 0.95


def _always(cause: Cause) -> Callable[[Evidence], Cause]:
    return lambda _: cause


def _outcome_cause(evidence: Evidence) -> Cause:
    return (
        _OF_OUTCOME.get(evidence.status.outcome, Cause.ERROR)
        if evidence.status and evidence.status.outcome
        else Cause.ERROR
    )


def _limit_cause(evidence: Evidence) -> Cause:
    return (
        Cause.WALLTIME if evidence.attempt and evidence.attempt.limit is OwnLimit.WALLTIME else Cause.OUT_OF_MEMORY
    )


def _own_cause(evidence: Evidence) -> Cause:
    """Why a command ended by itself, as far as its record tells."""
    attempt = evidence.attempt
    assert attempt is not None
    if attempt.failure is not StartFailure.NONE:
        return Cause.ENVIRONMENT if attempt.failure is StartFailure.ENVIRONMENT else Cause.LAUNCH
    return Cause.OUT_OF_MEMORY if _near_its_memory(evidence) else Cause.ERROR


def _near_its_memory(evidence: Evidence) -> bool:
    """Whether it was killed outright while it used all the memory it had asked for, as the kernel does."""
    attempt, status = evidence.attempt, evidence.status
    signal = attempt.signal if attempt and attempt.ended else status.signal if status else None
    if signal != signals.SIGKILL or not evidence.memory_mib:
        return False
    return _peak_mib(evidence) >= NEAR_LIMIT * evidence.memory_mib


def _peak_mib(evidence: Evidence) -> float:
    sources = (evidence.attempt, evidence.status)
    return max((source.peak_memory_mib or 0.0 for source in sources if source), default=0.0)


def _result_cause(evidence: Evidence) -> Cause:
    fault = evidence.result_fault
    return Cause.NO_RESULT if fault is None or fault.problem is ResultProblem.MISSING else Cause.BAD_RESULT


# --- the reasons ------------------------------------------------------------------------------------------


def _ended_how(evidence: Evidence) -> str:
    attempt = evidence.attempt
    if attempt is None or not attempt.ended:
        return ""
    if attempt.failure is not StartFailure.NONE:
        return attempt.error
    if attempt.signal is not None:
        return f"killed by {_signal_name(attempt.signal)}{_memory_note(evidence)}"
    return f"exit code {attempt.exit_code}"


def _canceller(evidence: Evidence) -> str:
    """Add who it was, where the scheduler says so."""
    status = evidence.status
    if status and status.outcome is Outcome.CANCELLED and status.cancelled_by:
        return f", by {status.cancelled_by}"
    return ""


def _memory_note(evidence: Evidence) -> str:
    if not _near_its_memory(evidence):
        return ""
    return f"; it had used {_peak_mib(evidence):.0f} of the {evidence.memory_mib:.0f} MiB that it asked for"


def _by_scheduler(evidence: Evidence) -> str:
    status = evidence.status
    assert status is not None
    parts = [str(status.outcome)]
    if status.reason and status.reason not in parts:
        parts.append(status.reason)
    if status.exit_code:
        parts.append(f"exit code {status.exit_code}")
    elif status.signal:
        parts.append(f"killed by {_signal_name(status.signal)}")
    return ": ".join(parts)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _where(evidence: Evidence) -> str:
    if evidence.attempt and evidence.attempt.host:
        return f"on {evidence.attempt.node or evidence.attempt.host}"
    return ""


def _job(evidence: Evidence) -> str:
    return f"job {evidence.submission.job_id}" if evidence.submission and evidence.submission.job_id else "its job"


def _limit_reason(evidence: Evidence) -> str:
    attempt = evidence.attempt
    assert attempt is not None
    if attempt.limit is OwnLimit.WALLTIME:
        return f"walltime exceeded: ended by its worker ({_ended_how(evidence)})"
    return (
        f"out of memory: used {attempt.peak_memory_mib:.0f} of {evidence.memory_mib:.0f} MiB, ended by its worker"
    )


def _doubt(_: Evidence) -> str:
    return "a submission was begun and its outcome is not known; the next `sweep submit` asks"


def _waiting(evidence: Evidence) -> str:
    reason = evidence.status.reason if evidence.status else ""
    return f"waits in the queue{': ' + reason if reason else ''}"


#: Every combination of the evidence. The order matters: the node's record first, it was there.
TABLE: tuple[Row, ...] = (
    # -- the exit record is there
    Row(_withdrawn, State.CANCELLED, lambda _: "cancelled before it ran", _always(Cause.CANCELLED)),
    Row(_all_of(_exit_0, lambda e: e.result is not None), State.DONE, lambda _: "exit code 0 and a valid result"),
    Row(
        _exit_0,
        State.FAILED,
        lambda e: f"exit code 0, but {e.result_fault.words if e.result_fault else 'no result'}",
        _result_cause,
    ),
    Row(
        _all_of(_recorded, _pending, _not(_over_limit), _ended_with_its_job),
        State.QUEUED,
        lambda e: f"was requeued ({_ended_how(e)}); {_waiting(e)}",
    ),
    Row(_all_of(_over_limit, _not(_paused)), State.FAILED, _limit_reason, _limit_cause),
    Row(
        _all_of(_interrupted, _undecided, _not(_over_limit), lambda e: not e.cancel_asked),
        State.RUNNING,
        lambda e: f"was told to stop ({_ended_how(e)}); the scheduler has not said how its job ended",
    ),
    Row(
        _stopped_by_cancellation,
        State.CANCELLED,
        lambda e: f"cancelled while it ran{_canceller(e)} ({_ended_how(e)})",
        _always(Cause.CANCELLED),
    ),
    Row(
        _paused,
        State.PAUSED,
        lambda _: f"saved where it was (exit code {EX_TEMPFAIL}); the next `sweep submit` lets it go on",
        _always(Cause.PAUSED),
    ),
    Row(
        _all_of(_recorded, _outcome(*_KILLED), _ended_with_its_job),
        State.FAILED,
        lambda e: f"{_by_scheduler(e)} ({_ended_how(e)})",
        _outcome_cause,
    ),
    Row(_recorded, State.FAILED, _ended_how, _own_cause),
    # -- it is claimed, and has not said how it ended
    Row(_all_of(_claimed, _running), State.RUNNING, lambda e: f"runs {_where(e)}"),
    Row(_all_of(_claimed, _pending), State.QUEUED, lambda e: f"was requeued; {_waiting(e)}"),
    Row(
        _all_of(_claimed, lambda e: e.status is None),
        State.RUNNING,
        lambda e: f"began {_where(e)}; the scheduler has not said otherwise",
    ),
    # -- it waits for a worker of a packed job, and no worker has begun it
    Row(
        _all_of(_waits_for_worker, lambda e: not _gone(e)),
        State.QUEUED,
        lambda e: f"waits for a worker of {_job(e)}",
    ),
    Row(
        _all_of(_waits_for_worker, _not(_gone_for_long)),
        State.QUEUED,
        lambda e: f"the workers of {_job(e)} have ended; their records are awaited",
    ),
    Row(
        _all_of(_waits_for_worker, lambda e: e.cancel_asked),
        State.CANCELLED,
        lambda _: "cancelled before it ran",
        _always(Cause.CANCELLED),
    ),
    Row(
        _waits_for_worker,
        State.PLANNED,
        lambda e: f"the workers of {_job(e)} ended before its turn came; the next `sweep submit` sends it",
        _always(Cause.LEFT_OVER),
    ),
    # -- the scheduler says how it ended
    Row(_all_of(_ended, _outcome(Outcome.CANCELLED)), State.CANCELLED, _by_scheduler, _always(Cause.CANCELLED)),
    Row(_all_of(_ended, _outcome(*_KILLED, Outcome.LAUNCH)), State.FAILED, _by_scheduler, _outcome_cause),
    Row(
        _all_of(_ended, _not(_gone_for_long)),
        State.RUNNING,
        lambda e: f"{_job(e)} has ended; its exit record is awaited",
    ),
    Row(
        _all_of(_ended, _outcome(Outcome.FAILED), _not(_claimed)),
        State.FAILED,
        lambda e: f"its job ended before the trial began ({_by_scheduler(e)}); its log says more",
        _always(Cause.LAUNCH),
    ),
    Row(
        _all_of(_ended, _outcome(Outcome.FAILED)),
        State.FAILED,
        lambda e: f"{_by_scheduler(e)}{_memory_note(e)}; no exit record",
        lambda e: Cause.OUT_OF_MEMORY if _near_its_memory(e) else Cause.ERROR,
    ),
    Row(
        _ended,
        State.LOST,
        lambda e: f"{_job(e)} ended ({_by_scheduler(e)}) and left no exit record",
        _always(Cause.LOST),
    ),
    # -- the scheduler answered and does not name it
    Row(
        _all_of(_absent, _not(_claimed), lambda e: e.cancel_asked),
        State.CANCELLED,
        lambda _: "cancelled before it ran",
        _always(Cause.CANCELLED),
    ),
    Row(
        _all_of(_absent, _not(_gone_for_long), _claimed),
        State.RUNNING,
        lambda e: f"{_job(e)} has left the queue; its exit record is awaited",
    ),
    Row(
        _all_of(_absent, _not(_gone_for_long)),
        State.QUEUED,
        lambda e: f"{_job(e)} is not in the queue; its exit record is awaited",
    ),
    Row(
        _all_of(_absent, lambda e: e.cancel_asked),
        State.CANCELLED,
        lambda _: "cancelled while it ran; it left no exit record",
        _always(Cause.CANCELLED),
    ),
    Row(
        _absent,
        State.LOST,
        lambda e: (
            f"{e.status.reason if e.status else ''}; {_job(e)} {'began' if e.attempt else 'was submitted'}, "
            "and no exit record says how it ended"
        ),
        _always(Cause.LOST),
    ),
    # -- nothing has begun
    Row(_running, State.RUNNING, lambda _: "its job runs; the trial is about to start"),
    Row(_pending, State.QUEUED, _waiting),
    Row(
        lambda e: e.submission is not None and bool(e.submission.job_id),
        State.QUEUED,
        lambda e: f"submitted as {_job(e)}; the scheduler has not said more",
    ),
    Row(
        lambda e: e.submission is not None and not e.submission.refused,
        State.SUBMITTING,
        _doubt,
    ),
    Row(
        lambda e: e.submission is not None,
        State.PLANNED,
        lambda e: f"the scheduler refused it: {e.submission.refusal if e.submission else ''}",
        _always(Cause.REFUSED),
    ),
    Row(lambda _: True, State.PLANNED, lambda _: "not submitted yet", _always(Cause.NOT_SUBMITTED)),
)
