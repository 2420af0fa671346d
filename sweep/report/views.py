"""Which parts of a report are requested, and those parts: the leaderboard, or another table made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from sweep.errors import UsageError
from sweep.report import sections
from sweep.report.table import decimals_of

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.importance import Importance
    from sweep.verbs.report import LeaderboardReport

#: Rows of the leaderboard on a terminal where no other number is requested.
DEFAULT_ROWS = 10


@dataclass(frozen=True)
class ReportView:
    """Which parts of a report are requested. Without any part it is the leaderboard.

    Attributes
    ----------
    top : int or None
        The largest number of rows of each table.
    columns : sequence of str
        The columns of the leaderboard, beside rank, trial and metric. Empty: the usual ones.
    by : sequence of sequence of str
        For each table by the values of parameters, the names of the parameters.
    pareto : sequence of str
        The measures of the Pareto front, as the user wrote them.
    importance, cost, trials : bool
        Whether the importance of the parameters, the cost, and the table of all trials are requested.
    """

    top: int | None = None
    columns: Sequence[str] = ()
    by: Sequence[Sequence[str]] = ()
    pareto: Sequence[str] = ()
    importance: bool = False
    cost: bool = False
    trials: bool = False


def importance_of(report: LeaderboardReport) -> Importance:
    """Return the importance of the parameters, from all configurations with a score."""
    from sweep.leaderboard.importance import importance

    scored = [configuration for configuration in report.board.configurations if configuration.scores]
    return importance(
        [configuration.entry.trial.params for configuration in scored],
        [configuration.mean for configuration in scored],
    )


def requested_table(report: LeaderboardReport, view: ReportView) -> pd.DataFrame:
    """Return the one table that goes to a file or a pipe.

    Raises
    ------
    UsageError
        A name is not there, or several tables are requested, or none.
    """
    import pandas as pd

    from sweep.leaderboard import effects, frames

    if view.cost:
        raise UsageError("--cost is no table", "--json has it, without a form it goes to the terminal")
    if view.importance:
        importance = importance_of(report)
        rows = [
            (" × ".join(share.names), share.percent, share.sd) for share in [*importance.single, *importance.pairs]
        ]
        return pd.DataFrame(rows, columns=["parameters", "percent", "sd"])
    if len(view.by) > 1:
        raise UsageError("several --by are several tables", "ask for one at a time, or cross them: --by a,b")
    if view.by:
        table = effects.by(report.frame, view.by[0], report.objective)
    elif view.pareto:
        table = effects.pareto(report.frame, effects.directions(view.pareto, report.objective))
    elif view.trials:
        table = frames.trials(report.entries, report.objective)
    else:
        effects.require(report.frame, view.columns)
        table = report.frame
        if view.columns:
            table = table[[*dict.fromkeys(["rank", "trial", report.column, *view.columns])]]
    return table if view.top is None else table.head(view.top)


def requested_sections(report: LeaderboardReport, view: ReportView) -> RenderableType:
    """Show the requested parts on a terminal, one beneath the other."""
    from sweep.leaderboard import effects, frames
    from sweep.leaderboard.cost import cost

    metric, decimals = report.objective.metric, decimals_of(report.frame)
    parts: list[RenderableType] = []
    params = [*frames.columns_of(report.entries, report.objective).values()]
    for names in view.by:
        table = effects.by(report.frame, names, report.objective)
        parts.append(sections.frame_section(f"{metric} by {', '.join(names)}", table, decimals, view.top))
        if not effects.balanced(report.frame, names, params, report.column):
            parts.append(sections.UNBALANCED)
    if view.pareto:
        less_is_better = effects.directions(view.pareto, report.objective)
        measures = ", ".join(
            f"{name} ({'less' if less else 'more'} is better)" for name, less in less_is_better.items()
        )
        front = effects.pareto(report.frame, less_is_better)
        parts.append(sections.pareto_section(f"Pareto front of {measures}", front, report, view.top))
    if view.trials:
        trials = frames.trials(report.entries, report.objective).drop(columns=["id", "reason", "confirms"])
        title = f"{report.name}: trial by trial"
        parts.append(sections.frame_section(title, trials, decimals, view.top, report.column))
    if view.importance:
        parts.append(sections.importance_section(importance_of(report)))
    if view.cost:
        parts.append(sections.cost_section(cost(report.attempts)))
    if parts:
        return Group(*parts)
    effects.require(report.frame, view.columns)
    return sections.leaderboard_section(report, view.top or DEFAULT_ROWS, view.columns)
