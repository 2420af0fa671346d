"""Trials and their scores → ranked configurations, and the winner with how far it can be trusted (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import Entry, key_of, measure, measured, score_of, test_score_of
from sweep.leaderboard.origins import Codes, codes_of
from sweep.model import Objective

#: The number of configurations, best first, whose intervals may be bootstrapped. Each bootstrap takes 30 ms, and
#: nobody reads further down.
BOOTSTRAPPED = 200

#: A configuration whose seeds are not those of the first is tied with it if the corrected p-value is above this.
SIGNIFICANT = 1 - statistics.CONFIDENCE


@dataclass(frozen=True)
class Configuration:
    """One choice of the parameters, with all its replicates.

    Attributes
    ----------
    entries : tuple of Entry
        Its trials, by replicate.
    scores : dict
        Replicate → score, only scores that count. All scores count as long as the configuration is not confirmed.
        Afterwards only the scores of the confirming trials count, because it was chosen by the others.
    confirmed : bool
        Whether a confirming trial has a score.
    rank : int or None
        1 is the best. Equal scores share a rank. None without a score.
    low, high : float
        The 95 % interval of the mean; NaN with fewer than two scores.
    tied : bool or None
        Whether it may be the best, too. None where no test is possible, and for the first itself.
    fails : str
        What it does not meet of what the objective requires, in words; empty: nothing.
    """

    entries: tuple[Entry, ...]
    scores: dict[int, float]
    confirmed: bool
    rank: int | None = None
    low: float = math.nan
    high: float = math.nan
    tied: bool | None = None
    fails: str = ""

    @cached_property
    def counted(self) -> tuple[Entry, ...]:
        """The trials whose scores count."""
        return tuple([entry for entry in self.entries if entry.trial.replicate in self.scores])

    @property
    def number(self) -> int:
        """The number of the trial that stands for the configuration."""
        return self.entry.trial.number

    @cached_property
    def entry(self) -> Entry:
        """The trial that stands for the configuration: the first whose score counts, else the first."""
        return (self.counted or self.entries)[0]

    @cached_property
    def mean(self) -> float:
        """The mean of the scores that count; NaN without a score."""
        return math.fsum(self.scores.values()) / len(self.scores) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation of the scores that count; NaN for fewer than two."""
        if len(self.scores) < 2:
            return math.nan
        return float(np.std([*self.scores.values()], ddof=1)) if len({*self.scores.values()}) > 1 else 0.0

    @property
    def asked(self) -> int:
        """How many scores would count if all trials ended well."""
        return sum(entry.confirms for entry in self.entries) if self.confirmed else len(self.entries)

    @property
    def cpu_s(self) -> float:
        """The CPU time of the trials whose scores count; infinite where one is unknown."""
        times = [entry.verdict.cpu_s for entry in self.counted]
        return sum(math.inf if cpu_s is None else cpu_s for cpu_s in times)

    def mean_of(self, name: str) -> float:
        """Return the mean of what the trials took, or of a number in their results; NaN where no trial has it."""
        values = [value for entry in self.counted if (value := measured(entry, name)) is not None]
        return math.fsum(values) / len(values) if values else math.nan

    def test(self, objective: Objective) -> float:
        """Return the mean score on images that no choice has seen; NaN where no trial has one."""
        scores = [score for entry in self.counted if (score := test_score_of(entry, objective)) is not None]
        return math.fsum(scores) / len(scores) if scores else math.nan


@dataclass(frozen=True, repr=False)
class Best:
    """The best configuration, and how far it can be trusted.

    Attributes
    ----------
    configuration : Configuration
        The best.
    equal_scores : tuple of int
        The other configurations with exactly the same score and rank. A configuration is named by the number of
        the trial that stands for it.
    tied : tuple of int
        The other configurations that may be the best as well, named in the same way: with a probability of 95 %
        the best is one of them or this one.
    compared : int
        The number of configurations that it is the best of, itself included: all that were confirmed, or all with
        a score where none was.
    optimism : float or None
        How much too good its score is on average, because it was chosen as the best of so many. Never negative.
        None with one run of each configuration: then it cannot be estimated.
    expected : float or None
        The score without the optimism: what new runs score on average. None where the optimism is None.
    low, high : float
        The 95 % interval of the mean, shifted by the optimism; NaN where there is no interval.
    better_unconfirmed : int
        The number of configurations that were not confirmed and have a better score than a confirmed best.
    top_to_confirm : int
        The number of configurations, best first, that have to be confirmed to include all of these; 0 without any.
    """

    configuration: Configuration
    equal_scores: tuple[int, ...]
    tied: tuple[int, ...]
    compared: int
    optimism: float | None
    expected: float | None
    low: float
    high: float
    better_unconfirmed: int = 0
    top_to_confirm: int = 0

    @property
    def entry(self) -> Entry:
        """The trial that stands for it."""
        return self.configuration.entry

    def __repr__(self) -> str:
        """Show the score and the parameters in a notebook."""
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
        """The numbers of the trials whose scores count."""
        return tuple(entry.trial.number for entry in self.configuration.counted)


@dataclass(frozen=True)
class Board:
    """All configurations and the best of them.

    Attributes
    ----------
    configurations : tuple of Configuration
        The best first, those without a score last.
    best : Best or None
        None where no configuration has a score.
    """

    objective: Objective
    configurations: tuple[Configuration, ...]
    best: Best | None

    @cached_property
    def scored(self) -> tuple[Configuration, ...]:
        """The configurations with a score, the best first."""
        return tuple([configuration for configuration in self.configurations if configuration.scores])

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All trials that were ranked, configuration by configuration."""
        return tuple([entry for configuration in self.configurations for entry in configuration.entries])

    @cached_property
    def codes(self) -> Codes:
        """The code that the trials ran whose scores count."""
        return codes_of(entry for configuration in self.scored for entry in configuration.counted)

    @property
    def replicated(self) -> bool:
        """Whether any configuration has several trials."""
        return any(len(configuration.entries) > 1 for configuration in self.configurations)


def rank(entries: Sequence[Entry], objective: Objective) -> Board:
    """Rank the configurations.

    What meets all that the objective requires comes first. Then confirmed configurations do: a score that many
    were tried for does not win over one that was put to the test. Among the confirmed and among the others, those
    that are complete enough come first: a single lucky replicate does not win. Complete enough means half as many
    scores as the most complete configuration has, and at least two where that has two. The mean score decides the
    rest. Of equal means, the one that used less CPU time comes first.

    Parameters
    ----------
    entries : sequence of Entry
        Trials, in any order.
    objective : Objective
        The metric that ranks, and its direction.
    """
    sign = 1.0 if objective.minimize else -1.0
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=_by_number):
        groups.setdefault(key_of(entry.trial.params), []).append(entry)
    unranked = [_configuration(tuple(sorted(group, key=_by_replicate)), objective) for group in groups.values()]
    most_scores = {
        confirmed: max((len(each.scores) for each in unranked if each.confirmed is confirmed), default=0)
        for confirmed in (True, False)
    }

    def tier(configuration: Configuration) -> tuple[bool, bool, bool, bool]:
        count, full = len(configuration.scores), most_scores[configuration.confirmed]
        few = count < max(min(2, full), full / 2)
        return not count, bool(configuration.fails), not configuration.confirmed, few

    places = {id(each): (tier(each), sign * each.mean if each.scores else 0.0) for each in unranked}
    unranked.sort(key=lambda each: (*places[id(each)], each.cpu_s if each.scores else 0.0, each.number))
    ranked: list[Configuration] = []
    for index, configuration in enumerate(unranked):
        equal = ranked and places[id(configuration)] == places[id(unranked[index - 1])]
        place = (ranked[-1].rank if equal else index + 1) if configuration.scores else None
        low, high = statistics.interval([*configuration.scores.values()], bootstrapped=index < BOOTSTRAPPED)
        ranked.append(replace(configuration, rank=place, low=low, high=high))
    if not ranked or not ranked[0].scores:
        return Board(objective, tuple(ranked), None)
    peers = sum(tier(configuration) == tier(unranked[0]) for configuration in unranked)
    ranked = _with_ties(ranked, sign)
    return Board(objective, tuple(ranked), _best(ranked, peers, sign))


def _by_number(entry: Entry) -> int:
    return entry.trial.number


def _by_replicate(entry: Entry) -> int:
    return entry.trial.replicate


def _configuration(entries: tuple[Entry, ...], objective: Objective) -> Configuration:
    scores = {
        entry.trial.replicate: score for entry in entries if (score := score_of(entry, objective)) is not None
    }
    confirming = [entry.trial.replicate for entry in entries if entry.confirms]
    confirming_scores = {replicate: scores[replicate] for replicate in confirming if replicate in scores}
    configuration = Configuration(entries, confirming_scores or scores, bool(confirming_scores))
    return replace(configuration, fails=_fails(configuration, objective)) if objective.require else configuration


def required_metrics(objective: Objective) -> list[str]:
    """Name the numbers of the results that the objective requires something of."""
    if not objective.require:
        return []
    from sweep.grid.requirement import parse  # few sweeps require anything

    return [parse(text).metric for text in objective.require]


def _fails(configuration: Configuration, objective: Objective) -> str:
    """Say what a configuration does not meet, by the mean over the trials whose scores count."""
    from sweep.grid.requirement import parse

    reasons = []
    for requirement in map(parse, objective.require) if configuration.scores else ():
        values = [measure(entry, requirement.metric) for entry in configuration.counted]
        known = [value for value in values if value is not None]
        if not known:
            reasons.append(f"has no {requirement.metric}")
        elif not requirement.holds(mean := math.fsum(known) / len(known)):
            reasons.append(f"{requirement.metric} is {mean:.3g}, not {requirement.sign} {requirement.bound:g}")
    return "; ".join(reasons)


def _with_ties(ranked: list[Configuration], sign: float) -> list[Configuration]:
    """Mark the configurations that may be the best as well as the first.

    Those that have the seeds or folds of the first are compared in pairs, so that what a seed adds to both
    cancels, and with the noise of all of them. Where fewer are shared, two at least, these are compared. Where
    none are, the test is Welch's. Both are corrected by Holm.
    """
    first = ranked[0]
    if len(first.scores) < 2:
        return ranked
    others = [index for index in range(1, len(ranked)) if bool(ranked[index].fails) is bool(first.fails)]
    paired = [index for index in others if ranked[index].scores.keys() == first.scores.keys()]
    rest = [index for index in others if index not in {*paired} and len(ranked[index].scores) > 1]
    may_be = _paired_ties([ranked[index] for index in (0, *paired)], sign) if paired else []
    ties = dict(zip(paired, may_be, strict=True)) | _other_ties(ranked, rest, sign)
    return [replace(configuration, tied=ties.get(index)) for index, configuration in enumerate(ranked)]


def _paired_ties(configurations: list[Configuration], sign: float) -> list[bool]:
    """Return whether each after the first may be the best; all have the same seeds."""
    names = [*configurations[0].scores]
    scores = np.array([[each.scores[name] for name in names] for each in configurations])
    # By the exact sums, as they are shown: equal scores are equal.
    gaps = sign * np.array([each.mean - configurations[0].mean for each in configurations])
    variances, freedom = _noise_of_each(scores)
    errors = np.sqrt((variances[0] + variances) / len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        standard = np.where(errors > 0, gaps / errors, np.where(gaps > _rounding(scores), np.inf, 0.0))
    return [bool(value) for value in statistics.may_be_best(standard, float(f"{freedom:.2g}"))[1:]]


def _noise_of_each(scores: statistics.Floats) -> tuple[statistics.Floats, float]:
    """Estimate the variance of a run of each configuration from all of them, and its degrees of freedom."""
    variances, freedom = statistics.residual_variances(scores)
    variances[variances <= _rounding(scores) ** 2] = 0.0
    variances, freedom = statistics.moderated_variances(variances, freedom)
    return variances, min(freedom, (scores.shape[0] - 1) * (scores.shape[1] - 1))


def expected(board: Board, configuration: Configuration) -> float:
    """Return what new runs of a configuration score on average, by those of its board.

    High scores of a board are too good on average, and low ones too bad. Its own mean where the noise is unknown.
    """
    candidates = [each for each in board.scored if each.confirmed is configuration.confirmed]
    replicated = [each for each in candidates if len(each.scores) > 1]
    if len(candidates) < 2 or len(configuration.scores) < 2:
        return configuration.mean
    variance = _noise(replicated)[0] / len(configuration.scores)
    place = next(index for index, each in enumerate(candidates) if each is configuration)
    return statistics.shrunken([each.mean for each in candidates], variance, place)


def _rounding(scores: statistics.Floats) -> float:
    return 1e-12 * max(float(np.abs(scores).max()), 1e-300)


def noise_of_a_run(board: Board, a: Configuration, b: Configuration) -> tuple[float, float] | None:
    """Estimate the variance of the difference of two configurations' runs with one seed, by all of the board.

    Returns
    -------
    variance, freedom : float
        None where the two do not have the same seeds, or no others have them.
    """
    peers = [each for each in board.configurations if each.scores.keys() == a.scores.keys()]
    if len(peers) < 3 or len(a.scores) < 2 or b.scores.keys() != a.scores.keys():
        return None
    names = [*a.scores]
    variances, freedom = _noise_of_each(np.array([[each.scores[name] for name in names] for each in peers]))
    by_number = dict(zip((each.number for each in peers), map(float, variances), strict=True))
    return by_number[a.number] + by_number[b.number], freedom


def _other_ties(ranked: list[Configuration], others: Sequence[int], sign: float) -> dict[int, bool]:
    """Return whether each may be the best, by tests of its own: its seeds are not those of the first."""
    first = ranked[0]
    p = []
    for index in others:
        other = ranked[index]
        shared = [name for name in first.scores if name in other.scores]
        if len(shared) > 1:
            pairs = np.array([[first.scores[name] - other.scores[name] for name in shared]])
            two_sided, behind = float(statistics.paired_p(pairs)[0]), -sign * float(pairs.mean())
        else:
            behind = sign * (other.mean - first.mean)
            two_sided = statistics.welch_p(np.array([*first.scores.values()]), np.array([*other.scores.values()]))
        p.append(two_sided / 2 if behind > 0 else 1.0)
    return {index: value > SIGNIFICANT for index, value in zip(others, statistics.holm(p), strict=True)}


def _best(ranked: list[Configuration], peers: int, sign: float) -> Best:
    first = ranked[0]
    candidates = [
        each
        for each in ranked
        if each.scores and each.confirmed is first.confirmed and bool(each.fails) is bool(first.fails)
    ]
    optimism = _optimism(candidates, sign)
    shift = sign * (optimism or 0.0)  # towards worse: down where more is better
    better_places = [
        place
        for place, other in enumerate(ranked, 1)
        if first.confirmed
        and not (other.confirmed or other.fails)
        and other.scores
        and sign * other.mean < sign * first.mean
    ]
    return Best(
        first,
        equal_scores=tuple(other.number for other in ranked[1:peers] if other.rank == first.rank),
        tied=tuple(other.number for other in ranked[1:] if other.tied),
        compared=len(candidates),
        optimism=optimism,
        expected=None if optimism is None else first.mean + shift,
        low=first.low + shift,
        high=first.high + shift,
        better_unconfirmed=len(better_places),
        top_to_confirm=max(better_places, default=0),
    )


def _optimism(candidates: list[Configuration], sign: float) -> float | None:
    """Estimate how much too good the first one's mean is, as the best of all candidates."""
    first, runs = candidates[0], len(candidates[0].scores)
    if runs < 2:
        return None
    if len(candidates) == 1:
        return 0.0
    variance, own_variance = _noise([each for each in candidates if len(each.scores) > 1])
    own_variance = statistics.moderated(own_variance, variance, runs - 1)
    means = [each.mean for each in candidates]
    return max(0.0, sign * (statistics.shrunken(means, variance / runs, 0, own_variance / runs) - first.mean))


def _noise(candidates: list[Configuration]) -> tuple[float, float]:
    """Estimate the variance of one run's score, from all candidates and from the first alone."""
    first = candidates[0]
    if len(candidates) > 1 and all(each.scores.keys() == first.scores.keys() for each in candidates):
        return statistics.noise_variance(
            np.array([[each.scores[name] for name in first.scores] for each in candidates])
        )
    # The seeds differ, so what a seed adds to a score cannot be taken out.
    freedom = sum(len(each.scores) - 1 for each in candidates)
    pooled = sum((len(each.scores) - 1) * each.deviation**2 for each in candidates) / freedom
    return pooled, first.deviation**2
