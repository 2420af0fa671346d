"""Evidence → State, and why (pure). One table; the first row that fits decides.

Two witnesses make a trial done: an exit record that says 0 *and* a valid result. Absent is not finished. Where
`status` is None, the scheduler did not answer, and a trial stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sweep.model import Cause, Outcome, ResultProblem, SchedulerStatus, State, Verdict
from sweep.state.conditions import (
    EX_TEMPFAIL,
    KILLED,
    absent,
    all_of,
    cancelled_by_scheduler,
    claimed,
    ended,
    ended_as_it_was_cancelled,
    ended_by_itself,
    ended_with_its_job,
    exceeded_its_own,
    exit_0,
    given_back,
    gone,
    gone_for_long,
    interrupted,
    memory_used_up,
    met_a_rule,
    near_its_memory,
    no_word,
    node_speaks,
    outcome,
    over_limit,
    parked,
    part_was_killed,
    paused,
    peak_mib,
    pending,
    recorded,
    result_is_late,
    running,
    silent_at_its_walltime,
    stopped_on_request,
    suspended,
    time_used_up,
    told_to_end,
    undecided,
    unless,
    unreadable,
    waits_for_worker,
    withdrawn,
)
from sweep.state.evidence import Attempt, Evidence, OwnLimit, StartFailure
from sweep.state.provenance import Code
from sweep.state.reasons import (
    by_scheduler,
    doubt,
    ended_how,
    job,
    kept,
    limit_reason,
    memory_note,
    reason,
    request_words,
    silent_words,
    time_words,
    told_words,
    waiting,
    where,
)


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
        said=by_scheduler(evidence) if ended(evidence) else "",
        code=Code(attempt.commit, attempt.script, attempt.script_sha256).spelled if attempt else "",
    )


def _elapsed(evidence: Evidence) -> float | None:
    attempt = evidence.attempt
    runs = bool(attempt and not attempt.ended and not ended(evidence) and not suspended(evidence))
    if runs and attempt and attempt.started_at and evidence.now:
        elapsed_s = max(0.0, evidence.now - attempt.started_at - attempt.suspended_s)
        # Where nobody says that it still runs, it runs no longer than it may.
        return elapsed_s if running(evidence) or not evidence.walltime_s else min(elapsed_s, evidence.walltime_s)
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


# --- the causes -------------------------------------------------------------------------------------------

_OF_OUTCOME = {
    Outcome.TIMEOUT: Cause.WALLTIME,
    Outcome.OUT_OF_MEMORY: Cause.OUT_OF_MEMORY,
    Outcome.NODE_FAIL: Cause.NODE_FAILURE,
    Outcome.PREEMPTED: Cause.PREEMPTED,
    Outcome.LAUNCH: Cause.LAUNCH,
}


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
    return Cause.OUT_OF_MEMORY if near_its_memory(evidence) or evidence.memory_error else Cause.ERROR


def _result_cause(evidence: Evidence) -> Cause:
    fault = evidence.result_fault
    return Cause.NO_RESULT if fault is None or fault.problem is ResultProblem.MISSING else Cause.BAD_RESULT


#: Every combination of the evidence. The order matters: the node's record first, it was there.
TABLE: tuple[Row, ...] = (
    # -- a file of it cannot be read: nothing final comes of that
    Row(all_of(unreadable, pending), State.QUEUED, lambda e: f"{waiting(e)}; {e.unreadable}"),
    Row(
        all_of(unreadable, unless(gone_for_long), lambda e: bool(e.submission and e.submission.job_id)),
        State.RUNNING,
        lambda e: f"{job(e)} has not been gone for long; {e.unreadable}",
    ),
    Row(unreadable, State.UNREADABLE, lambda e: e.unreadable),
    # -- the exit record is there
    Row(withdrawn, State.CANCELLED, lambda _: "cancelled before it ran", _always(Cause.CANCELLED)),
    Row(
        all_of(
            recorded,
            pending,
            unless(over_limit),
            ended_with_its_job,
            lambda e: told_to_end(e) or not exit_0(e),
        ),
        State.QUEUED,
        lambda e: f"was requeued ({ended_how(e)}); {waiting(e)}",
    ),
    Row(all_of(exceeded_its_own, unless(paused)), State.FAILED, lambda e: limit_reason(e) + kept(e), _limit_cause),
    # It was told to end. Whatever the command managed to do afterwards, it did not end by itself.
    Row(
        all_of(
            lambda e: told_to_end(e) if exit_0(e) else interrupted(e),
            undecided,
            unless(over_limit),
            lambda e: not e.cancel_asked,
        ),
        State.RUNNING,
        lambda e: f"was told to stop ({ended_how(e)}); the scheduler has not said how its job ended",
    ),
    Row(
        all_of(recorded, stopped_on_request),
        State.CANCELLED,
        request_words,
        lambda e: Cause.RULE if met_a_rule(e) else Cause.CANCELLED,
    ),
    Row(
        given_back,
        State.PAUSED,
        lambda e: f"{e.attempt.error if e.attempt else ''}; the next `sweep submit` sends it elsewhere",
        _always(Cause.BAD_NODE),
    ),
    Row(
        parked,
        State.PAUSED,
        lambda e: f"went as far as it was to, entry {e.until} of its history; `sweep extend` takes it further",
        _always(Cause.HELD),
    ),
    Row(
        paused,
        State.PAUSED,
        lambda _: f"saved where it was (exit code {EX_TEMPFAIL}); the next `sweep submit` lets it go on",
        _always(Cause.PAUSED),
    ),
    Row(
        all_of(ended_as_it_was_cancelled, undecided),
        State.RUNNING,
        lambda e: f"was cancelled as it ended ({ended_how(e)}); the scheduler has not said which came first",
    ),
    Row(
        all_of(cancelled_by_scheduler, lambda e: ended_as_it_was_cancelled(e) or not ended_by_itself(e)),
        State.CANCELLED,
        lambda e: f"{by_scheduler(e)} ({ended_how(e)}){kept(e)}",
        _always(Cause.CANCELLED),
    ),
    Row(
        all_of(
            recorded, outcome(*KILLED), ended_with_its_job, lambda e: part_was_killed(e) or not ended_by_itself(e)
        ),
        State.FAILED,
        lambda e: f"{by_scheduler(e)} ({ended_how(e)}){kept(e)}",
        _outcome_cause,
    ),
    Row(
        all_of(recorded, time_used_up, unless(outcome(Outcome.COMPLETED))),
        State.FAILED,
        time_words,
        _always(Cause.WALLTIME),
    ),
    Row(
        all_of(recorded, memory_used_up, told_to_end, unless(outcome(Outcome.COMPLETED))),
        State.FAILED,
        lambda e: (
            f"out of memory, by the node's record: {told_words(e)}; it had used {peak_mib(e):.0f} of the "
            f"{e.memory_mib:.0f} MiB that it asked for{kept(e)}"
        ),
        _always(Cause.OUT_OF_MEMORY),
    ),
    Row(
        all_of(exit_0, told_to_end, no_word),
        State.CANCELLED,
        lambda e: f"{told_words(e)}, and nobody has said why{kept(e)}",
        _always(Cause.CANCELLED),
    ),
    Row(result_is_late, State.RUNNING, lambda _: "exit code 0; its result is awaited"),
    # It ended by itself.
    Row(all_of(exit_0, lambda e: e.result is not None), State.DONE, lambda _: "exit code 0 and a valid result"),
    Row(
        exit_0,
        State.FAILED,
        lambda e: f"exit code 0, but {e.result_fault.words if e.result_fault else 'no result'}",
        _result_cause,
    ),
    Row(recorded, State.FAILED, ended_how, _own_cause),
    # -- it is claimed, and has not said how it ended
    Row(all_of(claimed, running), State.RUNNING, lambda e: f"runs {where(e)}"),
    Row(all_of(claimed, suspended), State.SUSPENDED, lambda e: f"is suspended {where(e)}{reason(e)}"),
    Row(
        all_of(claimed, pending, lambda e: e.begun_since),
        State.RUNNING,
        lambda e: f"began {where(e)} since the scheduler was asked",
    ),
    Row(all_of(claimed, pending), State.QUEUED, lambda e: f"was requeued; {waiting(e)}"),
    Row(
        all_of(claimed, lambda e: e.status is None),
        State.RUNNING,
        lambda e: f"began {where(e)}; the scheduler has not said otherwise",
    ),
    Row(
        all_of(claimed, absent, node_speaks),
        State.RUNNING,
        lambda e: (
            f"runs {where(e)}, by its record of {e.heard_s or 0:.0f} s ago; {e.status.reason if e.status else ''}"
        ),
    ),
    Row(
        all_of(claimed, absent, gone_for_long, time_used_up),
        State.FAILED,
        time_words,
        _always(Cause.WALLTIME),
    ),
    Row(
        all_of(claimed, absent, gone_for_long, silent_at_its_walltime, lambda e: not e.cancel_asked),
        State.FAILED,
        silent_words,
        _always(Cause.WALLTIME),
    ),
    # -- it waits for a worker of a packed job, and no worker has begun it
    Row(
        all_of(waits_for_worker, lambda e: not gone(e)),
        State.QUEUED,
        lambda e: f"waits for a worker of {job(e)}",
    ),
    Row(
        all_of(waits_for_worker, unless(gone_for_long)),
        State.QUEUED,
        lambda e: f"the workers of {job(e)} have ended; their records are awaited",
    ),
    Row(
        all_of(waits_for_worker, lambda e: e.cancel_asked),
        State.CANCELLED,
        lambda _: "cancelled before it ran",
        _always(Cause.CANCELLED),
    ),
    Row(
        waits_for_worker,
        State.PLANNED,
        lambda e: f"the workers of {job(e)} ended before its turn came; the next `sweep submit` sends it",
        _always(Cause.LEFT_OVER),
    ),
    # -- the scheduler says how it ended
    # It says so as it tells the job to end: what the command made of its last seconds is still to come.
    Row(
        all_of(ended, claimed, unless(gone_for_long)),
        State.RUNNING,
        lambda e: f"{by_scheduler(e)}; its exit record is awaited",
    ),
    Row(all_of(ended, outcome(Outcome.CANCELLED)), State.CANCELLED, by_scheduler, _always(Cause.CANCELLED)),
    Row(all_of(ended, outcome(*KILLED, Outcome.LAUNCH)), State.FAILED, by_scheduler, _outcome_cause),
    Row(
        all_of(ended, unless(gone_for_long)),
        State.RUNNING,
        lambda e: f"{job(e)} has ended; its exit record is awaited",
    ),
    Row(
        all_of(ended, outcome(Outcome.FAILED), unless(claimed)),
        State.FAILED,
        lambda e: f"its job ended before the trial began ({by_scheduler(e)}); its log says more",
        _always(Cause.LAUNCH),
    ),
    Row(
        all_of(ended, outcome(Outcome.FAILED)),
        State.FAILED,
        lambda e: f"{by_scheduler(e)}{memory_note(e)}; no exit record",
        lambda e: Cause.OUT_OF_MEMORY if near_its_memory(e) else Cause.ERROR,
    ),
    Row(
        ended,
        State.LOST,
        lambda e: f"{job(e)} ended ({by_scheduler(e)}) and left no exit record",
        _always(Cause.LOST),
    ),
    # -- the scheduler answered and does not name it
    Row(
        all_of(absent, unless(claimed), lambda e: e.cancel_asked),
        State.CANCELLED,
        lambda _: "cancelled before it ran",
        _always(Cause.CANCELLED),
    ),
    Row(
        all_of(absent, unless(gone_for_long), claimed),
        State.RUNNING,
        lambda e: f"{job(e)} has left the queue; its exit record is awaited",
    ),
    Row(
        all_of(absent, unless(gone_for_long)),
        State.QUEUED,
        lambda e: f"{job(e)} is not in the queue; its exit record is awaited",
    ),
    Row(
        all_of(absent, lambda e: e.cancel_asked),
        State.CANCELLED,
        lambda _: "cancelled while it ran; it left no exit record",
        _always(Cause.CANCELLED),
    ),
    Row(
        absent,
        State.LOST,
        lambda e: (
            f"{e.status.reason if e.status else ''}; {job(e)} {'began' if e.attempt else 'was submitted'}, "
            "and no exit record says how it ended"
        ),
        _always(Cause.LOST),
    ),
    # -- nothing has begun
    Row(running, State.RUNNING, lambda _: "its job runs; the trial is about to start"),
    Row(suspended, State.SUSPENDED, lambda e: f"its job is suspended{reason(e)}"),
    Row(pending, State.QUEUED, waiting),
    Row(
        lambda e: e.submission is not None and bool(e.submission.job_id),
        State.QUEUED,
        lambda e: f"submitted as {job(e)}; the scheduler has not said more",
    ),
    Row(
        lambda e: e.submission is not None and not e.submission.refused,
        State.SUBMITTING,
        doubt,
    ),
    Row(
        lambda e: e.submission is not None,
        State.PLANNED,
        lambda e: f"the scheduler refused it: {e.submission.refusal if e.submission else ''}",
        _always(Cause.REFUSED),
    ),
    Row(lambda _: True, State.PLANNED, lambda _: "not submitted yet", _always(Cause.NOT_SUBMITTED)),
)
