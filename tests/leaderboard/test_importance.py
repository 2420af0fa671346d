"""What mattered, on functions whose decomposition is known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from sweep.leaderboard.importance import Importance, importance


def grid(**axes: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def shares(made: Importance) -> dict[tuple[str, ...], float]:
    return {one.names: one.percent for one in [*made.single, *made.pairs]}


def test_an_additive_function_is_shared_out_by_its_variances() -> None:
    """Steps of 3, 2 and 1: variances 9 : 4 : 1, and no pair beyond that."""
    params = grid(a=[0, 1], b=["x", "y"], c=[True, False], d=[1, 2, 3])
    params = [one | {"e": n % 2} for n, one in enumerate(params * 4)]
    scores = [3 * one["a"] + 2 * (one["b"] == "x") + one["c"] for one in params]
    made = importance(params, scores)
    found = shares(made)
    assert found["a",] == pytest.approx(100 * 9 / 14, abs=4)
    assert found["b",] == pytest.approx(100 * 4 / 14, abs=4)
    assert found["c",] == pytest.approx(100 * 1 / 14, abs=4)
    assert found["d",] < 1
    assert all(share < 3 for names, share in found.items() if len(names) == 2)
    assert [one.names[0] for one in made.single[:3]] == ["a", "b", "c"]
    assert made.r2 > 0.95


def test_what_two_do_only_together_is_a_pair() -> None:
    """An exclusive or: neither alone says anything."""
    params = grid(a=[0, 1], b=[0, 1], c=[0, 1, 2, 3]) * 8
    made = importance(params, [float(one["a"] != one["b"]) for one in params])
    found = shares(made)
    assert found["a", "b"] == pytest.approx(100, abs=8)
    assert max(found["a",], found["b",]) < 5


def test_order_of_values_does_not_matter_for_texts_and_numbers_keep_theirs() -> None:
    params: list[dict[str, Any]] = [
        {"rate": rate, "name": name} for rate in (0.0001, 0.01, 0.001) for name in ("b", "a")
    ] * 6
    made = importance(params, [math.log10(one["rate"]) for one in params])
    assert shares(made)["rate",] == pytest.approx(100, abs=3)
    lists = [{"widths": [8, n]} for n in range(4)] * 6
    assert shares(importance(lists, [float(one["widths"][1]) for one in lists]))["widths",] > 95


def test_noise_alone_is_said_to_explain_nothing() -> None:
    params = grid(a=[0, 1, 2], b=[0, 1, 2], c=[0, 1, 2])
    made = importance(params, [*np.random.default_rng(1).normal(0, 1, len(params))])
    assert made.r2 < 0.5
    assert any("this order is a guess" in one for one in made.warnings)


@pytest.mark.parametrize(
    ("params", "scores", "said"),
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
def test_what_the_grid_cannot_tell(params: list[dict[str, Any]], scores: list[float], said: str) -> None:
    made = importance(params, scores)
    assert any(said in one for one in made.warnings), made.warnings


def test_one_at_a_time_cannot_tell_pairs() -> None:
    centre = {"a": 0, "b": 0, "c": 0}
    params = [centre, *({**centre, name: n} for name in centre for n in (1, 2, 3))]
    made = importance(params, [float(sum(one.values())) for one in params])
    assert any("combinations of a and b were not tried" in one for one in made.warnings)


def test_what_has_no_score_or_lacks_a_parameter_is_no_obstacle() -> None:
    params: list[dict[str, Any]] = [{"x": n % 3} | ({"y": 1} if n % 2 else {}) for n in range(20)]
    scores = [float(n % 3) if n else math.nan for n in range(20)]
    assert shares(importance(params, scores))["x",] > 90


def test_shares_of_an_unbalanced_grid_are_shares() -> None:
    """One at a time, and nine tenths with one optimizer: no share, nor all together, is more than all."""
    centre = dict.fromkeys("abcdef", 0)
    params = [centre, *({**centre, name: n} for name in centre for n in range(1, 6))]
    made = importance(params, [float(sum(one.values())) for one in params])
    assert 70 < sum(one.percent for one in made.single) <= 105
    rare: list[dict[str, Any]] = [{"opt": "sgd" if n % 10 == 0 else "adam", "x": n % 3} for n in range(200)]
    found = shares(importance(rare, [float(one["opt"] == "adam") + one["x"] for one in rare]))
    # Variances 0.09 and 2/3.
    assert found["opt",] == pytest.approx(100 * 0.09 / (0.09 + 2 / 3), abs=4)
