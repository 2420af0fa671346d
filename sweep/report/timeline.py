"""The figure of what the cluster did over time: trials by state, CPUs and memory held and used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from sweep.model import State
from sweep.report.plotting import COLOURS, PageFigure, plotly_json

if TYPE_CHECKING:
    from sweep.verbs.report import LeaderboardReport

#: The number of moments at which the figure has a value.
MOMENTS = 400


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


def timeline_figure(report: LeaderboardReport) -> PageFigure | None:
    """Draw the timeline. None if nothing was sent."""
    import numpy as np
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    spans = [*_spans(report)]
    if not spans:
        return None
    sent, began, ended, cpus_held, cpus_used, memory_held, memory_used = map(np.array, zip(*spans, strict=True))
    known_times = np.concatenate([times[np.isfinite(times)] for times in (sent, began, ended)])
    unfinished = np.isinf(ended).any()
    first, last = (
        float(known_times.min()),
        max(float(known_times.max()), report.snapshot.at if unfinished else 0.0),
    )
    moments = np.linspace(first, max(last, first + 1.0), MOMENTS)
    unit, unit_s = ("hours", 3600) if last - first > 2 * 3600 else ("minutes", 60)
    x = [round(float(value), 4) for value in (moments - first) / unit_s]

    def open_weight(starts: Any, ends: Any, weights: Any) -> list[float]:
        """Sum, for each moment, the weights of the spans that have started and not ended."""
        started = _weight_by(starts, weights, moments)
        return [round(float(value), 2) for value in started - _weight_by(ends, weights, moments)]

    ones = np.ones(len(spans))
    subplots = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.5, 0.25, 0.25],
                             subplot_titles=["trials", "CPUs", "memory, GiB"])  # fmt: skip
    running = open_weight(began, ended, ones)
    layers = (
        ("ended", [float(count) for count in _weight_by(ended, ones, moments)], COLOURS[2]),
        ("running", running, COLOURS[0]),
        ("queued", open_weight(sent, began, ones), COLOURS[1]),
    )
    for name, counts, colour in layers:
        subplots.add_trace(go.Scatter(x=x, y=counts, name=name, stackgroup="one", mode="lines",
                                      line={"width": 0.5, "color": colour, "shape": "hv"}), 1, 1)  # fmt: skip
    for row, held, used in ((2, cpus_held, cpus_used), (3, memory_held, memory_used)):
        for weights, name, colour in ((held, "held", COLOURS[6]), (used, "used", COLOURS[5])):
            trace = go.Scatter(
                x=x, y=open_weight(began, ended, weights), name=name, mode="lines", showlegend=row == 2
            )
            subplots.add_trace(trace.update(line={"color": colour, "shape": "hv"}), row, 1)
    subplots.update_xaxes(title_text=f"{unit} since the first submission", row=3, col=1)
    alt = f"{len(spans)} trials in {(last - first) / unit_s:.1f} {unit}, at most {max(running):.0f} at once"
    layout = {"height": 620, "legend": {"orientation": "h", "y": -0.12}}
    return PageFigure("timeline", alt, plotly_json(subplots, layout))


def _weight_by(times: Any, weights: Any, moments: Any) -> Any:
    """Sum, for each moment, the weights of what has happened by then."""
    import numpy as np

    order = np.argsort(times)
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    return sums[np.searchsorted(times[order], moments, side="right")]


def _spans(report: LeaderboardReport) -> Iterable[_Span]:
    """Yield a span for each trial that was sent and waits, runs or has run."""
    for status in report.snapshot.active:
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
