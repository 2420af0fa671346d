"""Trials and their scores → configurations, ranked, and the winner with what can be said for it (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import Entry, key_of, on_test, score_of
from sweep.model import Objective

#: So many intervals are bootstrapped, where there are replicates enough: those that are looked at.
BOOTSTRAPPED = 200

#: A configuration cannot be told from the first if the corrected p-value is above this.
SIGNIFICANT = 1 - statistics.CONFIDENCE


@dataclass(frozen=True)
class Configuration:
    """One choice of the parameters, with all its replicates.

    Attributes
    ----------
    entries : tuple of Entry
        Its trials, by replicate.
    scores : dict
        Replicate → score, of those that count: all that are done; of a configuration that was confirmed only the
        confirming ones, as the others are what it was chosen by.
    confirmed : bool
        Some of its confirming trials are done.
    rank : int or None
        1 is the best; equal ones share a rank. None without a score.
    low, high : float
        The 95 % interval of the mean; NaN where there are not two scores.
    tied : bool or None
        Whether it cannot be told from the first. None: there is nothing to compare by. The first itself has None.
    """

    entries: tuple[Entry, ...]
    scores: dict[int, float]
    confirmed: bool
    rank: int | None = None
    low: float = math.nan
    high: float = math.nan
    tied: bool | None = None

    @cached_property
    def counted(self) -> tuple[Entry, ...]:
        """The trials whose scores count."""
        return tuple(entry for entry in self.entries if entry.trial.replicate in self.scores)

    @property
    def number(self) -> int:
        """The number of the trial that stands for it: the first whose score counts, else the first."""
        return self.entry.trial.number

    @cached_property
    def entry(self) -> Entry:
        """The trial that stands for it."""
        return (self.counted or self.entries)[0]

    @cached_property
    def mean(self) -> float:
        """The mean of the scores that count; NaN without one."""
        return math.fsum(self.scores.values()) / len(self.scores) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation of the scores that count; NaN for fewer than two."""
        if len(self.scores) < 2:
            return math.nan
        return float(np.std([*self.scores.values()], ddof=1)) if len({*self.scores.values()}) > 1 else 0.0

    @property
    def asked(self) -> int:
        """Of the trials whose scores would count, how many there are."""
        return sum(one.confirms for one in self.entries) if self.confirmed else len(self.entries)

    @property
    def cpu_s(self) -> float:
        """CPU time of the trials that count; infinite if it is not known."""
        known = [entry.verdict.cpu_s for entry in self.counted]
        return sum(math.inf if value is None else value for value in known)

    def test(self, objective: Objective) -> float:
        """Return the mean score on images that no choice has seen; NaN where there is none."""
        known = [on_test(entry, objective) for entry in self.counted]
        scores = [value for value in known if value is not None]
        return math.fsum(scores) / len(scores) if scores else math.nan


@dataclass(frozen=True, repr=False)
class Best:
    """The best configuration, and how far it is to be trusted.

    Attributes
    ----------
    configuration : Configuration
        The best.
    equal_scores : tuple of int
        The other configurations with exactly the same score and rank, each by the number of the trial that stands
        for it.
    tied : tuple of int
        The other configurations that cannot be told from it by a test, each by the number of its trial.
    compared : int
        How many configurations it is the best of, itself included: all with a score, or all that were confirmed.
    optimism : float or None
        How much too good its score is on average, because it was chosen as the best of so many. Not negative.
        None: with one run of each, it cannot be known.
    expected : float or None
        The score without the optimism: what new runs are expected to score on average. None where that is.
    low, high : float
        The 95 % interval of the mean, moved by the optimism; NaN if there is none.
    higher : int
        How many that were not confirmed have a better score, which nobody has put to the test.
    reach : int
        The place of the last of these: so many would have to be confirmed; 0 if there are none.
    """

    configuration: Configuration
    equal_scores: tuple[int, ...]
    tied: tuple[int, ...]
    compared: int
    optimism: float | None
    expected: float | None
    low: float
    high: float
    higher: int = 0
    reach: int = 0

    @property
    def entry(self) -> Entry:
        """The trial that stands for it."""
        return self.configuration.entry

    def __repr__(self) -> str:
        """Say the score and the parameters: a notebook shows it."""
        return f"<best: {self.score:.6g} with {self.parameters}>"

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters."""
        return self.entry.trial.params

    @property
    def score(self) -> float:
        """The mean of the scores that count."""
        return self.configuration.mean

    @property
    def replicates(self) -> tuple[int, ...]:
        """The numbers of the trials that went into the score."""
        return tuple(entry.trial.number for entry in self.configuration.counted)


@dataclass(frozen=True)
class Board:
    """All configurations, the best first, those without a score last; and the best, if there is one."""

    objective: Objective
    configurations: tuple[Configuration, ...]
    best: Best | None

    @property
    def replicated(self) -> bool:
        """Whether any configuration has several trials."""
        return any(len(one.entries) > 1 for one in self.configurations)


def rank(entries: Sequence[Entry], objective: Objective) -> Board:
    """Rank the configurations.

    Those that were confirmed come first, then the others; among each, those that are complete enough, then the
    rest: a single lucky replicate does not win, nor does a score that many were tried for win over one that was
    put to the test. Complete enough is half as many scores as the most complete one has, and two where that has
    two. Of equal means, the one that used less CPU time comes first.

    Parameters
    ----------
    entries : sequence of Entry
        Trials, in any order.
    objective : Objective
        What ranks them.
    """
    sign = 1.0 if objective.minimize else -1.0
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one.trial.number):
        groups.setdefault(key_of(entry.trial.params), []).append(entry)
    made = [_configuration(tuple(sorted(some, key=_by_replicate)), objective) for some in groups.values()]
    most = {
        kind: max((len(one.scores) for one in made if one.confirmed is kind), default=0) for kind in (True, False)
    }

    def tier(one: Configuration) -> tuple[bool, bool, bool]:
        has, full = len(one.scores), most[one.confirmed]
        return not has, not one.confirmed, has < max(min(2, full), full / 2)

    places = {id(one): (tier(one), sign * one.mean if one.scores else 0.0) for one in made}
    made.sort(key=lambda one: (*places[id(one)], one.cpu_s if one.scores else 0.0, one.number))
    ranked: list[Configuration] = []
    for index, one in enumerate(made):
        again = ranked and places[id(one)] == places[id(made[index - 1])]
        place = (ranked[-1].rank if again else index + 1) if one.scores else None
        low, high = statistics.interval([*one.scores.values()], bootstrapped=index < BOOTSTRAPPED)
        ranked.append(replace(one, rank=place, low=low, high=high))
    if not ranked or not ranked[0].scores:
        return Board(objective, tuple(ranked), None)
    peers = sum(tier(one) == tier(made[0]) for one in made)
    ranked = _compared(ranked)
    return Board(objective, tuple(ranked), _best(ranked, peers, sign))


def _by_replicate(entry: Entry) -> int:
    return entry.trial.replicate


def _configuration(entries: tuple[Entry, ...], objective: Objective) -> Configuration:
    scores = {one.trial.replicate: score for one in entries if (score := score_of(one, objective)) is not None}
    confirming = [one for one in entries if one.confirms]
    fresh = {
        one.trial.replicate: scores[one.trial.replicate] for one in confirming if one.trial.replicate in scores
    }
    return Configuration(entries, fresh or scores, bool(fresh))


def _compared(ranked: list[Configuration]) -> list[Configuration]:
    """Say which configurations cannot be told from the first: pairs of the same seeds or folds, else Welch."""
    first = ranked[0]
    if len(first.scores) < 2:
        return ranked
    p: dict[int, float] = {}
    alike: list[int] = []
    for index, one in enumerate(ranked[1:], 1):
        if one.scores.keys() == first.scores.keys():
            alike.append(index)
        elif len(shared := [name for name in first.scores if name in one.scores]) > 1:
            pairs = np.array([[first.scores[name] - one.scores[name] for name in shared]])
            p[index] = float(statistics.paired_p(pairs)[0])
        elif len(one.scores) > 1:
            p[index] = statistics.welch_p(np.array([*first.scores.values()]), np.array([*one.scores.values()]))
    if alike:
        names = [*first.scores]
        theirs = np.array([[ranked[index].scores[name] for name in names] for index in alike])
        found = statistics.paired_p(np.array([first.scores[name] for name in names]) - theirs)
        p.update(zip(alike, map(float, found), strict=True))
    every = (len(p) + 1) * len(p) // 2  # the first was chosen: any two might have been the ones that differ
    corrected = dict(zip(p, statistics.holm([*p.values()], every), strict=True))
    return [
        replace(one, tied=None if index not in corrected else corrected[index] > SIGNIFICANT)
        for index, one in enumerate(ranked)
    ]


def _best(ranked: list[Configuration], peers: int, sign: float) -> Best:
    first, others = ranked[0], ranked[1:]
    equal_scores = tuple(one.number for one in ranked[1:peers] if one.rank == first.rank)
    tied = tuple(one.number for one in others if one.tied)
    candidates = [one for one in ranked if one.scores and one.confirmed is first.confirmed]
    optimism = _optimism(candidates, sign)
    shift = sign * (optimism or 0.0)  # towards worse: down where more is better
    higher = [
        place
        for place, one in enumerate(ranked, 1)
        if first.confirmed and not one.confirmed and one.scores and sign * one.mean < sign * first.mean
    ]
    return Best(
        first,
        equal_scores,
        tied,
        compared=len(candidates),
        optimism=optimism,
        expected=None if optimism is None else first.mean + shift,
        low=first.low + shift,
        high=first.high + shift,
        higher=len(higher),
        reach=max(higher, default=0),
    )


def _optimism(candidates: list[Configuration], sign: float) -> float | None:
    """Estimate by how much the first's mean is too good, as the best of all of these."""
    first, n = candidates[0], len(candidates[0].scores)
    if n < 2:
        return None
    if len(candidates) == 1:
        return 0.0
    variance, own = _noise([one for one in candidates if len(one.scores) > 1])
    own = statistics.moderated(own, variance, n - 1)
    means = [one.mean for one in candidates]
    return max(0.0, sign * (statistics.shrunken(means, variance / n, 0, own / n) - first.mean))


def _noise(candidates: list[Configuration]) -> tuple[float, float]:
    """Estimate the variance of one run's score: of all that have several, and of the first alone."""
    first = candidates[0]
    if len(candidates) > 1 and all(one.scores.keys() == first.scores.keys() for one in candidates):
        return statistics.noise_variance(
            np.array([[one.scores[name] for name in first.scores] for one in candidates])
        )
    # Not the same seeds: what they add to each stays in.
    freedom = sum(len(one.scores) - 1 for one in candidates)
    pooled = sum((len(one.scores) - 1) * one.deviation**2 for one in candidates) / freedom
    return pooled, first.deviation**2
