"""What a sweep cost, what was wasted, and the smaller request that would have been enough (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sweep.model import Cause, Resources, State, Verdict

#: A request is enough if it covers this share of the trials.
COVERED_SHARE = 0.99

#: A recommended request is what was needed times this.
MARGIN = 1.2

#: Recommended requests are rounded up to multiples of these.
MEMORY_STEP_MIB, WALLTIME_STEP_S = 256, 300


@dataclass(frozen=True)
class Attempted:
    """An attempt that has ended: what it requested and how it ended."""

    resources: Resources
    verdict: Verdict


@dataclass(frozen=True)
class GroupUse:
    """How much of its request a group of trials used. The trials of a group request the same resources.

    Attributes
    ----------
    asked : Resources
        The request of each trial.
    trials : int
        The number of trials that are done, or ran out of memory or walltime.
    memory_mib, walltime_s : float
        What 99 % of the trials needed at most. NaN where nothing is known. Infinite where more of them ran out.
    enough_memory_mib, enough_walltime_s : int
        A request that would have been enough: 20 % more than that, rounded up, never more than `asked`.
    out_of_memory, out_of_walltime : int
        The number of trials that ran out of memory, or of walltime.
    """

    asked: Resources
    trials: int
    memory_mib: float
    walltime_s: float
    enough_memory_mib: int
    enough_walltime_s: int
    out_of_memory: int = 0
    out_of_walltime: int = 0


@dataclass(frozen=True)
class Cost:
    """What the attempts of a sweep held, used and wasted.

    Attributes
    ----------
    allotted_core_h : float
        The elapsed time of all attempts, times their CPUs.
    used_core_h : float
        The CPU time of all attempts.
    wasted_core_h : dict
        Cause → the part of `allotted_core_h` that brought nothing. An attempt that did not end well wastes all of
        its time, under its own cause. An attempt that is done wastes its ``idle CPUs``.
    unused_memory_gib_h : float
        Memory that was requested and not used by the attempts that are done, times their elapsed time.
    unused_walltime_core_h : float
        Walltime that was requested and not used by the attempts that are done, times their CPUs. A longer request
        waits longer in the queue.
    unknown : int
        The number of attempts whose elapsed time is unknown. They are in none of the other figures.
    requests : tuple of GroupUse
        One for each group of trials.
    """

    allotted_core_h: float
    used_core_h: float
    wasted_core_h: dict[str, float] = field(default_factory=dict)
    unused_memory_gib_h: float = 0.0
    unused_walltime_core_h: float = 0.0
    unknown: int = 0
    requests: tuple[GroupUse, ...] = ()


def cost(attempts: Iterable[Attempted]) -> Cost:
    """Add up what attempts cost. All of them have ended."""
    everything = [*attempts]
    timed = [
        (attempt, attempt.verdict.elapsed_s / 3600)
        for attempt in everything
        if attempt.verdict.elapsed_s is not None
    ]
    wasted: dict[str, float] = {}
    memory_gib_h = walltime_core_h = 0.0
    for attempt, hours in timed:
        verdict, requested = attempt.verdict, attempt.resources
        cpus = requested.cores
        if verdict.state is State.DONE:
            idle = hours * cpus - (verdict.cpu_s or 0.0) / 3600 if verdict.cpu_s is not None else 0.0
            wasted["idle CPUs"] = wasted.get("idle CPUs", 0.0) + max(0.0, idle)
            if verdict.peak_memory_mib is not None:
                memory_gib_h += hours * max(0.0, requested.memory_mib - verdict.peak_memory_mib) / 1024
            walltime_core_h += max(0.0, requested.walltime_s / 3600 - hours) * cpus
        elif verdict.state not in (State.PAUSED, State.HELD):  # those go on where they were: nothing is lost
            cause = verdict.cause.value or verdict.state.value
            wasted[cause] = wasted.get(cause, 0.0) + hours * cpus
    return Cost(
        allotted_core_h=sum(hours * attempt.resources.cores for attempt, hours in timed),
        used_core_h=sum((attempt.verdict.cpu_s or 0.0) / 3600 for attempt, _ in timed),
        wasted_core_h=dict(sorted(wasted.items(), key=lambda pair: -pair[1])),
        unused_memory_gib_h=memory_gib_h,
        unused_walltime_core_h=walltime_core_h,
        unknown=len(everything) - len(timed),
        requests=tuple(_group_uses([attempt for attempt, _ in timed])),
    )


def _group_uses(attempts: Sequence[Attempted]) -> Iterable[GroupUse]:
    groups: dict[Resources, list[Verdict]] = {}
    for attempt in attempts:
        verdict = attempt.verdict
        if verdict.state is State.DONE or verdict.cause in (Cause.OUT_OF_MEMORY, Cause.WALLTIME):
            groups.setdefault(attempt.resources, []).append(verdict)
    for requested, verdicts in groups.items():
        peaks = [_needed(verdict, verdict.peak_memory_mib, Cause.OUT_OF_MEMORY) for verdict in verdicts]
        times = [_needed(verdict, verdict.elapsed_s, Cause.WALLTIME) for verdict in verdicts]
        peak_mib, longest_s = _covering(peaks), _covering(times)
        yield GroupUse(
            requested,
            len(verdicts),
            peak_mib,
            longest_s,
            _enough(peak_mib, requested.memory_mib, MEMORY_STEP_MIB),
            _enough(longest_s, requested.walltime_s, WALLTIME_STEP_S),
            sum(verdict.cause is Cause.OUT_OF_MEMORY for verdict in verdicts),
            sum(verdict.cause is Cause.WALLTIME for verdict in verdicts),
        )


def _needed(verdict: Verdict, used: float | None, ran_out: Cause) -> float | None:
    """Return how much of a resource a trial needed; `ran_out` is the cause of a trial that had too little of it.

    Infinite where it ran out: it needed more than it had, and nobody knows how much. None where it failed for
    another cause: what it had used by then says little.
    """
    if verdict.cause is ran_out:
        return math.inf
    return used if verdict.state is State.DONE else None


def _covering(needs: Iterable[float | None]) -> float:
    """Return what covers the needs of 99 % of the trials; NaN where no need is known."""
    known = [need for need in needs if need is not None]
    return float(np.quantile(known, COVERED_SHARE, method="higher")) if known else float("nan")


def _enough(needed: float, requested: int, step: int) -> int:
    return min(requested, int(-(-needed * MARGIN // step) * step)) if math.isfinite(needed) else requested
