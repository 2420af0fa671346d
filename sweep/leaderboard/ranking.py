"""Trials and their scores → configurations, ranked, and the winner with what can be said for it (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import Entry, key_of, score_of, test_of
from sweep.model import Objective

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
        All its confirming trials have ended, and some are done.
    rank : int or None
        1 is the best; equal ones share a rank. None without a score.
    low, high : float
        The 95 % interval of the mean; NaN where there are not two scores.
    same : bool or None
        It cannot be told from the first. None: there is nothing to compare by.
    """

    entries: tuple[Entry, ...]
    scores: dict[int, float]
    confirmed: bool
    rank: int | None = None
    low: float = math.nan
    high: float = math.nan
    same: bool | None = None

    @property
    def number(self) -> int:
        """The number of the trial that stands for it: the first whose score counts, else the first."""
        return self.entry.trial.number

    @property
    def entry(self) -> Entry:
        """The trial that stands for it."""
        counted = [one for one in self.entries if one.trial.replicate in self.scores]
        return (counted or self.entries)[0]

    @property
    def mean(self) -> float:
        """The mean of the scores that count; NaN without one."""
        return math.fsum(self.scores.values()) / len(self.scores) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation of the scores that count; NaN for fewer than two."""
        return float(np.std([*self.scores.values()], ddof=1)) if len(self.scores) > 1 else math.nan

    @property
    def asked(self) -> int:
        """Of the trials whose scores would count, how many there are."""
        return sum(one.confirms for one in self.entries) if self.confirmed else len(self.entries)

    @property
    def cpu_s(self) -> float:
        """CPU time of the trials that count; infinite if it is not known."""
        known = [one.verdict.cpu_s for one in self.entries if one.trial.replicate in self.scores]
        return sum(math.inf if value is None else value for value in known)

    def test(self, objective: Objective) -> float:
        """Return the mean score on images that no choice has seen; NaN where there is none."""
        known = [test_of(one, objective) for one in self.entries if one.trial.replicate in self.scores]
        scores = [value for value in known if value is not None]
        return float(np.mean(scores)) if scores else math.nan


@dataclass(frozen=True)
class Best:
    """The best configuration, and how far it is to be trusted.

    Attributes
    ----------
    configuration : Configuration
        The best.
    ties : tuple of int
        The trials that stand for others with the very same score.
    same : tuple of int
        … and for others that cannot be told from it.
    compared : int
        How many configurations it was compared with, itself included: those as complete as it is.
    fall : float or None
        By how much its score must be expected to be too good, being the best of so many. None: it cannot be known.
    low, high : float
        The 95 % interval, moved by that; NaN if there is none.
    higher : int
        How many that were not confirmed have a better score, which nobody has put to the test.
    """

    configuration: Configuration
    ties: tuple[int, ...]
    same: tuple[int, ...]
    compared: int
    fall: float | None
    low: float
    high: float
    higher: int = 0

    @property
    def entry(self) -> Entry:
        """The trial that stands for it."""
        return self.configuration.entry

    @property
    def score(self) -> float:
        """The mean of the scores that count."""
        return self.configuration.mean

    @property
    def replicates(self) -> tuple[int, ...]:
        """The numbers of the trials that went into the score."""
        scores = self.configuration.scores
        return tuple(one.trial.number for one in self.configuration.entries if one.trial.replicate in scores)


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

    Those that were confirmed come first, then the others; among each, those that have as many scores as the most
    complete one, then the rest: a single lucky replicate does not win, nor does a score that many were tried for
    win over one that was put to the test. Of equal means, the one that used less CPU time comes first.

    Parameters
    ----------
    entries : sequence of Entry
        Trials, in any order.
    objective : Objective
        What ranks them.
    """
    sign = 1.0 if objective.goal == "minimize" else -1.0
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one.trial.number):
        groups.setdefault(key_of(entry.trial.params), []).append(entry)
    made = [_configuration(tuple(sorted(some, key=_by_replicate)), objective) for some in groups.values()]
    most = {
        kind: max((len(one.scores) for one in made if one.confirmed is kind), default=0) for kind in (True, False)
    }

    def tier(one: Configuration) -> tuple[bool, bool, bool]:
        return not one.scores, not one.confirmed, len(one.scores) < most[one.confirmed]

    places = {id(one): (tier(one), sign * one.mean if one.scores else 0.0) for one in made}
    made.sort(key=lambda one: (*places[id(one)], one.cpu_s if one.scores else 0.0, one.number))
    ranked: list[Configuration] = []
    for index, one in enumerate(made):
        again = ranked and places[id(one)] == places[id(made[index - 1])]
        place = (ranked[-1].rank if again else index + 1) if one.scores else None
        low, high = statistics.interval([*one.scores.values()])
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
    confirmed = bool(fresh) and all(one.verdict.state.final for one in confirming)
    return Configuration(entries, fresh if confirmed else scores, confirmed)


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
    corrected = dict(zip(p, statistics.holm([*p.values()]), strict=True))
    return [
        replace(one, same=None if index not in corrected else corrected[index] > SIGNIFICANT)
        for index, one in enumerate(ranked)
    ]


def _best(ranked: list[Configuration], peers: int, sign: float) -> Best:
    first, others = ranked[0], ranked[1:]
    ties = tuple(one.number for one in ranked[1:peers] if one.rank == first.rank)
    same = tuple(one.number for one in others if one.same)
    fall = _fall(ranked[:peers], sign)
    moved = sign * (fall or 0.0)  # towards worse: down where more is better
    higher = sum(bool(one.scores) and sign * one.mean < sign * first.mean for one in others if not one.confirmed)
    return Best(
        first, ties, same, peers, fall, first.low + moved, first.high + moved, higher if first.confirmed else 0
    )


def _fall(peers: list[Configuration], sign: float) -> float | None:
    """Estimate by how much the first's mean is too good, as the best of all of these."""
    names = [*peers[0].scores]
    if len(peers) == 1:
        return 0.0
    if len(names) < 2:
        return None
    if all(one.scores.keys() == peers[0].scores.keys() for one in peers):
        scores = np.array([[one.scores[name] for name in names] for one in peers])
        variance, own = statistics.noise_variance(scores)
    else:  # not the same seeds: what they add to each stays in
        variance, own = float(np.mean([one.deviation**2 for one in peers])), peers[0].deviation ** 2
    means = [one.mean for one in peers]
    n = len(names)
    own = statistics.moderated(own, variance, n - 1)
    return max(0.0, sign * (statistics.shrunken(means, variance / n, 0, own / n) - means[0]))
