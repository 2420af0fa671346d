"""A loaded sweep in a notebook: its first screen as HTML without a script, and the page's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweep.jobs.render import template_environment
from sweep.report import advice, sections, spelling
from sweep.report.figures import page_figures
from sweep.report.racefigures import race_figures
from sweep.report.table import leaderboard_table

if TYPE_CHECKING:
    from sweep.verbs.report import LeaderboardReport

#: The rows of the leaderboard that a notebook shows.
MAX_ROWS = 10


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


def plotly_figures(report: LeaderboardReport) -> dict[str, Any]:
    """Draw every figure that the page has of this sweep.

    Returns
    -------
    dict
        Its name → ``plotly.graph_objects.Figure``.
    """
    import plotly.graph_objects as go

    drawn = [*page_figures(report.analysis), *race_figures(report)]
    parts = ((figure.name, figure.plotly_json) for figure in drawn)
    return {name: go.Figure(data=content["data"], layout=content["layout"]) for name, content in parts}
