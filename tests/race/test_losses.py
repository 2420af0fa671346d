"""How many later winners a rung has dropped: the estimate, how often its limit holds, and what follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.race.decide import decide
from sweep.race.losses import _fewest, dropped_order, loss, losses
from sweep.race.space import encode
from sweep.race.standing import How, Standing
from sweep.report import racing
from sweep.state.racing import RungLoss
from sweep.state.settings import ConfirmStage, RaceRules
from tests.race.test_decide import CONFIGURATIONS

RULES = RaceRules(rungs=(1, 9), confirm=(ConfirmStage(10, 2),))


def raced(
    seed: int, count: int, drawn: int, correlation: float, rules: RaceRules = RULES
) -> tuple[Standing, np.ndarray]:
    """Return a race that let the best third go on, and some of what it dropped; and all scores of the end."""
    random = np.random.default_rng(seed)
    end = random.normal(size=count)
    standing = Standing.blank(count, 2)
    standing.scores[:, 0] = correlation * end + np.sqrt(1 - correlation**2) * random.normal(size=count)
    standing.reached[:] = standing.target[:] = 1
    kept = np.argsort(-standing.scores[:, 0])[: int(count * rules.keep)]
    spared = dropped_order(standing, 0, rules.keep, seed)[:drawn]
    whole = np.concatenate([kept, spared])
    standing.scores[whole, 1] = end[whole]
    standing.reached[whole] = standing.target[whole] = 2
    standing.ended[whole] = True
    standing.core_s[:] = np.where(standing.ended, 1.0, 1 / 9)
    return standing, end


def truly_lost(standing: Standing, end: np.ndarray, seed: int, drawn: int) -> int:
    spared = dropped_order(standing, 0, RULES.keep, seed)[:drawn]
    kept = np.setdiff1d(np.flatnonzero(standing.ended), spared)
    best = np.sort(end[kept])[::-1][min(10, int(len(kept) * RULES.keep))]
    return int((~standing.ended & (end > best)).sum())


@pytest.mark.parametrize("drawn", [5, 20])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_estimate_is_right_on_average_and_its_limit_in_95_of_100(drawn: int, correlation: float) -> None:
    estimates, limits, true = [], [], []
    for seed in range(600):
        standing, end = raced(seed, 120, drawn, correlation)
        own = loss(standing, RULES, seed, 0)
        assert own is not None
        assert (own.dropped, own.drawn, own.found) == (80, drawn, 10)
        # What is estimated may be negative before it is cut off at 0: that is not so here, where none is known.
        estimates.append(own.winners * (own.dropped / own.drawn - 1))
        assert own.lost == pytest.approx(estimates[-1])
        limits.append(own.at_least)
        true.append(truly_lost(standing, end, seed, drawn))
    error = np.std(np.subtract(estimates, true)) / np.sqrt(len(true))
    assert abs(np.mean(estimates) - np.mean(true)) < 4 * error
    assert np.mean(np.array(limits) <= true) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / len(true))


@pytest.mark.parametrize(("population", "drawn", "winners"), [(210, 5, 1), (210, 5, 2), (30, 30, 7), (8, 3, 3)])
def test_with_one_winner_fewer_so_many_are_drawn_in_at_most_5_of_100(
    population: int, drawn: int, winners: int
) -> None:
    def chance(fewest: int) -> float:
        """Count by hand: hypergeometric."""
        from math import comb

        ways = [comb(fewest, hits) * comb(population - fewest, drawn - hits) for hits in range(winners, drawn + 1)]
        return sum(ways) / comb(population, drawn)

    fewest = _fewest(population, drawn, winners)
    assert chance(fewest) > 0.05
    assert fewest == winners or chance(fewest - 1) <= 0.05
    assert _fewest(population, drawn, 0) == 0


def test_what_the_race_went_on_with_all_the_same_is_not_lost() -> None:
    standing, end = raced(3, 120, 12, 0.3)
    own = loss(standing, RULES, 3, 0)
    assert own is not None
    below = dropped_order(standing, 0, RULES.keep, 3)
    rescued = [row for row in below[12:] if end[row] > 1.0]
    assert rescued
    standing.scores[rescued, 1] = end[rescued]
    standing.ended[rescued] = True
    standing.reached[rescued] = standing.target[rescued] = 2
    later = loss(standing, RULES, 3, 0)
    assert later is not None
    assert later.dropped == own.dropped
    assert later.lost < own.lost


def test_nothing_is_said_where_too_little_was_trained_whole_or_all_is_equal() -> None:
    assert loss(Standing.blank(40, 2), RULES, 0, 0) is None
    standing, _ = raced(0, 120, 0, 0.5)
    assert loss(standing, RULES, 0, 0) is None  # chance drew none
    standing, _ = raced(0, 120, 8, 0.5)
    standing.scores[:, 1] = np.where(standing.ended, 0.5, np.nan)
    assert loss(standing, RULES, 0, 0) is None
    assert losses(standing, RULES, 0, 0) == (0, [])


def test_a_failure_is_drawn_and_wins_nothing() -> None:
    standing, _ = raced(0, 120, 12, 0.0)
    first = dropped_order(standing, 0, RULES.keep, 0)[0]
    standing.scores[first, 1] = np.nan
    own = loss(standing, RULES, 0, 0)
    assert own is not None
    assert own.drawn == 12
    standing.ended[first], standing.reached[first] = False, 1  # it runs: those behind it say nothing yet
    assert loss(standing, RULES, 0, 0) is None


def test_a_rung_that_drops_more_than_it_keeps_is_passed_by() -> None:
    """The best are those that score worst there."""
    count = len(CONFIGURATIONS)
    rules = RaceRules(share=0.9, rungs=(1, 9), propose="random", audit=0.3, confirm=(ConfirmStage(6, 2),))
    for correlation, first in ((-0.9, 1), (0.9, 0)):
        standing, _ = raced(5, count, 30, correlation, rules)
        standing.scores[600:] = np.nan
        standing.reached[600:] = standing.target[600:] = 0
        standing.ended[600:] = False
        standing.core_s[600:] = 0
        decision = decide(encode(CONFIGURATIONS), standing, rules, 5, 2)
        assert decision.first_rung == first
        assert [own.too_many for own in decision.losses] == [first == 1]
        begun = {move.rung for move in decision.moves if move.how is How.RANDOM}
        assert begun == {first}
        spared = [move.configuration for move in decision.moves if move.how is How.SPARED]
        order = dropped_order(standing, 0, rules.keep, 5)
        waits = [row for row in order.tolist() if not standing.ended[row]]
        assert spared == waits[: len(spared)]
        assert bool(spared) == (first == 0)


def test_the_report_says_what_a_rung_has_dropped() -> None:
    line = racing._loss_line(RungLoss(1, dropped=210, drawn=6, winners=3, found=7, lost=102.0, at_least=31))
    assert line.startswith(
        "rung 1 has dropped about 102 (with 95 %, at least 31) that would have come to what the best 7"
    )
    assert "more than it kept: trials begin for the next rung" in line
    assert line.endswith("by 6 of the 210 that scored too low there, drawn at random and trained to the end")
