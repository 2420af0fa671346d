"""report, best, compare: collect the results, rank the configurations, say how sure that is and what it cost."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import StoreError, SweepError, UsageError, nearest
from sweep.model import Objective, State
from sweep.shell import Shell
from sweep.steps import collect
from sweep.steps.observe import Snapshot, observe
from sweep.steps.poll import POLL_EVERY_S
from sweep.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.comparison import Comparison
    from sweep.leaderboard.cost import Attempted
    from sweep.leaderboard.entries import Entry
    from sweep.leaderboard.ranking import Best, Board

#: Of a metric that no result has, so many of those that exist are named.
NAMED = 12


@dataclass
class Report:
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
        State → how many trials of the grid.
    doubts : list of str
        What a reader has to know before trusting the winner.
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
    doubts: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    csv: Path | None = None

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
        return len(self.snapshot.of(State.SUBMITTING, State.QUEUED, State.RUNNING))

    @property
    def stale(self) -> str:
        """Why the scheduler's word is an old one; empty if it is not."""
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
) -> Report:
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
        A word of the scheduler's that is no older is good enough.

    Raises
    ------
    UsageError
        The expression does not parse, or a column is nowhere in the results.
    """
    from sweep.leaderboard import frames

    snapshot = observe(store, shell, recent_s=recent_s)
    objective = snapshot.settings.objective
    chosen = snapshot.seen if retired else snapshot.active
    known = collect.entries(store, snapshot, chosen, whole=whole, fresh=fresh)
    board, known = _ranked(known, objective, where)
    made = Report(
        name=store.name,
        board=board,
        frame=frames.leaderboard(board, _known_numbers(known, columns, objective.metric)),
        entries=known,
        attempts=collect.attempts(store, snapshot),
        counts=_counts(snapshot, known if where else None),
        column=frames.metric_column(objective),
        retired=len(snapshot.seen) - len(snapshot.active),
        snapshot=snapshot,
        where=where,
        notes=snapshot.notes,
    )
    made.doubts = [*_doubts(made), *_no_metric(store, made)]
    if write and not where:
        try:
            made.csv = store.write("leaderboard.csv", made.frame.to_csv(index=False))
        except StoreError as error:  # a reader without the right to write sees the leaderboard all the same
            made.notes += (str(error),)
    return made


def _ranked(known: list[Entry], objective: Objective, where: str) -> tuple[Board, list[Entry]]:
    """Rank them, or those that fit; with these."""
    from sweep.leaderboard.ranking import rank

    board = rank(known, objective)
    if not where:
        return board, known
    from sweep.leaderboard.filters import where as kept

    some = kept(board, where)
    total = len(board.configurations)
    if not some and total:
        raise UsageError(f"--where {where!r} fits none of {total:,} configurations", "loosen it")
    return rank(some, objective), some


def _counts(snapshot: Snapshot, chosen: Sequence[Entry] | None) -> dict[str, int]:
    """Count the grid's trials by state; of some only, these."""
    states = [one.verdict.state for one in (snapshot.active if chosen is None else chosen)]
    return {state.value: n for state in State if (n := states.count(state))}


def _known_numbers(known: Sequence[Entry], columns: Sequence[str], metric: str) -> list[str]:
    """Return those of the columns that are numbers in the results; others are for who shows the frame to find."""
    from sweep.leaderboard.entries import measure
    from sweep.leaderboard.frames import OWN

    return [
        name
        for name in dict.fromkeys(columns)
        if name not in (*OWN, metric)
        and not any(name in one.trial.params for one in known[:1])
        and any(measure(one, name) is not None for one in known)
    ]


def _doubts(made: Report) -> list[str]:
    """Say what keeps the winner from being certain, and what to do."""
    found, best = [], made.best
    ended, confirming = made.snapshot.confirming
    if ended < confirming:
        found.append(f"{confirming - ended} of {confirming} confirming trials have not ended yet")
    failed = sum(one.confirms and one.verdict.state is State.FAILED for one in made.entries)
    if failed:
        found.append(f"{failed} of {confirming} confirming trials failed: `sweep retry --errors` tries them again")
    if best is None:
        return found
    if best.optimism is None and confirming > ended:
        return found  # what settles it is under way
    if best.optimism is None:
        found.append(
            f"one run each: by how much the best of {best.compared:,} scores is too good cannot be known; "
            "`sweep confirm --top 5 --replicates 5` settles it"
        )
    elif len(best.configuration.scores) == 2:
        found.append("two runs make a wide interval, or one that is narrow by chance: five tell more")
    elif best.configuration.deviation == 0:
        found.append("its replicates score exactly alike: does the command use {{ seed }}, or SWEEP_SEED?")
    if n := best.better_unconfirmed:
        some = "1 that was not confirmed" if n == 1 else f"{n:,} that were not confirmed"
        found.append(
            f"{some} scored better, which nobody has put to the test: "
            f"`sweep confirm --top {best.top_to_confirm}` does"
        )
    return found


def _no_metric(store: Store, made: Report) -> list[str]:
    """Where no trial has the metric, but results are there: name what they have, and the nearest."""
    if made.best is not None:
        return []
    names: dict[str, None] = {}
    for one in made.snapshot.of(State.FAILED)[:NAMED]:
        value, _ = store.result(one.trial, made.objective.file)
        if isinstance(value, dict):
            from sweep.leaderboard.entries import numbers

            names |= dict.fromkeys(numbers(value))
    if not names or made.objective.metric in names:
        return []
    there = ", ".join([*names][:NAMED])
    return [f"results have no {made.objective.metric!r}, but {there}; {nearest(made.objective.metric, names)}"]


def best_config(made: Report, planned: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the best configuration and the command that repeats it.

    Raises
    ------
    SweepError
        No trial has a score yet.
    """
    if made.best is None:
        counts = ", ".join(f"{n} {state}" for state, n in made.counts.items()) or "no trials"
        raise SweepError(
            f"no trial of {made.name!r} has a {made.objective.metric} yet ({counts})",
            "`sweep status` shows what runs; `sweep why TRIAL` why one failed",
        )
    best, trial, verdict = made.best, made.best.entry.trial, made.best.entry.verdict
    test = best.configuration.test(made.objective)
    return {
        "sweep": made.name,
        "trial": trial.number,
        "id": trial.id,
        "parameters": trial.params,
        "metric": made.objective.metric,
        "score": best.score,
        "goal": made.objective.goal,
        "confirmed": best.configuration.confirmed,
        "expected": best.expected,
        "interval": None if math.isnan(best.low) else [best.low, best.high],
        "test": None if math.isnan(test) else test,
        "replicates": list(best.replicates),
        "equal_scores": list(best.equal_scores),
        "tied": list(best.tied),
        "seed": trial.seed,
        "replicate": trial.replicate,
        "elapsed_s": verdict.elapsed_s,
        "peak_memory_mib": verdict.peak_memory_mib,
        "argv": list(trial.argv),
        "command": command(trial, planned, made.objective),
    }


def command(trial: Any, planned: Mapping[str, Any], objective: Objective) -> str:
    """Write the command as a shell takes it, with the grid's environment and what the trial was told of itself."""
    told = {
        "SWEEP_SEED": trial.seed,
        "SWEEP_REPLICATE": trial.replicate,
        "SWEEP_CPUS": trial.resources.cpus,
        "SWEEP_PARAMS": json.dumps(trial.params),
        "SWEEP_RESULT": objective.file,
    }
    variables = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in told.items())
    before = [f"cd {shlex.quote(planned['workdir'])}", *planned.get("environment", ())]
    return " && ".join([*before, f"{variables} {shlex.join(trial.argv)}"])


def write_best(store: Store, config: dict[str, Any]) -> Path:
    """Write best.yaml. StoreError where that may not be."""
    from ruamel.yaml import YAML

    out = StringIO()
    YAML(typ="safe").dump(config, out)
    return store.write("best.yaml", f"# The best configuration of the sweep {store.name}.\n{out.getvalue()}")


def compare(a: Store, b: Store, shell: Shell) -> tuple[Comparison, Objective]:
    """Set two sweeps side by side.

    Raises
    ------
    SweepError
        They are ranked by different metrics, or no configuration with a score is in both.
    """
    from sweep.leaderboard.comparison import compare as side_by_side

    first, second = (report(one, shell, write=False) for one in (a, b))
    ours, theirs = (f"{one.objective.metric} ({one.objective.goal})" for one in (first, second))
    if ours != theirs:
        raise SweepError(
            f"{a.name} is ranked by {ours}, {b.name} by {theirs}",
            "plan one of them again with the other's objective: results are kept",
        )
    made = side_by_side(first.board, second.board)
    if not len(made.table):
        raise SweepError(
            f"no configuration with a score is both in {a.name} and in {b.name}",
            "they are compared where their parameters and values are the same",
        )
    return made, first.objective
