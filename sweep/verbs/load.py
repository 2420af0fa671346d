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
    from sweep.state.provenance import Provenance


@dataclass(frozen=True, repr=False)
class Loaded:
    """A sweep as frames.

    Attributes
    ----------
    name : str
        The sweep's.
    trials : DataFrame
        A row a trial, by number: parameters, ``replicate``, ``seed``, score, usage, state. ``code_ran`` is the
        code that it ran: the commit, the script's digest and its name.
    results : DataFrame
        The numbers of each trial's result, float64, indexed by the trial's number; ``test.f1`` lies in an object.
    leaderboard : DataFrame
        A row a configuration, the best first.
    best : Best or None
        The winner, with what can be said for it.
    provenance : Provenance or None
        Who planned it and where, and which code and programs were there; None in older folders.
    """

    name: str
    trials: pd.DataFrame
    results: pd.DataFrame
    leaderboard: pd.DataFrame
    best: Best | None
    provenance: Provenance | None = None

    def __repr__(self) -> str:
        """Name what is there: a notebook shows it."""
        return (
            f"<sweep {self.name}: {len(self.trials)} trials, {len(self.leaderboard)} configurations; {self.best}>"
        )


def load(path: Path) -> Loaded:
    """Load a sweep by its folder. The scheduler is not asked if it ever was; only the journal is written."""
    store = Shelf(path.parent).find(str(path)) if path.is_dir() else Shelf(Path("results")).find(str(path))
    ranked = report(store, Shell(store.log), write=False, recent_s=math.inf)
    analysis = ranked.analysis
    frames = (analysis.trials, analysis.results, analysis.leaderboard)
    return Loaded(store.name, *frames, analysis.best, ranked.provenance)
