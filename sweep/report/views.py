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
class Asked:
    """What the command line asks for.

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


def table(report: Report, asked: Asked) -> pd.DataFrame:
    """Make the one table that goes to a file or a pipe.

    Raises
    ------
    UsageError
        A name that is not there; or several tables, or none.
    """
    import pandas as pd

    from sweep.leaderboard import effects, frames

    if asked.cost:
        raise UsageError("--cost is no table", "--json has it, without a form it goes to the terminal")
    if asked.importance:
        made = importance_of(report)
        rows = [(" × ".join(one.names), one.percent, one.sd) for one in [*made.single, *made.pairs]]
        return pd.DataFrame(rows, columns=["parameters", "percent", "sd"])
    if len(asked.by) > 1:
        raise UsageError("several --by are several tables", "ask for one at a time, or cross them: --by a,b")
    if asked.by:
        made_by = effects.by(report.frame, asked.by[0], report.objective)
    elif asked.pareto:
        made_by = effects.pareto(report.frame, effects.directions(asked.pareto, report.objective))
    elif asked.trials:
        made_by = frames.trials(report.entries, report.objective)
    else:
        effects.require(report.frame, asked.columns)
        made_by = report.frame
        if asked.columns:
            made_by = made_by[[*dict.fromkeys(["rank", "trial", report.column, *asked.columns])]]
    return made_by if asked.top is None else made_by.head(asked.top)


def terminal(report: Report, asked: Asked) -> RenderableType:
    """Show what is asked for."""
    from sweep.leaderboard import effects, frames
    from sweep.leaderboard.cost import cost

    digits, parts = decimals_of(report.frame), []
    params = [*frames.columns_of(report.entries, report.objective).values()]
    for names in asked.by:
        title = f"{report.objective.metric} by {', '.join(names)}"
        parts.append(board.some_table(title, effects.by(report.frame, names, report.objective), digits, asked.top))
        if not effects.balanced(report.frame, names, params, report.column):
            parts.append(board.UNBALANCED)
    if asked.pareto:
        told = effects.directions(asked.pareto, report.objective)
        title = "beaten by none in " + ", ".join(
            f"{name} ({'less' if few else 'more'})" for name, few in told.items()
        )
        parts.append(board.undominated(title, effects.pareto(report.frame, told), report, asked.top))
    if asked.trials:
        rows = frames.trials(report.entries, report.objective).drop(columns=["id", "reason", "confirms"])
        title = f"{report.name}: trial by trial"
        parts.append(board.some_table(title, rows, digits, asked.top, report.column))
    if asked.importance:
        parts.append(board.importance(importance_of(report)))
    if asked.cost:
        parts.append(board.cost(cost(report.attempts)))
    if parts:
        return Group(*parts)
    effects.require(report.frame, asked.columns)
    return board.leaderboard(report, asked.top or 10, asked.columns)
