"""A board → what to do next: where the grid should go on, what is as good and cheaper, what failed always (pure).

It says something only where the scores show it. What it says is a hint: nothing here has been put to the test.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import Entry, key_of
from sweep.leaderboard.ranking import Best, Board, Configuration
from sweep.model import State

if TYPE_CHECKING:
    from sweep.leaderboard.importance import Importance

#: What `sweep confirm` does where nobody says otherwise: so many of the best, so many runs of each.
CONFIRM_TOP, CONFIRM_RUNS = 5, 5

#: So many values are suggested beyond the end of an axis, with so many digits.
SUGGESTED, DIGITS = 2, 3

#: Rounding moves a suggested value by no more than this share of its step.
SHIFT = 0.05

#: Two values whose ratio is at least this are steps of a factor; of more, the more even steps decide.
FACTOR = 4.0

#: With so many pairs, an interval says whether their difference is more than chance.
ENOUGH_PAIRS = 3

#: A tied configuration is called cheaper if it takes no more than this share of the winner's core-hours.
CHEAPER = 0.95

#: A value that so many trials failed with, and none did not, failed always.
FAILED_OFTEN = 2

#: A parameter that explains less than this percentage, alone and in any pair, did not matter.
HARDLY_PERCENT = 1.0

#: The largest number of edges, and of failing values, that are told.
MAX_EDGES, MAX_FAILING = 3, 3


@dataclass(frozen=True)
class Edge:
    """A parameter of which the best has the last value that was tried, and towards which scores get better.

    Attributes
    ----------
    values : tuple of float
        Values beyond it that are worth a try, the nearest first.
    """

    parameter: str
    value: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Cheaper:
    """The cheapest configuration that may be the best as well, if it is cheaper than the best.

    Attributes
    ----------
    trial : int
        The trial that stands for it.
    core_h, best_core_h : float
        What a run of it and a run of the best hold, in core-hours.
    """

    trial: int
    parameters: dict[str, Any]
    score: float
    core_h: float
    best_core_h: float


@dataclass(frozen=True)
class Confirmation:
    """What it would take to confirm the best.

    Attributes
    ----------
    top, replicates : int
        How many of the best, and how many confirming runs of each.
    runs : int
        How many runs are missing for that.
    core_h : float
        What they would hold, in core-hours, by the runs so far.
    """

    top: int
    replicates: int
    runs: int
    core_h: float


@dataclass(frozen=True)
class Failing:
    """A value with which every trial failed, while others did not.

    Attributes
    ----------
    causes : dict
        Cause → how many trials.
    """

    parameter: str
    value: Any
    trials: int
    causes: dict[str, int]


@dataclass(frozen=True)
class Advice:
    """What to do next. None, or nothing, where there is nothing to say."""

    edges: tuple[Edge, ...] = ()
    cheaper: Cheaper | None = None
    confirmation: Confirmation | None = None
    failing: tuple[Failing, ...] = ()


def advise(board: Board, tried: Iterable[Mapping[str, Any]] = ()) -> Advice:
    """Work out what to do next.

    Parameters
    ----------
    tried : iterable of mapping
        The parameters of further trials, which are not ranked: they have been tried as well.
    """
    failing = tuple(_failing(board.entries))[:MAX_FAILING]
    if board.best is None:
        return Advice(failing=failing)
    everything = [*[entry.trial.params for entry in board.entries], *tried]
    edges = tuple(_edges(board, board.best, everything))[:MAX_EDGES]
    return Advice(edges, _cheaper(board, board.best), _confirmation(board, board.best), failing)


def unimportant(importance: Importance) -> tuple[str, ...]:
    """Name the parameters that did not matter; none where the forest cannot claim anything."""
    if importance.warnings:
        return ()
    explained: defaultdict[str, float] = defaultdict(float)
    for share in (*importance.single, *importance.pairs):
        for name in share.names:
            explained[name] = max(explained[name], share.percent + 2 * share.sd)
    names = tuple(name for name, percent in explained.items() if percent < HARDLY_PERCENT)
    return names if len(names) < len(importance.single) else ()


# --- the ends of the axes ---------------------------------------------------------------------------------


def _edges(board: Board, best: Best, everything: Sequence[Mapping[str, Any]]) -> Iterable[Edge]:
    for name, own in best.parameters.items():
        values = [params[name] for params in everything if name in params]
        if not {*map(type, values)} <= {int, float}:  # thousands of trials: no call for each
            continue
        axis = sorted([value for value in {*values} if math.isfinite(value)])
        if len(axis) < 2 or own not in (axis[0], axis[-1]):
            continue
        outwards = axis if own == axis[-1] else axis[::-1]
        beyond = tuple(suggested(outwards))
        if beyond and _points_outwards(board, best, name, outwards[-2], own):
            yield Edge(name, own, beyond)


def suggested(outwards: Sequence[float]) -> Iterable[float]:
    """Yield values beyond the last of an axis, whose values come in the order of their size, up or down.

    Steps go on as they were: by a factor where the factors are more even than the differences, else by a
    difference. Whole numbers stay whole, no value gets another sign, and a share stays within 1.

    >>> [*suggested([0.001, 0.01, 0.1])], [*suggested([64, 32, 16])], [*suggested([8, 16, 24])]
    ([1.0, 10.0], [8, 4], [32, 40])
    >>> [*suggested([0.2, 0.1, 0.0])], [*suggested([0.5, 0.7, 0.9])], [*suggested([4, 2, 1])]
    ([], [], [])
    """
    last, before = outwards[-1], outwards[-2]
    whole = all(isinstance(value, int) for value in outwards)
    is_share = not whole and all(0 <= value <= 1 for value in outwards) and max(outwards) >= 0.5
    by_factor = _goes_by_factors(outwards)
    for steps in range(1, SUGGESTED + 1):
        exact: float = last * (last / before) ** steps if by_factor else last + (last - before) * steps
        if not math.isfinite(exact):
            return
        value = round(exact) if whole else _shortened(exact, exact - outwards[-1])
        crosses = (value <= 0 and min(outwards) >= 0) or (value >= 0 and max(outwards) <= 0)
        if crosses or (value - outwards[-1]) * (last - before) <= 0 or (is_share and value > 1):
            return
        outwards = [*outwards, value]
        yield value


def _shortened(value: float, step: float) -> float:
    """Round to a few digits; to as many more as leave it about as far from the value before it.

    >>> _shortened(1003.5, 1.0), _shortened(0.0312345, 0.02)
    (1003.5, 0.0312)
    """
    digits = range(DIGITS, 17)
    rounded = (float(f"{value:.{count}g}") for count in digits)
    return next((each for each in rounded if abs(each - value) <= SHIFT * abs(step)), value)


def _goes_by_factors(values: Sequence[float]) -> bool:
    """Whether the steps between values are more even as factors than as differences."""
    if not (all(value > 0 for value in values) or all(value < 0 for value in values)):
        return False
    if len(values) == 2:
        return max(values[0] / values[1], values[1] / values[0]) >= FACTOR
    logs = np.log(np.abs(np.array(values, dtype=float)))
    return _unevenness(logs) < _unevenness(np.array(values, dtype=float))


def _unevenness(values: statistics.Floats) -> float:
    steps = np.abs(np.diff(values))
    return float(steps.std() / steps.mean())


def _points_outwards(board: Board, best: Best, name: str, inner: float, end: float) -> bool:
    """Whether scores get better from the last but one value to the last, with all else the same.

    Of three pairs and more, an interval may say so. Otherwise all pairs have to agree, and the best and its
    neighbour, which are one of them, may not be tied.
    """
    pairs: defaultdict[str, dict[float, Configuration]] = defaultdict(dict)
    for configuration in board.scored:
        params = configuration.entry.trial.params
        if name in params and params[name] in (inner, end):
            rest = key_of({other: value for other, value in params.items() if other != name})
            pairs[rest][params[name]] = configuration
    sign = -1 if board.objective.minimize else 1
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    gains = np.array([sign * (pair[end].mean - pair[inner].mean) for pair in whole])
    if len(gains) >= ENOUGH_PAIRS and gains.mean() > (statistics.student_half(gains) if np.ptp(gains) else 0.0):
        return True
    neighbours = [pair[inner] for pair in whole if pair[end] is best.configuration]
    return bool(neighbours) and bool((gains > 0).all()) and not neighbours[0].tied


# --- what is cheaper, and what confirming costs -----------------------------------------------------------


def core_h(configuration: Configuration) -> float:
    """Return what a run holds, in core-hours, on average; NaN where no time is known."""
    held = [
        entry.verdict.elapsed_s * entry.trial.resources.cores / 3600
        for entry in configuration.counted
        if entry.verdict.elapsed_s is not None
    ]
    return math.fsum(held) / len(held) if held else math.nan


def _cheaper(board: Board, best: Best) -> Cheaper | None:
    numbers = {*best.tied, *best.equal_scores}
    tied = [each for each in board.scored if each.number in numbers and each.fails == best.configuration.fails]
    timed = [(hours, each.rank or 0, each) for each in tied if math.isfinite(hours := core_h(each))]
    own = core_h(best.configuration)
    if not timed or not math.isfinite(own):
        return None
    cheap, _, cheapest = min(timed, key=lambda each: each[:2])
    if cheap > CHEAPER * own:
        return None
    return Cheaper(cheapest.number, cheapest.entry.trial.params, cheapest.mean, cheap, own)


def _confirmation(board: Board, best: Best) -> Confirmation | None:
    top = board.scored[:CONFIRM_TOP]
    if len(board.scored) < 2:
        return None
    missing = [
        max(0, CONFIRM_RUNS - sum(entry.confirms for entry in configuration.entries)) for configuration in top
    ]
    held = [runs * core_h(configuration) for runs, configuration in zip(missing, top, strict=True) if runs]
    if not held or best.configuration.confirmed or not math.isfinite(sum(held)):
        return None
    return Confirmation(len(top), CONFIRM_RUNS, sum(missing), math.fsum(held))


# --- what failed always -----------------------------------------------------------------------------------


def _failing(entries: Sequence[Entry]) -> Iterable[Failing]:
    """Find the values with which all trials failed, the one that most failed with first."""
    states = [entry.verdict.state for entry in entries]
    if State.FAILED not in states or State.DONE not in states:  # most sweeps: no call for each trial
        return []
    with_value: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        for name, value in entry.trial.params.items():
            with_value[name, key_of({name: value})].append(entry)
    failing = [
        Failing(
            name,
            trials[0].trial.params[name],
            len(trials),
            dict(Counter(trial.verdict.cause.value for trial in trials).most_common()),
        )
        for (name, _), trials in with_value.items()
        if len(trials) >= FAILED_OFTEN and all(trial.verdict.state is State.FAILED for trial in trials)
    ]
    return sorted(failing, key=lambda each: -each.trials)
