"""Two sweeps side by side, configuration by configuration (pure)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import key_of, plain, score_of
from sweep.leaderboard.ranking import Board, Configuration


@dataclass(frozen=True)
class Comparison:
    """Two sweeps.

    Attributes
    ----------
    table : DataFrame
        A row a configuration that both have, the largest difference first: the parameters, ``a`` and ``b`` (the
        scores, means over the seeds that both have; over all, where they share none), ``difference`` (b − a),
        ``shared_seeds`` (how many),
        ``elapsed_ratio`` (b over a).
    mean, low, high : float
        The mean difference over all rows and its 95 % interval; NaN where there is none.
    only_a, only_b : int
        Configurations with a score that only one has.
    """

    table: pd.DataFrame
    mean: float
    low: float
    high: float
    only_a: int
    only_b: int


def compare(a: Board, b: Board) -> Comparison:
    """Set two sweeps side by side where their configurations agree: trial by trial, seed by seed."""
    ours, theirs = _scored(a), _scored(b)
    rows = []
    names: dict[str, None] = {}
    for key, one in ours.items():
        other = theirs.get(key)
        if other is None:
            continue
        before, after = _all_scores(one, a), _all_scores(other, b)
        shared = [seed for seed in before if seed in after]
        params = one.entry.trial.params
        names |= dict.fromkeys(params)
        first = float(np.mean([before[seed] for seed in shared or before]))
        second = float(np.mean([after[seed] for seed in shared or after]))
        rows.append(
            {
                **{f"param {name}": plain(value) for name, value in params.items()},
                "a": first,
                "b": second,
                "difference": second - first,
                "shared_seeds": len(shared),
                "elapsed_ratio": _elapsed(other, shared or after) / _elapsed(one, shared or before),
            }
        )
    columns = [*(f"param {name}" for name in names), "a", "b", "difference", "shared_seeds", "elapsed_ratio"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.sort_values("difference", key=abs, ascending=False, kind="stable").reset_index(drop=True)
    table.columns = pd.Index([name if name[6:] in columns else name.removeprefix("param ") for name in columns])
    differences = table["difference"].to_numpy(float)
    low, high = statistics.interval(differences)
    return Comparison(
        table,
        float(differences.mean()) if len(differences) else float("nan"),
        low,
        high,
        len(ours.keys() - theirs.keys()),
        len(theirs.keys() - ours.keys()),
    )


def _scored(board: Board) -> dict[str, Configuration]:
    return {key_of(one.entry.trial.params): one for one in board.configurations if one.scores}


def _all_scores(one: Configuration, board: Board) -> dict[int, float]:
    """All seeds' scores, those that a confirmation has set aside too: here nothing was chosen."""
    known = ((entry.trial.seed, score_of(entry, board.objective)) for entry in one.entries)
    return {seed: score for seed, score in known if score is not None}


def _elapsed(one: Configuration, seeds: Collection[int]) -> float:
    """Return the mean elapsed time of these seeds' trials; NaN where it is not known."""
    known = [entry.verdict.elapsed_s for entry in one.entries if entry.trial.seed in seeds]
    times = [value for value in known if value]
    return float(np.mean(times)) if times else float("nan")
