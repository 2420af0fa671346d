"""The journal's events → what they add up to (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.model import State, Submission, Verdict

Event = Mapping[str, Any]

#: How the reasons begin that rest on the result, good or bad; verdict.py's table gives them.
BY_RESULT = "exit code 0"


@dataclass
class Ledger:
    """What has been done so far, by the journal.

    Attributes
    ----------
    jobs : list of str
        The jobs of the newest plan, in order: those that may still be sent.
    submissions : dict
        Token → submission, in the order of the calls.
    cancelled : set of int
        Trial numbers that someone asked to cancel.
    settled : dict
        Trial number → (attempt, verdict) that will not change any more.
    attempts : dict
        Trial number → the attempt it is at, where that is not the first.
    planned : Event or None
        The newest ``planned`` event.
    """

    jobs: list[str] = field(default_factory=list)
    submissions: dict[str, Submission] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    settled: dict[int, tuple[int, Verdict]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    planned: Event | None = None

    def sent(self, job: str) -> dict[int | None, Submission]:
        """Return what of a job was submitted and not refused: index → submission, None for all as an array."""
        return {one.index: one for one in self.submissions.values() if one.job == job and not one.refused}

    @property
    def doubts(self) -> list[Submission]:
        """Return the submissions that were begun and whose outcome is not known."""
        return [one for one in self.submissions.values() if not one.job_id and not one.refused]


def add_up(events: Iterable[Event]) -> Ledger:
    """Read the journal's events in order. An unknown event, of a newer version, is passed over."""
    ledger = Ledger()
    for event in events:
        reader = _READERS.get(str(event.get("event")))
        if reader:
            reader(ledger, event)
    return ledger


def _planned(ledger: Ledger, event: Event) -> None:
    if ledger.planned and ledger.planned.get("objective") != event.get("objective"):
        # What was judged by its result is judged again: the results are still there.
        ledger.settled = {
            number: (attempt, verdict)
            for number, (attempt, verdict) in ledger.settled.items()
            if not verdict.reason.startswith(BY_RESULT)
        }
    ledger.planned = event
    ledger.jobs = list(event["jobs"])


def _retried(ledger: Ledger, event: Event) -> None:
    ledger.jobs += event["jobs"]
    for number, attempt in event["trials"]:
        ledger.attempts[number] = attempt
        ledger.settled.pop(number, None)
        ledger.cancelled.discard(number)


def _submitting(ledger: Ledger, event: Event) -> None:
    token = event["token"]
    ledger.submissions[token] = Submission(
        token, event["job"], event["job_name"], event["index"], float(event["at"])
    )


def _submitted(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], job_id=event["id"])


def _unanswered(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], unanswered=True)


def _refused(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], refused=event["reason"])


def _update(ledger: Ledger, token: str, **changes: Any) -> None:
    if token in ledger.submissions:  # else its own line was torn, and the claim on the node guards
        ledger.submissions[token] = replace(ledger.submissions[token], **changes)


def _cancelled(ledger: Ledger, event: Event) -> None:
    ledger.cancelled.update(event["trials"])


def _observed(ledger: Ledger, event: Event) -> None:
    for number, attempt, state, *rest in event["trials"]:
        # Someone may have looked before a retry, and written after it.
        if attempt >= ledger.attempts.get(number, 1):
            ledger.settled[number] = (attempt, Verdict(State(state), *rest))


def observed(settled: Iterable[tuple[int, int, Verdict]]) -> dict[str, Any]:
    """Make the event that settles trials: (number, attempt, verdict) each."""
    return {
        "event": "observed",
        "trials": [
            [number, attempt, verdict.state.value, verdict.reason, verdict.elapsed_s, verdict.cpu_s,
             verdict.peak_memory_mib, verdict.host]
            for number, attempt, verdict in settled
        ],
    }  # fmt: skip


_READERS = {
    "planned": _planned,
    "retried": _retried,
    "submitting": _submitting,
    "submitted": _submitted,
    "unanswered": _unanswered,
    "refused": _refused,
    "cancelled": _cancelled,
    "observed": _observed,
}
