"""The figures of a race: every configuration's scores on the rungs, and its cost beside the grid's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.model import State
from sweep.report import spelling
from sweep.report.plotting import COLOURS, PageFigure, escaped_text, plotly_json

if TYPE_CHECKING:
    from sweep.steps.raced import RaceProgress
    from sweep.verbs.report import LeaderboardReport

#: More points than this are drawn by WebGL, which is faster.
MAX_SVG_POINTS = 1500

#: Of how many a figure shows the curves; of more, every second, third and so on.
MAX_CURVES = 3000


def race_figures(report: LeaderboardReport) -> list[PageFigure]:
    """Draw what a race did; nothing where there was none."""
    if report.race is None:
        return []
    figures = [_curves(report, report.race.progress), _cost(report.race.progress)]
    return [figure for figure in figures if figure]


def _curves(report: LeaderboardReport, race: RaceProgress) -> PageFigure | None:
    """Draw one line for each configuration, through its scores on the rungs."""
    import plotly.graph_objects as go

    rules = report.snapshot.settings.race
    assert rules is not None
    judged = report.snapshot.ledger.race.judged
    rows = [
        (status, judged[status.trial.number].scores)
        for status in report.snapshot.active
        if status.trial.number in judged
        if any(score is not None for score in judged[status.trial.number].scores)
    ]
    if len(rules.rungs) < 2 or not rows:
        return None
    stride = -(-len(rows) // MAX_CURVES)
    groups = {
        "stopped on a rung": (COLOURS[6], [row for row in rows if row[0].verdict.state is State.HELD][::stride]),
        "others that began": (COLOURS[1], [row for row in rows if _is_open(row[0].verdict.state)][::stride]),
        "trained to the end": (COLOURS[0], [row for row in rows if row[0].verdict.state is State.DONE][::stride]),
    }
    points = sum(len(scores) for _, own in groups.values() for _, scores in own)
    scatter = go.Scattergl if points > MAX_SVG_POINTS else go.Scatter
    figure = go.Figure()
    for name, (colour, own) in groups.items():
        if own:
            x, y, text = _broken_line(own, rules.rungs)
            figure.add_trace(
                scatter(
                    x=x, y=y, text=text, name=name, mode="lines+markers", marker={"color": colour, "size": 5},
                    line={"color": colour, "width": 1}, opacity=0.6, hovertemplate="%{text}: %{y}<extra></extra>",
                )
            )  # fmt: skip
    ticks = [f"{rung}{_parked_text(race.parked.get(rung, 0))}" for rung in rules.rungs]
    layout = {
        "height": 420,
        "xaxis": {
            "type": "log",
            "tickvals": list(rules.rungs),
            "ticktext": ticks,
            "title": "rungs, in entries of the history",
        },
        "yaxis": {"title": escaped_text(report.objective.metric), "automargin": True},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02},
    }
    some = "" if stride == 1 else f" (one of {stride} is drawn)"
    alt = f"{report.objective.metric} of {spelling.count(len(rows), 'configuration')} on the race's rungs{some}"
    return PageFigure("race", alt, plotly_json(figure, layout))


def _is_open(state: State) -> bool:
    return state not in (State.HELD, State.DONE)


def _parked_text(count: int) -> str:
    return f"<br>{count:,} stopped" if count else ""


def _broken_line(rows: Sequence[Any], rungs: Sequence[int]) -> tuple[list[Any], list[Any], list[str]]:
    """Join all curves to one line with gaps: plotly draws thousands of lines slowly, and one fast."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for status, scores in rows:
        known = [(rung, score) for rung, score in zip(rungs, scores, strict=False) if score is not None]
        x += [*(rung for rung, _ in known), None]
        y += [*(float(f"{score:.4g}") for _, score in known), None]
        text += [f"trial {status.trial.number}"] * len(known) + [""]
    return x, y, text


def _cost(race: RaceProgress) -> PageFigure | None:
    """Draw what the race has cost beside what the whole grid would."""
    import plotly.graph_objects as go

    if not race.grid_core_h:
        return None
    bars = go.Bar(
        x=[race.spent_core_h, race.grid_core_h], y=["the race", "the whole grid, once"], orientation="h",
        marker_color=[COLOURS[0], COLOURS[6]], hovertemplate="%{y}: %{x:.3g} core-hours<extra></extra>",
        text=[spelling.hours(race.spent_core_h), spelling.hours(race.grid_core_h)], textposition="outside",
    )  # fmt: skip
    layout = {
        "height": 160,
        "xaxis": {"title": "core-hours", "range": [0, 1.15 * max(race.spent_core_h, race.grid_core_h)]},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
    }
    share = f"{100 * race.spent_core_h / race.grid_core_h:.3g} %"
    alt = f"The race cost {share} of what the whole grid is expected to cost"
    return PageFigure("race-cost", alt, plotly_json(go.Figure(bars), layout))
