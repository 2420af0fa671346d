"""compare: two sweeps side by side, where their configurations agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.errors import SweepError
from sweep.model import Objective
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.report import LeaderboardReport, report

if TYPE_CHECKING:
    from sweep.leaderboard.comparison import Comparison


def check_objectives(first: LeaderboardReport, second: LeaderboardReport) -> None:
    """Refuse to compare sweeps that are ranked by different metrics. SweepError."""
    ours, theirs = (f"{each.objective.metric} ({each.objective.goal})" for each in (first, second))
    if ours != theirs:
        raise SweepError(
            f"{first.name} is ranked by {ours}, {second.name} by {theirs}",
            "plan one of them again with the other's objective: results are kept",
        )


def compare(a: Store, b: Store, shell: Shell) -> tuple[Comparison, Objective, list[str]]:
    """Set two sweeps side by side. With it, what a reader has to know before comparing them.

    Raises
    ------
    SweepError
        They are ranked by different metrics, or no configuration with a score is in both.
    """
    from sweep.leaderboard.comparison import compare as side_by_side
    from sweep.leaderboard.origins import codes_of

    first, second = (report(store, shell, write=False) for store in (a, b))
    check_objectives(first, second)
    comparison = side_by_side(first.analysis.board, second.analysis.board)
    if not len(comparison.table):
        raise SweepError(
            f"no configuration with a score is both in {a.name} and in {b.name}",
            "they are compared where their parameters and values are the same",
        )
    both = [entry for each in (first, second) for entry in each.analysis.board.entries if entry.result]
    return comparison, first.objective, codes_of(both).words
