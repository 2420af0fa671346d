"""The figure of what the cluster did over time: trials by state, CPUs and memory held and used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sweep.report.plotting import COLOURS, PageFigure, plotly_json
from sweep.report.spelling import time_unit

if TYPE_CHECKING:
    from sweep.leaderboard.timeline import Timeline


def timeline_figure(timeline: Timeline) -> PageFigure:
    """Draw the timeline."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    unit, unit_s = time_unit(timeline.duration_s)
    x = [round(float(value), 4) for value in timeline.since_first_s / unit_s]
    subplots = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.5, 0.25, 0.25],
                             subplot_titles=["trials", "CPUs", "memory, GiB"])  # fmt: skip
    running = _rounded(timeline.running)
    layers = (
        ("ended", _rounded(timeline.ended), COLOURS[2]),
        ("running", running, COLOURS[0]),
        ("queued", _rounded(timeline.queued), COLOURS[1]),
    )
    for name, counts, colour in layers:
        subplots.add_trace(go.Scatter(x=x, y=counts, name=name, stackgroup="one", mode="lines",
                                      line={"width": 0.5, "color": colour, "shape": "hv"}), 1, 1)  # fmt: skip
    held_and_used = (
        (2, timeline.cpus_held, timeline.cpus_used),
        (3, timeline.memory_held_gib, timeline.memory_used_gib),
    )
    for row, held, used in held_and_used:
        for amounts, name, colour in ((held, "held", COLOURS[6]), (used, "used", COLOURS[5])):
            trace = go.Scatter(x=x, y=_rounded(amounts), name=name, mode="lines", showlegend=row == 2)
            subplots.add_trace(trace.update(line={"color": colour, "shape": "hv"}), row, 1)
    subplots.update_xaxes(title_text=f"{unit} since the first submission", row=3, col=1)
    duration = f"{timeline.duration_s / unit_s:.1f} {unit}"
    alt = f"{timeline.trials:,} trials in {duration}, at most {max(running):.0f} at once"
    layout = {"height": 620, "legend": {"orientation": "h", "y": -0.12}}
    return PageFigure("timeline", alt, plotly_json(subplots, layout))


def _rounded(values: Iterable[float]) -> list[float]:
    """Round to hundredths: a figure shows no more, and the page stays small."""
    return [round(float(value), 2) for value in values]
