"""status: where every trial stands, what runs, what failed and why, and how long it may still take."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from sweep.model import State
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.observe import Seen, Snapshot, observe

#: More running trials than anyone reads; --json has them all.
SHOWN = 20


@dataclass
class StatusReport:
    """A sweep at one moment."""

    name: str
    trials: int
    counts: dict[str, int]
    running: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    planned_because: dict[str, int]
    queued_because: dict[str, int]
    time_left_s: float | None
    retired: int
    retired_alive: int
    stale: str
    calls: int
    notes: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many trials may still run by themselves."""
        return sum(self.counts.get(state.value, 0) for state in (State.SUBMITTING, State.QUEUED, State.RUNNING))


def status(store: Store, shell: Shell) -> StatusReport:
    """Look at a sweep, asking the scheduler a constant number of questions."""
    snapshot = observe(store, shell)
    counts = {state.value: len(snapshot.of(state)) for state in State}
    alive = (State.QUEUED, State.RUNNING)
    retired = [one for one in snapshot.seen if one.trial.retired]
    return StatusReport(
        name=store.name,
        trials=len(snapshot.active),
        counts={state: count for state, count in counts.items() if count},
        running=[_running(one) for one in snapshot.of(State.RUNNING)],
        failures=_failures(snapshot),
        planned_because=_tally([one.verdict.reason for one in snapshot.of(State.PLANNED)]),
        queued_because=_tally([one.verdict.reason for one in snapshot.of(State.QUEUED)]),
        time_left_s=time_left_s(snapshot),
        retired=len(retired),
        retired_alive=sum(one.verdict.state in alive for one in retired),
        stale=snapshot.stale,
        calls=shell.calls,
        notes=list(snapshot.notes),
    )


def _running(one: Seen) -> dict[str, Any]:
    verdict, attempt = one.verdict, one.evidence.attempt if one.evidence else None
    # Of the record's own moment: its CPU time is as old as its last heartbeat.
    percent = 100 * attempt.cpu_s / attempt.elapsed_s if attempt and attempt.cpu_s and attempt.elapsed_s else None
    return {
        "trial": one.trial.number,
        "id": one.trial.id,
        "params": one.trial.params,
        "elapsed_s": verdict.elapsed_s,
        "cpu_s": verdict.cpu_s,
        "cpu_percent": percent,
        "memory_mib": (attempt.memory_mib if attempt else None) or verdict.peak_memory_mib,
        "walltime_s": one.trial.resources.walltime_s,
        "asked_memory_mib": one.trial.resources.memory_mib,
        "host": verdict.host,
        "job": str(one.sent.task) if one.sent and one.sent.task else "",
        "reason": verdict.reason,
    }


def _failures(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Group failures by reason, the commonest first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for one in snapshot.of(State.FAILED, State.LOST, State.CANCELLED):
        groups.setdefault((one.verdict.state.value, one.verdict.reason), []).append(one.trial.number)
    rows = [
        {"state": state, "reason": reason, "count": len(numbers), "trials": numbers}
        for (state, reason), numbers in groups.items()
    ]
    return sorted(rows, key=lambda row: (-len(row["trials"]), row["reason"]))


def _tally(reasons: list[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def time_left_s(snapshot: Snapshot) -> float | None:
    """Estimate the seconds until all that was sent has ended; None before the first trial has.

    What is left, at the median of what trials took, on as many places as run trials now.
    """
    took = [one.verdict.elapsed_s for one in snapshot.of(State.DONE) if one.verdict.elapsed_s]
    running, queued = snapshot.of(State.RUNNING), snapshot.of(State.QUEUED)
    if not took or not running + queued:
        return None
    each = statistics.median(took)
    going = sum(max(0.0, each - (one.verdict.elapsed_s or 0.0)) for one in running)
    return (going + each * len(queued)) / max(1, len(running))
