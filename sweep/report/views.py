"""What of a report is asked for: the leaderboard, or another table made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from sweep.errors import UsageError
from sweep.report import board
from sweep.report.table import decimals_of
from sweep.verbs.report import Report

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.importance import Importance


@dataclass(frozen=True)
class ReportView:
    """What of a report is asked for.

    Attributes
    ----------
    by : sequence of sequence of str
        Tables by the values of parameters, one each.
    """

    top: int | None = None
    columns: Sequence[str] = ()
    by: Sequence[Sequence[str]] = ()
    pareto: Sequence[str] = ()
    importance: bool = False
    cost: bool = False
    trials: bool = False


def importance_of(report: Report) -> Importance:
    """Work out what mattered, of the configurations that were ranked."""
    from sweep.leaderboard.importance import importance

    scored = [one for one in report.board.configurations if one.scores]
    return importance([one.entry.trial.params for one in scored], [one.mean for one in scored])


def table(report: Report, view: ReportView) -> pd.DataFrame:
    """Make the one table that goes to a file or a pipe.

    Raises
    ------
    UsageError
        A name that is not there; or several tables, or none.
    """
    import pandas as pd

    from sweep.leaderboard import effects, frames

    if view.cost:
        raise UsageError("--cost is no table", "--json has it, without a form it goes to the terminal")
    if view.importance:
        made = importance_of(report)
        rows = [(" × ".join(one.names), one.percent, one.sd) for one in [*made.single, *made.pairs]]
        return pd.DataFrame(rows, columns=["parameters", "percent", "sd"])
    if len(view.by) > 1:
        raise UsageError("several --by are several tables", "ask for one at a time, or cross them: --by a,b")
    if view.by:
        made_by = effects.by(report.frame, view.by[0], report.objective)
    elif view.pareto:
        made_by = effects.pareto(report.frame, effects.directions(view.pareto, report.objective))
    elif view.trials:
        made_by = frames.trials(report.entries, report.objective)
    else:
        effects.require(report.frame, view.columns)
        made_by = report.frame
        if view.columns:
            made_by = made_by[[*dict.fromkeys(["rank", "trial", report.column, *view.columns])]]
    return made_by if view.top is None else made_by.head(view.top)


def terminal(report: Report, view: ReportView) -> RenderableType:
    """Show what is asked for."""
    from sweep.leaderboard import effects, frames
    from sweep.leaderboard.cost import cost

    digits, parts = decimals_of(report.frame), []
    params = [*frames.columns_of(report.entries, report.objective).values()]
    for names in view.by:
        title = f"{report.objective.metric} by {', '.join(names)}"
        parts.append(board.some_table(title, effects.by(report.frame, names, report.objective), digits, view.top))
        if not effects.balanced(report.frame, names, params, report.column):
            parts.append(board.UNBALANCED)
    if view.pareto:
        told = effects.directions(view.pareto, report.objective)
        title = "beaten by none in " + ", ".join(
            f"{name} ({'less' if few else 'more'})" for name, few in told.items()
        )
        parts.append(board.undominated(title, effects.pareto(report.frame, told), report, view.top))
    if view.trials:
        rows = frames.trials(report.entries, report.objective).drop(columns=["id", "reason", "confirms"])
        title = f"{report.name}: trial by trial"
        parts.append(board.some_table(title, rows, digits, view.top, report.column))
    if view.importance:
        parts.append(board.importance(importance_of(report)))
    if view.cost:
        parts.append(board.cost(cost(report.attempts)))
    if parts:
        return Group(*parts)
    effects.require(report.frame, view.columns)
    return board.leaderboard(report, view.top or 10, view.columns)
