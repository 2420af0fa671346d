"""Sweeps whose truth is known: how often the winner is right and its interval covers, before and after confirm."""

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
    """Run a sweep of 40 configurations, noise 1 a run; then confirm the best five with fresh seeds."""
    real = rng.normal(0, spread, count)
    entries = [
        entry(100 * x + run, real[x] + rng.normal(), replicate=run, x=x)
        for x in range(count)
        for run in range(runs)
    ]
    first = rank(entries, SCORE)
    for one in first.configurations[:5]:
        x = one.entry.trial.params["x"]
        entries += [
            entry(100 * x + run, real[x] + rng.normal(), replicate=run, confirms=True, x=x)
            for run in range(runs, runs + again)
        ]
    return real, first, rank(entries, SCORE)


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_the_winners_interval_covers_after_confirm(spread: float) -> None:
    """95 % of 600 sweeps, to three standard errors of a simulation, and half a percent for the approximation."""
    rng = np.random.default_rng(1)
    covered, regret = [], []
    for _ in range(600):
        real, first, second = simulated(rng, spread, 1, 5)
        best = second.best
        assert best
        assert best.configuration.confirmed
        assert best.compared == 5
        truth = real[best.entry.trial.params["x"]]
        covered.append(best.low <= truth <= best.high)
        assert first.best
        regret.append((real.max() - real[first.best.entry.trial.params["x"]], real.max() - truth))
    share = float(np.mean(covered))
    assert 0.95 - 0.005 - 3 * (0.95 * 0.05 / 600) ** 0.5 <= share <= 0.985, share
    before, after = np.mean(regret, axis=0)
    assert after <= before  # confirming chooses no worse
    if spread:
        assert after < 0.75 * before


def test_before_confirm_one_run_says_nothing_and_three_say_how_far_it_falls() -> None:
    rng = np.random.default_rng(2)
    said, fell = [], []
    for _ in range(200):
        real, first, _ = simulated(rng, 1.0, 3, 1)
        best = first.best
        assert best
        assert best.optimism is not None
        said.append(best.optimism)
        fell.append(best.score - real[best.entry.trial.params["x"]])
    assert np.mean(said) == pytest.approx(np.mean(fell), abs=0.15)
    _, first, _ = simulated(rng, 1.0, 1, 1)
    assert first.best
    assert first.best.optimism is None


def test_marked_as_equal_is_rarely_wrong() -> None:
    """Where all are equal, a difference is claimed in 5 % of the sweeps at most."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        entries = [entry(10 * x + run, rng.normal(), replicate=run, x=x) for x in range(12) for run in range(4)]
        board = rank(entries, SCORE)
        wrong += any(one.tied is False for one in board.configurations)
    # All pairs count, as the first was chosen from twelve: at most 5 %, and two standard errors of this simulation.
    assert wrong / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_the_benchmark_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["winners_curse.py", "--sweeps", "8", "--json"])
    runpy.run_path(str(ROOT / "bench" / "winners_curse.py"), run_name="__main__")
    rows = json.loads(capsys.readouterr().out)
    assert {row["prior"] for row in rows} >= {"normal", "half collapsed"}


def test_what_is_confirmed_further_still_falls() -> None:
    """The best of five confirmed gets five more runs: the first five, which chose it among the five, count as well."""
    rng = np.random.default_rng(4)
    said, fell = [], []
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
        said.append(best.optimism)
        fell.append(best.score)
    assert np.mean(said) == pytest.approx(np.mean(fell), abs=0.12)
