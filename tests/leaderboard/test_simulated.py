"""Simulated sweeps whose true scores are known: the winner, its optimism and its interval, before and after confirm."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from sweep.leaderboard.ranking import rank
from sweep.model import Objective
from tests.leaderboard.conftest import entry

ROOT = Path(__file__).parents[2]
SCORE = Objective("score")


def simulated(rng: np.random.Generator, spread: float, runs: int, again: int, count: int = 40):  # type: ignore[no-untyped-def]
    """Simulate a sweep with noise of 1 in each run, then confirm the best five with fresh seeds.

    Returns the true scores, the board before and the board after the confirmation.
    """
    truths = rng.normal(0, spread, count)
    entries = [
        entry(100 * x + run, truths[x] + rng.normal(), replicate=run, x=x)
        for x in range(count)
        for run in range(runs)
    ]
    first = rank(entries, SCORE)
    for configuration in first.configurations[:5]:
        x = configuration.entry.trial.params["x"]
        entries += [
            entry(100 * x + run, truths[x] + rng.normal(), replicate=run, confirms=True, x=x)
            for run in range(runs, runs + again)
        ]
    return truths, first, rank(entries, SCORE)


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_the_winners_interval_covers_after_confirm(spread: float) -> None:
    """95 % of 600 sweeps, within three standard errors and half a percent for the approximation."""
    rng = np.random.default_rng(1)
    covered, regret = [], []
    for _ in range(600):
        truths, first, second = simulated(rng, spread, 1, 5)
        best = second.best
        assert best
        assert best.configuration.confirmed
        assert best.compared == 5
        truth = truths[best.entry.trial.params["x"]]
        covered.append(best.low <= truth <= best.high)
        assert first.best
        regret.append((truths.max() - truths[first.best.entry.trial.params["x"]], truths.max() - truth))
    share = float(np.mean(covered))
    assert 0.95 - 0.005 - 3 * (0.95 * 0.05 / 600) ** 0.5 <= share <= 0.985, share
    before, after = np.mean(regret, axis=0)
    assert after <= before  # confirming chooses no worse
    if spread:
        assert after < 0.75 * before


def test_three_runs_estimate_the_optimism_before_confirm_and_one_run_does_not() -> None:
    rng = np.random.default_rng(2)
    estimated, true = [], []
    for _ in range(200):
        truths, first, _ = simulated(rng, 1.0, 3, 1)
        best = first.best
        assert best
        assert best.optimism is not None
        estimated.append(best.optimism)
        true.append(best.score - truths[best.entry.trial.params["x"]])
    assert np.mean(estimated) == pytest.approx(np.mean(true), abs=0.15)
    _, first, _ = simulated(rng, 1.0, 1, 1)
    assert first.best
    assert first.best.optimism is None


def test_a_difference_is_rarely_claimed_where_there_is_none() -> None:
    """All true scores are equal: a difference is claimed in at most 5 % of the sweeps."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        entries = [entry(10 * x + run, rng.normal(), replicate=run, x=x) for x in range(12) for run in range(4)]
        board = rank(entries, SCORE)
        wrong += any(configuration.tied is False for configuration in board.configurations)
    # At most 5 %, and two standard errors of this simulation.
    assert wrong / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_the_true_best_is_rarely_told_apart_and_the_others_mostly_are() -> None:
    """60 configurations, three seeds: at most 5 % errors, within two standard errors; Holm's method found none."""
    rng = np.random.default_rng(5)
    wrong, found = [], []
    for _ in range(200):
        truths = rng.normal(0, 1, 60)
        seeds = rng.normal(0, 3, 3)  # what a seed adds to all alike
        entries = [
            entry(10 * x + run, truths[x] + seeds[run] + rng.normal(), replicate=run, x=x)
            for x in range(60)
            for run in range(3)
        ]
        apart = {
            configuration.entry.trial.params["x"]
            for configuration in rank(entries, SCORE).configurations
            if configuration.tied is False
        }
        wrong.append(int(truths.argmax()) in apart)
        found.append(np.mean([x in apart for x in np.flatnonzero(truths < truths.max() - 2)]))
    assert np.mean(wrong) <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert np.mean(found) > 0.75


def test_three_seeds_tell_what_anyone_sees() -> None:
    """5 near 0.97 and 55 far below, each with three seeds: the paired test with Holm's correction told none apart."""
    rng = np.random.default_rng(6)
    truths = [0.9735, 0.972, 0.971, 0.97, 0.969, *np.linspace(0.085, 0.9, 55)]
    entries = [
        entry(10 * x + run, truth + rng.normal(0, 0.03 if x >= 5 else 0.004), replicate=run, x=x)
        for x, truth in enumerate(truths)
        for run in range(3)
    ]
    board = rank(entries, SCORE)
    assert board.best
    apart = [configuration for configuration in board.configurations if configuration.tied is False]
    assert len(apart) >= 50
    assert min(configuration.entry.trial.params["x"] for configuration in apart) >= 5


def test_the_benchmark_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["winners_curse.py", "--sweeps", "8", "--json"])
    runpy.run_path(str(ROOT / "bench" / "winners_curse.py"), run_name="__main__")
    rows = json.loads(capsys.readouterr().out)
    assert {row["prior"] for row in rows} >= {"normal", "half collapsed"}


def test_further_confirming_runs_leave_some_optimism() -> None:
    """The best of five confirmed gets five more runs. Its first five runs, by which it was chosen, count as well."""
    rng = np.random.default_rng(4)
    estimated, true = [], []
    for _ in range(300):
        entries = [entry(100 * x, rng.normal(), replicate=0, x=x) for x in range(20)]
        for x in range(5):
            entries += [entry(100 * x + n, rng.normal(), replicate=n, confirms=True, x=x) for n in range(1, 6)]
        first = rank(entries, SCORE).best
        assert first
        x = first.entry.trial.params["x"]
        entries += [entry(100 * x + n, rng.normal(), replicate=n, confirms=True, x=x) for n in range(6, 11)]
        best = rank(entries, SCORE).best
        assert best
        assert best.optimism is not None
        assert best.compared == 5
        estimated.append(best.optimism)
        true.append(best.score)
    assert np.mean(estimated) == pytest.approx(np.mean(true), abs=0.12)
