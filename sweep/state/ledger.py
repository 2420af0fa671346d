"""The journal's events → what they add up to (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.model import Cause, Resources, State, Submission, Trial, Verdict

Event = Mapping[str, Any]

#: The name under which the driver job, which runs no trial, is submitted.
DRIVER = "driver"

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
    cancelled : dict
        Trial number → who asked to cancel it.
    settled : dict
        Trial number → (attempt, verdict) that will not change any more.
    attempts : dict
        Trial number → the attempt it is at, where that is not the first.
    raised : dict
        Trial number → what it asks for since a retry: ``memory_mib``, ``walltime_s``.
    causes : dict
        Trial number → the rules its retries were made under so far.
    avoid : dict
        Trial number → nodes that failed under it.
    workers : dict
        Packed job → how many workers it has.
    confirming : set of int
        Trials that were added to confirm their configurations.
    counting : set of int
        Those of them whose configurations were chosen by the metric that ranks today.
    earlier : list
        (trial number, verdict, what a retry had raised for it) of attempts that ended and were tried again.
    stopped_at : float
        When someone last cancelled everything: who was sending by itself stops.
    planned : Event or None
        The newest ``planned`` event.
    """

    jobs: list[str] = field(default_factory=list)
    submissions: dict[str, Submission] = field(default_factory=dict)
    cancelled: dict[int, str] = field(default_factory=dict)
    settled: dict[int, tuple[int, Verdict]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    raised: dict[int, dict[str, int]] = field(default_factory=dict)
    causes: dict[int, list[str]] = field(default_factory=dict)
    avoid: dict[int, tuple[str, ...]] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    confirming: set[int] = field(default_factory=set)
    counting: set[int] = field(default_factory=set)
    earlier: list[tuple[int, Verdict, dict[str, int]]] = field(default_factory=list)
    stopped_at: float = 0.0
    planned: Event | None = None

    def sent(self, job: str) -> list[Submission]:
        """Return what of a job was submitted and may still come to something, or has."""
        return [one for one in self.submissions.values() if one.job == job and not one.dead]

    def asks(self, trial: Trial) -> Resources:
        """Return what a trial asks for: more than the grid gives it, where a retry has raised that."""
        raised = self.raised.get(trial.number)
        if not raised:
            return trial.resources
        more = {name: max(value, getattr(trial.resources, name)) for name, value in raised.items()}
        return replace(trial.resources, **more)

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
        ledger.counting.clear()  # they confirm what another metric chose
    ledger.planned = event
    # What a packed job's workers leave over stays with that job, which may be sent again; so may one whose
    # submission is in doubt, if it turns out not to be there.
    kept = {one.job for one in ledger.submissions.values() if one.workers and not one.refused}
    kept |= {one.job for one in ledger.doubts}
    ledger.jobs = [job for job in ledger.jobs if job in kept] + list(event["jobs"])
    ledger.workers.update(event.get("workers", {}))


def _retried(ledger: Ledger, event: Event) -> None:
    ledger.jobs += event["jobs"]
    ledger.workers.update(event.get("workers", {}))
    for number, attempt in event["trials"]:
        ledger.attempts[number] = attempt
        lost = (0, Verdict(State.LOST, "tried again without a record"))
        verdict = ledger.settled.pop(number, lost)[1]
        ledger.earlier.append((number, verdict, dict(ledger.raised.get(number, {}))))
        ledger.cancelled.pop(number, None)
    for number, cause, raised, avoid in event.get("why", []):
        ledger.causes.setdefault(number, []).append(cause)
        ledger.raised.setdefault(number, {}).update(raised)
        ledger.avoid[number] = (*ledger.avoid.get(number, ()), *avoid)


def _confirmed(ledger: Ledger, event: Event) -> None:
    ledger.jobs += event["jobs"]
    ledger.workers.update(event.get("workers", {}))
    ledger.confirming.update(event["trials"])
    ledger.counting.update(event["trials"])
    for number, raised in event.get("raised", []):
        ledger.raised.setdefault(number, {}).update(raised)


def _submitting(ledger: Ledger, event: Event) -> None:
    token = event["token"]
    span = event.get("span")
    ledger.submissions[token] = Submission(
        token,
        event["job"],
        event["job_name"],
        event["index"],
        float(event["at"]),
        span=(span[0], span[1]) if span else None,
        workers=event.get("workers", 0),
        open=event.get("open", 0),
    )


def _submitted(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], job_id=event["id"])


def _unanswered(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], unanswered=True)


def _refused(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], refused=event["reason"])


def _over(ledger: Ledger, event: Event) -> None:
    _update(ledger, event["token"], over=True)


def _update(ledger: Ledger, token: str, **changes: Any) -> None:
    if token in ledger.submissions:  # else its own line was torn, and the claim on the node guards
        ledger.submissions[token] = replace(ledger.submissions[token], **changes)


def _cancelled(ledger: Ledger, event: Event) -> None:
    ledger.cancelled.update(dict.fromkeys(event["trials"], event.get("by", "")))
    if event.get("everything"):
        ledger.stopped_at = float(event["at"])


def _not_cancelled(ledger: Ledger, event: Event) -> None:
    for number in event["trials"]:
        ledger.cancelled.pop(number, None)


#: Asked for each trial that has ended; an enumeration called takes three times as long.
_STATES, _CAUSES = {one.value: one for one in State}, {one.value: one for one in Cause}


def _observed(ledger: Ledger, event: Event) -> None:
    for number, attempt, state, *rest in event["trials"]:
        # Someone may have looked before a retry, and written after it.
        if attempt >= ledger.attempts.get(number, 1):
            reason, elapsed_s, cpu_s, peak_mib, host, *said = rest
            # A journal of an older version does not say the cause, nor whose the figures are.
            cause, witness = (_CAUSES[said[0]], str(said[1])) if said else (Cause.NONE, "")
            began = said[2] if len(said) > 2 else None
            verdict = Verdict(_STATES[state], reason, elapsed_s, cpu_s, peak_mib, host, cause, witness, began)
            ledger.settled[number] = (attempt, verdict)


def observed(settled: Iterable[tuple[int, int, Verdict]]) -> dict[str, Any]:
    """Make the event that settles trials: (number, attempt, verdict) each."""
    return {
        "event": "observed",
        "trials": [
            [number, attempt, verdict.state.value, verdict.reason, verdict.elapsed_s, verdict.cpu_s,
             verdict.peak_memory_mib, verdict.host, verdict.cause.value, verdict.witness,
             verdict.started_at]
            for number, attempt, verdict in settled
        ],
    }  # fmt: skip


_READERS = {
    "planned": _planned,
    "retried": _retried,
    "confirmed": _confirmed,
    "submitting": _submitting,
    "submitted": _submitted,
    "unanswered": _unanswered,
    "refused": _refused,
    "over": _over,
    "cancelled": _cancelled,
    "not cancelled": _not_cancelled,
    "observed": _observed,
}
