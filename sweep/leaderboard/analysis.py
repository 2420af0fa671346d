"""A board → all that is said of it: the tables, what mattered, what nothing beats, what it cost (pure).

The terminal, the page, the files for other programs, ``--json`` and ``sweep.load`` spell what is here, and compute
nothing themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from sweep.leaderboard import effects, frames
from sweep.leaderboard.advice import Advice, advise, unimportant
from sweep.leaderboard.cost import Attempted, Cost, cost
from sweep.leaderboard.curves import Curve, learning_curves
from sweep.leaderboard.curves import names as curve_names
from sweep.leaderboard.effects import Effects, InCommon
from sweep.leaderboard.importance import Importance, importance
from sweep.leaderboard.ranking import Best, Board, Configuration, required_metrics
from sweep.leaderboard.timeline import Timeline, timeline
from sweep.model import Objective

if TYPE_CHECKING:
    from sweep.state.snapshot import TrialStatus


@dataclass(frozen=True)
class Front:
    """The configurations that no other one beats in some measures.

    Attributes
    ----------
    less_is_better : dict
        Column of the measure → whether less of it is better.
    table : DataFrame
        Their rows of the leaderboard.
    """

    less_is_better: dict[str, bool]
    table: pd.DataFrame


@dataclass(frozen=True)
class Analysis:
    """What can be said of a board. Each part is computed when it is first asked for, and only once.

    Attributes
    ----------
    board : Board
        The ranking.
    more : tuple of str
        Further numbers in the results. Each is a column of the leaderboard.
    attempts : sequence of Attempted
        Everything that has ended, retired trials and earlier attempts too: what the sweep cost.
    statuses : sequence of TrialStatus
        The trials whose course makes the timeline.
    at : float
        When they were so, in seconds since the epoch.
    tried : sequence of dict
        The parameters of all trials, with those that are not ranked: where the ends of the axes are.
    """

    board: Board
    more: tuple[str, ...] = ()
    attempts: Sequence[Attempted] = ()
    statuses: Sequence[TrialStatus] = ()
    at: float = 0.0
    tried: Sequence[dict[str, Any]] = ()

    @property
    def best(self) -> Best | None:
        """The best configuration, if any has a score."""
        return self.board.best

    @property
    def objective(self) -> Objective:
        """What ranks."""
        return self.board.objective

    @property
    def column(self) -> str:
        """The metric's column of the leaderboard."""
        return frames.metric_column(self.objective)

    @cached_property
    def columns(self) -> dict[str, str]:
        """The parameters, each with its column of the leaderboard."""
        entries = [configuration.entry for configuration in self.board.configurations]
        return frames.columns_of(entries, self.objective)

    @cached_property
    def varying(self) -> list[str]:
        """The columns of the parameters that have more than one value."""
        return [name for name in self.columns.values() if self.leaderboard[name].map(repr).nunique() > 1]

    @cached_property
    def by_importance(self) -> list[str]:
        """The same, the most important parameter first."""
        important = [self.columns[share.names[0]] for share in self.importance.single]
        ordered = dict.fromkeys([*important, *self.varying])
        return [name for name in ordered if name in self.varying]

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row for each configuration, the best first; see `frames.leaderboard`."""
        return frames.leaderboard(self.board, self.more)

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The rows of the leaderboard that have a score."""
        return self.leaderboard.dropna(subset=[self.column])

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row for each trial, by number; see `frames.trials`."""
        return frames.trials(self.board.entries, self.objective)

    @cached_property
    def results(self) -> pd.DataFrame:
        """The numbers in each trial's result, by number; see `frames.results`."""
        return frames.results(self.board.entries)

    @cached_property
    def importance(self) -> Importance:
        """The importance of the parameters, from all configurations with a score."""
        scored = self.board.scored
        return importance(
            [configuration.entry.trial.params for configuration in scored],
            [configuration.mean for configuration in scored],
        )

    @cached_property
    def advice(self) -> Advice:
        """What to do next."""
        return advise(self.board, self.tried)

    @cached_property
    def unimportant(self) -> tuple[str, ...]:
        """The parameters that did not matter, where that can be claimed: they may be fixed."""
        return unimportant(self.importance)

    @cached_property
    def cost(self) -> Cost:
        """What the attempts held, used and wasted."""
        return cost(self.attempts)

    @cached_property
    def effects(self) -> Effects:
        """The effects of the parameters that vary, over all configurations."""
        return Effects(effects.grouped(self.leaderboard, self.varying), self.varying, self.objective)

    @cached_property
    def effects_of_scored(self) -> Effects:
        """The effects over the configurations with a score, the most important parameter first."""
        return Effects(effects.grouped(self.scored, self.by_importance), self.by_importance, self.objective)

    @cached_property
    def in_common(self) -> InCommon:
        """What the best tenth of the configurations have in common, and the others seldom."""
        return effects.in_common(self.scored, self.by_importance)

    @cached_property
    def timed(self) -> pd.DataFrame:
        """The rows of the leaderboard that have a score and an elapsed time."""
        return self.scored.dropna(subset=["elapsed_s"])

    @cached_property
    def front(self) -> pd.DataFrame:
        """Those of them that no other one beats in both, the fastest first."""
        less_is_better = {self.column: self.objective.minimize, "elapsed_s": True}
        return effects.pareto(self.timed, less_is_better).sort_values("elapsed_s")

    @cached_property
    def front_of_both(self) -> Front | None:
        """What nothing beats in both objectives: of what was confirmed, where anything was.

        None where there is no second objective, or no result has it.
        """
        second, table = self.objective.second, self.scored
        if not second or second not in table.columns or table[second].dtype.kind not in "iuf":
            return None
        if "confirmed" in table.columns and table["confirmed"].any():
            table = table[table["confirmed"]]
        less = {self.column: self.objective.minimize, second: self.objective.second_goal == "minimize"}
        return Front(less, effects.pareto(table, less))

    @cached_property
    def timeline(self) -> Timeline | None:
        """What the cluster did over time. None if nothing was sent."""
        return timeline(self.statuses, self.at)

    def curves(self, configuration: Configuration) -> dict[str, list[Curve]]:
        """Return the learning curves of a configuration; see `curves.learning_curves`."""
        return learning_curves(configuration, self.objective)

    @property
    def curve_names(self) -> list[str]:
        """What of a history may be drawn; see `curves.names`."""
        return curve_names(self.objective)

    def values(self, name: str, table: pd.DataFrame) -> list[Any]:
        """Return the different values of a parameter in some rows of the leaderboard, in their order."""
        return effects.values_of(table, name, self.objective)

    def by(self, names: Sequence[str]) -> pd.DataFrame:
        """Sum up the leaderboard by the values of parameters; see `effects.by`, also for what it refuses."""
        return effects.by(self.leaderboard, names, self.objective)

    def balanced(self, names: Sequence[str]) -> bool:
        """Whether the rows of a table by these parameters differ in nothing else; see `effects.balanced`."""
        return effects.balanced(self.leaderboard, names, [*self.columns.values()], self.column)

    def pareto(self, measures: Sequence[str]) -> Front:
        """Find the configurations that no other one beats.

        Parameters
        ----------
        measures : sequence of str
            As `effects.directions` reads them: ``segMeasure``, ``f1:max``.

        Raises
        ------
        UsageError
            A measure is unknown, no number or without a direction, or there are not two or three.
        """
        less_is_better = effects.directions(measures, self.objective)
        return Front(less_is_better, effects.pareto(self.leaderboard, less_is_better))

    def only(self, names: Sequence[str]) -> pd.DataFrame:
        """Return these columns of the leaderboard, behind rank, trial and metric; without names, all of it.

        Raises
        ------
        UsageError
            There is no such column.
        """
        effects.require(self.leaderboard, names)
        own = ["rank", "trial", self.column]
        return self.leaderboard[[*dict.fromkeys([*own, *names])]] if names else self.leaderboard


def analyse(
    board: Board,
    *,
    columns: Sequence[str] = (),
    attempts: Sequence[Attempted] = (),
    statuses: Sequence[TrialStatus] = (),
    at: float = 0.0,
    tried: Sequence[dict[str, Any]] = (),
) -> Analysis:
    """Analyse a board.

    Parameters
    ----------
    columns : sequence of str
        Names that someone asks for. Those of numbers in the results become columns of the leaderboard.
    attempts : sequence of Attempted
        What has ended, for the cost.
    statuses : sequence of TrialStatus
        The trials of the timeline.
    at : float
        When they were so, in seconds since the epoch.
    tried : sequence of dict
        The parameters of all trials, with those that are not ranked.

    Returns
    -------
    Analysis
        Nothing of it is computed yet.
    """
    names = [*required_metrics(board.objective), *filter(None, [board.objective.second]), *columns]
    more = tuple(frames.numbers_named(board.entries, names, board.objective))
    return Analysis(board, more, attempts, statuses, at, tried)
