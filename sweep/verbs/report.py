"""report, best, compare: collect the results, rank the configurations, say how sure that is and what it cost."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import CannotRead, StoreError, SweepError, UsageError, nearest
from sweep.model import ALIVE, Objective, State, Trial
from sweep.node import command as node_command
from sweep.node import runner
from sweep.schedulers.base import POLL_EVERY_S
from sweep.shell import Shell
from sweep.state.results import gone_words
from sweep.state.settings import Settings
from sweep.state.snapshot import Snapshot, count_states
from sweep.steps import collect
from sweep.steps.observe import observe
from sweep.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.comparison import Comparison
    from sweep.leaderboard.cost import Attempted
    from sweep.leaderboard.entries import Entry
    from sweep.leaderboard.ranking import Best, Board

#: How many of the existing metrics are named if no result has the grid's metric.
NAMED = 12


@dataclass(frozen=True)
class LeaderboardReport:
    """The leaderboard, and what stands behind it.

    Attributes
    ----------
    board, frame
        The ranking, and the same as a frame.
    entries : list of Entry
        Every trial that was ranked, with its result.
    attempts : list of Attempted
        Everything that has ended, retired trials and earlier attempts too: what the sweep cost.
    counts : dict
        State → how many trials of the grid; of those that were ranked, where only some were.
    column : str
        The metric's column of the frame.
    retired : int
        Trials that the grid no longer asks for.
    doubts : tuple of str
        What a reader has to know before trusting the winner.
    folder : str
        The sweep's folder.
    csv : Path or None
        The leaderboard that was written.
    """

    name: str
    board: Board
    frame: pd.DataFrame
    entries: list[Entry]
    attempts: list[Attempted]
    counts: dict[str, int]
    column: str
    retired: int
    snapshot: Snapshot
    where: str = ""
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    csv: Path | None = None
    folder: str = ""

    @property
    def best(self) -> Best | None:
        """The best configuration, if any has a score."""
        return self.board.best

    @property
    def objective(self) -> Objective:
        """What ranks."""
        return self.board.objective

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
        The expression does not parse, or a column is nowhere in the results.
    """
    from sweep.leaderboard import frames

    snapshot = observe(store, shell, recent_s=recent_s)
    objective = snapshot.settings.objective
    trials = snapshot.trials if retired else snapshot.active
    everyone = collect.entries(store, snapshot, trials, whole=whole, fresh=fresh)
    board, entries = _ranked(everyone, objective, where)
    counted = [entry.verdict.state for entry in entries if where or not entry.trial.retired]
    leaderboard = LeaderboardReport(
        name=store.name,
        folder=str(store.path),
        board=board,
        frame=frames.leaderboard(board, _numbers_among(entries, columns, objective.metric)),
        entries=entries,
        attempts=collect.attempts(store, snapshot),
        counts=count_states(counted),
        column=frames.metric_column(objective),
        retired=len(snapshot.trials) - len(snapshot.active),
        snapshot=snapshot,
        where=where,
        notes=snapshot.notes,
    )
    doubts = (*_doubts(leaderboard), *_gone(store, leaderboard, everyone), *_no_metric(store, leaderboard))
    leaderboard = replace(leaderboard, doubts=doubts)
    return _written(store, leaderboard) if write and not where else leaderboard


def _written(store: Store, leaderboard: LeaderboardReport) -> LeaderboardReport:
    try:
        return replace(leaderboard, csv=store.write("leaderboard.csv", leaderboard.frame.to_csv(index=False)))
    except StoreError as error:  # a reader without the right to write sees the leaderboard all the same
        return replace(leaderboard, notes=(*leaderboard.notes, str(error)))


def _ranked(entries: list[Entry], objective: Objective, where: str) -> tuple[Board, list[Entry]]:
    """Rank the entries, or those that fit; with these."""
    from sweep.leaderboard.ranking import rank

    board = rank(entries, objective)
    if not where:
        return board, entries
    from sweep.leaderboard.filters import where as fitting

    chosen = fitting(board, where)
    total = len(board.configurations)
    if not chosen and total:
        raise UsageError(f"--where {where!r} fits none of {total:,} configurations", "loosen it")
    return rank(chosen, objective), chosen


def _numbers_among(entries: Sequence[Entry], columns: Sequence[str], metric: str) -> list[str]:
    """Return the columns that are numbers in the results. The code that shows the frame reports the others."""
    from sweep.leaderboard.entries import measure
    from sweep.leaderboard.frames import OWN

    return [
        name
        for name in dict.fromkeys(columns)
        if name not in (*OWN, metric)
        and not any(name in entry.trial.params for entry in entries[:1])
        and any(measure(entry, name) is not None for entry in entries)
    ]


def _doubts(leaderboard: LeaderboardReport) -> list[str]:
    """Say what keeps the winner from being certain, and what to do."""
    doubts, best = [], leaderboard.best
    ended, confirming = leaderboard.snapshot.confirming
    if ended < confirming:
        doubts.append(f"{confirming - ended} of {confirming} confirming trials have not ended yet")
    failed = sum(entry.confirms and entry.verdict.state is State.FAILED for entry in leaderboard.entries)
    if failed:
        doubts.append(
            f"{failed} of {confirming} confirming trials failed: `sweep retry --errors` tries them again"
        )
    if best is None:
        return doubts
    if best.optimism is None and confirming > ended:
        return doubts  # what settles it is under way
    if best.optimism is None:
        doubts.append(
            f"one run each: by how much the best of {best.compared:,} scores is too good cannot be known; "
            "`sweep confirm --top 5 --replicates 5` settles it"
        )
    elif len(best.configuration.scores) == 2:
        doubts.append("two runs make a wide interval, or one that is narrow by chance: five tell more")
    elif best.configuration.deviation == 0:
        doubts.append("its replicates score exactly alike: does the command use {{ seed }}, or SWEEP_SEED?")
    if count := best.better_unconfirmed:
        subject = "1 that was not confirmed" if count == 1 else f"{count:,} that were not confirmed"
        doubts.append(
            f"{subject} scored better, and no confirming run has tested that: "
            f"`sweep confirm --top {best.top_to_confirm}` does"
        )
    return doubts


def _gone(store: Store, leaderboard: LeaderboardReport, everyone: Sequence[Entry]) -> list[str]:
    """Say which results are gone, and whether the best may be among them."""
    from sweep.leaderboard.entries import measure

    gone = [entry for entry in everyone if entry.verdict.state is State.GONE and not entry.trial.retired]
    if not gone:
        return []
    numbers = [entry.trial.number for entry in gone]
    words, objective, best = gone_words(numbers), leaderboard.objective, leaderboard.best
    noted = {each.trial.number for each in leaderboard.snapshot.of(State.GONE)}  # by the look, in the notes
    doubts = [] if noted.issuperset(numbers) else [words]
    kept, sign = collect.kept_of(store, leaderboard.snapshot, numbers), -1 if objective.minimize else 1
    had = {
        entry.trial.number: measure(replace(entry, result=kept.get(entry.trial.number, {})), objective.metric)
        for entry in gone
    }
    better = [
        f"trial {number} had {score:.4g}"
        for number, score in had.items()
        if score is not None and (best is None or sign * score > sign * best.score)
    ]
    if better:
        doubts.append(f"better ones are among those whose results are gone: {', '.join(better[:8])}")
    elif len(kept) < len(gone):
        doubts.append("the best may be among those whose results are gone: nobody kept their scores")
    return doubts


def _no_metric(store: Store, leaderboard: LeaderboardReport) -> list[str]:
    """Where no trial has the metric, but results are there: name what they have, and the nearest."""
    if leaderboard.best is not None:
        return []
    names: dict[str, None] = {}
    for status in leaderboard.snapshot.of(State.FAILED)[:NAMED]:
        value = None
        with contextlib.suppress(CannotRead):
            value = store.result(status.trial, leaderboard.objective.file).value
        if isinstance(value, dict):
            from sweep.leaderboard.entries import numbers

            names |= dict.fromkeys(numbers(value))
    if not names or leaderboard.objective.metric in names:
        return []
    metric, existing = leaderboard.objective.metric, ", ".join([*names][:NAMED])
    return [f"results have no {metric!r}, but {existing}; {nearest(metric, names)}"]


@dataclass(frozen=True)
class BestConfiguration:
    """The best configuration, how sure that is, and the command that repeats it.

    Attributes
    ----------
    score : float
        The mean of the scores that count.
    confirmed : bool
        The scores are those of confirming trials.
    expected : float or None
        What a new run is expected to score. None: it cannot be known.
    interval : (float, float) or None
        The 95 % interval of that mean.
    test : float or None
        The mean score on images that no choice has seen.
    replicates : tuple of int
        The trials that went into the score.
    equal_scores, tied : tuple of int
        Trials that stand for configurations with the very same score; and for those that cannot be told from it.
    """

    sweep: str
    trial: int
    id: str
    parameters: dict[str, Any]
    metric: str
    score: float
    goal: str
    confirmed: bool
    expected: float | None
    interval: tuple[float, float] | None
    test: float | None
    replicates: tuple[int, ...]
    equal_scores: tuple[int, ...]
    tied: tuple[int, ...]
    seed: int
    replicate: int
    elapsed_s: float | None
    peak_memory_mib: float | None
    argv: tuple[str, ...]
    command: str


def best_configuration(leaderboard: LeaderboardReport) -> BestConfiguration:
    """Describe the best configuration and the command that repeats it.

    Raises
    ------
    SweepError
        No trial has a score yet.
    """
    if leaderboard.best is None:
        counts = ", ".join(f"{count} {state}" for state, count in leaderboard.counts.items()) or "no trials"
        raise SweepError(
            f"no trial of {leaderboard.name!r} has a {leaderboard.objective.metric} yet ({counts})",
            "`sweep status` shows what runs; `sweep why TRIAL` why one failed",
        )
    best, trial, verdict = leaderboard.best, leaderboard.best.entry.trial, leaderboard.best.entry.verdict
    test = best.configuration.test(leaderboard.objective)
    return BestConfiguration(
        sweep=leaderboard.name,
        trial=trial.number,
        id=trial.id,
        parameters=trial.params,
        metric=leaderboard.objective.metric,
        score=best.score,
        goal=leaderboard.objective.goal,
        confirmed=best.configuration.confirmed,
        expected=best.expected,
        interval=None if math.isnan(best.low) else (best.low, best.high),
        test=None if math.isnan(test) else test,
        replicates=best.replicates,
        equal_scores=best.equal_scores,
        tied=best.tied,
        seed=trial.seed,
        replicate=trial.replicate,
        elapsed_s=verdict.elapsed_s,
        peak_memory_mib=verdict.peak_memory_mib,
        argv=trial.argv,
        command=command(trial, leaderboard.snapshot.settings, runner.trial_folder(leaderboard.folder, trial.id)),
    )


def command(trial: Trial, settings: Settings, folder: str) -> str:
    """Write the command as a shell takes it, with the grid's environment and what the trial was told of itself."""
    told = {**node_command.variables_of_trial(asdict(trial), folder), "SWEEP_RESULT": settings.objective.file}
    assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in told.items())
    setup = [f"cd {shlex.quote(settings.workdir)}", *settings.environment]
    return " && ".join([*setup, f"{assignments} {shlex.join(trial.argv)}"])


def write_best(store: Store, best: BestConfiguration) -> Path:
    """Write best.yaml. StoreError where that may not be."""
    from ruamel.yaml import YAML

    out = StringIO()
    YAML(typ="safe").dump(_plain(asdict(best)), out)
    return store.write("best.yaml", f"# The best configuration of the sweep {store.name}.\n{out.getvalue()}")


def _plain(value: Any) -> Any:
    """Make lists of tuples: YAML has no tuples."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def compare(a: Store, b: Store, shell: Shell) -> tuple[Comparison, Objective]:
    """Set two sweeps side by side.

    Raises
    ------
    SweepError
        They are ranked by different metrics, or no configuration with a score is in both.
    """
    from sweep.leaderboard.comparison import compare as side_by_side

    first, second = (report(store, shell, write=False) for store in (a, b))
    ours, theirs = (
        f"{leaderboard.objective.metric} ({leaderboard.objective.goal})" for leaderboard in (first, second)
    )
    if ours != theirs:
        raise SweepError(
            f"{a.name} is ranked by {ours}, {b.name} by {theirs}",
            "plan one of them again with the other's objective: results are kept",
        )
    comparison = side_by_side(first.board, second.board)
    if not len(comparison.table):
        raise SweepError(
            f"no configuration with a score is both in {a.name} and in {b.name}",
            "they are compared where their parameters and values are the same",
        )
    return comparison, first.objective
