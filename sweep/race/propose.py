"""Which configurations a wave begins: by a forest, by chance, in the grid's order, or by Optuna (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweep.race.forecast import Forecast
from sweep.race.front import ranked, weighted
from sweep.race.space import Space, covering
from sweep.race.standing import How, Standing


def proposed(
    by: str,
    space: Space,
    standing: Standing,
    forecast: Forecast | None,
    rows: NDArray[np.intp],
    count: int,
    random: np.random.Generator,
    second: NDArray[np.float64] | None = None,
) -> list[tuple[int, How]]:
    """Propose configurations to begin, each with why, the most wanted first.

    Parameters
    ----------
    by : str
        ``forest``, ``random``, ``order`` or ``optuna``. Before anything is known, the forest and Optuna have
        nothing to say: then all values of all parameters are to occur about equally often.
    forecast : Forecast or None
        None: too little is known for one.
    rows : ndarray of int
        The configurations to choose from: none of them has begun.
    count : int
        How many are wanted.
    second : ndarray or None, (configurations,)
        What the second objective is or is expected to be; higher is better. Only the forest goes by it.
    """
    if by == "order":
        return [(int(row), How.ORDER) for row in rows[:count]]
    if by == "random":
        return [(int(row), How.RANDOM) for row in random.permutation(rows)[:count]]
    if by == "optuna" and np.isfinite(standing.scores).any():
        from sweep.race.ask import asked

        begun = np.ones(len(space), dtype=bool)
        begun[rows] = False
        seed = int(random.integers(2**31))
        return [(row, How.OPTUNA) for row in asked(space, standing.scores, begun, standing.ended, count, seed)]
    if forecast is None:
        return [(row, How.FIRST) for row in covering(space, rows, count, random)]
    return promising(forecast, rows, count, random, second)


def promising(
    forecast: Forecast,
    rows: NDArray[np.intp],
    count: int,
    random: np.random.Generator,
    second: NDArray[np.float64] | None = None,
) -> list[tuple[int, How]]:
    """Choose what the forest expects most of, and what one of its trees does, in turns.

    A tree learnt from its own random splits: to believe one at a time is to sample from what may be so (Thompson,
    *Biometrika* 25, 1933), and tries what the mean alone would never reach. With a second objective each
    choice weighs the two otherwise, at random.
    """
    if second is not None and np.isfinite(second).all():
        return _on_the_front(forecast, rows, count, random, second)
    chosen: dict[int, How] = {}
    taken = np.zeros(len(rows), dtype=bool)
    by_mean = iter(np.argsort(-forecast.mean[rows], kind="stable"))
    while len(chosen) < min(count, len(rows)):
        how = How.SAMPLED if len(chosen) % 2 else How.FORECAST
        if how is How.FORECAST:
            place = next(place for place in by_mean if not taken[place])
        else:
            tree = int(random.integers(len(forecast.opinions)))
            opinion = np.where(taken, -np.inf, forecast.opinions[tree][rows])
            # Of equal opinions any: a tree knows only as many values as it has leaves.
            place = random.choice(np.flatnonzero(opinion == opinion.max()))
        taken[place] = True
        chosen[int(rows[place])] = how
    return list(chosen.items())


def _on_the_front(
    forecast: Forecast,
    rows: NDArray[np.intp],
    count: int,
    random: np.random.Generator,
    second: NDArray[np.float64],
) -> list[tuple[int, How]]:
    """Choose as `promising` does, each time by other weights of the two objectives."""
    chosen: dict[int, How] = {}
    taken = np.zeros(len(rows), dtype=bool)
    ranks = {-1: ranked(forecast.mean[rows])}
    second_ranks = ranked(second[rows])
    while len(chosen) < min(count, len(rows)):
        how = How.SAMPLED if len(chosen) % 2 else How.FORECAST
        tree = int(random.integers(len(forecast.opinions))) if how is How.SAMPLED else -1
        if tree not in ranks:
            ranks[tree] = ranked(forecast.opinions[tree][rows])
        value = np.where(taken, -np.inf, weighted(ranks[tree], second_ranks, random.random()))
        place = random.choice(np.flatnonzero(value == value.max()))
        taken[place] = True
        chosen[int(rows[place])] = how
    return list(chosen.items())
