"""The importance of parameters, on functions whose decomposition is known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from sweep.leaderboard.importance import Importance, importance


def grid(**axes: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def shares(importances: Importance) -> dict[tuple[str, ...], float]:
    return {share.names: share.percent for share in [*importances.single, *importances.pairs]}


def test_an_additive_function_is_shared_out_by_its_variances() -> None:
    """The steps are 3, 2 and 1. So the variances are 9 : 4 : 1, and no pair has a share."""
    params = grid(a=[0, 1], b=["x", "y"], c=[True, False], d=[1, 2, 3])
    params = [config | {"e": n % 2} for n, config in enumerate(params * 4)]
    scores = [3 * config["a"] + 2 * (config["b"] == "x") + config["c"] for config in params]
    importances = importance(params, scores)
    percent = shares(importances)
    assert percent["a",] == pytest.approx(100 * 9 / 14, abs=4)
    assert percent["b",] == pytest.approx(100 * 4 / 14, abs=4)
    assert percent["c",] == pytest.approx(100 * 1 / 14, abs=4)
    assert percent["d",] < 1
    assert all(share < 3 for names, share in percent.items() if len(names) == 2)
    assert [share.names[0] for share in importances.single[:3]] == ["a", "b", "c"]
    assert importances.r2 > 0.95


def test_an_effect_of_two_parameters_together_is_a_pair() -> None:
    """The score is an exclusive or, so neither parameter alone explains anything."""
    params = grid(a=[0, 1], b=[0, 1], c=[0, 1, 2, 3]) * 8
    importances = importance(params, [float(config["a"] != config["b"]) for config in params])
    percent = shares(importances)
    assert percent["a", "b"] == pytest.approx(100, abs=8)
    assert max(percent["a",], percent["b",]) < 5


def test_texts_have_no_order_and_numbers_have_theirs() -> None:
    params: list[dict[str, Any]] = [
        {"rate": rate, "name": name} for rate in (0.0001, 0.01, 0.001) for name in ("b", "a")
    ] * 6
    importances = importance(params, [math.log10(config["rate"]) for config in params])
    assert shares(importances)["rate",] == pytest.approx(100, abs=3)
    lists = [{"widths": [8, n]} for n in range(4)] * 6
    assert shares(importance(lists, [float(config["widths"][1]) for config in lists]))["widths",] > 95


def test_of_noise_alone_no_importance_is_claimed() -> None:
    params = grid(a=[0, 1, 2], b=[0, 1, 2], c=[0, 1, 2])
    importances = importance(params, [*np.random.default_rng(1).normal(0, 1, len(params))])
    assert importances.r2 < 0.05
    assert (importances.single, importances.pairs) == ([], [])
    assert any("what mattered cannot be told" in warning for warning in importances.warnings)


def test_a_weak_effect_brings_a_warning() -> None:
    params = grid(a=[0, 1, 2], b=[0, 1, 2], c=[0, 1, 2])
    noise = np.random.default_rng(1).normal(0, 1, len(params))
    importances = importance(
        params, [2 * config["a"] + 1.5 * each for config, each in zip(params, noise, strict=True)]
    )
    assert 0.05 < importances.r2 < 0.5
    assert importances.single[0].names == ("a",)
    assert any("this order is a guess" in warning for warning in importances.warnings)


@pytest.mark.parametrize(
    ("params", "scores", "expected"),
    [
        ([], [], "0 configurations with a score are too few"),
        ([{"x": n} for n in range(7)], [1.0] * 7, "too few"),
        ([{"x": n} for n in range(9)], [1.0] * 9, "all scores are equal"),
        ([{"x": 1}] * 9, [float(n) for n in range(9)], "no parameter varies"),
        ([{"x": n, "y": 2 * n} for n in range(9)], [float(n) for n in range(9)], "x and y rise together"),
        (
            [{f"p{m}": (n >> m) & 1 for m in range(4)} for n in range(9)],
            [float(n) for n in range(9)],
            "few to tell",
        ),
    ],
)
def test_what_the_grid_cannot_tell(params: list[dict[str, Any]], scores: list[float], expected: str) -> None:
    importances = importance(params, scores)
    assert any(expected in warning for warning in importances.warnings), importances.warnings


def test_one_at_a_time_cannot_tell_pairs() -> None:
    centre = {"a": 0, "b": 0, "c": 0}
    params = [centre, *({**centre, name: n} for name in centre for n in (1, 2, 3))]
    importances = importance(params, [float(sum(config.values())) for config in params])
    assert any("combinations of a and b were not tried" in warning for warning in importances.warnings)


def test_a_missing_score_or_parameter_is_no_obstacle() -> None:
    params: list[dict[str, Any]] = [{"x": n % 3} | ({"y": 1} if n % 2 else {}) for n in range(20)]
    scores = [float(n % 3) if n else math.nan for n in range(20)]
    assert shares(importance(params, scores))["x",] > 90


def test_shares_of_an_unbalanced_grid_are_shares() -> None:
    """One factor at a time, and 90 % with one optimizer: the shares add up to 100 %, not to more."""
    centre = dict.fromkeys("abcdef", 0)
    params = [centre, *({**centre, name: n} for name in centre for n in range(1, 6))]
    importances = importance(params, [float(sum(config.values())) for config in params])
    assert 70 < sum(share.percent for share in importances.single) <= 105
    rare: list[dict[str, Any]] = [{"opt": "sgd" if n % 10 == 0 else "adam", "x": n % 3} for n in range(200)]
    percent = shares(importance(rare, [float(config["opt"] == "adam") + config["x"] for config in rare]))
    # Variances 0.09 and 2/3.
    assert percent["opt",] == pytest.approx(100 * 0.09 / (0.09 + 2 / 3), abs=4)
