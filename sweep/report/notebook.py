"""A loaded sweep in a notebook: its first screen as HTML without a script, and the page's figures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

from sweep.jobs.render import template_environment
from sweep.report import advice, sections, spelling
from sweep.report.figures import TICKS, page_figures
from sweep.report.plotting import COLOURS, PageFigure, escaped_text, plotly_json
from sweep.report.racefigures import race_figures
from sweep.report.table import leaderboard_table
from sweep.state.results import number

if TYPE_CHECKING:
    from sweep.leaderboard.analysis import Analysis
    from sweep.verbs.report import LeaderboardReport

Histories = dict[int, list[dict[str, Any]]]

#: The rows of the leaderboard that a notebook shows.
MAX_ROWS = 10

#: The number of configurations whose learning curves are drawn at once.
MAX_CURVES = 5


def first_screen(report: LeaderboardReport) -> str:
    """Return what the page says first, and the top of the leaderboard, as HTML. All text is escaped."""
    analysis = report.analysis
    facts = [sections.winner_line(analysis), *sections.certainty_lines(analysis)] if analysis.best else []
    hours = spelling.hours(analysis.cost.allotted_core_h)
    text = (
        template_environment()
        .get_template("notebook.html.j2")
        .render(
            heading=sections.heading(report),
            facts=facts or [f"no trial has a {report.objective.metric} yet"],
            footer=f"{sections.footer(report, MAX_ROWS)}; {hours} core-hours",
            notes=[*report.warnings, *report.doubts],
            advice=[*advice.lines(analysis)],
            table=leaderboard_table(analysis.leaderboard, analysis.column, MAX_ROWS, score_first=True),
        )
    )
    return text.encode("utf-8", "backslashreplace").decode()  # half a character, which no notebook can save


def plotly_figures(report: LeaderboardReport, histories: Callable[[set[int]], Histories]) -> dict[str, Any]:
    """Draw every figure that the page has of this sweep.

    Parameters
    ----------
    histories : callable
        Reads the histories of trials: their numbers → number → entries.

    Returns
    -------
    dict
        Its name → ``plotly.graph_objects.Figure``.
    """
    import plotly.graph_objects as go

    drawn = [*page_figures(report.analysis), *race_figures(report), *_curves(report.analysis, histories)]
    parts = ((figure.name, figure.plotly_json) for figure in drawn)
    return {name: go.Figure(data=content["data"], layout=content["layout"]) for name, content in parts}


def _curves(analysis: Analysis, histories: Callable[[set[int]], Histories]) -> list[PageFigure]:
    """Draw the learning curves of the first configurations. On the page its reader picks them: report.js draws."""
    from plotly.subplots import make_subplots

    first = analysis.board.configurations[:MAX_CURVES]
    runs = {each.entry.trial.number: [run.trial.number for run in each.counted or each.entries] for each in first}
    read = histories({run for own in runs.values() for run in own})
    entries = [entry for history in read.values() for entry in history]
    names = [
        name for name in analysis.curve_names if any(number(entry.get(name)) is not None for entry in entries)
    ]
    if not names:
        return []
    figure = make_subplots(len(names), 1, shared_xaxes=True, vertical_spacing=0.05)
    for (trial, own), colour in zip(runs.items(), COLOURS, strict=False):
        for (row, name), run in product(enumerate(names, 1), [run for run in own if run in read]):
            values = [number(entry.get(name)) for entry in read[run]]
            width = 2.5 if run == trial else 1
            figure.add_scatter(
                x=[*range(1, len(values) + 1)], y=values, mode="lines", line={"color": colour, "width": width},
                name=f"trial {trial}", legendgroup=trial, showlegend=row == 1 and run == trial, row=row, col=1,
            )  # fmt: skip
    for row, name in enumerate(names, 1):
        figure.update_yaxes(title=escaped_text(name), tickformat=TICKS, row=row, col=1)
    figure.update_xaxes(title="epoch", row=len(names), col=1)
    alt = f"Learning curves of the first {len(runs)} configurations"
    return [PageFigure("curves", alt, plotly_json(figure, {"height": 160 + 240 * len(names)}))]
