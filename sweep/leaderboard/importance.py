"""The importance of parameters: the share of the score's variance that each one, and each pair, explains (pure).

A random forest (scikit-learn) learns the score from the parameters. The functional ANOVA of each tree says how
much of what it learnt is due to one parameter alone, and how much to two parameters together beyond that (Hutter,
Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML 2014). The trees
learnt from different samples of the configurations. Their spread is the uncertainty.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

TREES = 64

#: Fewer configurations than this say nothing about importance.
MIN_CONFIGURATIONS = 8

#: A forest with a lower R² on configurations that it has not seen brings a warning, and one with a still lower R²
#: says nothing: the shares would be those of noise.
GOOD_R2, LEAST_R2 = 0.5, 0.05

#: Two parameters with a higher rank correlation than this cannot be told apart.
SAME_ORDER = 0.98

#: Pairs are formed of this many parameters, the most important ones.
PAIRED_PARAMETERS = 6

#: Of a parameter's values, and of the rows that a tree is averaged over, no more than this are taken, at random.
MAX_VALUES, MAX_ROWS = 12, 256

#: The forest learns from no more configurations than this, drawn at random.
MAX_LEARNT = 10_000


@dataclass(frozen=True)
class Share:
    """The share of the score's variance that one parameter, or a pair, explains.

    Attributes
    ----------
    names : tuple of str
        One parameter, or two.
    percent, sd : float
        The mean over the trees and their standard deviation, in % of the variance.
    """

    names: tuple[str, ...]
    percent: float
    sd: float


@dataclass(frozen=True)
class Importance:
    """The importance of all parameters.

    Attributes
    ----------
    single, pairs : list of Share
        The most important first; empty where the forest explains nothing. A pair's share is what it adds to the
        shares of its two parameters.
    r2 : float
        The share of the scores' variance that the forest explains for configurations it has not seen (out of bag);
        NaN without a forest.
    warnings : list of str
        What cannot be told from this grid, and why.
    """

    single: list[Share] = field(default_factory=list)
    pairs: list[Share] = field(default_factory=list)
    r2: float = float("nan")
    warnings: list[str] = field(default_factory=list)


def importance(params: Sequence[dict[str, Any]], scores: Sequence[float]) -> Importance:
    """Estimate the importance of each parameter and each pair.

    Parameters
    ----------
    params : sequence of dict
        The parameters of each configuration.
    scores : sequence of float
        The score of each configuration. A score that is not finite is left out.
    """
    scored = [(config, score) for config, score in zip(params, scores, strict=True) if np.isfinite(score)]
    if len(scored) < MIN_CONFIGURATIONS:
        return Importance(warnings=[f"{len(scored)} configurations with a score are too few to say what mattered"])
    all_names = dict.fromkeys(name for config, _ in scored for name in config)
    coded = {name: _coded([config.get(name) for config, _ in scored]) for name in all_names}
    columns = {name: values for name, values in coded.items() if len(np.unique(values)) > 1}
    y = np.array([score for _, score in scored])
    if not columns or np.ptp(y) == 0:
        reason = "all scores are equal" if columns else "no parameter varies"
        return Importance(warnings=[f"{reason}: there is nothing to explain"])
    names, x = [*columns], np.column_stack([*columns.values()])
    forest = _forest(x, y)
    r2 = float(forest.oob_score_)
    if r2 < LEAST_R2:
        nothing = "the forest explains nothing of the scores it has not seen: what mattered cannot be told"
        return Importance(r2=r2, warnings=[nothing, *_warnings(x, names, GOOD_R2, len(scored))])
    single, pairs = _decomposed(forest, x, names)
    return Importance(single, pairs, r2, [*_warnings(x, names, r2, len(scored))])


def _coded(values: Sequence[Any]) -> Floats:
    """Code a parameter's values for the trees: numbers by their order, others by their first appearance."""
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric:
        order = {value: float(place) for place, value in enumerate(sorted({*values}))}
        return np.array([order[value] for value in values])
    texts = [json.dumps(value, sort_keys=True) for value in values]
    places = {text: float(place) for place, text in enumerate(dict.fromkeys(texts))}
    return np.array([places[text] for text in texts])


def _forest(x: Floats, y: Floats) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    if len(y) > MAX_LEARNT:
        drawn = np.random.default_rng(0).choice(len(y), MAX_LEARNT, replace=False)
        x, y = x[drawn], y[drawn]
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, oob_score=True, random_state=0)
    return forest.fit(x, y)


def _decomposed(forest: Any, x: Floats, names: Sequence[str]) -> tuple[list[Share], list[Share]]:
    """Decompose each tree's function over the parameters' own distributions, as if they were independent.

    Otherwise, in a grid where not all combinations were tried, the effects overlap and the shares add up to more
    than 100 %.
    """
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.choice(column, MAX_ROWS) for column in x.T]).astype(np.float32)
    more_rows = np.column_stack([rng.choice(column, 16 * MAX_ROWS) for column in x.T]).astype(np.float32)
    total = _predictions(forest, more_rows).var(axis=1)
    total = np.where(total > 0, total, np.inf)  # a tree that learnt nothing explains nothing: its shares are 0
    levels = [_levels(column, rng) for column in x.T]
    single = []
    for index, name in enumerate(names):
        values, weights = levels[index]
        alone = _marginal(forest, rows, [index], [values])
        single.append(_share((name,), _variance(alone, weights) / total))
    important = sorted(range(len(names)), key=lambda index: -single[index].percent)[:PAIRED_PARAMETERS]
    pairs = []
    for a, b in itertools.combinations(sorted(important), 2):
        (values_a, weights_a), (values_b, weights_b) = levels[a], levels[b]
        both = _marginal(forest, rows, [a, b], [values_a, values_b]).reshape(-1, len(values_a), len(values_b))
        effect_a, effect_b = both @ weights_b, np.einsum("tij,i->tj", both, weights_a)
        beyond = both - effect_a[:, :, None] - effect_b[:, None, :] + (effect_a @ weights_a)[:, None, None]
        weights = np.outer(weights_a, weights_b)
        pairs.append(
            _share((names[a], names[b]), _variance(beyond.reshape(len(both), -1), weights.ravel()) / total)
        )
    return sorted(single, key=_by_percent), sorted(pairs, key=_by_percent)


def _variance(values: Floats, weights: Floats) -> Floats:
    """Return the weighted variance of each row: shape (trees,)."""
    mean = values @ weights
    return np.asarray(((values - mean[:, None]) ** 2) @ weights)


def _by_percent(share: Share) -> float:
    return -share.percent


def _levels(column: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return a parameter's values, or a sample of many, and the share of the configurations that have each."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) > MAX_VALUES:
        sample = np.sort(rng.choice(len(values), MAX_VALUES, replace=False))
        values, counts = values[sample], counts[sample]
    return values, counts / counts.sum()


def _marginal(forest: Any, rows: Floats, columns: list[int], values: list[Floats]) -> Floats:
    """Average each tree over the rows, with some columns set to values: shape (trees, combinations of values)."""
    combinations = np.array([*itertools.product(*values)], np.float32)
    filled = np.repeat(rows[None], len(combinations), axis=0)
    filled[:, :, columns] = combinations[:, None, :]
    flat = _predictions(forest, filled.reshape(-1, rows.shape[1]))
    return np.asarray(flat.reshape(len(flat), len(combinations), len(rows)).mean(axis=2))


def _predictions(forest: Any, rows: Floats) -> Floats:
    """Return the prediction of every tree: shape (trees, rows)."""
    return np.array([tree.tree_.predict(rows)[:, 0] for tree in forest.estimators_])


def _share(names: tuple[str, ...], shares: Floats) -> Share:
    return Share(names, float(100 * shares.mean()), float(100 * shares.std(ddof=1)))


def _warnings(x: Floats, names: Sequence[str], r2: float, count: int) -> list[str]:
    warnings = []
    if r2 < GOOD_R2:
        warnings.append(
            f"the forest explains {max(0.0, r2):.0%} of the scores it has not seen: this order is a guess"
        )
    for a, b in itertools.combinations(range(len(names)), 2):
        levels = len(np.unique(x[:, a])), len(np.unique(x[:, b]))
        combinations = len(np.unique(x[:, [a, b]], axis=0))
        if max(levels) > count / 2:  # values hardly recur, as in a random search: only their order says something
            if abs(np.corrcoef(x[:, a], x[:, b])[0, 1]) > SAME_ORDER:
                warnings.append(
                    f"{names[a]} and {names[b]} rise together: which of the two mattered cannot be told"
                )
        elif combinations == max(levels):
            warnings.append(f"{names[a]} and {names[b]} vary together: which of the two mattered cannot be told")
        elif combinations < levels[0] * levels[1] / 2:
            warnings.append(
                f"most combinations of {names[a]} and {names[b]} were not tried: no pair can be told apart"
            )
    if count < 4 * len(names):
        warnings.append(f"{count} configurations for {len(names)} parameters: few to tell them apart")
    return warnings
