"""trials + results → a ranked frame (pure)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sweep.model import Objective, State, Trial, Verdict
from sweep.verdict import finite, metric_of

#: The columns that are no parameter, in the order they stand behind the parameters.
MEASURES = (
    "elapsed_s",
    "cpu_s",
    "cpu_percent",
    "peak_memory_mib",
    "memory_percent",
    "witness",
    "state",
    "reason",
    "id",
)


#: The leaderboard's own columns. A parameter so called is shown as ``param.NAME``, a metric as ``result.NAME``.
OWN = ("rank", "trial", "replicate", *MEASURES)


@dataclass(frozen=True)
class Entry:
    """One trial with what came of it."""

    trial: Trial
    verdict: Verdict
    result: dict[str, Any] = field(default_factory=dict)


def frame(entries: Sequence[Entry], objective: Objective) -> pd.DataFrame:
    """Rank the trials.

    Parameters
    ----------
    entries : sequence of Entry
        All trials that the grid asks for.
    objective : Objective
        What ranks them.

    Returns
    -------
    DataFrame
        A row a trial, the best first, those without a score last, in the order

        - ``rank``: 1 is the best; equal scores share a rank; missing where there is no score;
        - ``trial``: its number;
        - a column a parameter (and ``replicate`` where there are several);
        - the metric, under its own name (see `OWN` for names that are taken);
        - ``elapsed_s`` and ``cpu_s`` in seconds, ``cpu_percent`` (CPU over elapsed and CPUs asked for, in %),
          ``peak_memory_mib`` in MiB, ``memory_percent`` (of what was asked for), ``witness`` (whose figures these
          are: the ``node`` or the ``scheduler``), ``state``, ``reason``, ``id``.

        Of equal scores, the one that used less CPU time comes first.
    """
    metric = metric_column(objective)
    names = {
        name: f"param.{name}" if name in (*OWN, metric) else name
        for entry in entries
        for name in entry.trial.params
    }
    replicated = any(entry.trial.replicate for entry in entries)
    rows = [_row(entry, names, replicated, objective) for entry in entries]
    columns = ["rank", "trial", *names.values(), *(["replicate"] if replicated else []), metric, *MEASURES]
    table = pd.DataFrame(rows, columns=columns)
    score = pd.to_numeric(table[metric], errors="coerce").astype(float)
    ascending = objective.goal == "minimize"
    table[metric] = score
    table["rank"] = score.rank(method="min", ascending=ascending).astype("Int64")
    # The CPU time breaks ties, and orders nothing else.
    keys = pd.DataFrame({"rank": table["rank"], "cost": table["cpu_s"].where(table["rank"].notna())})
    keys["trial"] = table["trial"]
    order = keys.sort_values(["rank", "cost", "trial"], na_position="last", kind="stable").index
    return table.loc[order].reset_index(drop=True)


def metric_column(objective: Objective) -> str:
    """Name the metric's column: its own name, unless that is one of the leaderboard's."""
    return f"result.{objective.metric}" if objective.metric in OWN else objective.metric


def _row(entry: Entry, names: dict[str, str], replicated: bool, objective: Objective) -> dict[str, Any]:
    trial, verdict = entry.trial, entry.verdict
    row: dict[str, Any] = {"trial": trial.number, "id": trial.id}
    row.update({column: plain(trial.params.get(name)) for name, column in names.items()})
    if replicated:
        row["replicate"] = trial.replicate
    row[metric_column(objective)] = score_of(entry, objective)
    row.update(
        elapsed_s=verdict.elapsed_s,
        cpu_s=verdict.cpu_s,
        cpu_percent=_percent(verdict, trial.resources.cpus),
        peak_memory_mib=verdict.peak_memory_mib,
        memory_percent=_share(verdict.peak_memory_mib, trial.resources.memory_mib),
        witness=verdict.witness,
        state=verdict.state.value,
        reason=verdict.reason,
    )
    return row


def score_of(entry: Entry, objective: Objective) -> float | None:
    """Return a trial's score; None unless it is done and the score is a finite number."""
    value = metric_of(entry.result, objective.metric) if entry.verdict.state is State.DONE else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not finite(value):
        return None
    return float(value)


def plain(value: Any) -> Any:
    """Make a parameter's value fit a cell: lists and objects as their JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _share(peak_mib: float | None, asked_mib: int) -> float | None:
    return None if peak_mib is None else 100.0 * peak_mib / asked_mib


def _percent(verdict: Verdict, cpus: int) -> float | None:
    if not verdict.elapsed_s or verdict.cpu_s is None:
        return None
    return 100.0 * verdict.cpu_s / (verdict.elapsed_s * cpus)


@dataclass(frozen=True)
class Best:
    """The best configuration.

    Attributes
    ----------
    entry : Entry
        Its best trial.
    score : float
        The mean of the metric over its replicates that are done.
    replicates : tuple of int
        Trial numbers that went into the score.
    ties : tuple of int
        Trial numbers of other configurations with the same score.
    """

    entry: Entry
    score: float
    replicates: tuple[int, ...]
    ties: tuple[int, ...]


def best(entries: Sequence[Entry], objective: Objective) -> Best | None:
    """Select the best configuration by the mean of its replicates; None if there is no score at all.

    Only configurations that are as complete as the most complete one are compared, so that a single lucky
    replicate does not win. Of equal ones, the cheaper (in CPU time) is taken and the others are named.
    """
    groups: dict[str, list[tuple[Entry, float]]] = {}
    for entry in entries:
        score = score_of(entry, objective)
        if score is not None:
            groups.setdefault(json.dumps(entry.trial.params, sort_keys=True), []).append((entry, score))
    if not groups:
        return None
    most = max(len(group) for group in groups.values())
    sign = 1.0 if objective.goal == "minimize" else -1.0
    ranked = sorted(
        (sign * sum(score for _, score in group) / most, _cost(group), group[0][0].trial.number, group)
        for group in groups.values()
        if len(group) == most
    )
    mean, _, _, group = ranked[0]
    entry, _ = min(group, key=lambda pair: (sign * pair[1], pair[0].trial.number))
    ties = tuple(other[2] for other in ranked[1:] if other[0] == mean)
    return Best(entry, sign * mean, tuple(one.trial.number for one, _ in group), ties)


def _cost(group: list[tuple[Entry, float]]) -> float:
    return sum(entry.verdict.cpu_s or math.inf for entry, _ in group)
