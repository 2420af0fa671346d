"""What a sweep cost, what of it was wasted, and the request that would have done (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sweep.model import Cause, Resources, State, Verdict

#: A request is judged by what this share of the trials needed.
MOST = 0.99

#: To what was needed, so much is added before it is recommended.
MARGIN = 1.2


@dataclass(frozen=True)
class Attempted:
    """An attempt that has ended: what it asked for and how it went."""

    resources: Resources
    verdict: Verdict


@dataclass(frozen=True)
class GroupUse:
    """One group's request, and what its trials used of it.

    Attributes
    ----------
    trials : int
        That are done, or ran out of memory or walltime.
    memory_mib, walltime_s : float
        What 99 % of them stayed under; NaN where it is not known, infinite where that many did not.
    out_of_memory, out_of_walltime : int
        How many ran out of what they had asked for.
    enough_memory_mib, enough_walltime_s : int
        The request that would have done: a fifth more than that, rounded up, and never more than was asked for.
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
    """Core-hours.

    Attributes
    ----------
    allotted_core_h : float
        Elapsed time of all attempts, times the CPUs they held.
    used_core_h : float
        CPU time of all attempts.
    wasted_core_h : dict
        Of what was allotted, what brought nothing, by cause: attempts that did not end well by theirs, ``idle
        CPUs`` of those that did.
    unused_memory_gib_h : float
        Memory held and not used, by the attempts that are done, over their time.
    unused_walltime_core_h : float
        Time asked for and not used, by the same: the longer a request, the longer it waits.
    unknown : int
        Attempts whose time is not known.
    """

    allotted_core_h: float
    used_core_h: float
    wasted_core_h: dict[str, float] = field(default_factory=dict)
    unused_memory_gib_h: float = 0.0
    unused_walltime_core_h: float = 0.0
    unknown: int = 0
    requests: tuple[GroupUse, ...] = ()


def cost(attempts: Iterable[Attempted]) -> Cost:
    """Add up what the attempts that have ended cost."""
    everything = [*attempts]
    ended = [(one, one.verdict.elapsed_s / 3600) for one in everything if one.verdict.elapsed_s is not None]
    wasted: dict[str, float] = {}
    memory = walltime = 0.0
    for one, hours in ended:
        cpus, verdict, asked = one.resources.cpus, one.verdict, one.resources
        if verdict.state is State.DONE:
            idle = hours * cpus - (verdict.cpu_s or 0.0) / 3600 if verdict.cpu_s is not None else 0.0
            wasted["idle CPUs"] = wasted.get("idle CPUs", 0.0) + max(0.0, idle)
            if verdict.peak_memory_mib is not None:
                memory += hours * max(0.0, asked.memory_mib - verdict.peak_memory_mib) / 1024
            walltime += max(0.0, asked.walltime_s / 3600 - hours) * cpus
        elif verdict.state is not State.PAUSED:  # what paused goes on where it was
            cause = verdict.cause.value or verdict.state.value
            wasted[cause] = wasted.get(cause, 0.0) + hours * cpus
    return Cost(
        allotted_core_h=sum(hours * one.resources.cpus for one, hours in ended),
        used_core_h=sum((one.verdict.cpu_s or 0.0) / 3600 for one, _ in ended),
        wasted_core_h=dict(sorted(wasted.items(), key=lambda pair: -pair[1])),
        unused_memory_gib_h=memory,
        unused_walltime_core_h=walltime,
        unknown=len(everything) - len(ended),
        requests=tuple(_requests([one for one, _ in ended])),
    )


def _requests(ended: Sequence[Attempted]) -> Iterable[GroupUse]:
    groups: dict[Resources, list[Verdict]] = {}
    for one in ended:
        if one.verdict.state is State.DONE or one.verdict.cause in (Cause.OUT_OF_MEMORY, Cause.WALLTIME):
            groups.setdefault(one.resources, []).append(one.verdict)
    for asked, verdicts in groups.items():
        # Who ran out needed more than was asked for, nobody knows how much; of the other measure it says little.
        peaks = [_need(verdict, verdict.peak_memory_mib, Cause.OUT_OF_MEMORY) for verdict in verdicts]
        times = [_need(verdict, verdict.elapsed_s, Cause.WALLTIME) for verdict in verdicts]
        peak_mib, longest_s = _most(peaks), _most(times)
        yield GroupUse(
            asked,
            len(verdicts),
            peak_mib,
            longest_s,
            _enough(peak_mib, asked.memory_mib, 256),
            _enough(longest_s, asked.walltime_s, 300),
            sum(verdict.cause is Cause.OUT_OF_MEMORY for verdict in verdicts),
            sum(verdict.cause is Cause.WALLTIME for verdict in verdicts),
        )


def _need(verdict: Verdict, used: float | None, cause: Cause) -> float | None:
    if verdict.cause is cause:
        return math.inf
    return used if verdict.state is State.DONE else None


def _most(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.quantile(known, MOST, method="higher")) if known else float("nan")


def _enough(needed: float, asked: int, step: int) -> int:
    return min(asked, int(-(-needed * MARGIN // step) * step)) if math.isfinite(needed) else asked
