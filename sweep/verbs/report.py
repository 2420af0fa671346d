"""report: collect the results, rank the configurations, and say how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import StoreError, UsageError
from sweep.model import ALIVE, Objective, State
from sweep.schedulers.base import POLL_EVERY_S
from sweep.shell import Shell
from sweep.state.provenance import Provenance
from sweep.state.snapshot import Snapshot, count_states
from sweep.steps import collect
from sweep.steps.observe import observe
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.leaderboard.analysis import Analysis
    from sweep.leaderboard.entries import Entry
    from sweep.leaderboard.ranking import Best, Board
    from sweep.steps.raced import RaceResult


@dataclass(frozen=True)
class LeaderboardReport:
    """A sweep, ranked and analysed.

    Attributes
    ----------
    name, folder : str
        The sweep's name and folder.
    analysis : Analysis
        The ranking, and all that follows from it.
    snapshot : Snapshot
        All trials as they stand.
    counts : dict
        State → how many trials of the grid; of those that were ranked, where only some were.
    where : str
        Which configurations were ranked; empty where all were.
    provenance : Provenance or None
        Where the newest plan came from; None in older folders.
    warnings : tuple of str
        What a reader has to know before comparing anything: trials ran other code than the rest.
    doubts : tuple of str
        What a reader has to know before trusting the winner.
    notes : tuple of str
        What a person should know of the look at the sweep.
    csv : Path or None
        The leaderboard that was written.
    race : RaceResult or None
        What a race has come to. None: nothing was raced, or only some were ranked.
    """

    name: str
    folder: str
    analysis: Analysis
    snapshot: Snapshot
    counts: dict[str, int]
    where: str = ""
    provenance: Provenance | None = None
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    csv: Path | None = None
    race: RaceResult | None = None

    @property
    def best(self) -> Best | None:
        """The best configuration, if any has a score."""
        return self.analysis.best

    @property
    def objective(self) -> Objective:
        """What ranks."""
        return self.analysis.objective

    @property
    def retired(self) -> int:
        """How many trials the grid no longer asks for."""
        return len(self.snapshot.trials) - len(self.snapshot.active)

    @property
    def left(self) -> int:
        """How many trials may still run by themselves."""
        return len(self.snapshot.of(*ALIVE))

    @property
    def stale(self) -> str:
        """Why the scheduler's statuses are old ones, in words; empty if they are not."""
        return self.snapshot.stale


def report(
    store: Store,
    shell: Shell,
    *,
    where: str = "",
    columns: Sequence[str] = (),
    retired: bool = False,
    write: bool = True,
    whole: bool = False,
    fresh: bool = False,
    recent_s: float = POLL_EVERY_S,
) -> LeaderboardReport:
    """Rank all configurations.

    Parameters
    ----------
    where : str
        An expression; only configurations that fit it are ranked.
    columns : sequence of str
        Further numbers of the results to show.
    retired : bool
        Rank those that the grid no longer asks for as well.
    write : bool
        Leave leaderboard.csv in the sweep's folder, unless only some are ranked.
    whole : bool
        Keep the results' learning curves and pictures' names, for a page.
    fresh : bool
        Read all results anew.
    recent_s : float
        An answer of the scheduler that is no older is good enough.

    Raises
    ------
    UsageError
        The expression cannot be used, or fits no configuration.
    """
    from sweep.leaderboard.analysis import analyse

    snapshot = observe(store, shell, recent_s=recent_s)
    trials = snapshot.trials if retired else snapshot.active
    everyone = collect.entries(store, snapshot, trials, whole=whole, fresh=fresh)
    board = ranked(everyone, snapshot.settings.objective, where)
    counted = [entry.verdict.state for entry in board.entries if where or not entry.trial.retired]
    analysis = analyse(
        board,
        columns=columns,
        attempts=collect.attempts(store, snapshot),
        statuses=snapshot.active,
        at=snapshot.at,
        tried=[status.trial.params for status in snapshot.trials],
    )
    leaderboard = LeaderboardReport(
        name=store.name,
        folder=str(store.path),
        analysis=analysis,
        snapshot=snapshot,
        counts=count_states(counted),
        where=where,
        provenance=snapshot.ledger.provenance,
        warnings=tuple(board.codes.words),
        doubts=tuple(_doubts(store, snapshot, board, everyone)),
        notes=snapshot.notes,
        race=None if where else _raced(snapshot, board),
    )
    return _written(store, leaderboard) if write and not where else leaderboard


def _raced(snapshot: Snapshot, board: Board) -> RaceResult | None:
    if snapshot.ledger.race.last is None:
        return None
    from sweep.leaderboard.entries import score_of
    from sweep.steps.raced import finalists_of, race_result

    scores = {entry.trial.number: score_of(entry, board.objective) for entry in board.entries}
    best = board.best
    return race_result(snapshot, scores, best.score if best else None, *finalists_of(board))


def _written(store: Store, leaderboard: LeaderboardReport) -> LeaderboardReport:
    text = leaderboard.analysis.leaderboard.to_csv(index=False)
    try:
        return replace(leaderboard, csv=store.write("leaderboard.csv", text))
    except StoreError as error:  # a reader without the right to write sees the leaderboard all the same
        return replace(leaderboard, notes=(*leaderboard.notes, str(error)))


def ranked(entries: list[Entry], objective: Objective, where: str) -> Board:
    """Rank the entries, or those whose configurations fit. UsageError if the expression fits none."""
    from sweep.leaderboard.ranking import rank

    board = rank(entries, objective)
    if not where:
        return board
    from sweep.leaderboard.filters import where as fitting

    chosen = fitting(board, where)
    total = len(board.configurations)
    if not chosen and total:
        raise UsageError(f"--where {where!r} fits none of {total:,} configurations", "loosen it")
    return rank(chosen, objective)


def _doubts(store: Store, snapshot: Snapshot, board: Board, everyone: Sequence[Entry]) -> list[str]:
    """Gather what may keep the winner from being certain, and say it."""
    from sweep.leaderboard import doubts

    ended, confirming = snapshot.confirming
    gone = [entry for entry in everyone if entry.verdict.state is State.GONE and not entry.trial.retired]
    kept = collect.kept_of(store, snapshot, [entry.trial.number for entry in gone]) if gone else {}
    noted = {status.trial.number for status in snapshot.of(State.GONE)}
    existing = [] if board.best else collect.numbers_in_failed(store, snapshot)
    return [
        *doubts.of_winner(board, confirming, ended),
        *doubts.of_false_positives(board),
        *doubts.of_gone_results(board, gone, kept, noted),
        *doubts.of_rules(board),
        *doubts.of_metric(board.objective, existing),
    ]
