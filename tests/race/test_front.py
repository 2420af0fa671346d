"""Two objectives: the front is what nothing beats in both, and a race finds more of it than by the first alone."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.race import replay
from sweep.race.decide import decide
from sweep.race.front import by_both, front_first, fronts_of, ranked, weighted
from sweep.race.replay import Table, race
from sweep.race.space import encode
from sweep.race.standing import Standing
from sweep.state.settings import RaceRules
from tests.race.test_decide import CONFIGURATIONS, CONFIRM, RUNGS, table


def beaten(first: np.ndarray, second: np.ndarray, row: int) -> bool:
    as_good = (first >= first[row]) & (second >= second[row])
    return bool((as_good & ((first > first[row]) | (second > second[row]))).any())


def test_fronts_are_what_is_left_when_those_before_are_taken_away() -> None:
    random = np.random.default_rng(0)
    for size in (0, 1, 2, 40, 200):
        first, second = random.integers(0, 12, (2, size)).astype(float)  # with equal ones
        fronts, left = fronts_of(first, second), np.arange(size)
        for front in range(int(fronts.max(initial=-1)) + 1):
            own = [int(left[row]) for row in range(len(left)) if not beaten(first[left], second[left], row)]
            assert own == np.flatnonzero(fronts == front).tolist()
            left = np.setdiff1d(left, own)
        assert len(left) == 0
        order = front_first(first, second)
        assert sorted(order.tolist()) == [*range(size)]
        assert (np.diff(fronts[order]) >= 0).all()


def test_the_first_of_a_front_are_its_ends_and_are_spread_over_it() -> None:
    first = np.arange(101.0)
    order = front_first(first, -(first**2))
    assert set(order[:2].tolist()) == {0, 100}
    gaps = np.diff(np.sort(order[:6]))
    assert gaps.min() > 5


def test_weights_from_one_end_to_the_other_find_all_of_a_front() -> None:
    """Also of one that is not convex, where the best of any weighted sum is one of the ends."""
    angle = np.linspace(0, np.pi / 2, 25)
    first, second = 1 - np.sin(angle), 1 - np.cos(angle)
    first, second = np.append(first, first - 0.01), np.append(second, second - 0.01)
    best = {int(np.argmax(weighted(ranked(first), ranked(second), weight))) for weight in np.linspace(0, 1, 2000)}
    assert best == {*range(25)}


def test_what_nothing_is_known_of_comes_last_and_what_has_no_promise_is_not_there() -> None:
    values = by_both(np.array([5.0, 1.0, np.nan, 2.0]), np.array([np.nan, 9.0, 9.0, 1.0]))
    assert np.isnan(values).tolist() == [False, False, True, False]
    assert values[0] < min(values[1], values[3])


@pytest.mark.parametrize("propose", ["forest", "random", "order"])
def test_whatever_proposes_the_front_is_confirmed(propose: str) -> None:
    count = len(CONFIGURATIONS)
    standing = Standing.blank(count, 1)
    standing.scores[:30, 0], standing.second = np.arange(30), np.full(count, np.nan)
    standing.second[:30] = -(np.arange(30) ** 2.0)  # all are on the front
    standing.reached[:30] = standing.target[:30] = standing.core_s[:30] = standing.starts[:30] = 1
    standing.ended[:30] = True
    rules = RaceRules(core_hours=(30 + 12) / 3600, rungs=(9,), propose=propose, audit=0.0, confirm=CONFIRM)
    finalists = decide(encode(CONFIGURATIONS), standing, rules, 0, 2).finalists
    assert len(finalists) == 6
    assert {0, 29} < {*finalists}
    assert np.ptp(np.sort(finalists)[1:-1]) > 10  # spread over its length
    standing.second = None
    assert min(decide(encode(CONFIGURATIONS), standing, rules, 0, 2).finalists) >= 20


def test_the_front_of_a_rung_goes_on_and_has_no_cutoff() -> None:
    count = len(CONFIGURATIONS)
    standing = Standing.blank(count, 3)
    standing.scores[:30, 0] = np.arange(30)
    standing.reached[:30] = standing.target[:30] = 1
    standing.core_s[:30] = 1.0
    standing.second = np.where(np.arange(count) < 5, 1.0, 0.0)  # the five that score worst are the best in it
    rules = RaceRules(share=0.9, rungs=RUNGS, propose="random", keep=1 / 3, audit=0.0, confirm=CONFIRM)
    decision = decide(encode(CONFIGURATIONS), standing, rules, 0, 2)
    assert decision.cutoffs == {}
    goes_on = [move.configuration for move in decision.moves if move.rung == 1]
    assert {4, 29} <= {*goes_on[:2]}


def test_a_race_for_two_objectives_finds_more_of_the_front() -> None:
    """What is on the front is compared by the area that the finalists dominate, as a share of the whole front's."""
    raced = table(noise=0.002)
    raced.curves[::17] = 0.0  # nothing fails
    second = -raced.core_s
    both = Table(raced.configurations, raced.curves, raced.core_s, second)
    rules = RaceRules(share=0.1, rungs=RUNGS, confirm=CONFIRM)
    shares: dict[str, list[float]] = {"both": [], "first": [], "chance": []}
    whole = area(raced.truth, second)
    for seed in range(3):
        for name, own in (("both", both), ("first", raced)):
            finalists = [*race(own, rules, seed).finalists]
            shares[name].append(area(raced.truth[finalists], second[finalists]) / whole)
        rows = np.random.default_rng(seed).permutation(len(second))[: int(0.1 * len(second)) - CONFIRM[0].top]
        top = rows[front_first(raced.curves[rows, 0, -1], second[rows])][: CONFIRM[0].top]
        shares["chance"].append(area(raced.truth[top], second[top]) / whole)
    means = {name: float(np.mean(each)) for name, each in shares.items()}
    assert means["both"] > means["chance"]
    assert means["both"] > means["first"] + 0.1


def area(first: np.ndarray, second: np.ndarray) -> float:
    """Return the area that rows dominate, above no score and the highest cost of the table."""
    height = second - (-20.0 - 1.0)
    best, total = 0.0, 0.0
    for row in np.argsort(-first):
        if height[row] > best:
            total += max(0.0, float(first[row])) * (float(height[row]) - best)
            best = float(height[row])
    return total


def test_where_nothing_of_it_is_known_nothing_is_different() -> None:
    raced = table()
    rules = RaceRules(share=0.2, rungs=RUNGS, confirm=CONFIRM)
    unknown = Table(raced.configurations, raced.curves, raced.core_s, np.full(len(raced.core_s), np.nan))
    assert replay.race(raced, rules, 3) == replay.race(unknown, rules, 3)
