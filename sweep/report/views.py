"""The parts of a report that are requested: the leaderboard, or what else follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from sweep.errors import UsageError
from sweep.report import sections
from sweep.report.table import decimals_of

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.importance import Importance
    from sweep.report.request import ReportView
    from sweep.verbs.report import LeaderboardReport

#: Rows of the leaderboard on a terminal where no other number is requested.
DEFAULT_ROWS = 10


def requested_table(report: LeaderboardReport, view: ReportView) -> pd.DataFrame:
    """Return the one table that goes to a file or a pipe.

    Raises
    ------
    UsageError
        A name is not there, or several tables are requested, or none.
    """
    analysis = report.analysis
    if view.cost:
        raise UsageError("--cost is no table", "--json has it, without a form it goes to the terminal")
    if view.advice:
        raise UsageError("--next is no table", "--json has it, without a form it goes to the terminal")
    if view.importance:
        return _importance_table(analysis.importance)
    if len(view.by) > 1:
        raise UsageError("several --by are several tables", "ask for one at a time, or cross them: --by a,b")
    if view.by:
        table = analysis.by(view.by[0])
    elif view.pareto:
        table = analysis.pareto(view.pareto).table
    else:
        table = analysis.trials if view.trials else analysis.only(view.columns)
    return table if view.top is None else table.head(view.top)


def _importance_table(importance: Importance) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (" × ".join(share.names), share.percent, share.sd) for share in [*importance.single, *importance.pairs]
    ]
    return pd.DataFrame(rows, columns=["parameters", "percent", "sd"])


def requested_sections(report: LeaderboardReport, view: ReportView) -> RenderableType:
    """Show the requested parts on a terminal, one beneath the other."""
    analysis, parts = report.analysis, list[RenderableType]()
    metric, decimals = analysis.objective.metric, decimals_of(analysis.leaderboard)
    for names in view.by:
        title = f"{metric} by {', '.join(names)}"
        parts.append(sections.frame_section(title, analysis.by(names), decimals, view.top))
        if not analysis.balanced(names):
            parts.append(sections.UNBALANCED)
    if view.pareto:
        parts.append(sections.pareto_section(analysis.pareto(view.pareto), analysis.column, view.top))
    if view.trials:
        code = [] if analysis.board.codes.other else ["code_ran"]
        trials = analysis.trials.drop(columns=["id", "reason", "confirms", *code])
        title = f"{report.name}: trial by trial"
        parts.append(sections.frame_section(title, trials, decimals, view.top, analysis.column))
    if view.importance:
        parts.append(sections.importance_section(analysis.importance))
    if view.cost:
        parts.append(sections.cost_section(analysis.cost))
    if view.advice:
        parts.append(sections.advice_section(analysis))
    if parts:
        return Group(*parts)
    analysis.only(view.columns)  # which refuses a column that is not there
    board = sections.leaderboard_section(report, view.top or DEFAULT_ROWS, view.columns)
    front = analysis.front_of_both
    return Group(board, Text(), sections.pareto_section(front, analysis.column, view.top)) if front else board
