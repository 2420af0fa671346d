"""The words of a verdict, for people: nothing is decided by them (pure)."""

from __future__ import annotations

import signal as signals

from sweep.model import Outcome
from sweep.state.conditions import ENDING, near_its_memory, peak_mib
from sweep.state.evidence import Evidence, OwnLimit, StartFailure


def kept(evidence: Evidence) -> str:
    """Say of a trial that was ended by others and wrote a result all the same that this does not count."""
    return "; its result is kept, and does not count" if evidence.result is not None else ""


def told_words(evidence: Evidence) -> str:
    """Say which signal told it to end, and how it did."""
    attempt = evidence.attempt
    assert attempt is not None
    name = next(name for name in attempt.signals if name in ENDING)
    return f"was told to end ({name}), {ended_how(evidence) or 'no exit record'}"


def time_words(evidence: Evidence) -> str:
    """Say how much of its walltime was used up."""
    attempt = evidence.attempt
    assert attempt is not None
    if evidence.packed:
        return f"its worker's walltime was over, by the node's record: {told_words(evidence)}{kept(evidence)}"
    used_s = attempt.setup_s + (attempt.elapsed_s or 0.0)
    return (
        f"walltime exceeded, by the node's record: {told_words(evidence)} after {used_s:.0f} of "
        f"{evidence.walltime_s:.0f} s{kept(evidence)}"
    )


def silent_words(evidence: Evidence) -> str:
    """Say that nobody has a word of its end, and when its last sign of life was."""
    attempt = evidence.attempt
    assert attempt is not None
    used_s = attempt.setup_s + (attempt.elapsed_s or 0.0)
    return (
        f"walltime exceeded, as far as is known: its last record is of {used_s:.0f} of its "
        f"{evidence.walltime_s:.0f} s, and nothing says how it ended"
    )


def ended_how(evidence: Evidence) -> str:
    """Say how the command ended. Empty: it has not."""
    attempt = evidence.attempt
    if attempt is None or not attempt.ended:
        return ""
    if attempt.failure is not StartFailure.NONE:
        return attempt.error
    if attempt.signal is not None:
        return f"killed by {signal_name(attempt.signal)}{memory_note(evidence)}"
    return f"exit code {attempt.exit_code}{memory_note(evidence)}"


def canceller(evidence: Evidence) -> str:
    """Add who it was, where the scheduler says so."""
    status = evidence.status
    if status and status.outcome is Outcome.CANCELLED and status.cancelled_by:
        return f", by {status.cancelled_by}"
    return ""


def memory_note(evidence: Evidence) -> str:
    """Add that it had used all its memory, if so."""
    if evidence.memory_error:
        return (
            f"; it got no more memory: it had used {peak_mib(evidence):.0f} of the {evidence.memory_mib:.0f} MiB "
            "that it asked for"
        )
    if not near_its_memory(evidence):
        return ""
    return f"; it had used {peak_mib(evidence):.0f} of the {evidence.memory_mib:.0f} MiB that it asked for"


def by_scheduler(evidence: Evidence) -> str:
    """Say how the job ended, in the scheduler's words."""
    status = evidence.status
    assert status is not None
    parts = [str(status.outcome)]
    if status.reason and status.reason not in parts:
        parts.append(status.reason)
    if status.exit_code:
        parts.append(f"exit code {status.exit_code}")
    elif status.signal:
        parts.append(f"killed by {signal_name(status.signal)}")
    return ": ".join(parts)


def signal_name(number: int) -> str:
    """Name a signal."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def where(evidence: Evidence) -> str:
    """Say where it runs."""
    if evidence.attempt and evidence.attempt.host:
        return f"on {evidence.attempt.node or evidence.attempt.host}"
    return ""


def job(evidence: Evidence) -> str:
    """Name the job."""
    return f"job {evidence.submission.job_id}" if evidence.submission and evidence.submission.job_id else "its job"


def limit_reason(evidence: Evidence) -> str:
    """Say which limit of its own it exceeded in its worker."""
    attempt = evidence.attempt
    assert attempt is not None
    if attempt.limit is OwnLimit.WALLTIME:
        return f"walltime exceeded: ended by its worker ({ended_how(evidence)})"
    return (
        f"out of memory: used {attempt.peak_memory_mib:.0f} of {evidence.memory_mib:.0f} MiB, ended by its worker"
    )


def request_words(evidence: Evidence) -> str:
    """Say who asked it to end: a rule of the grid, or a person."""
    attempt = evidence.attempt
    if attempt is not None and attempt.limit is OwnLimit.RULE:
        return f"ended early by a rule: {attempt.rule}"
    return f"cancelled while it ran{canceller(evidence)} ({ended_how(evidence)}){kept(evidence)}"


def doubt(_: Evidence) -> str:
    """Say that the submission is in doubt."""
    return "a submission was begun and its outcome is not known; the next `sweep submit` asks"


def reason(evidence: Evidence) -> str:
    """Add the scheduler's reason, if it gave one."""
    return f": {evidence.status.reason}" if evidence.status and evidence.status.reason else ""


def waiting(evidence: Evidence) -> str:
    """Say that it waits, and for what."""
    return f"waits in the queue{reason(evidence)}"
