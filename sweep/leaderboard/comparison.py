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
    """Two sweeps, compared where their configurations agree.

    Attributes
    ----------
    table : DataFrame
        One row for each configuration that has a score in both, the largest difference first. The columns are the
        parameters; ``a`` and ``b``, the mean scores over the shared seeds, or over all seeds where none is shared;
        ``difference``, b − a; ``shared_seeds``, their number; ``elapsed_ratio``, b over a.
    mean, low, high : float
        The mean difference over all rows and its 95 % interval; NaN where there is none.
    only_a, only_b : int
        The number of configurations that have a score in one sweep alone.
    """

    table: pd.DataFrame
    mean: float
    low: float
    high: float
    only_a: int
    only_b: int


def compare(a: Board, b: Board) -> Comparison:
    """Compare two sweeps configuration by configuration, over the seeds that both have."""
    in_a, in_b = _scored(a), _scored(b)
    rows = []
    names: dict[str, None] = {}
    for key, config_a in in_a.items():
        config_b = in_b.get(key)
        if config_b is None:
            continue
        scores_a, scores_b = _all_scores(config_a, a), _all_scores(config_b, b)
        shared = [seed for seed in scores_a if seed in scores_b]
        params = config_a.entry.trial.params
        names |= dict.fromkeys(params)
        mean_a = float(np.mean([scores_a[seed] for seed in shared or scores_a]))
        mean_b = float(np.mean([scores_b[seed] for seed in shared or scores_b]))
        elapsed_a = _mean_elapsed_s(config_a, shared or scores_a)
        elapsed_b = _mean_elapsed_s(config_b, shared or scores_b)
        rows.append(
            {
                **{f"param {name}": plain(value) for name, value in params.items()},
                "a": mean_a,
                "b": mean_b,
                "difference": mean_b - mean_a,
                "shared_seeds": len(shared),
                "elapsed_ratio": elapsed_b / elapsed_a,
            }
        )
    columns = [*(f"param {name}" for name in names), "a", "b", "difference", "shared_seeds", "elapsed_ratio"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.sort_values("difference", key=abs, ascending=False, kind="stable").reset_index(drop=True)
    # The prefix keeps a parameter apart from a column of the same name. It stays only where it must.
    table.columns = pd.Index([name if name[6:] in columns else name.removeprefix("param ") for name in columns])
    differences = table["difference"].to_numpy(float)
    low, high = statistics.interval(differences)
    return Comparison(
        table,
        float(differences.mean()) if len(differences) else float("nan"),
        low,
        high,
        len(in_a.keys() - in_b.keys()),
        len(in_b.keys() - in_a.keys()),
    )


def _scored(board: Board) -> dict[str, Configuration]:
    return {key_of(each.entry.trial.params): each for each in board.scored}


def _all_scores(configuration: Configuration, board: Board) -> dict[int, float]:
    """Return seed → score, including the scores that a confirmation has set aside: nothing is chosen here."""
    scores = ((entry.trial.seed, score_of(entry, board.objective)) for entry in configuration.entries)
    return {seed: score for seed, score in scores if score is not None}


def _mean_elapsed_s(configuration: Configuration, seeds: Collection[int]) -> float:
    """Return the mean elapsed time of the trials with these seeds; NaN where no time is known."""
    times = [entry.verdict.elapsed_s for entry in configuration.entries if entry.trial.seed in seeds]
    known_times = [elapsed_s for elapsed_s in times if elapsed_s]
    return float(np.mean(known_times)) if known_times else float("nan")
