"""What Optuna proposes, by its ask and tell (pure): its study is in memory, and made anew from the standing.

Tree-structured Parzen estimators (Bergstra et al., NeurIPS 2011; Watanabe, arXiv 2304.11127), multivariate.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.race.space import Space


def distributions(space: Space) -> dict[str, Any]:
    """Return Optuna's distributions of the parameters' places: integers where the values are numbers."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    axes: dict[str, Any] = {}
    for index, (own, numeric) in enumerate(zip(space.codes.T, space.numeric, strict=True)):
        most = int(own.max())
        axes[str(index)] = IntDistribution(0, most) if numeric else CategoricalDistribution(range(most + 1))
    return axes


def asked(
    space: Space,
    scores: NDArray[np.float64],
    begun: NDArray[np.bool_],
    ended: NDArray[np.bool_],
    count: int,
    seed: int,
) -> list[int]:
    """Ask Optuna for configurations to begin.

    What it proposes may have been begun, or may not be in the plan: then the nearest that was not begun is taken.

    Parameters
    ----------
    scores : ndarray, (configurations, rungs)
        Higher is better; NaN where there is none. Optuna is told that a configuration without a score at the last
        rung was pruned.
    begun, ended : ndarray of bool
        What has ended without a score has failed: that is no score.
    count : int
        How many.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = distributions(space)
    with warnings.catch_warnings():  # Optuna 4.0 still calls these two experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(
        [_optuna_trial(space.codes[row], scores[row], bool(ended[row]), axes) for row in np.flatnonzero(begun)]
    )
    scale = np.maximum(1, space.codes.max(axis=0))
    numeric = np.array(space.numeric)
    left = np.flatnonzero(~begun)
    chosen: list[int] = []
    while len(chosen) < count and len(left):
        proposal = study.ask(axes)
        codes = np.array([proposal.params[name] for name in axes])
        apart = np.abs(space.codes[left] - codes)
        distance = np.where(numeric, apart / scale, apart > 0).sum(axis=1)
        nearest = int(np.argmin(distance))
        chosen.append(int(left[nearest]))
        left = np.delete(left, nearest)
    return chosen


def _optuna_trial(codes: NDArray[np.intp], own: NDArray[np.float64], ended: bool, axes: dict[str, Any]) -> Any:
    """Return what Optuna is told of a configuration that has begun."""
    import optuna
    from optuna.trial import TrialState

    scores = {rung + 1: float(score) for rung, score in enumerate(own) if np.isfinite(score)}
    if len(own) in scores:
        state = TrialState.COMPLETE
    elif scores:
        state = TrialState.PRUNED
    else:
        state = TrialState.FAIL if ended else TrialState.RUNNING
    return optuna.trial.create_trial(
        state=state,
        params={name: int(code) for name, code in zip(axes, codes, strict=True)},
        distributions=axes,
        value=scores.get(len(own)),
        intermediate_values=scores,
    )
