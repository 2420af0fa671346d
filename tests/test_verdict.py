"""Evidence → State: the table, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.model import Objective, Outcome, ResultProblem, SchedulerStatus, State, Submission, TaskState
from sweep.state.evidence import Attempt, Evidence, OwnLimit, ResultFault, StartFailure
from sweep.state.results import metric_of, result_fault
from sweep.state.verdict import TABLE, judge

SENT = Submission("ab12", "j0001", "toy.j0001.ab12", None, 0.0, job_id="7")
PACKED = Submission("ab12", "j0001", "toy.j0001.ab12", None, 0.0, job_id="7", workers=4)
GOOD = {"segMeasure": 0.7}
CLAIMED = Attempt(host="n1", started_at=1000.0)
TERM = ("SIGTERM",)


def ended(exit_code: int | None = 0, signal: int | None = None, **more: Any) -> Attempt:
    return Attempt(
        host="n1", started_at=1000.0, ended=True, exit_code=exit_code, signal=signal, elapsed_s=5.0, **more
    )


def status(state: TaskState, outcome: Outcome | None = None, **more: Any) -> SchedulerStatus:
    return SchedulerStatus(state, outcome, **more)


SUSPENDED = status(TaskState.SUSPENDED, reason="by an operator")
RUNNING, PENDING, ABSENT = (
    status(TaskState.RUNNING),
    status(TaskState.PENDING, reason="Priority"),
    status(TaskState.ABSENT, reason="unknown job"),
)
UNNAMED = status(TaskState.UNNAMED, reason="not made yet")
COMPLETED, FAILED, CANCELLED, TIMEOUT, OOM, NODE_FAIL, LAUNCH, PREEMPTED = (
    status(TaskState.ENDED, outcome)
    for outcome in (
        Outcome.COMPLETED,
        Outcome.FAILED,
        Outcome.CANCELLED,
        Outcome.TIMEOUT,
        Outcome.OUT_OF_MEMORY,
        Outcome.NODE_FAIL,
        Outcome.LAUNCH,
        Outcome.PREEMPTED,
    )
)
LONG = 1000.0

MISSING = ResultFault(ResultProblem.MISSING, "there is none")

CASES: list[tuple[dict[str, Any], State, str]] = [
    ({}, State.PLANNED, "not submitted"),
    ({"submission": Submission("t", "j", "n", None, 0.0)}, State.SUBMITTING, "outcome is not known"),
    ({"submission": Submission("t", "j", "n", None, 0.0, refused=True, refusal="no such queue")}, State.PLANNED, "no such queue"),
    ({"submission": SENT}, State.QUEUED, "submitted as job 7"),
    ({"submission": SENT, "status": PENDING}, State.QUEUED, "Priority"),
    ({"submission": SENT, "status": RUNNING}, State.RUNNING, "about to start"),
    ({"submission": SENT, "status": RUNNING, "attempt": CLAIMED}, State.RUNNING, "runs on n1"),
    ({"submission": SENT, "attempt": CLAIMED}, State.RUNNING, "has not said otherwise"),
    ({"submission": SENT, "status": PENDING, "attempt": CLAIMED}, State.QUEUED, "requeued"),
    # a file of it cannot be read
    ({"submission": SENT, "status": PENDING, "unreadable": "cannot read X"}, State.QUEUED, "cannot read X"),
    ({"submission": SENT, "status": RUNNING, "unreadable": "cannot read X"}, State.RUNNING, "cannot read X"),
    ({"submission": SENT, "unreadable": "cannot read X"}, State.RUNNING, "cannot read X"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "unreadable": "cannot read X", "gone_s": 1.0}, State.RUNNING, "cannot read X"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "unreadable": "cannot read X", "gone_s": LONG}, State.UNREADABLE, "cannot read X"),
    ({"submission": SENT, "status": ABSENT, "unreadable": "cannot read X", "gone_s": LONG}, State.UNREADABLE, "cannot read X"),
    ({"unreadable": "cannot read X"}, State.UNREADABLE, "cannot read X"),
    # its result may not be visible yet
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result_fault": MISSING, "heard_s": 1.0}, State.RUNNING, "its result is awaited"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result_fault": MISSING, "heard_s": LONG}, State.FAILED, "exit code 0, but there is none"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result_fault": MISSING, "heard_s": 1.0, "gone_s": LONG}, State.FAILED, "exit code 0, but there is none"),
    # its array lives and does not name it: it waits, or has ended and is forgotten
    ({"submission": SENT, "status": UNNAMED}, State.QUEUED, "not made yet"),
    ({"submission": SENT, "status": UNNAMED, "cancel_asked": True}, State.QUEUED, "not made yet"),
    ({"submission": SENT, "status": UNNAMED, "attempt": CLAIMED}, State.RUNNING, "its exit record is awaited"),
    ({"submission": SENT, "status": UNNAMED, "attempt": ended(3)}, State.FAILED, "exit code 3"),
    ({"submission": SENT, "status": UNNAMED, "attempt": ended(None, 15, signals=TERM)}, State.FAILED, "killed by SIGTERM"),
    ({"submission": SENT, "status": UNNAMED, "attempt": Attempt(ended=True, cancelled=True)}, State.CANCELLED, "before it ran"),
    ({"submission": PACKED, "status": UNNAMED, "packed": True}, State.QUEUED, "waits for a worker"),
    # two witnesses
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result": GOOD}, State.DONE, "valid result"),
    ({"submission": SENT, "attempt": ended(), "result": GOOD}, State.DONE, "valid result"),
    ({"attempt": ended(), "result": GOOD}, State.DONE, "valid result"),  # run by hand
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result_fault": ResultFault(ResultProblem.MISSING, "there is no segMeasure.json")}, State.FAILED, "exit code 0, but there is no segMeasure.json"),
    ({"submission": SENT, "status": FAILED, "attempt": ended(3), "result": GOOD}, State.FAILED, "exit code 3"),
    ({"submission": SENT, "status": FAILED, "attempt": ended(None, 9)}, State.FAILED, "killed by SIGKILL"),
    ({"submission": SENT, "status": FAILED, "attempt": ended(127, failure=StartFailure.START, error="cannot start 'x'")}, State.FAILED, "cannot start 'x'"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(None, 15, signals=TERM)}, State.FAILED, "walltime exceeded (killed by SIGTERM)"),
    # a requeue begins with a signal, and the scheduler says what comes of it
    ({"submission": SENT, "status": PENDING, "attempt": ended(None, 15, signals=TERM)}, State.QUEUED, "was requeued (killed by SIGTERM)"),
    ({"submission": SENT, "status": RUNNING, "attempt": ended(None, 15, signals=TERM)}, State.RUNNING, "was told to stop"),
    ({"submission": SENT, "attempt": ended(None, 15, signals=TERM)}, State.RUNNING, "was told to stop"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(None, 15, signals=TERM), "gone_s": 1.0}, State.RUNNING, "was told to stop"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(None, 15, signals=TERM), "gone_s": LONG}, State.FAILED, "killed by SIGTERM"),
    ({"attempt": ended(None, 15, signals=TERM)}, State.FAILED, "killed by SIGTERM"),  # run by hand
    ({"submission": SENT, "status": RUNNING, "attempt": ended(3)}, State.FAILED, "exit code 3"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(None, 15, signals=TERM)}, State.CANCELLED, "while it ran"),
    ({"submission": SENT, "status": status(TaskState.ENDED, Outcome.CANCELLED, cancelled_by="eve@login1"), "attempt": ended(None, 15, signals=TERM)}, State.CANCELLED, "while it ran, by eve@login1 (killed"),
    ({"submission": SENT, "attempt": ended(None, 15, signals=TERM), "cancel_asked": True}, State.CANCELLED, "while it ran"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(None, 15, signals=TERM), "cancel_asked": True}, State.FAILED, "walltime exceeded"),
    # killed is not done, whatever the program says afterwards
    # The record notes no signal and no limit: it had ended by itself, and the word came too late …
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(), "result": GOOD}, State.DONE, "valid result"),
    # a job's processes are signalled one after another: a command that ends well on SIGTERM may end before the runner hears
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(), "result": GOOD, "cancel_asked": True}, State.CANCELLED, "its result is kept"),
    ({"submission": SENT, "status": RUNNING, "attempt": ended(), "result": GOOD, "cancel_asked": True}, State.RUNNING, "was cancelled as it ended"),
    ({"submission": SENT, "attempt": ended(), "result": GOOD, "cancel_asked": True}, State.RUNNING, "has not said which came first"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result": GOOD, "cancel_asked": True}, State.DONE, "valid result"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(), "result": GOOD, "cancel_asked": True, "gone_s": LONG}, State.DONE, "valid result"),
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(), "result": GOOD, "packed": True, "cancel_asked": True}, State.DONE, "valid result"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(), "result": GOOD}, State.DONE, "valid result"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(), "result": GOOD}, State.DONE, "valid result"),
    ({"submission": SENT, "status": PREEMPTED, "attempt": ended(), "result": GOOD}, State.DONE, "valid result"),
    # … without a valid result it is what the scheduler says; and a part of it may have been killed.
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(), "result_fault": ResultFault(ResultProblem.MISSING, "there is none")}, State.CANCELLED, "cancelled (exit code 0)"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(), "result_fault": ResultFault(ResultProblem.MISSING, "there is none")}, State.FAILED, "walltime exceeded (exit code 0)"),
    ({"submission": SENT, "status": OOM, "attempt": ended(), "result": GOOD}, State.FAILED, "out of memory (exit code 0); its result is kept"),
    ({"submission": PACKED, "status": CANCELLED, "attempt": ended(), "result": GOOD, "packed": True}, State.DONE, "valid result"),
    ({"submission": PACKED, "status": CANCELLED, "attempt": ended(signals=TERM), "result": GOOD, "packed": True}, State.CANCELLED, "its result is kept"),
    ({"submission": PACKED, "status": TIMEOUT, "attempt": Attempt(ended=True, exit_code=0, limit=OwnLimit.WALLTIME), "result": GOOD, "packed": True}, State.FAILED, "walltime exceeded: ended by its worker"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(signals=TERM), "result": GOOD}, State.CANCELLED, "its result is kept"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(3)}, State.CANCELLED, "cancelled (exit code 3)"),
    ({"submission": SENT, "attempt": ended(signals=TERM), "result": GOOD, "cancel_asked": True}, State.CANCELLED, "cancelled while it ran (exit code 0); its result is kept"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(signals=TERM), "result": GOOD}, State.FAILED, "walltime exceeded (exit code 0); its result is kept"),
    ({"submission": SENT, "status": OOM, "attempt": ended(), "result": GOOD}, State.FAILED, "out of memory (exit code 0); its result is kept"),
    ({"submission": SENT, "status": NODE_FAIL, "attempt": ended(), "result": GOOD}, State.FAILED, "node failure"),
    ({"submission": SENT, "status": RUNNING, "attempt": ended(signals=TERM), "result": GOOD}, State.RUNNING, "has not said how its job ended"),
    ({"submission": SENT, "attempt": ended(signals=TERM), "result": GOOD}, State.RUNNING, "has not said how its job ended"),
    ({"submission": SENT, "status": PENDING, "attempt": ended(signals=TERM), "result": GOOD}, State.QUEUED, "was requeued"),
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(signals=TERM, limit=OwnLimit.WALLTIME), "result": GOOD, "packed": True}, State.FAILED, "its result is kept"),
    # a soft stop of the person's own, or a warning: the scheduler says that it ended by itself
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(signals=TERM), "result": GOOD}, State.DONE, "valid result"),
    ({"submission": SENT, "status": RUNNING, "attempt": ended(signals=("SIGUSR1",)), "result": GOOD}, State.DONE, "valid result"),
    # without the scheduler's word, the node's own record decides
    ({"submission": SENT, "status": ABSENT, "attempt": ended(None, 15, signals=TERM), "gone_s": LONG, "walltime_s": 6}, State.FAILED, "walltime exceeded, by the node's record: was told to end (SIGTERM), killed by SIGTERM after 5 of 6 s"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(signals=TERM, setup_s=50.0), "result": GOOD, "gone_s": LONG, "walltime_s": 56}, State.FAILED, "walltime exceeded"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(1, signals=TERM, peak_memory_mib=99.0), "gone_s": LONG, "memory_mib": 100, "walltime_s": 60}, State.FAILED, "it had used 99 of the 100 MiB"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(signals=TERM), "result": GOOD, "gone_s": LONG, "walltime_s": 60}, State.CANCELLED, "nobody has said why; its result is kept"),
    ({"submission": SENT, "status": ABSENT, "attempt": replace(CLAIMED, signals=TERM, elapsed_s=59.0), "gone_s": LONG, "walltime_s": 60}, State.FAILED, "no exit record after 59 of 60 s"),
    ({"submission": PACKED, "status": ABSENT, "attempt": ended(1, signals=TERM, worker_is_over=True), "gone_s": LONG, "walltime_s": 600, "packed": True}, State.FAILED, "its worker's walltime was over"),
    ({"submission": PACKED, "status": ABSENT, "attempt": ended(1, signals=TERM), "gone_s": LONG, "walltime_s": 5, "packed": True}, State.FAILED, "exit code 1"),
    # a node that speaks is not lost
    ({"submission": SENT, "status": ABSENT, "attempt": CLAIMED, "gone_s": LONG, "heard_s": 20.0}, State.RUNNING, "by its record of 20 s ago; unknown job"),
    ({"submission": SENT, "status": ABSENT, "attempt": CLAIMED, "gone_s": LONG, "heard_s": 200.0}, State.LOST, "began"),
    ({"submission": SENT, "status": PENDING, "attempt": CLAIMED, "begun_since": True}, State.RUNNING, "began on n1 since"),
    ({"submission": SENT, "status": SUSPENDED, "attempt": CLAIMED}, State.SUSPENDED, "is suspended on n1: by an operator"),
    ({"submission": SENT, "status": SUSPENDED}, State.SUSPENDED, "its job is suspended"),
    # it asked to go on, unless someone cancelled it
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(75, signals=TERM)}, State.PAUSED, "saved where it was"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(75), "until": 9}, State.PAUSED, "as far as it was to, entry 9"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": ended(75, signals=TERM), "until": 9}, State.PAUSED, "saved where it was"),
    ({"submission": SENT, "status": COMPLETED, "attempt": ended(), "result": GOOD, "until": 9}, State.DONE, "valid result"),
    ({"submission": SENT, "status": PENDING, "attempt": ended(75, signals=TERM)}, State.QUEUED, "was requeued"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(75, signals=TERM)}, State.CANCELLED, "while it ran"),
    ({"submission": SENT, "status": status(TaskState.ENDED, Outcome.FAILED), "attempt": ended(75, given_back=True, error="not begun on n2")}, State.PAUSED, "not begun on n2; the next"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(75, signals=TERM, given_back=True, error="not begun on n2"), "cancel_asked": True}, State.CANCELLED, "cancelled"),
    # what a packed job's worker sees to itself
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(None, 15, signals=TERM, limit=OwnLimit.WALLTIME), "packed": True}, State.FAILED, "walltime exceeded: ended by its worker"),
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(None, 9, signals=TERM, limit=OwnLimit.MEMORY, peak_memory_mib=700.0), "packed": True, "memory_mib": 500}, State.FAILED, "used 700 of 500 MiB"),
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(75, signals=TERM, limit=OwnLimit.WALLTIME), "packed": True}, State.PAUSED, "saved where it was"),
    # A rule has ended it early: it is over, whatever the command and its job made of that.
    ({"submission": SENT, "status": RUNNING, "attempt": ended(75, signals=TERM, limit=OwnLimit.RULE, rule="history[-1] < 0.2: 0.1 at entry 1")}, State.CANCELLED, "by a rule: history[-1] < 0.2: 0.1 at entry 1"),
    ({"submission": SENT, "status": None, "attempt": ended(0, signals=TERM, limit=OwnLimit.RULE), "result": GOOD}, State.CANCELLED, "ended early by a rule"),
    ({"submission": SENT, "status": PENDING, "attempt": ended(None, 15, signals=TERM, limit=OwnLimit.RULE)}, State.CANCELLED, "ended early by a rule"),
    ({"submission": SENT, "status": CANCELLED, "attempt": ended(None, 9, signals=TERM, limit=OwnLimit.RULE), "cancel_asked": True}, State.CANCELLED, "ended early by a rule"),
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(None, 9), "packed": True}, State.FAILED, "killed by SIGKILL"),
    ({"submission": PACKED, "status": RUNNING, "attempt": ended(None, 15, signals=TERM), "packed": True, "cancel_asked": True}, State.CANCELLED, "while it ran"),
    # how a worker ended says nothing about those of its trials that ended before
    ({"submission": PACKED, "status": TIMEOUT, "attempt": ended(3), "packed": True}, State.FAILED, "exit code 3"),
    ({"submission": PACKED, "status": PENDING, "attempt": ended(3), "packed": True}, State.FAILED, "exit code 3"),
    ({"submission": PACKED, "status": CANCELLED, "attempt": ended(None, 9), "packed": True}, State.FAILED, "killed by SIGKILL"),
    ({"submission": PACKED, "status": NODE_FAIL, "attempt": ended(None, 15, signals=TERM), "packed": True}, State.FAILED, "node failure (killed by SIGTERM)"),
    ({"attempt": Attempt(ended=True, cancelled=True)}, State.CANCELLED, "cancelled before it ran"),
    # it waits for a worker
    ({"submission": PACKED, "status": RUNNING, "packed": True}, State.QUEUED, "waits for a worker of job 7"),
    ({"submission": PACKED, "packed": True}, State.QUEUED, "waits for a worker of job 7"),
    ({"submission": PACKED, "status": COMPLETED, "packed": True, "gone_s": 1.0}, State.QUEUED, "are awaited"),
    ({"submission": PACKED, "status": ABSENT, "packed": True, "gone_s": LONG}, State.PLANNED, "ended before its turn"),
    ({"submission": PACKED, "status": CANCELLED, "packed": True, "gone_s": LONG, "cancel_asked": True}, State.CANCELLED, "before it ran"),
    # the scheduler alone says how it ended
    ({"submission": SENT, "status": CANCELLED}, State.CANCELLED, "cancelled"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": CLAIMED}, State.RUNNING, "walltime exceeded; its exit record is awaited"),
    ({"submission": SENT, "status": TIMEOUT, "attempt": CLAIMED, "gone_s": LONG}, State.FAILED, "walltime exceeded"),
    ({"submission": SENT, "status": PREEMPTED, "attempt": CLAIMED}, State.RUNNING, "its exit record is awaited"),
    ({"submission": SENT, "status": PREEMPTED, "attempt": CLAIMED, "gone_s": LONG}, State.FAILED, "pre-empted"),
    ({"submission": SENT, "status": PREEMPTED, "attempt": ended(75, signals=TERM)}, State.PAUSED, "saved where it was"),
    ({"submission": SENT, "status": NODE_FAIL, "attempt": CLAIMED}, State.RUNNING, "node failure; its exit record is awaited"),
    ({"submission": SENT, "status": NODE_FAIL, "attempt": CLAIMED, "gone_s": LONG}, State.FAILED, "node failure"),
    ({"submission": SENT, "status": OOM, "attempt": CLAIMED}, State.RUNNING, "out of memory; its exit record is awaited"),
    ({"submission": SENT, "status": OOM, "attempt": CLAIMED, "gone_s": LONG}, State.FAILED, "out of memory"),
    ({"submission": SENT, "status": PREEMPTED, "attempt": CLAIMED}, State.RUNNING, "pre-empted; its exit record is awaited"),
    ({"submission": SENT, "status": CANCELLED, "attempt": CLAIMED}, State.RUNNING, "cancelled; its exit record is awaited"),
    ({"submission": SENT, "status": CANCELLED, "attempt": CLAIMED, "cancel_asked": True, "gone_s": LONG}, State.CANCELLED, "cancelled"),
    ({"submission": SENT, "status": LAUNCH}, State.FAILED, "launch failure"),
    ({"submission": SENT, "status": FAILED, "gone_s": 1.0}, State.RUNNING, "awaited"),
    ({"submission": SENT, "status": FAILED, "gone_s": LONG}, State.FAILED, "before the trial began"),
    ({"submission": SENT, "status": FAILED, "attempt": CLAIMED, "gone_s": LONG}, State.FAILED, "no exit record"),
    ({"submission": SENT, "status": status(TaskState.ENDED, Outcome.FAILED, signal=9, peak_memory_mib=99.0), "attempt": CLAIMED, "gone_s": LONG, "memory_mib": 100}, State.FAILED, "it had used 99 of the 100 MiB that it asked for; no exit record"),
    ({"submission": SENT, "status": FAILED, "attempt": ended(None, 9, peak_memory_mib=99.0), "memory_mib": 100}, State.FAILED, "killed by SIGKILL; it had used 99 of the 100 MiB that it asked for"),
    ({"submission": SENT, "status": COMPLETED, "attempt": CLAIMED, "gone_s": 1.0}, State.RUNNING, "awaited"),
    ({"submission": SENT, "status": COMPLETED, "gone_s": LONG}, State.LOST, "left no exit record"),
    # absent is not finished
    ({"submission": SENT, "status": ABSENT, "gone_s": 1.0}, State.QUEUED, "awaited"),
    ({"submission": SENT, "status": ABSENT, "attempt": CLAIMED, "gone_s": 1.0}, State.RUNNING, "awaited"),
    ({"submission": SENT, "status": ABSENT, "gone_s": LONG}, State.LOST, "no exit record"),
    ({"submission": SENT, "status": ABSENT, "attempt": CLAIMED, "gone_s": LONG}, State.LOST, "began"),
    ({"submission": SENT, "status": ABSENT, "attempt": ended(), "result": GOOD, "gone_s": LONG}, State.DONE, "valid result"),
    # Torque kills the runner before it can write down that it was told to end.
    ({"submission": SENT, "status": ABSENT, "attempt": Attempt(started_at=1.0, elapsed_s=250.0, setup_s=5.0), "gone_s": LONG, "walltime_s": 300}, State.FAILED, "its last record is of 255 of its 300 s"),
    ({"submission": SENT, "status": ABSENT, "attempt": Attempt(started_at=1.0, elapsed_s=100.0), "gone_s": LONG, "walltime_s": 300}, State.LOST, "no exit record"),
    ({"submission": SENT, "status": ABSENT, "attempt": Attempt(started_at=1.0, elapsed_s=250.0), "gone_s": LONG, "walltime_s": 300, "cancel_asked": True}, State.CANCELLED, "while it ran"),
    # A limit that refuses memory and kills nobody.
    ({"submission": SENT, "status": FAILED, "attempt": ended(1, peak_memory_mib=95.0), "memory_mib": 100, "memory_error": True}, State.FAILED, "exit code 1; it got no more memory: it had used 95 of the 100 MiB"),
    ({"submission": SENT, "status": ABSENT, "cancel_asked": True}, State.CANCELLED, "before it ran"),
    ({"submission": SENT, "status": ABSENT, "attempt": CLAIMED, "cancel_asked": True, "gone_s": 1.0}, State.RUNNING, "awaited"),
    ({"submission": SENT, "status": ABSENT, "attempt": CLAIMED, "cancel_asked": True, "gone_s": LONG}, State.CANCELLED, "while it ran"),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "state", "reason"), CASES)
def test_the_table(evidence: dict[str, Any], state: State, reason: str) -> None:
    verdict = judge(Evidence(**evidence, now=1010.0))
    assert verdict.state is state
    assert reason in verdict.reason


def test_every_row_is_reached_by_a_case() -> None:
    reached = {
        next(i for i, row in enumerate(TABLE) if row.when(Evidence(**evidence))) for evidence, _, _ in CASES
    }
    assert reached == set(range(len(TABLE)))


def test_a_failed_query_never_ends_a_trial() -> None:
    """If the scheduler does not answer, no trial ends, whatever else is known about it."""
    for evidence, _, _ in CASES:
        attempt = evidence.get("attempt")
        if not (attempt and attempt.ended):
            silent = {**evidence, "status": None}
            assert not judge(Evidence(**silent)).state.final
            assert judge(Evidence(**silent)).state is not State.LOST


def test_usage_is_the_nodes_before_the_schedulers() -> None:
    scheduler_status = status(TaskState.ENDED, Outcome.COMPLETED, elapsed_s=7.0, cpu_s=3.0, peak_memory_mib=50.0)
    verdict = judge(Evidence(submission=SENT, attempt=ended(cpu_s=2.5), status=scheduler_status, result=GOOD))
    assert (verdict.elapsed_s, verdict.cpu_s, verdict.peak_memory_mib) == (5.0, 2.5, 50.0)
    running = judge(Evidence(submission=SENT, attempt=CLAIMED, status=RUNNING, now=1010.0))
    assert running.elapsed_s == 10.0


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"segMeasure": 0.5}, ""),
        ({"segMeasure": 1}, ""),
        ({"segMeasure": float("nan")}, "nan"),
        ({"segMeasure": float("inf")}, "inf"),
        ({"segMeasure": 10**400}, "segMeasure is 1000"),
        ({"segMeasure": "0.5"}, "not a number"),
        ({"segMeasure": True}, "not a number"),
        ({"segMeasure": None}, "null"),
        ({"SEG": 0.5}, "has no segMeasure (it has: SEG)"),
        ({"segMeasure": 0.5, "complete": False}, "not complete"),
        ([0.5], "holds a list"),
        ({}, "it has: nothing"),
    ],
)
def test_which_results_count(result: Any, message: str) -> None:
    fault = result_fault(result, Objective())
    assert (fault is not None and message in fault.words) if message else fault is None


def test_a_metric_may_be_inside() -> None:
    assert metric_of({"test": {"segMeasure": 0.4}, "a.b": 1}, "test.segMeasure") == 0.4
    assert metric_of({"a.b": 1}, "a.b") == 1
    assert metric_of({"test": 3}, "test.segMeasure") is None
