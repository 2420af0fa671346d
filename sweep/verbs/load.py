"""load: a sweep's trials, results and leaderboard for a notebook."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.shell import Shell
from sweep.store import Shelf
from sweep.verbs.report import report

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.ranking import Best


@dataclass(frozen=True, repr=False)
class Loaded:
    """A sweep as frames.

    Attributes
    ----------
    name : str
        The sweep's.
    trials : DataFrame
        A row a trial, by number: parameters, ``replicate``, ``seed``, score, usage, state.
    results : DataFrame
        The numbers of each trial's result, float64, indexed by the trial's number; ``test.f1`` lies in an object.
    leaderboard : DataFrame
        A row a configuration, the best first.
    best : Best or None
        The winner, with what can be said for it.
    """

    name: str
    trials: pd.DataFrame
    results: pd.DataFrame
    leaderboard: pd.DataFrame
    best: Best | None

    def __repr__(self) -> str:
        """Name what is there: a notebook shows it."""
        return (
            f"<sweep {self.name}: {len(self.trials)} trials, {len(self.leaderboard)} configurations; {self.best}>"
        )


def load(path: Path) -> Loaded:
    """Load a sweep by its folder. The scheduler is not asked if it ever was; only the journal is written."""
    store = Shelf(path.parent).find(str(path)) if path.is_dir() else Shelf(Path("results")).find(str(path))
    analysis = report(store, Shell(store.log), write=False, recent_s=math.inf).analysis
    return Loaded(store.name, analysis.trials, analysis.results, analysis.leaderboard, analysis.best)
