"""What trainings of a sweep cost, forecast from what some of them took (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.race.space import Space

Floats = NDArray[np.float64]

#: With fewer costs than this all configurations are taken to cost the same.
FEWEST = 8

#: How much of what short trainings cost a start may take: these shares are tried.
STARTS = np.linspace(0.0, 0.95, 20)


@dataclass(frozen=True)
class Costs:
    """What trainings are expected to cost, in core-seconds.

    Attributes
    ----------
    start_s : float
        Each time that a training begins or goes on: imports, data, compilation.
    training_s : ndarray, (configurations,)
        The whole training, without its start.
    """

    start_s: float
    training_s: Floats

    @property
    def whole_s(self) -> Floats:
        """A whole training, begun once: (configurations,)."""
        return self.start_s + self.training_s


def forecast(
    space: Space, trained: Floats, starts: NDArray[np.intp], core_s: Floats, asked_core_s: Floats
) -> Costs:
    """Forecast what every configuration's training costs, from what was measured of some.

    A training costs the same for each of its starts, and beyond that nearly a product: each value of each
    parameter makes it so many times dearer. A linear model of the logarithm finds the factors, also of
    configurations unlike those that were begun. Of a few costs of a start, the one is taken that agrees best with
    that model; least squares then fit that cost and the level of the other to what was spent in all. Where
    nothing is known, what was asked for is reckoned with.

    Parameters
    ----------
    trained : ndarray, (configurations,)
        How far each was trained, as a share of the whole; NaN: not at all.
    starts : ndarray of int
        How often each began or went on.
    core_s : ndarray
        What it cost.
    asked_core_s : ndarray
        What it may cost, by what it asks for.
    """
    known = np.flatnonzero(np.isfinite(trained) & (core_s > 0))
    if not len(known):
        return Costs(0.0, asked_core_s)
    share, began, spent_s = trained[known], np.maximum(1, starts[known]), core_s[known]
    if len(known) < FEWEST:
        return Costs(0.0, np.full(len(space), float(np.mean(spent_s / share))))
    values = np.hstack([own[:, None] == np.arange(own.max() + 1) for own in space.levels.T]).astype(float)
    inputs = values[known]
    solve = np.linalg.solve(inputs.T @ inputs + np.eye(inputs.shape[1]), inputs.T)
    # Trainings as long as each other say nothing of how much of it was the start.
    can_tell = len(np.unique(np.round(share / began, 6))) > 1
    best, factors = np.inf, np.ones(len(space))
    for start_s in STARTS * float(np.quantile(spent_s / began, 0.1)) if can_tell else (0.0,):
        logarithms = np.log(np.maximum(spent_s - began * start_s, 0.01 * spent_s) / share)
        mean = float(logarithms.mean())
        model = mean + values @ (solve @ (logarithms - mean))
        residual = float(np.square(np.log(spent_s / (began * start_s + share * np.exp(model[known])))).sum())
        if residual < best * (1 - 1e-9):
            best, factors = residual, np.exp(model)
    parts = np.column_stack([began if can_tell else np.zeros(len(known)), share * factors[known]])
    weights = 1 / np.sqrt(spent_s)
    from scipy.optimize import nnls

    start_s, level = nnls(parts * weights[:, None], spent_s * weights)[0]
    training_s = level * factors
    whole = share >= 1
    training_s[known[whole]] = np.maximum(spent_s - began * start_s, 0.0)[whole]
    return Costs(float(start_s), training_s)
