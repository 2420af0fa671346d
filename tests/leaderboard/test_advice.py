"""What to do next: answers known by hand."""

from __future__ import annotations

import inspect
import itertools
import random
from typing import Any

import pytest

from sweep.cli.decide import confirm
from sweep.leaderboard import advice as module
from sweep.leaderboard.advice import Advice, advise, suggested, unimportant
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.importance import Importance, Share
from sweep.leaderboard.ranking import rank
from sweep.model import Cause, Objective, Resources, State, Trial, Verdict

UP, DOWN = Objective("score"), Objective("score", "minimize")


def ran(
    number: int, score: float | None, /, *, replicate: int = 0, elapsed_s: float | None = 3600.0, **params: Any
) -> Entry:
    """Make an entry; without a score it ran out of memory."""
    trial = Trial(number, f"{number:016x}", params, replicate, replicate, Resources(60, 100, 2), ("p",))
    if score is None:
        return Entry(trial, Verdict(State.FAILED, "", elapsed_s, cause=Cause.OUT_OF_MEMORY))
    return Entry(trial, Verdict(State.DONE, "", elapsed_s), {"score": score})


def advice(entries: list[Entry], objective: Objective = UP, **more: Any) -> Advice:
    return advise(rank(entries, objective), **more)


def grid(score: Any, *, replicates: int = 1, **axes: list[Any]) -> list[Entry]:
    """Make a whole grid; `score` is called with the parameters, and the replicate as ``r``."""
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    runs = [(params, replicate) for params in combinations for replicate in range(replicates)]
    return [ran(n, score(**params, r=r), replicate=r, **params) for n, (params, r) in enumerate(runs)]


# --- the ends of the axes


def test_the_grid_goes_on_where_the_best_has_the_last_value() -> None:
    entries = grid(
        lambda lr, w, m, r: lr + w / 100 - (m - 2) ** 2, lr=[0.001, 0.01, 0.1], w=[16, 32, 64], m=[1, 2, 3]
    )
    edges = {edge.parameter: (edge.value, edge.values) for edge in advice(entries).edges}
    assert edges == {"lr": (0.1, (1.0, 10.0)), "w": (64, (128, 256))}
    random.shuffle(entries)
    assert {edge.parameter for edge in advice(entries).edges} == {"lr", "w"}
    lower = {edge.parameter: edge.values for edge in advice(entries, DOWN).edges}
    assert lower["lr"] == (0.0001, 0.00001)
    assert lower["w"] == (8, 4)


@pytest.mark.parametrize(
    ("outwards", "values"),
    [
        ([1, 2, 3], [4, 5]),
        ([4096, 8192], [12288, 16384]),
        ([1024, 2048, 4096], [8192, 16384]),
        ([1, 3, 10, 30], [90, 270]),
        ([0.1, 0.2, 0.3], [0.4, 0.5]),
        ([0.1, 0.3, 0.5, 0.7], [0.9]),  # a share
        ([0.9, 0.99], []),
        ([3, 2, 1], []),
        ([1e-3, 1e-5], [1e-7, 1e-9]),
        ([1, 0], []),
        ([-1, 0, 1], [2, 3]),
        ([-3, -2, -1], []),
        ([-1, -2, -3], [-4, -5]),
        ([1e200, 1e300], []),
        ([1, 2], [3, 4]),
        ([10.0, 20.0], [30.0, 40.0]),
        ([2.5, 25.0], [250.0, 2500.0]),
        ([1000.5, 1001.5, 1002.5], [1003.5, 1004.5]),
        ([12345.0, 12346.0], [12347.0, 12348.0]),
        ([0.997, 0.998, 0.999], [1.0]),
        ([2019.0, 2020.0, 2021.0], [2022.0, 2023.0]),
        ([-1000.25, -1000.5], [-1000.75, -1001.0]),
    ],
)
def test_the_values_go_on_as_they_were(outwards: list[float], values: list[float]) -> None:
    assert [*suggested(outwards)] == pytest.approx(values)
    assert all(isinstance(value, int) for value in suggested(outwards)) or not all(
        isinstance(value, int) for value in outwards
    )


def test_a_value_within_a_category_and_a_single_one_are_no_end() -> None:
    def score(**params: Any) -> float:
        return float(-abs(params["x"] - 2))

    assert not advice(grid(score, x=[1, 2, 3], name=["b", "a"], one=[4], flag=[False, True])).edges
    better_with_b = grid(
        lambda name, flag, one, r: (name == "b") + flag, name=["a", "b"], flag=[False, True], one=[4]
    )
    assert not advice(better_with_b).edges
    mixed = [ran(0, 0.1, x=1), ran(1, 0.2, x="auto"), ran(2, 0.9, x=3)]
    assert not advice(mixed).edges


def test_a_value_that_was_tried_and_failed_or_was_dropped_is_the_end() -> None:
    entries = grid(lambda w, r: w / 100, w=[16, 32])
    assert advice(entries).edges[0].values == (48, 64)
    assert not advice([*entries, ran(9, None, w=64)]).edges
    assert not advice(entries, tried=[{"w": 64}]).edges


def test_an_effect_that_is_not_told_suggests_nothing() -> None:
    # One lucky configuration at the end: with other values of b, w makes it worse.
    lucky = {(64, 0): 0.9}
    entries = grid(lambda w, b, r: lucky.get((w, b), 0.5 - w / 1000), w=[16, 32, 64], b=[0, 1, 2])
    assert rank(entries, UP).best.parameters == {"w": 64, "b": 0}  # type: ignore[union-attr]
    assert not [edge for edge in advice(entries).edges if edge.parameter == "w"]
    two = grid(lambda w, b, r: lucky.get((w, b), 0.5 - w / 1000), w=[16, 32, 64], b=[0, 1])
    assert not [edge for edge in advice(two).edges if edge.parameter == "w"]


def test_a_neighbour_that_is_tied_suggests_nothing() -> None:
    noise = {(32, 0): 0.1, (32, 1): -0.1, (64, 0): -0.1, (64, 1): 0.12}
    entries = grid(lambda w, r: noise.get((w, r), -0.5), w=[16, 32, 64], replicates=2)
    assert rank(entries, UP).best.parameters == {"w": 64}  # type: ignore[union-attr]
    assert not advice(entries).edges


def test_two_pairs_that_agree_by_chance_suggest_nothing() -> None:
    """The neighbour of the best is tied with it: that both pairs go up says nothing."""
    noise = {(32, 0, 0): 0.1, (32, 0, 1): -0.1, (64, 0, 0): -0.1, (64, 0, 1): 0.12, (64, 1, 0): 0.01}
    entries = grid(
        lambda w, b, r: noise.get((w, b, r), -0.5 * (w < 32 or b)), w=[16, 32, 64], b=[0, 1], replicates=2
    )
    assert rank(entries, UP).best.parameters == {"w": 64, "b": 0}  # type: ignore[union-attr]
    assert not [edge for edge in advice(entries).edges if edge.parameter == "w"]


def test_three_pairs_that_agree_say_so_however_much_they_differ_in_size() -> None:
    entries = grid(lambda lr, w, r: 1 / (lr * w), lr=[0.1, 1.0, 10.0], w=[2, 4, 8])
    edges = {edge.parameter: edge.values for edge in advice(entries, DOWN).edges}
    assert edges == {"lr": (100.0, 1000.0), "w": (16, 32)}


def test_axes_that_vary_together_cannot_be_told_apart() -> None:
    together = [ran(n, n / 10, a=n, b=10 * n) for n in (1, 2, 3)]
    assert not advice(together).edges


def test_no_axis_and_no_score() -> None:
    assert advice([ran(0, 0.5)]) == advice([ran(0, 0.5, x=1)]) == advice([]) == Advice()
    assert advice([ran(0, None, x=1), ran(1, None, x=1)]) == Advice()


# --- what is cheaper, and what confirming costs


def test_the_cheapest_that_is_tied() -> None:
    def entries(elapsed_s: float | None) -> list[Entry]:
        runs = []
        for number, (x, score, time_s) in enumerate(
            [("a", 0.9, 3600.0), ("b", 0.899, elapsed_s), ("c", 0.1, 1.0)]
        ):
            for r in range(3):
                noise = [-0.01, 0.0, 0.01][(r + number) % 3]
                runs.append(ran(3 * number + r, score + noise, replicate=r, elapsed_s=time_s, x=x))
        return runs

    cheaper = advice(entries(1800.0)).cheaper
    assert cheaper is not None
    assert (cheaper.trial, cheaper.parameters, cheaper.core_h, cheaper.best_core_h) == (3, {"x": "b"}, 1.0, 2.0)
    assert cheaper.score == pytest.approx(0.899)
    assert advice(entries(3590.0)).cheaper is None
    assert advice(entries(None)).cheaper is None


def test_equal_scores_are_tied_and_the_cheaper_one_is_named() -> None:
    cheaper = advice([ran(0, 0.9, x=1), ran(1, 0.9, elapsed_s=60.0, x=2)]).cheaper
    assert cheaper is not None
    assert cheaper.trial == 1
    assert cheaper.core_h == pytest.approx(2 / 60)
    one_run_each = [ran(0, 0.9, x=1), ran(1, 0.89, elapsed_s=60.0, x=2)]
    assert advice(one_run_each).cheaper is None  # nothing says that they are tied


def test_what_it_takes_to_confirm() -> None:
    entries = [ran(n, n / 10, elapsed_s=3600.0 * (n + 1), x=str(n)) for n in range(7)]
    confirmation = advice(entries).confirmation
    assert confirmation is not None
    # The five best took 3 to 7 hours on two cores each.
    assert (confirmation.top, confirmation.replicates, confirmation.runs) == (5, 5, 25)
    assert confirmation.core_h == pytest.approx(5 * 2 * (3 + 4 + 5 + 6 + 7))
    assert advice(entries[:2]).confirmation.runs == 10  # type: ignore[union-attr]
    assert advice(entries[:1]).confirmation is None
    confirmed = [Entry(each.trial, each.verdict, each.result, confirms=True) for each in entries]
    assert advice(confirmed).confirmation is None
    assert advice([ran(n, n / 10, elapsed_s=None, x=n) for n in range(3)]).confirmation is None


def test_the_numbers_are_those_of_the_command() -> None:
    defaults = {name: each.default for name, each in inspect.signature(confirm).parameters.items()}
    assert (defaults["top"], defaults["replicates"]) == (module.CONFIRM_TOP, module.CONFIRM_RUNS)


# --- what failed always, and what did not matter


def test_a_value_that_failed_always() -> None:
    entries = grid(lambda w, b, r: None if w == 64 else 0.5 + b, w=[16, 32, 64], b=[0, 1])
    (failing,) = advice(entries).failing
    assert (failing.parameter, failing.value, failing.trials) == ("w", 64, 2)
    assert failing.causes == {"out of memory": 2}
    once = grid(lambda w, r: None if w == 64 else 0.5, w=[16, 32, 64])
    assert not advice(once).failing
    assert not advice([ran(n, None, w=n // 2) for n in range(6)]).failing  # all of them
    waiting = Entry(ran(9, None, w=64, b=2).trial, Verdict(State.QUEUED, ""))
    assert not advice([*entries, waiting]).failing


def test_few_are_told() -> None:
    entries = grid(lambda a, b, r: None if a else 0.5, a=[*range(9)], b=[0, 1])
    assert len(advice(entries).failing) == module.MAX_FAILING
    many = grid(lambda a, b, c, d, r: a + b + c + d, a=[1, 2], b=[1, 2], c=[1, 2], d=[1, 2])
    assert len(advice(many).edges) == module.MAX_EDGES


def test_what_did_not_matter_where_that_can_be_claimed() -> None:
    shares = [Share(("a",), 80.0, 2.0), Share(("b",), 0.2, 0.1), Share(("c",), 0.3, 0.1), Share(("d",), 0.5, 0.5)]
    pairs = [Share(("a", "c"), 5.0, 1.0), Share(("a", "b"), 0.1, 0.1)]
    assert unimportant(Importance(shares, pairs, 0.9, [])) == ("b",)
    assert unimportant(Importance(shares, pairs, 0.2, ["a guess"])) == ()
    assert unimportant(Importance(warnings=["too few"])) == unimportant(Importance()) == ()
