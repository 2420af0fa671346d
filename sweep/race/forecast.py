"""What forests expect of configurations that were not trained, or not to the end (pure).

Extremely randomized trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006), one forest a rung. The first
knows the parameters alone. Each further one adds what the rung before does not tell, as in the autoregressive
model of Kennedy and O'Hagan (Biometrika 87, 2000): score here = a + b · score one rung before + the forest's part.
So many short trainings inform the forecast of the few long ones, and a trial's own scores count. Each tree is one
opinion: their mean is the forecast, their spread says how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.race.space import Space

Floats = NDArray[np.float64]

#: More trees change no decision that was measured, and take longer.
TREES = 100

#: With fewer scores than this nothing is forecast.
FEWEST = 8


@dataclass(frozen=True)
class Earlier:
    """What earlier sweeps of the same parameters learnt: a row for each of their runs.

    Attributes
    ----------
    features : ndarray of float32, (runs, features)
        As those of the space.
    scores : ndarray, (runs, rungs)
        Higher is better; NaN where there is none.
    sweeps : ndarray of int, (runs,)
        Which sweep a run was of, from 1.
    """

    features: NDArray[np.float32]
    scores: Floats
    sweeps: NDArray[np.intp]


@dataclass(frozen=True)
class Forecast:
    """What is expected of every configuration at the last rung.

    Attributes
    ----------
    mean, spread : ndarray, (configurations,)
        Of the trees' opinions.
    opinions : ndarray of float32, (trees, configurations)
    """

    mean: Floats
    spread: Floats
    opinions: NDArray[np.float32]


def forecast(
    space: Space, scores: Floats, random: np.random.Generator, jobs: int = 1, earlier: Earlier | None = None
) -> Forecast | None:
    """Forecast the score of every configuration at the last rung; None where too little is known.

    What an earlier sweep learnt is to the first rung what each rung is to the next: on other data all scores may
    be higher, or farther apart, and the order still says something.

    Parameters
    ----------
    scores : ndarray, (configurations, rungs)
        Higher is better; NaN where there is none.
    jobs : int
        How many cores may be used.
    earlier : Earlier, optional
        What earlier sweeps learnt.
    """
    count, features, scores = len(space), space.features, _without_tail(scores)
    if earlier is not None:
        features = np.vstack([features, earlier.features])
        own = np.pad(scores, ((0, len(earlier.scores)), (0, 0)), constant_values=np.nan)
        scores = np.hstack([*_rungs_before(earlier, count), own])
    opinions: Floats | None = None
    for own in scores.T:
        known = np.flatnonzero(np.isfinite(own))
        if len(known) < FEWEST:
            if opinions is not None and len(known):
                opinions = opinions + float(np.mean(own[known] - opinions[:, known].mean(axis=0)))
        elif opinions is None:
            opinions = _opinions(features, known, own[known], random, jobs)
        else:
            opinions = _further(features, opinions, known, own[known], random, jobs)
    if opinions is None:
        return None
    opinions = opinions[:, :count]
    return Forecast(opinions.mean(axis=0), opinions.std(axis=0), opinions.astype(np.float32))


def _rungs_before(earlier: Earlier, count: int) -> Iterator[Floats]:
    """Yield the rungs of each earlier sweep, (configurations and runs, rungs): no score is of a configuration."""
    for sweep in np.unique(earlier.sweeps):
        own = np.flatnonzero(earlier.sweeps == sweep)
        scores = np.full((count + len(earlier.scores), earlier.scores.shape[1]), np.nan)
        scores[count + own] = _without_tail(earlier.scores[own])
        yield scores


def expected(space: Space, values: Floats | None, random: np.random.Generator, jobs: int = 1) -> Floats | None:
    """Fill in what is not known of a second objective by what a forest expects, if enough is known for one.

    Parameters
    ----------
    values : ndarray or None, (configurations,)
        Higher is better; NaN where it is not known. None: there is no second objective.

    Returns
    -------
    ndarray or None
        None as well where nothing is known yet.
    """
    if values is None or not np.isfinite(values).any():
        return None
    filled = forecast(space, values[:, None], random, jobs)
    return values if filled is None else np.where(np.isfinite(values), values, filled.mean)


def _further(
    features: NDArray[np.float32],
    before: Floats,
    known: NDArray[np.intp],
    own: Floats,
    random: np.random.Generator,
    jobs: int,
) -> Floats:
    """Return the trees' opinions of a rung: those of the rung before, and what that one does not tell.

    Parameters
    ----------
    before : ndarray, (trees, configurations)
        Of configurations that have a score there, it is that score.
    known : ndarray of int
        The configurations that have a score here.
    own : ndarray
        Their scores.
    """
    earlier = before.mean(axis=0)
    spread = float(np.var(earlier[known]))
    slope = float(np.cov(earlier[known], own, bias=True)[0, 1]) / spread if spread else 1.0
    level = float(own.mean() - slope * earlier[known].mean())
    inputs = np.column_stack([features, earlier]).astype(np.float32)
    parts = _opinions(inputs, known, own - level - slope * earlier[known], random, jobs)
    return level + slope * before + parts


def _opinions(
    inputs: NDArray[np.float32],
    known: NDArray[np.intp],
    values: Floats,
    random: np.random.Generator,
    jobs: int,
) -> Floats:
    """Fit a forest to what is known; return what each tree says of each row, (trees, rows)."""
    from sklearn.ensemble import ExtraTreesRegressor

    seed = int(random.integers(2**31))
    forest = ExtraTreesRegressor(TREES, max_features=0.7, random_state=seed, n_jobs=jobs)
    forest.fit(inputs[known], values)
    return np.stack([tree.tree_.predict(inputs)[:, 0] for tree in forest.estimators_])


def _without_tail(scores: Floats) -> Floats:
    """Raise the worst scores of each rung to its lower quartile: how bad the bad ones are decides nothing."""
    kept = scores.copy()
    for own in kept.T:
        finite = np.isfinite(own)
        if finite.any():
            own[finite] = np.maximum(own[finite], np.quantile(own[finite], 0.25))
    return kept
