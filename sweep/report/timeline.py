"""What the cluster did: how many trials waited, ran and had ended, and what they used, over time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sweep.model import State
from sweep.report.figure import COLOURS, Figure, content
from sweep.verbs.report import Report

#: Moments at which is looked.
LOOKS = 400


def timeline(report: Report) -> Figure | None:
    """Draw it; None if nothing has begun."""
    import numpy as np
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    spans = [*_spans(report)]
    if not spans:
        return None
    sent, began, ended = (np.array([one[place] for one in spans]) for place in range(3))
    known = np.concatenate([times[np.isfinite(times)] for times in (sent, began, ended)])
    going = np.isinf(ended).any()
    first, last = float(known.min()), max(float(known.max()), report.snapshot.at if going else 0.0)
    at = np.linspace(first, max(last, first + 1.0), LOOKS)
    unit, size_s = ("hours", 3600) if last - first > 2 * 3600 else ("minutes", 60)
    since = [round(float(value), 4) for value in (at - first) / size_s]

    def over(lows: Any, highs: Any, weights: Any) -> list[float]:
        """Sum the weights of the spans that are open at each moment."""
        up = _steps(lows, weights, at)
        return [round(float(value), 2) for value in up - _steps(highs, weights, at)]

    ones = np.ones(len(spans))
    made = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.5, 0.25, 0.25],
                         subplot_titles=["trials", "CPUs", "memory, GiB"])  # fmt: skip
    ended_by = _steps(ended, ones, at)
    layers = (
        ("ended", [float(n) for n in ended_by], COLOURS[2]),
        ("running", over(began, ended, ones), COLOURS[0]),
        ("queued", over(sent, began, ones), COLOURS[1]),
    )
    for name, counts, colour in layers:
        made.add_trace(go.Scatter(x=since, y=counts, name=name, stackgroup="one", mode="lines",
                                  line={"width": 0.5, "color": colour, "shape": "hv"}), 1, 1)  # fmt: skip
    for row, held, used in ((2, 3, 4), (3, 5, 6)):
        for place, name, colour in ((held, "held", COLOURS[6]), (used, "used", COLOURS[5])):
            weights = np.array([one[place] for one in spans])
            trace = go.Scatter(
                x=since, y=over(began, ended, weights), name=name, mode="lines", showlegend=row == 2
            )
            made.add_trace(trace.update(line={"color": colour, "shape": "hv"}), row, 1)
    made.update_xaxes(title_text=f"{unit} since the first submission", row=3, col=1)
    most = max(layers[1][1], default=0.0)
    alt = f"{len(spans)} trials in {(last - first) / size_s:.1f} {unit}, at most {most:.0f} at once"
    layout = {"height": 620, "legend": {"orientation": "h", "y": -0.12}}
    return Figure("timeline", alt, content(made, layout))


def _steps(times: Any, weights: Any, at: Any) -> Any:
    """Sum, for each moment, the weights of what has happened by then."""
    import numpy as np

    order = np.argsort(times)
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    return sums[np.searchsorted(times[order], at, side="right")]


Span = tuple[float, float, float, float, float, float, float]


def _spans(report: Report) -> Iterable[Span]:
    """Yield when each trial was sent, began and ended, and the CPUs and memory (GiB) it held and used."""
    for one in report.snapshot.active:
        verdict, asked, waits = one.verdict, one.trial.resources, one.verdict.state is State.QUEUED
        if one.sent is None or (verdict.started_at is None and not waits):
            continue
        began = math.inf if waits or verdict.started_at is None else verdict.started_at
        took_s = math.inf if verdict.state is State.RUNNING or waits else verdict.elapsed_s or 0.0
        cpus = verdict.cpu_s / verdict.elapsed_s if verdict.cpu_s and verdict.elapsed_s else 0.0
        yield (min(one.sent.submission.at, began), began, began + took_s, asked.cpus, cpus,
               asked.memory_mib / 1024, (verdict.peak_memory_mib or 0.0) / 1024)  # fmt: skip
