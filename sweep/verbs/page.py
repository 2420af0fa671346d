"""page: the report as one page to look at, written once or again and again while the sweep runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sweep.shell import Shell
from sweep.state.failures import FailureGroup
from sweep.steps.pictures import Gallery, galleries
from sweep.store import Store
from sweep.verbs.best import best_configuration
from sweep.verbs.report import LeaderboardReport, report
from sweep.verbs.status import failures

#: Trials whose pictures are shown.
PICTURED = 5


@dataclass(frozen=True)
class PageContents:
    """All that a page shows.

    Attributes
    ----------
    command : str
        The command that repeats the best configuration; empty if there is none.
    galleries : tuple of Gallery
        Pictures of the best configurations.
    again_s : float or None
        How often the page is made again, while it is.
    live : bool
        It brings itself up to date.
    """

    report: LeaderboardReport
    command: str
    failures: tuple[FailureGroup, ...]
    galleries: tuple[Gallery, ...]
    again_s: float | None
    live: bool = False


@dataclass(frozen=True)
class WrittenPage:
    """Where a page was written, and what there is to say about it."""

    path: Path
    notes: tuple[str, ...]
    stale: str


def pages(
    store: Store,
    shell: Shell,
    draw: Callable[[PageContents], str],
    *,
    where: str = "",
    retired: bool = False,
    interval_s: float | None = None,
    fresh: bool = False,
) -> Iterator[WrittenPage]:
    """Write report.html; with an interval, again and again until nothing is left to run.

    Parameters
    ----------
    draw : callable
        Makes a page's text of what it shows.
    where, retired, fresh
        As for `report`.
    interval_s : float, optional
        Seconds between two pages.

    Yields
    ------
    WrittenPage
        Each time it was written.
    """
    for shown in looks(store, shell, where=where, retired=retired, interval_s=interval_s, fresh=fresh):
        # A part of the sweep does not take the place of the whole.
        path = store.write("report-where.html" if where else "report.html", draw(shown))
        yield WrittenPage(path, shown.report.notes, shown.report.stale)


def looks(
    store: Store,
    shell: Shell,
    *,
    where: str = "",
    retired: bool = False,
    interval_s: float | None = None,
    fresh: bool = False,
    live: bool = False,
) -> Iterator[PageContents]:
    """Yield what a page shows; with an interval, again and again until nothing is left to run."""
    while True:
        leaderboard = report(store, shell, where=where, retired=retired, whole=True, fresh=fresh)
        again = interval_s is not None and leaderboard.left > 0
        yield contents(store, leaderboard, interval_s if again else None, live=live)
        if interval_s is None or not again:
            return
        shell.clock.sleep(interval_s)


def contents(
    store: Store, leaderboard: LeaderboardReport, again_s: float | None = None, *, live: bool = False
) -> PageContents:
    """Gather what a page shows."""
    return PageContents(
        leaderboard,
        best_configuration(leaderboard).command if leaderboard.best else "",
        tuple(failures(store, leaderboard.snapshot)),
        tuple(galleries(store, leaderboard.analysis.board.scored, PICTURED)),
        again_s,
        live,
    )
