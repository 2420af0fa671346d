"""load: a sweep's trials, results, histories, leaderboard and figures for a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import NoSuch, nearest
from sweep.shell import Shell
from sweep.steps import collect
from sweep.store import Shelf, Store
from sweep.verbs.report import LeaderboardReport, report

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.ranking import Best
    from sweep.state.provenance import Provenance


Histories = dict[int, list[dict[str, Any]]]


@dataclass(frozen=True)
class Drawing:
    """How a loaded sweep is drawn.

    Attributes
    ----------
    first_screen : callable
        Makes the fragment of HTML that a notebook shows.
    figures : callable
        Draws all figures: name → ``plotly.graph_objects.Figure``. It is given what reads trials' histories.
    """

    first_screen: Callable[[LeaderboardReport], str]
    figures: Callable[[LeaderboardReport, Callable[[set[int]], Histories]], Mapping[str, Any]]


@dataclass(frozen=True, repr=False)
class Loaded:
    """A sweep as frames and figures. Each is made when it is first asked for.

    Attributes
    ----------
    report : LeaderboardReport
        The sweep as it stood when it was loaded.
    store : Store
        Its folder, which the histories are read from.
    drawing : Drawing
        How it is drawn.
    """

    report: LeaderboardReport
    store: Store
    drawing: Drawing

    @property
    def name(self) -> str:
        """The sweep's."""
        return self.report.name

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial, by number: parameters, ``replicate``, ``seed``, score, usage, state, ``code_ran``.

        ``code_ran`` is the code that it ran: the commit, the script's digest and its name.
        """
        return self.report.analysis.trials

    @property
    def results(self) -> pd.DataFrame:
        """The numbers of each trial's result, float64, indexed by its number; ``test.f1`` lies in an object."""
        return self.report.analysis.results

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row a configuration, the best first."""
        return self.report.analysis.leaderboard

    @property
    def best(self) -> Best | None:
        """The winner, with what can be said for it."""
        return self.report.best

    @property
    def provenance(self) -> Provenance | None:
        """Who planned it and where, and which code and programs were there; None in older folders."""
        return self.report.provenance

    @cached_property
    def histories(self) -> pd.DataFrame:
        """A row for each entry of each trial's ``history``; see `frames.histories`.

        All results are read for it, which takes a while where there are thousands.
        """
        from sweep.leaderboard import frames

        entries = self.report.analysis.board.entries
        numbers = {entry.trial.number for entry in entries}
        return frames.histories(entries, self._read(numbers))

    def figure(self, name: str) -> Any:
        """Return a figure of the page, to be shown or changed.

        Parameters
        ----------
        name : str
            ``ranks``, ``curves`` (of the first five configurations), ``importance``, ``effects``, ``heat``,
            ``parallel``, ``cost``, ``timeline``; of a race also ``race`` and ``race-cost``. A sweep has those that
            it has data for.

        Returns
        -------
        plotly.graph_objects.Figure

        Raises
        ------
        NoSuch
            The sweep has no figure of that name. The message says which it has.
        """
        if name not in self._figures:
            there = f"it has {', '.join(self._figures)}" if self._figures else "it has none yet"
            raise NoSuch(f"sweep {self.name} has no figure {name!r}; {there}", nearest(name, self._figures))
        return self._figures[name]

    @cached_property
    def _figures(self) -> Mapping[str, Any]:
        return self.drawing.figures(self.report, self._read)

    def _read(self, numbers: set[int]) -> Histories:
        return collect.histories(self.store, self.report.snapshot, numbers)

    def __repr__(self) -> str:
        """Name what is there: an interpreter shows it."""
        counts = f"{len(self.trials)} trials, {len(self.leaderboard)} configurations"
        return f"<sweep {self.name}: {counts}; {self.best}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the winner, what next, and the top of the leaderboard."""
        return self.drawing.first_screen(self.report)


def load(path: Path, drawing: Drawing) -> Loaded:
    """Load a sweep by its folder. The scheduler is not asked if it ever was; only the journal is written."""
    store = Shelf(path.parent).find(str(path)) if path.is_dir() else Shelf(Path("results")).find(str(path))
    ranked = report(store, Shell(store.log), write=False, recent_s=math.inf)
    return Loaded(ranked, store, drawing)
