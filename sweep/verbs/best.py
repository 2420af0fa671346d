"""best: the best configuration, how sure that is, and the command that repeats it."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec

from sweep.errors import SweepError
from sweep.model import Trial
from sweep.node import command as node_command
from sweep.node import runner
from sweep.state.provenance import Code
from sweep.state.settings import Settings
from sweep.store import Store
from sweep.verbs.report import LeaderboardReport


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
    seeds : tuple of int
        The seeds of `replicates`.
    code : tuple of dict
        Which code these ran: ``commit``, ``script`` and ``script_sha256``, shortened; empty where it is not known.
    provenance : dict or None
        What the newest plan found, as `sweep.state.provenance.Provenance` has it; None: it did not look.
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
    seeds: tuple[int, ...]
    code: tuple[dict[str, str], ...]
    provenance: dict[str, Any] | None


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
    counted = best.configuration.counted
    codes = dict.fromkeys(entry.verdict.code for entry in counted if entry.verdict.code)
    provenance = leaderboard.provenance
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
        seeds=tuple(entry.trial.seed for entry in counted),
        code=tuple(Code.of(code)._asdict() for code in codes),
        provenance=msgspec.structs.asdict(provenance) if provenance else None,
    )


def command(trial: Trial, settings: Settings, folder: str) -> str:
    """Write the command as a shell takes it, with the grid's environment and what the trial was told of itself."""
    told = {**node_command.variables_of_trial(asdict(trial), folder), "SWEEP_RESULT": settings.objective.file}
    assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in told.items())
    setup = [f"cd {shlex.quote(settings.workdir)}", *settings.environment]
    return " && ".join([*setup, f"{assignments} {shlex.join(trial.argv)}"])


def write_best(store: Store, best: BestConfiguration) -> Path:
    """Write best.yaml. StoreError where that may not be."""
    return store.write("best.yaml", as_yaml(store, best))


def as_yaml(store: Store, best: BestConfiguration) -> str:
    """Return the text of best.yaml."""
    from ruamel.yaml import YAML

    out = StringIO()
    YAML(typ="safe").dump(_plain(asdict(best)), out)
    return f"# The best configuration of the sweep {store.name}.\n{out.getvalue()}"


def _plain(value: Any) -> Any:
    """Make lists of tuples: YAML has no tuples."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
