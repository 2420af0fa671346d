"""report and best: collect the results, rank the trials, name the best configuration."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import StoreError, SweepError
from sweep.model import Objective, State
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.observe import Seen, Snapshot, observe
from sweep.verbs.poll import POLL_EVERY_S

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard import Best


@dataclass
class Report:
    """The leaderboard, and where it was written."""

    name: str
    frame: pd.DataFrame
    best: Best | None
    objective: Objective
    counts: dict[str, int]
    column: str
    retired: int
    stale: str
    notes: tuple[str, ...]
    csv: Path | None = None
    html: Path | None = None


def report(
    store: Store, shell: Shell, *, page: Callable[[Report], str] | None = None, retired: bool = False
) -> Report:
    """Rank all trials.

    Parameters
    ----------
    page : callable, optional
        Renders a report; with it, leaderboard.csv and report.html are left in the sweep's folder.
    retired : bool
        Rank those that the grid no longer asks for as well.
    """
    from sweep import leaderboard

    snapshot = observe(store, shell, recent_s=POLL_EVERY_S)
    objective = snapshot.settings.objective
    entries = _entries(store, snapshot, snapshot.seen if retired else snapshot.active)
    made = Report(
        name=store.name,
        frame=leaderboard.frame(entries, objective),
        best=leaderboard.best(entries, objective),
        objective=objective,
        counts={state.value: n for state in State if (n := len(snapshot.of(state)))},
        column=leaderboard.metric_column(objective),
        retired=len(snapshot.seen) - len(snapshot.active),
        stale=snapshot.stale,
        notes=snapshot.notes,
    )
    if page:
        try:
            made.csv = store.write("leaderboard.csv", made.frame.to_csv(index=False))
            made.html = store.write("report.html", page(made))
        except StoreError as error:  # a reader without the right to write sees the leaderboard all the same
            made.notes += (str(error),)
    return made


def _entries(store: Store, snapshot: Snapshot, chosen: list[Seen]) -> list[Any]:
    from sweep.leaderboard import Entry

    entries = []
    for one in chosen:
        result = one.verdict.metrics
        if one.verdict.state is State.DONE and not result:
            value, _ = store.result(one.trial, snapshot.settings.objective.file)
            result = value if isinstance(value, dict) else {}
        entries.append(Entry(one.trial, one.verdict, result))
    return entries


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
    trial, verdict = made.best.entry.trial, made.best.entry.verdict
    return {
        "sweep": made.name,
        "trial": trial.number,
        "id": trial.id,
        "parameters": trial.params,
        "metric": made.objective.metric,
        "score": made.best.score,
        "goal": made.objective.goal,
        "replicates": list(made.best.replicates),
        "ties": list(made.best.ties),
        "seed": trial.seed,
        "replicate": trial.replicate,
        "elapsed_s": verdict.elapsed_s,
        "peak_memory_mib": verdict.peak_memory_mib,
        "argv": list(trial.argv),
        "command": _command(trial, planned, made.objective),
    }


def _command(trial: Any, planned: Mapping[str, Any], objective: Objective) -> str:
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
