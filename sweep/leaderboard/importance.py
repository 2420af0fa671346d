"""What mattered: the share of the score's variance that each parameter, and each pair, accounts for (pure).

A random forest (scikit-learn) learns the score from the parameters; the functional ANOVA of each of its trees
says how much of what it learnt is due to one parameter alone, and how much to two together beyond that (Hutter,
Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML 2014). The trees
differ as they saw different samples of the configurations: their spread is the uncertainty.
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

#: Fewer configurations than this say nothing about what matters.
FEWEST = 8

#: A forest that explains less of configurations it has not seen (R²) is not to be relied on.
GOOD_R2 = 0.5

#: Parameters whose order agrees so far (correlation of ranks) are one.
TOGETHER = 0.98

#: Pairs are looked for among so many parameters, the most important; values and rows beyond these are sampled.
PAIRED, MOST_VALUES, MOST_ROWS = 6, 12, 256

#: The forest learns from at most so many configurations, drawn at random.
MOST_LEARNT = 10_000


@dataclass(frozen=True)
class Share:
    """A share of the score's variance, in %, and how much the trees differ (a standard deviation)."""

    names: tuple[str, ...]
    percent: float
    sd: float


@dataclass(frozen=True)
class Importance:
    """What mattered.

    Attributes
    ----------
    single, pairs : list of Share
        The most important first; a pair's share is what it adds to those of its two.
    r2 : float
        How much of the scores of configurations that it did not see the forest explains (out of bag); NaN if there
        is no forest.
    warnings : list of str
        What this grid cannot tell.
    """

    single: list[Share] = field(default_factory=list)
    pairs: list[Share] = field(default_factory=list)
    r2: float = float("nan")
    warnings: list[str] = field(default_factory=list)


def importance(params: Sequence[dict[str, Any]], scores: Sequence[float]) -> Importance:
    """Work out what mattered.

    Parameters
    ----------
    params : sequence of dict
        The configurations that have a score.
    scores : sequence of float
        Their scores.
    """
    kept = [(one, score) for one, score in zip(params, scores, strict=True) if np.isfinite(score)]
    columns = {
        name: _coded([one.get(name) for one, _ in kept]) for name in dict.fromkeys(n for p, _ in kept for n in p)
    }
    columns = {name: values for name, values in columns.items() if len(np.unique(values)) > 1}
    y = np.array([score for _, score in kept])
    if len(kept) < FEWEST:
        return Importance(warnings=[f"{len(kept)} configurations with a score are too few to say what mattered"])
    if not columns or np.ptp(y) == 0:
        what = "all scores are equal" if columns else "no parameter varies"
        return Importance(warnings=[f"{what}: there is nothing to explain"])
    names, x = [*columns], np.column_stack([*columns.values()])
    forest = _forest(x, y)
    r2 = float(forest.oob_score_)
    single, pairs = _decomposed(forest, x, names)
    return Importance(single, pairs, r2, [*_warnings(x, names, r2, len(kept))])


def _coded(values: Sequence[Any]) -> Floats:
    """Code a parameter for the trees: numbers by their order, all else by the order of first appearance."""
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric:
        order = {value: float(place) for place, value in enumerate(sorted({*values}))}
        return np.array([order[value] for value in values])
    texts = [json.dumps(value, sort_keys=True) for value in values]
    places = {text: float(place) for place, text in enumerate(dict.fromkeys(texts))}
    return np.array([places[text] for text in texts])


def _forest(x: Floats, y: Floats) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    if len(y) > MOST_LEARNT:
        drawn = np.random.default_rng(0).choice(len(y), MOST_LEARNT, replace=False)
        x, y = x[drawn], y[drawn]
    made = RandomForestRegressor(TREES, min_samples_leaf=2, oob_score=True, random_state=0)
    return made.fit(x, y)


def _decomposed(forest: Any, x: Floats, names: Sequence[str]) -> tuple[list[Share], list[Share]]:
    """Decompose each tree's function over the parameters' own distributions, as if they were independent.

    Without that, effects of a grid that has not tried all combinations overlap, and their shares add up to more
    than all.
    """
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.choice(column, MOST_ROWS) for column in x.T]).astype(np.float32)
    many = np.column_stack([rng.choice(column, 16 * MOST_ROWS) for column in x.T]).astype(np.float32)
    total = _trees(forest, many).var(axis=1)
    safe = np.where(total > 0, total, np.inf)  # a tree that learnt nothing has nothing to share out
    levels = [_levels(column, rng) for column in x.T]
    single = []
    for place, name in enumerate(names):
        values, weights = levels[place]
        alone = _marginal(forest, rows, [place], [values])
        single.append(_share((name,), _variance(alone, weights) / safe))
    chosen = sorted(range(len(names)), key=lambda place: -single[place].percent)[:PAIRED]
    pairs = []
    for a, b in itertools.combinations(sorted(chosen), 2):
        (ours, our_weights), (theirs, their_weights) = levels[a], levels[b]
        both = _marginal(forest, rows, [a, b], [ours, theirs]).reshape(-1, len(ours), len(theirs))
        down, across = both @ their_weights, np.einsum("tij,i->tj", both, our_weights)
        beyond = both - down[:, :, None] - across[:, None, :] + (down @ our_weights)[:, None, None]
        weights = np.outer(our_weights, their_weights)
        pairs.append(
            _share((names[a], names[b]), _variance(beyond.reshape(len(both), -1), weights.ravel()) / safe)
        )
    return sorted(single, key=_by_percent), sorted(pairs, key=_by_percent)


def _variance(values: Floats, weights: Floats) -> Floats:
    """Return the weighted variance of each row."""
    mean = values @ weights
    return np.asarray(((values - mean[:, None]) ** 2) @ weights)


def _by_percent(share: Share) -> float:
    return -share.percent


def _levels(column: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return a parameter's values, some of them where there are many, and how often each occurs."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) > MOST_VALUES:
        some = np.sort(rng.choice(len(values), MOST_VALUES, replace=False))
        values, counts = values[some], counts[some]
    return values, counts / counts.sum()


def _marginal(forest: Any, rows: Floats, places: list[int], values: list[Floats]) -> Floats:
    """Average each tree over the rows, with some parameters set: shape (trees, combinations of values)."""
    combinations = np.array([*itertools.product(*values)], np.float32)
    filled = np.repeat(rows[None], len(combinations), axis=0)
    filled[:, :, places] = combinations[:, None, :]
    flat = _trees(forest, filled.reshape(-1, rows.shape[1]))
    return np.asarray(flat.reshape(len(flat), len(combinations), len(rows)).mean(axis=2))


def _trees(forest: Any, rows: Floats) -> Floats:
    """Ask every tree: shape (trees, rows)."""
    return np.array([tree.tree_.predict(rows)[:, 0] for tree in forest.estimators_])


def _share(names: tuple[str, ...], shares: Floats) -> Share:
    return Share(names, float(100 * shares.mean()), float(100 * shares.std(ddof=1)))


def _warnings(x: Floats, names: Sequence[str], r2: float, count: int) -> list[str]:
    found = []
    if r2 < GOOD_R2:
        found.append(
            f"the forest explains {max(0.0, r2):.0%} of the scores it has not seen: this order is a guess"
        )
    for a, b in itertools.combinations(range(len(names)), 2):
        levels = len(np.unique(x[:, a])), len(np.unique(x[:, b]))
        seen = len(np.unique(x[:, [a, b]], axis=0))
        if max(levels) > count / 2:  # values that hardly recur, as in a random search: only their order can tell
            if abs(np.corrcoef(x[:, a], x[:, b])[0, 1]) > TOGETHER:
                found.append(f"{names[a]} and {names[b]} rise together: which of the two mattered cannot be told")
        elif seen == max(levels):
            found.append(f"{names[a]} and {names[b]} vary together: which of the two mattered cannot be told")
        elif seen < levels[0] * levels[1] / 2:
            found.append(
                f"most combinations of {names[a]} and {names[b]} were not tried: no pair can be told apart"
            )
    if count < 4 * len(names):
        found.append(f"{count} configurations for {len(names)} parameters: few to tell them apart")
    return found
