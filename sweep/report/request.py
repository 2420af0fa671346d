"""Which parts of a report are requested. This file imports nothing: an answer that is kept comes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
    importance, cost, trials, advice : bool
        Whether the importance of the parameters, the cost, the table of all trials, and what to do next are
        requested.
    """

    top: int | None = None
    columns: Sequence[str] = ()
    by: Sequence[Sequence[str]] = ()
    pareto: Sequence[str] = ()
    importance: bool = False
    cost: bool = False
    trials: bool = False
    advice: bool = False

    @property
    def numbers(self) -> list[str]:
        """The names that may be numbers in the results: further columns of the leaderboard."""
        return [*self.columns, *(name.rpartition(":")[0] or name for name in self.pareto)]
