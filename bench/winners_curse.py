"""Simulated sweeps whose best is known: how often the winner is right, its optimism, the coverage of intervals.

    python bench/winners_curse.py --sweeps 1500    # half an hour; the two tables of docs/leaderboard.md

Every configuration has a true score. A run's score is the true score plus normal noise of standard deviation 1. A
sweep runs each configuration once or three times; `confirm` then runs the best five another five times. The code
of `sweep report` ranks them.

The second table is about ``=``: how often a true best is told apart, and how many of those that are truly worse
by 2 are, beside the paired t test with Holm's correction for all pairs, by which ties were told before.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.ranking import Board, rank
from sweep.model import Objective, Resources, State, Trial, Verdict

TOP, AGAIN = 5, 5
VERDICT = Verdict(State.DONE, "done", 10.0, 10.0, 100.0)
ASKS = Resources(60, 100, 1)


def run(x: int, replicate: int, score: float, *, confirms: bool = False) -> Entry:
    trial = Trial(1000 * x + replicate, f"{x}/{replicate}", {"x": x}, replicate, 0, ASKS, ("p",))
    return Entry(trial, VERDICT, {"score": score}, confirms)


def truth(rng: np.random.Generator, prior: str, spread: float, count: int) -> np.ndarray:
    if prior == "exponential":
        return -rng.exponential(2 * spread, count)
    real = rng.normal(0, spread, count)
    return np.where(rng.random(count) < 0.5, real - 500, real) if prior == "half collapsed" else real


def noise(rng: np.random.Generator, prior: str, count: int) -> np.ndarray:
    return np.exp(rng.normal(0, 0.5, count)) if prior == "uneven noise" else np.ones(count)


def judged(board: Board, real: np.ndarray) -> dict[str, float]:
    best = board.best
    assert best
    own = real[best.entry.trial.params["x"]]
    plain = best.configuration
    return {
        "right": float(own == real.max()),
        "regret": float(real.max() - own),
        "optimism": best.score - own,
        "estimated": np.nan if best.optimism is None else best.optimism,
        "covers": np.nan if np.isnan(best.low) else float(best.low <= own <= best.high),
        "uncorrected": np.nan if np.isnan(plain.low) else float(plain.low <= own <= plain.high),
        **told_apart(board, real),
    }


def told_apart(board: Board, real: np.ndarray) -> dict[str, float]:
    """Say whether a true best was told apart from the winner, and the share of those worse by 2 that were."""
    first = board.configurations[0]
    others = [each for each in board.configurations[1:] if each.scores.keys() == first.scores.keys()]
    if not others or len(first.scores) < 2:
        return {"wrong": np.nan, "found": np.nan, "found_by_holm": np.nan}
    truths = np.array([real[each.entry.trial.params["x"]] for each in others])
    best = max(float(truths.max()), float(real[first.entry.trial.params["x"]]))
    apart = np.array([each.tied is False for each in others])
    pairs = np.array([[first.scores[r] - each.scores[r] for r in first.scores] for each in others])
    p = statistics.holm([*map(float, statistics.paired_p(pairs))], (len(others) + 1) * len(others) // 2)
    worse = truths <= best - 2
    share = np.nan if not worse.any() else float(apart[worse].mean())
    by_holm = np.nan if not worse.any() else float((np.array(p)[worse] <= 0.05).mean())
    return {"wrong": float(apart[truths == best].any()), "found": share, "found_by_holm": by_holm}


def five_and_55(sweeps: int) -> dict[str, float]:
    """Return how many of 55 that are worse by 2 than the five best are told apart, with three runs each."""
    rng = np.random.default_rng(2)
    real = np.repeat([0.0, -2.0], [5, 55])
    found = []
    for _ in range(sweeps):
        entries = [run(x, r, real[x] + rng.normal()) for x in range(60) for r in range(3)]
        found.append(told_apart(rank(entries, Objective("score")), real))
    return {name: 55 * float(np.mean([each[name] for each in found])) for name in ("found", "found_by_holm")}


def sweep(rng: np.random.Generator, prior: str, spread: float, count: int, runs: int) -> list[dict[str, float]]:
    real, sd = truth(rng, prior, spread, count), noise(rng, prior, count)
    entries = [run(x, r, real[x] + sd[x] * rng.normal()) for x in range(count) for r in range(runs)]
    before = rank(entries, Objective("score"))
    for configuration in before.configurations[:TOP]:
        x = configuration.entry.trial.params["x"]
        again = range(runs, runs + AGAIN)
        entries += [run(x, r, real[x] + sd[x] * rng.normal(), confirms=True) for r in again]
    return [judged(before, real), judged(rank(entries, Objective("score")), real)]


def row(prior: str, spread: float, count: int, runs: int, sweeps: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    pairs = [sweep(rng, prior, spread, count, runs) for _ in range(sweeps)]
    table_row: dict[str, Any] = {
        "prior": prior,
        "spread": spread,
        "configurations": count,
        "runs": runs,
        "sweeps": sweeps,
    }
    for place, when in enumerate(("before", "after")):
        for name in pairs[0][0]:
            values = [pair[place][name] for pair in pairs]
            table_row[f"{when}_{name}"] = None if np.isnan(values).all() else round(float(np.nanmean(values)), 3)
    return table_row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = [("normal", s, 100, r) for s in (0.0, 0.3, 1.0, 3.0) for r in (1, 3)]
    cases += [(prior, 1.0, 100, r) for prior in ("half collapsed", "exponential", "uneven noise") for r in (1, 3)]
    rows = [row(*case, options.sweeps) for case in cases]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    heads = ["true scores", "runs", "right", "regret", "optimism: true, estimated", "covers"]
    heads += ["after: right", "regret", "optimism: true, estimated", "covers (uncorrected)"]
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for table_row in rows:
        print("| " + " | ".join(spelled(table_row)) + " |")
    heads = ["true scores", "runs", "a true best told apart", "found of those worse by 2", "by Holm"]
    heads += ["after: a true best told apart", "found", "by Holm"]
    print("\n| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for table_row in rows:
        print("| " + " | ".join(ties_spelled(table_row)) + " |")
    found = five_and_55(options.sweeps)
    print(f"\n5 + 55 worse by 2, 3 runs: {found['found']:.1f} of 55 found, by Holm {found['found_by_holm']:.1f}")


def ties_spelled(row: dict[str, Any]) -> list[str]:
    def share(name: str, digits: int) -> str:
        return "–" if row[name] is None else f"{row[name]:.{digits}%}"

    cells = [f"{row['prior']}, spread {row['spread']:g}", str(row["runs"])]
    for when in ("before", "after"):
        cells += [share(f"{when}_wrong", 1), share(f"{when}_found", 0), share(f"{when}_found_by_holm", 0)]
    return cells


def spelled(row: dict[str, Any]) -> list[str]:
    is_estimated = row["before_estimated"] is not None
    return [
        f"{row['prior']}, spread {row['spread']:g}",
        str(row["runs"]),
        f"{row['before_right']:.0%}",
        f"{row['before_regret']:.2f}",
        f"{row['before_optimism']:.2f}, " + (f"{row['before_estimated']:.2f}" if is_estimated else "not known"),
        f"{row['before_covers']:.1%}" if is_estimated else "–",
        f"{row['after_right']:.0%}",
        f"{row['after_regret']:.2f}",
        f"{row['after_optimism']:.2f}, {row['after_estimated']:.2f}",
        f"{row['after_covers']:.1%} ({row['after_uncorrected']:.1%})",
    ]


if __name__ == "__main__":
    main()
