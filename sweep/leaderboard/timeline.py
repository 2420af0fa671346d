"""What the cluster did over time: trials by state, CPUs and memory held and used (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.model import State

if TYPE_CHECKING:
    from sweep.state.snapshot import TrialStatus

Floats = NDArray[np.float64]

#: The number of moments at which the timeline has values.
MOMENTS = 400


@dataclass(frozen=True)
class Timeline:
    """What the trials that were sent did, at equidistant moments.

    Attributes
    ----------
    trials : int
        The number of trials that were sent.
    duration_s : float
        From the first submission to the last end; to now where something has not ended.
    since_first_s : ndarray, shape (moments,)
        The moments, in seconds since the first submission.
    queued, running, ended : ndarray, shape (moments,)
        The number of trials in each state.
    cpus_held, cpus_used : ndarray, shape (moments,)
        The CPUs that the running trials had requested, and those that they used on average.
    memory_held_gib, memory_used_gib : ndarray, shape (moments,)
        The memory that they had requested, and their peaks.
    """

    trials: int
    duration_s: float
    since_first_s: Floats
    queued: Floats
    running: Floats
    ended: Floats
    cpus_held: Floats
    cpus_used: Floats
    memory_held_gib: Floats
    memory_used_gib: Floats


class _Span(NamedTuple):
    """When one trial was sent, began and ended, and the CPUs and memory that it held and used.

    Times are Unix times in seconds. Infinite: it has not happened yet.
    """

    sent_at: float
    began_at: float
    ended_at: float
    cpus_held: float
    cpus_used: float
    memory_held_gib: float
    memory_used_gib: float


def timeline(statuses: Iterable[TrialStatus], now: float) -> Timeline | None:
    """Add up what trials did over time. None if nothing was sent.

    Parameters
    ----------
    now : float
        When the statuses were so, in seconds since the epoch.
    """
    spans = [*_spans(statuses)]
    if not spans:
        return None
    sent, began, ended, cpus_held, cpus_used, memory_held, memory_used = map(np.array, zip(*spans, strict=True))
    known_times = np.concatenate([times[np.isfinite(times)] for times in (sent, began, ended)])
    first, last = float(known_times.min()), float(known_times.max())
    if np.isinf(ended).any():
        last = max(last, now)
    moments = np.linspace(first, max(last, first + 1.0), MOMENTS)
    ones = np.ones(len(spans))

    def open_weight(starts: Floats, ends: Floats, weights: Floats) -> Floats:
        """Sum, for each moment, the weights of the spans that have started and not ended."""
        return _weight_by(starts, weights, moments) - _weight_by(ends, weights, moments)

    return Timeline(
        trials=len(spans),
        duration_s=last - first,
        since_first_s=moments - first,
        queued=open_weight(sent, began, ones),
        running=open_weight(began, ended, ones),
        ended=_weight_by(ended, ones, moments),
        cpus_held=open_weight(began, ended, cpus_held),
        cpus_used=open_weight(began, ended, cpus_used),
        memory_held_gib=open_weight(began, ended, memory_held),
        memory_used_gib=open_weight(began, ended, memory_used),
    )


def _weight_by(times: Floats, weights: Floats, moments: Floats) -> Floats:
    """Sum, for each moment, the weights of what has happened by then."""
    order = np.argsort(times)
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    return np.asarray(sums[np.searchsorted(times[order], moments, side="right")])


def _spans(statuses: Iterable[TrialStatus]) -> Iterator[_Span]:
    """Yield a span for each trial that was sent and waits, runs or has run."""
    for status in statuses:
        verdict, requested = status.verdict, status.trial.resources
        queued = verdict.state is State.QUEUED
        if status.sent is None or (verdict.started_at is None and not queued):
            continue
        began_at = math.inf if queued or verdict.started_at is None else verdict.started_at
        took_s = (
            math.inf if verdict.state in (State.RUNNING, State.SUSPENDED) or queued else verdict.elapsed_s or 0.0
        )
        yield _Span(
            min(status.sent.submission.at, began_at),
            began_at,
            began_at + took_s,
            cpus_held=requested.cores,
            cpus_used=verdict.cpu_s / verdict.elapsed_s if verdict.cpu_s and verdict.elapsed_s else 0.0,
            memory_held_gib=requested.memory_mib / 1024,
            memory_used_gib=(verdict.peak_memory_mib or 0.0) / 1024,
        )
