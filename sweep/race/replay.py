"""A race on paper: the decisions, run against a table of what every training came to (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.leaderboard.statistics import may_be_best
from sweep.race.decide import decide
from sweep.race.space import Space, encode
from sweep.race.standing import Standing, Wave
from sweep.state.settings import RaceRules


@dataclass(frozen=True)
class Table:
    """What every training of a sweep came to.

    Attributes
    ----------
    configurations : sequence of dict
    curves : ndarray, (configurations, replicates, rungs)
        Higher is better; NaN: failed. Without learning curves, one rung.
    core_s : ndarray, (configurations,)
        What one whole training costs.
    second : ndarray or None, (configurations,)
        A second objective. Higher is better.
    """

    configurations: Sequence[Mapping[str, Any]]
    curves: NDArray[np.float64]
    core_s: NDArray[np.float64]
    second: NDArray[np.float64] | None = None

    @cached_property
    def space(self) -> Space:
        """The configurations as numbers."""
        return encode(self.configurations)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """The mean score at the last rung over all replicates; −∞ where any of them failed."""
        mean = self.curves[:, :, -1].mean(axis=1)
        return np.where(np.isfinite(mean), mean, -np.inf)


@dataclass(frozen=True)
class Confirmation:
    """What runs with fresh replicates came to.

    Attributes
    ----------
    winner : int
        The configuration that is best in them; -1: none.
    core_s : float
        What they cost.
    alike : float
        The share of the other finalists that cannot be told from it; NaN where there are too few runs to say.
    """

    winner: int
    core_s: float
    alike: float


@dataclass(frozen=True)
class Outcome:
    """How one race on paper ended.

    Attributes
    ----------
    winner : int
        The configuration that it chose; -1: none.
    core_s : float
        What it cost, the confirmation included.
    waves, begun : int
        Its decisions, and the configurations that it began.
    alike : float
        Of its confirmation.
    finalists : tuple of int
        The configurations that were confirmed.
    """

    winner: int
    core_s: float
    waves: int
    begun: int
    alike: float = math.nan
    finalists: tuple[int, ...] = ()

    def place(self, table: Table) -> float:
        """Return the share of the table's configurations that are truly better than the winner."""
        return float(np.mean(table.truth > table.truth[self.winner])) if self.winner >= 0 else 1.0

    def regret(self, table: Table) -> float:
        """Return how much the winner truly is below the best."""
        return float(table.truth.max() - table.truth[self.winner]) if self.winner >= 0 else np.inf


def race(table: Table, rules: RaceRules, seed: int, jobs: int = 1) -> Outcome:
    """Race a table to the end.

    Parameters
    ----------
    seed : int
        Of the race. It also says which replicate is raced; the others confirm.
    """
    count, replicates, rungs = table.curves.shape
    standing, shares = Standing.blank(count, rungs), np.array(rules.shares)
    standing.second = None if table.second is None else np.full(count, np.nan)
    raced = seed % replicates
    waves = 0
    while (wave := decide(table.space, standing, rules, seed, waves, jobs)).moves:
        waves += 1
        _run(table, standing, wave, raced, shares)
    confirmed = confirm(table, wave.finalists, rules, raced)
    core_s = float(standing.core_s.sum()) + confirmed.core_s
    begun = int((standing.reached > 0).sum())
    return Outcome(confirmed.winner, core_s, waves, begun, confirmed.alike, wave.finalists)


def whole_grid(table: Table, rules: RaceRules, seed: int) -> Outcome:
    """Train every configuration whole, once, and confirm the best."""
    return _chosen_by(table, rules, seed, np.arange(len(table.core_s)), len(rules.rungs) - 1)


def by_chance(table: Table, rules: RaceRules, seed: int, core_s: float) -> Outcome:
    """Train configurations drawn at random whole, for so many core-seconds, and confirm the best of them.

    Parameters
    ----------
    core_s : float
        What may be spent, the confirmation included.
    """
    order = np.random.default_rng(seed).permutation(len(table.core_s))
    kept_s = rules.confirm_runs * float(table.core_s.mean())
    count = int(np.searchsorted(np.cumsum(table.core_s[order]), max(0.0, core_s - kept_s), side="right"))
    return _chosen_by(table, rules, seed, order[: max(1, count)], len(rules.rungs) - 1)


def by_first_rung(table: Table, rules: RaceRules, seed: int) -> Outcome:
    """Train every configuration up to the first rung, and confirm the best there."""
    return _chosen_by(table, rules, seed, np.arange(len(table.core_s)), 0)


def _chosen_by(table: Table, rules: RaceRules, seed: int, begun: NDArray[np.intp], rung: int) -> Outcome:
    raced = seed % table.curves.shape[1]
    scores = table.curves[begun, raced, rung]
    known = begun[np.isfinite(scores)]
    order = known[np.argsort(-table.curves[known, raced, rung], kind="stable")]
    top = max(stage.top for stage in rules.confirm)
    confirmed = confirm(table, [int(row) for row in order[:top]], rules, raced)
    cost_s = float(table.core_s[begun].sum()) * rules.shares[rung] + confirmed.core_s
    return Outcome(confirmed.winner, cost_s, 1, len(begun), confirmed.alike)


def _run(table: Table, standing: Standing, wave: Wave, raced: int, shares: NDArray[np.float64]) -> None:
    """Let what was decided end."""
    for move in wave.moves:
        number, reached = move.configuration, int(standing.reached[move.configuration])
        before = shares[reached - 1] if reached else 0.0
        standing.core_s[number] += table.core_s[number] * (shares[move.rung] - before)
        standing.starts[number] += 1
        scores = table.curves[number, raced, : move.rung + 1]
        standing.scores[number, : move.rung + 1] = scores
        standing.reached[number] = standing.target[number] = move.rung + 1
        if standing.second is not None and table.second is not None and move.rung + 1 == len(shares):
            standing.second[number] = table.second[number]
        standing.ended[number] = move.rung + 1 == len(shares) or not np.isfinite(scores[-1])


def confirm(table: Table, finalists: Sequence[int], rules: RaceRules, raced: int) -> Confirmation:
    """Run the finalists again with replicates that had no part in choosing them."""
    replicates = table.curves.shape[1]
    fresh = [(raced + step) % replicates for step in range(1, replicates)] or [raced]
    left, cost_s, had = list(finalists), 0.0, 0
    scores: dict[int, NDArray[np.float64]] = {}
    for stage in rules.confirm:
        runs = fresh[: stage.replicates]
        left = left[: stage.top]
        cost_s += sum(table.core_s[number] for number in left) * max(0, stage.replicates - had)
        had = max(had, stage.replicates)
        scores |= {number: table.curves[number, runs, -1] for number in left}
        left.sort(key=lambda number: -_mean(scores[number]))
    return Confirmation(left[0] if left else -1, float(cost_s), _alike([*scores.values()]))


def _alike(scores: Sequence[NDArray[np.float64]]) -> float:
    """Return the share of the finalists behind the first that may be the best as well; NaN where nobody knows."""
    known = [own[np.isfinite(own)] for own in scores if np.isfinite(own).any()]
    counts = np.array([len(own) for own in known])
    freedom = counts.sum() - len(counts)
    if len(known) < 2 or freedom < 1:
        return math.nan
    means = np.array([own.mean() for own in known])
    variance = sum(float(np.square(own - own.mean()).sum()) for own in known) / freedom
    first = int(np.argmax(means))
    gaps, errors = means[first] - means, np.sqrt(variance * (1 / counts + 1 / counts[first]))
    with np.errstate(divide="ignore", invalid="ignore"):
        standard = np.where(gaps > 0, gaps / errors, 0.0)
    return float((may_be_best(standard, float(freedom)).sum() - 1) / (len(known) - 1))


def _mean(scores: NDArray[np.float64]) -> float:
    mean = float(scores.mean())
    return mean if math.isfinite(mean) else -math.inf
