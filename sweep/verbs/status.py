"""status: where every trial stands, what runs, what failed and why, and how long it may still take."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sweep.model import SchedulerStatus, State, TaskRef, efficiency, memory_percent
from sweep.shell import Shell
from sweep.state.failures import in_common, kind_of
from sweep.state.ledger import DRIVER
from sweep.steps.observe import Snapshot, TrialStatus, observe
from sweep.steps.poll import POLL_EVERY_S
from sweep.store import Store
from sweep.verbs.why import last_lines

#: Of a failed trial's log, so many lines are shown beside the reason.
LOG_LINES = 3

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
    ended: dict[str, float]
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


def status(store: Store, shell: Shell, *, usage: bool = False) -> StatusReport:
    """Look at a sweep, asking the scheduler a constant number of questions, and none if it just was asked.

    Parameters
    ----------
    usage : bool
        Ask, too, what the running trials use just now, where the scheduler's poll does not say: `sstat`.
    """
    snapshot = observe(store, shell, recent_s=0.0 if usage else POLL_EVERY_S)
    running = snapshot.of(State.RUNNING)
    told = _asked_usage(shell, snapshot, running) if usage else {}
    alive = (State.QUEUED, State.RUNNING)
    retired = [one for one in snapshot.seen if one.trial.retired]
    return StatusReport(
        name=store.name,
        trials=len(snapshot.active),
        counts=snapshot.counts,
        running=[_running(one, told) for one in running],
        failures=failures(store, snapshot),
        planned_because=_tally([one.verdict.reason for one in snapshot.of(State.PLANNED)]),
        queued_because=_tally([one.verdict.reason for one in snapshot.of(State.QUEUED)]),
        ended=_ended(snapshot),
        time_left_s=time_left_s(snapshot),
        retired=len(retired),
        retired_alive=sum(one.verdict.state in alive for one in retired),
        stale=snapshot.stale,
        calls=shell.calls,
        notes=[*snapshot.notes, *_driver_gone(snapshot)],
    )


def _driver_gone(snapshot: Snapshot) -> Iterator[str]:
    """Say if what waits for a driver waits in vain."""
    waiting = snapshot.of(State.PLANNED)
    sent = any(one.job == DRIVER for one in snapshot.ledger.submissions.values())
    if snapshot.settings.driver and sent and waiting and not snapshot.in_queue:
        yield f"the driver job has ended, and {len(waiting)} trials are planned: run `sweep submit`"


def _asked_usage(shell: Shell, snapshot: Snapshot, running: list[TrialStatus]) -> dict[TaskRef, SchedulerStatus]:
    tasks = [one.sent.task for one in running if one.sent and one.sent.task and not one.sent.submission.workers]
    return shell.converse(snapshot.settings.scheduler.usage(tasks))


def _running(one: TrialStatus, told: Mapping[TaskRef, SchedulerStatus]) -> dict[str, Any]:
    verdict, attempt = one.verdict, one.evidence.attempt if one.evidence else None
    status = told.get(one.sent.task) if one.sent and one.sent.task else None
    asks = one.trial.resources
    # Of the record's own moment: its CPU time is as old as its last heartbeat.
    elapsed_s = attempt.elapsed_s if attempt and attempt.elapsed_s else verdict.elapsed_s
    cpu_s, peak_mib, by = verdict.cpu_s, verdict.peak_memory_mib, verdict.witness
    if status and status.cpu_s is not None:
        elapsed_s, cpu_s, by = verdict.elapsed_s, status.cpu_s, "scheduler"
        peak_mib = status.peak_memory_mib or peak_mib
    return {
        "trial": one.trial.number,
        "id": one.trial.id,
        "params": one.trial.params,
        "elapsed_s": verdict.elapsed_s,
        "cpu_s": cpu_s,
        "cpu_percent": efficiency(cpu_s, elapsed_s, asks.cpus),
        "memory_mib": (attempt.memory_mib if attempt and not status else None) or peak_mib,
        "peak_memory_mib": peak_mib,
        "memory_percent": memory_percent(peak_mib or None, asks.memory_mib),
        "witness": by,
        "walltime_s": asks.walltime_s,
        "asked_memory_mib": asks.memory_mib,
        "host": verdict.host,
        "job": str(one.sent.task) if one.sent and one.sent.task else "",
        "reason": verdict.reason,
    }


def _ended(snapshot: Snapshot) -> dict[str, float]:
    """Return the medians of what the trials that are done used, and of its share of what they asked for."""
    done = [(one.verdict, one.trial.resources) for one in snapshot.of(State.DONE)]
    values: dict[str, list[float | None]] = {
        "elapsed_s": [verdict.elapsed_s for verdict, _ in done],
        "cpu_s": [verdict.cpu_s for verdict, _ in done],
        "cpu_percent": [efficiency(verdict.cpu_s, verdict.elapsed_s, asks.cpus) for verdict, asks in done],
        "peak_memory_mib": [verdict.peak_memory_mib for verdict, _ in done],
        "memory_percent": [memory_percent(verdict.peak_memory_mib, asks.memory_mib) for verdict, asks in done],
    }
    known = {name: [value for value in some if value] for name, some in values.items()}
    return {name: statistics.median(some) for name, some in known.items() if some}


def failures(store: Store, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Group failures by cause and reason, the commonest first, with what each group's trials share."""
    groups: dict[tuple[str, str, str], list[TrialStatus]] = {}
    for one in snapshot.of(State.FAILED, State.LOST, State.CANCELLED, State.PAUSED):
        key = (one.verdict.state.value, one.verdict.cause.value, kind_of(one.verdict.reason))
        groups.setdefault(key, []).append(one)
    everyone = [one.trial.params for one in snapshot.active]
    rows: list[dict[str, Any]] = [
        {
            "state": state,
            "cause": cause,
            "reason": reason if len(some) > 1 else some[0].verdict.reason,
            "count": len(some),
            "trials": [one.trial.number for one in some],
            "shared": _shared([one.trial.params for one in some], everyone),
        }
        for (state, cause, reason), some in groups.items()
    ]
    rows.sort(key=lambda row: (-row["count"], row["reason"]))
    by_number = {one.trial.number: one.trial for one in snapshot.active}
    for row in rows[:SHOWN]:
        if row["state"] == State.FAILED.value:
            row["log_tail"] = last_lines(store, by_number[row["trials"][0]], LOG_LINES)
    return rows


def _shared(failed: list[dict[str, Any]], everyone: list[dict[str, Any]]) -> dict[str, Any] | None:
    shared = in_common(failed, everyone)
    return asdict(shared) if shared else None


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
    return (going + each * len(queued)) / max(1, len(running)) or None  # past the median, nobody knows
