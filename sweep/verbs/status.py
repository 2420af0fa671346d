"""status: where every trial stands, what runs, what failed and why, and how long it may still take."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweep.model import ALIVE, Cause, SchedulerStatus, State, TaskRef, efficiency, memory_percent
from sweep.schedulers import SCHEDULERS
from sweep.schedulers.base import POLL_EVERY_S
from sweep.shell import Shell
from sweep.state.failures import FailureGroup, failure_groups
from sweep.state.ledger import DRIVER
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.steps.logs import last_lines
from sweep.steps.observe import observe
from sweep.steps.select import ALL, Selection, fitting
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.steps.raced import RaceProgress

#: How many lines of a failed trial's log are shown.
LOG_LINES = 3

#: More groups of failures than anyone reads; --json has them all.
SHOWN = 20

#: The states that `status` gives reasons for.
NOT_DONE = (
    State.FAILED,
    State.LOST,
    State.CANCELLED,
    State.PAUSED,
    State.UNREADABLE,
    State.GONE,
)


@dataclass(frozen=True)
class RunningTrial:
    """A trial that runs, and what it uses.

    Attributes
    ----------
    cpu_percent, memory_percent : float or None
        CPU time over that allotted so far, and peak memory over what was asked for.
    memory_mib, peak_memory_mib : float or None
        Memory in use at the last look, and the most that was seen.
    witness : str
        Whose figures these are: ``node`` or ``scheduler``.
    job : str
        Its job, or its task of an array, as the scheduler's own commands spell it.
    suspended : bool
        The scheduler has stopped it for now.
    walltime_s, asked_memory_mib : int
        What it asked for.
    """

    trial: int
    id: str
    params: dict[str, Any]
    elapsed_s: float | None
    cpu_s: float | None
    cpu_percent: float | None
    memory_mib: float | None
    peak_memory_mib: float | None
    memory_percent: float | None
    witness: str
    walltime_s: int
    asked_memory_mib: int
    host: str
    job: str
    reason: str
    suspended: bool = False


@dataclass(frozen=True)
class Waiting:
    """Trials that wait for the same reason."""

    cause: Cause
    reason: str
    count: int


@dataclass(frozen=True)
class MedianUse:
    """Medians of what the trials that are done used. None: nobody measured it."""

    elapsed_s: float | None = None
    cpu_s: float | None = None
    cpu_percent: float | None = None
    peak_memory_mib: float | None = None
    memory_percent: float | None = None


@dataclass(frozen=True)
class StatusReport:
    """A sweep at one moment.

    Attributes
    ----------
    counts : dict
        State → how many trials of the grid.
    planned, queued, held : tuple of Waiting
        What keeps those that are planned, those that are queued, and those that are held.
    ended : MedianUse
        What the trials that are done used.
    time_left_s : float or None
        About how long the trials that were sent still take.
    retired, retired_alive : int
        Trials that the grid no longer asks for; and those of them that are queued or running.
    stale : str
        Why the scheduler's statuses are old ones, in words; empty if they are not.
    calls : int
        How many commands were run for this.
    race : RaceProgress or None
        None: the grid has none.
    """

    name: str
    trials: int
    counts: dict[str, int]
    running: tuple[RunningTrial, ...]
    failures: tuple[FailureGroup, ...]
    planned: tuple[Waiting, ...]
    queued: tuple[Waiting, ...]
    ended: MedianUse
    time_left_s: float | None
    retired: int
    retired_alive: int
    stale: str
    calls: int
    notes: tuple[str, ...] = ()
    held: tuple[Waiting, ...] = ()
    race: RaceProgress | None = None

    @property
    def left(self) -> int:
        """How many trials may still run by themselves."""
        return sum(self.counts.get(state.value, 0) for state in ALIVE)


def status(store: Store, shell: Shell, *, usage: bool = False, selection: Selection = ALL) -> StatusReport:
    """Look at a sweep, asking the scheduler a constant number of questions, and none if it just was asked.

    Parameters
    ----------
    usage : bool
        Ask, too, what the running trials use just now, where the scheduler's poll does not say: `sstat`.
    selection : Selection
        The trials that it is about, if an expression says so. That it fits none at the moment is no error.
    """
    whole = observe(store, shell, recent_s=0.0 if usage else POLL_EVERY_S)
    snapshot, notes = whole, [*whole.notes, *_driver_gone(whole)]
    if selection:
        snapshot = replace(whole, trials=fitting(store, whole, selection, whole.active))
        notes.append(f"this is about {len(snapshot.trials):,} of {len(whole.active):,} trials: {selection.where}")
    running = snapshot.of(State.RUNNING, State.SUSPENDED)
    scheduler = SCHEDULERS[snapshot.settings.kind]
    usages = _ask_usage(shell, snapshot, running) if usage else {}
    retired = [trial_status for trial_status in snapshot.trials if trial_status.trial.retired]
    return StatusReport(
        name=store.name,
        trials=len(snapshot.active),
        counts=snapshot.counts,
        running=tuple(_running(trial_status, usages, scheduler.spell) for trial_status in running),
        failures=tuple(failures(store, snapshot)),
        planned=_waiting(snapshot.of(State.PLANNED)),
        queued=_waiting(snapshot.of(State.QUEUED)),
        ended=_ended(snapshot),
        time_left_s=None if selection else time_left_s(snapshot),  # others take places, too
        retired=len(retired),
        retired_alive=sum(trial_status.verdict.state.in_queue for trial_status in retired),
        stale=snapshot.stale,
        calls=shell.calls,
        notes=tuple(notes),
        held=_waiting(snapshot.of(State.HELD)),
        race=_race(snapshot),
    )


def _race(snapshot: Snapshot) -> RaceProgress | None:
    if snapshot.settings.race is None:
        return None
    from sweep.steps.raced import race_progress

    return race_progress(snapshot)


def _driver_gone(snapshot: Snapshot) -> Iterator[str]:
    """Say if what waits for a driver waits in vain."""
    waiting = snapshot.of(State.PLANNED)
    had_driver = any(submission.job == DRIVER for submission in snapshot.ledger.submissions.values())
    if not (snapshot.settings.submit.driver and had_driver and waiting):
        return
    last = [submission for submission in snapshot.ledger.submissions.values() if submission.job == DRIVER][-1]
    if last.refused:
        yield f"no driver job is queued ({last.refusal}), and {len(waiting)} trials wait: run `sweep submit`"
    elif not snapshot.in_queue:
        yield f"the driver job has ended, and {len(waiting)} trials are planned: run `sweep submit`"


def _ask_usage(
    shell: Shell, snapshot: Snapshot, running: Sequence[TrialStatus]
) -> Mapping[TaskRef, SchedulerStatus]:
    tasks = [
        trial_status.sent.task
        for trial_status in running
        if trial_status.sent and trial_status.sent.task and not trial_status.sent.submission.workers
    ]
    return shell.converse(SCHEDULERS[snapshot.settings.kind].usage(tasks))


def _running(
    trial_status: TrialStatus, usages: Mapping[TaskRef, SchedulerStatus], spell: Callable[[TaskRef], str]
) -> RunningTrial:
    verdict, attempt = trial_status.verdict, trial_status.evidence.attempt if trial_status.evidence else None
    task = trial_status.sent.task if trial_status.sent else None
    usage = usages.get(task) if task else None
    asks = trial_status.trial.resources
    # Of the record's own moment: its CPU time is as old as its last heartbeat.
    elapsed_s = attempt.elapsed_s if attempt and attempt.elapsed_s else verdict.elapsed_s
    cpu_s, peak_mib, witness = verdict.cpu_s, verdict.peak_memory_mib, verdict.witness
    if usage and usage.cpu_s is not None:
        elapsed_s, cpu_s, witness = verdict.elapsed_s, usage.cpu_s, "scheduler"
        peak_mib = usage.peak_memory_mib or peak_mib
    return RunningTrial(
        trial=trial_status.trial.number,
        id=trial_status.trial.id,
        params=trial_status.trial.params,
        elapsed_s=verdict.elapsed_s,
        cpu_s=cpu_s,
        cpu_percent=efficiency(cpu_s, elapsed_s, asks.cores),
        memory_mib=(attempt.memory_mib if attempt and not usage else None) or peak_mib,
        peak_memory_mib=peak_mib,
        memory_percent=memory_percent(peak_mib or None, asks.memory_mib),
        witness=witness,
        walltime_s=asks.walltime_s,
        asked_memory_mib=asks.memory_mib,
        host=verdict.host,
        job=spell(task) if task else "",
        reason=verdict.reason,
        suspended=verdict.state is State.SUSPENDED,
    )


def _ended(snapshot: Snapshot) -> MedianUse:
    """Return the medians of what the trials that are done used, and of its share of what they asked for."""
    done = [(status.verdict, status.trial.resources) for status in snapshot.of(State.DONE)]
    return MedianUse(
        _median([verdict.elapsed_s for verdict, _ in done]),
        _median([verdict.cpu_s for verdict, _ in done]),
        _median([efficiency(verdict.cpu_s, verdict.elapsed_s, asks.cpus or 1) for verdict, asks in done]),
        _median([verdict.peak_memory_mib for verdict, _ in done]),
        _median([memory_percent(verdict.peak_memory_mib, asks.memory_mib) for verdict, asks in done]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    measured = [value for value in values if value]
    return statistics.median(measured) if measured else None


def failures(store: Store, snapshot: Snapshot) -> list[FailureGroup]:
    """Group what did not end well, the largest group first, with the end of a failed trial's log."""
    failed = snapshot.of(*NOT_DONE)
    groups = failure_groups(failed, snapshot.active)
    by_number = {trial_status.trial.number: trial_status.trial for trial_status in failed}
    return [
        replace(group, log_tail=tuple(last_lines(store, by_number[group.trials[0]], LOG_LINES)))
        if place < SHOWN and group.state is State.FAILED
        else group
        for place, group in enumerate(groups)
    ]


def _waiting(trials: Sequence[TrialStatus]) -> tuple[Waiting, ...]:
    counts = Counter((trial_status.verdict.cause, trial_status.verdict.reason) for trial_status in trials)
    return tuple(Waiting(cause, reason, count) for (cause, reason), count in counts.items())


def time_left_s(snapshot: Snapshot) -> float | None:
    """Estimate the seconds until all that was sent has ended; None before the first trial has.

    What is left, at the median of what trials took, on as many places as run trials now.
    """
    took = [
        trial_status.verdict.elapsed_s
        for trial_status in snapshot.of(State.DONE)
        if trial_status.verdict.elapsed_s
    ]
    running, queued = snapshot.of(State.RUNNING, State.SUSPENDED), snapshot.of(State.QUEUED)
    if not took or not running + queued:
        return None
    each_s = statistics.median(took)
    running_s = sum(max(0.0, each_s - (trial_status.verdict.elapsed_s or 0.0)) for trial_status in running)
    return (running_s + each_s * len(queued)) / max(1, len(running)) or None  # past the median, nobody knows
