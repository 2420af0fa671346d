"""What can be asked of the evidence: the conditions of the verdict's rows (pure)."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable

from sweep.model import Outcome, ResultProblem, TaskState
from sweep.state.evidence import Evidence, OwnLimit

#: sysexits.h, EX_TEMPFAIL: a command that ends with it has saved where it was, and is to be run again.
EX_TEMPFAIL = 75

#: Killed at this share of the memory it asked for, it was most likely killed for that.
NEAR_LIMIT = 0.95

KILLED = (Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.NODE_FAIL, Outcome.PREEMPTED)

#: The signals that tell a command to end (``node/command.py`` has them, too). USR1 and USR2 warn it.
ENDING = frozenset(("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU"))

#: Told to end within this share of its walltime, or so many seconds, a command was told because of it: what the
#: job did before the command began is not all counted, and a scheduler counts in steps.
_WALLTIME_MARGIN = 0.05
_MARGIN_S = (2.0, 60.0)

#: A node refreshes its record at least so often (``jobs/render.py``).
_HEARTBEAT_S = 60.0

#: A record that is no older than so many graces was written by a node that is at work: it writes one every minute.
_FRESH_GRACES = 3


def unreadable(evidence: Evidence) -> bool:
    """The record or the result cannot be read."""
    return bool(evidence.unreadable)


def result_is_late(evidence: Evidence) -> bool:
    """Whether the command ended with 0 so short a time ago that its result may not be visible here yet."""
    fault = evidence.result_fault
    if not exit_0(evidence) or fault is None or fault.problem is not ResultProblem.MISSING:
        return False
    return evidence.heard_s is not None and evidence.heard_s <= evidence.grace_s and not gone_for_long(evidence)


def recorded(evidence: Evidence) -> bool:
    """The exit record is there."""
    return evidence.attempt is not None and evidence.attempt.ended


def claimed(evidence: Evidence) -> bool:
    """A node has begun it, and has not said how it ended."""
    return evidence.attempt is not None and not evidence.attempt.ended


def exit_0(evidence: Evidence) -> bool:
    """The command ended with exit code 0."""
    return recorded(evidence) and evidence.attempt is not None and evidence.attempt.exit_code == 0


def paused(evidence: Evidence) -> bool:
    """Whether the command saved where it was and asks to go on, nobody having cancelled it."""
    attempt = evidence.attempt
    return recorded(evidence) and attempt is not None and attempt.exit_code == EX_TEMPFAIL


def parked(evidence: Evidence) -> bool:
    """Whether it saved and ended as it was asked to, and not because somebody told it that its time was over."""
    attempt = evidence.attempt
    return bool(evidence.until) and paused(evidence) and attempt is not None and not attempt.signals


def given_back(evidence: Evidence) -> bool:
    """It was not begun on a node that is unfit, nobody having cancelled it."""
    return paused(evidence) and evidence.attempt is not None and evidence.attempt.given_back


def withdrawn(evidence: Evidence) -> bool:
    """It was cancelled before anyone began it."""
    return evidence.attempt is not None and evidence.attempt.cancelled


def over_limit(evidence: Evidence) -> bool:
    """Its runner ended it at a limit of its own, or by a rule."""
    return recorded(evidence) and evidence.attempt is not None and bool(evidence.attempt.limit)


def exceeded_its_own(evidence: Evidence) -> bool:
    """Its worker ended it at a limit of its own."""
    attempt = evidence.attempt
    return (
        recorded(evidence) and attempt is not None and bool(attempt.limit) and attempt.limit is not OwnLimit.RULE
    )


def met_a_rule(evidence: Evidence) -> bool:
    """Its runner ended it early, by a rule of the grid's ``stop``."""
    return evidence.attempt is not None and evidence.attempt.limit is OwnLimit.RULE


def waits_for_worker(evidence: Evidence) -> bool:
    """Its packed job is submitted, and no worker has begun it."""
    return (
        evidence.packed and evidence.attempt is None and bool(evidence.submission and evidence.submission.job_id)
    )


def interrupted(evidence: Evidence) -> bool:
    """Whether a signal ended it: it may have been requeued, and the scheduler will say so.

    A worker that lives on has seen its trial die: that was no requeue.
    """
    attempt = evidence.attempt
    if attempt is None or not attempt.ended:
        return False
    return bool(attempt.signals or (attempt.signal and not evidence.packed))


def ended_by_itself(evidence: Evidence) -> bool:
    """It ended with 0 and a valid result, before anybody told it to end: what befell its job came too late."""
    attempt = evidence.attempt
    if not exit_0(evidence) or attempt is None or evidence.result is None:
        return False
    return not (told_to_end(evidence) or attempt.stopped or attempt.limit)


def ended_as_it_was_cancelled(evidence: Evidence) -> bool:
    """Whether it ended well, and we had asked to cancel its job: only the scheduler knows which came first.

    It signals a job's processes one after another. A command that ends well on SIGTERM may have ended before the
    runner hears of the signal, and then no record tells of it.
    """
    return evidence.cancel_asked and not evidence.packed and ended_by_itself(evidence)


def told_to_end(evidence: Evidence) -> bool:
    """A signal told the command to end."""
    return evidence.attempt is not None and not ENDING.isdisjoint(evidence.attempt.signals)


def time_used_up(evidence: Evidence) -> bool:
    """Whether it was told to end when its walltime was over, by the node's own record.

    Without history, PBS forgets a job as it ends: then nobody else can say so.
    """
    attempt = evidence.attempt
    if not evidence.walltime_s or attempt is None or attempt.elapsed_s is None or not told_to_end(evidence):
        return False
    if evidence.packed:
        return attempt.worker_is_over
    return attempt.setup_s + attempt.elapsed_s >= evidence.walltime_s - _margin_s(evidence.walltime_s)


def _margin_s(walltime_s: float) -> float:
    return min(max(_WALLTIME_MARGIN * walltime_s, _MARGIN_S[0]), _MARGIN_S[1])


def silent_at_its_walltime(evidence: Evidence) -> bool:
    """Whether the node fell silent when the walltime was all but over.

    Torque kills a runner milliseconds after it has told it to end, before it can write that down.
    """
    attempt = evidence.attempt
    if not (evidence.walltime_s and attempt and attempt.elapsed_s is not None) or evidence.packed:
        return False
    a_beat_s = min(_HEARTBEAT_S, evidence.walltime_s / 2)
    return attempt.setup_s + attempt.elapsed_s >= evidence.walltime_s - a_beat_s - _margin_s(evidence.walltime_s)


def memory_used_up(evidence: Evidence) -> bool:
    """Whether it was told to end, or killed, when it used all the memory that it had asked for."""
    if not evidence.memory_mib or not (told_to_end(evidence) or near_its_memory(evidence)):
        return False
    return peak_mib(evidence) >= NEAR_LIMIT * evidence.memory_mib


def no_word(evidence: Evidence) -> bool:
    """Whether the scheduler will not say how the job ended: it has forgotten it, or never had it."""
    return evidence.status is None or absent(evidence)


def node_speaks(evidence: Evidence) -> bool:
    """The node wrote its record a short while ago, and did not say that the command was told to end."""
    if told_to_end(evidence):
        return False
    return evidence.heard_s is not None and evidence.heard_s <= _FRESH_GRACES * evidence.grace_s


def says(state: TaskState) -> Callable[[Evidence], bool]:
    """Make the condition that the scheduler says a state."""
    return lambda evidence: evidence.status is not None and evidence.status.state is state


running, suspended, ended = says(TaskState.RUNNING), says(TaskState.SUSPENDED), says(TaskState.ENDED)


def pending(evidence: Evidence) -> bool:
    """Whether it waits. Of an array that lives, so does a task that is not named and that no node has begun."""
    status = evidence.status
    if status is None:
        return False
    return status.state is TaskState.PENDING or (status.state is TaskState.UNNAMED and evidence.attempt is None)


def absent(evidence: Evidence) -> bool:
    """Whether the scheduler does not know it. A task that a node has begun and that is not named has ended."""
    status = evidence.status
    if status is None:
        return False
    return status.state is TaskState.ABSENT or (status.state is TaskState.UNNAMED and evidence.attempt is not None)


def outcome(*outcomes: Outcome) -> Callable[[Evidence], bool]:
    """Make the condition that the scheduler says one of these outcomes."""
    return lambda evidence: evidence.status is not None and evidence.status.outcome in outcomes


#: A part of the job was killed, although its command may have ended well.
part_was_killed = outcome(Outcome.OUT_OF_MEMORY, Outcome.NODE_FAIL)


def gone(evidence: Evidence) -> bool:
    """The scheduler does not have the job any more."""
    return ended(evidence) or absent(evidence)


def gone_for_long(evidence: Evidence) -> bool:
    """It has been gone for longer than a record may be late."""
    return evidence.gone_s > evidence.grace_s


def ended_with_its_job(evidence: Evidence) -> bool:
    """Whether the trial ended because its job did. In a packed job: the trial was sent a signal."""
    return not evidence.packed or bool(evidence.attempt and evidence.attempt.signals)


def undecided(evidence: Evidence) -> bool:
    """Whether the scheduler may still say that it was requeued: it says it runs, or has not said that it ended."""
    if evidence.status is None:
        return evidence.submission is not None and bool(evidence.submission.job_id)
    is_absent = evidence.status.state is TaskState.ABSENT
    return running(evidence) or suspended(evidence) or (is_absent and not gone_for_long(evidence))


def all_of(*conditions: Callable[[Evidence], bool]) -> Callable[[Evidence], bool]:
    """Make the condition that all of these hold."""

    def all_hold(evidence: Evidence) -> bool:
        for condition in conditions:  # noqa: SIM110 - asked twenty times a trial, and all() takes twice as long
            if not condition(evidence):
                return False
        return True

    return all_hold


def unless(condition: Callable[[Evidence], bool]) -> Callable[[Evidence], bool]:
    """Make the condition that this one does not hold."""
    return lambda evidence: not condition(evidence)


def stopped_on_request(evidence: Evidence) -> bool:
    """Whether a rule ended it early, or its job was told to end before it did so with an error."""
    attempt = evidence.attempt
    if attempt is not None and attempt.limit is OwnLimit.RULE:
        return True  # it is over for good, even if it saved and could go on
    killed = attempt is not None and attempt.signal == signals.SIGKILL and not evidence.packed
    # A worker may see its trial's end before the signal that it, too, is sent.
    signalled = attempt is not None and attempt.signal in (signals.SIGTERM, signals.SIGINT)
    stopped = killed or signalled or bool(attempt and {"SIGTERM", "SIGINT"} & set(attempt.signals))
    # A cancellation that came to nothing is no reason, where the scheduler knows another.
    cancel_counts = evidence.cancel_asked and not outcome(*KILLED)(evidence)
    return stopped and (cancel_counts or outcome(Outcome.CANCELLED)(evidence))


def cancelled_by_scheduler(evidence: Evidence) -> bool:
    """The scheduler says that the job was cancelled, and the trial ended with it."""
    return recorded(evidence) and outcome(Outcome.CANCELLED)(evidence) and ended_with_its_job(evidence)


def near_its_memory(evidence: Evidence) -> bool:
    """Whether it was killed outright while it used all the memory it had asked for, as the kernel does."""
    attempt, status = evidence.attempt, evidence.status
    signal = attempt.signal if attempt and attempt.ended else status.signal if status else None
    if signal != signals.SIGKILL or not evidence.memory_mib:
        return False
    return peak_mib(evidence) >= NEAR_LIMIT * evidence.memory_mib


def peak_mib(evidence: Evidence) -> float:
    """Return the most memory that anyone saw it use, in MiB."""
    sources = (evidence.attempt, evidence.status)
    return max((source.peak_memory_mib or 0.0 for source in sources if source), default=0.0)
