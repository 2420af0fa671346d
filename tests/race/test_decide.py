"""The decisions of a race: within the budget, the same for the same evidence, and better than chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sweep.race import costs, forecast
from sweep.race.audit import audit_order
from sweep.race.decide import decide
from sweep.race.replay import Table, race
from sweep.race.space import covering, encode
from sweep.race.standing import How, Over, Standing
from sweep.state.settings import ConfirmStage, RaceRules

AXES = {
    "a": [*range(8)],
    "b": [0.1, 0.01, 0.001, 1.0],
    "kind": ["x", "y", "z"],
    "c": [True, False],
    "d": [*range(5)],
}
CONFIGURATIONS = [dict(zip(AXES, values, strict=True)) for values in itertools.product(*AXES.values())]
RUNGS = (1, 3, 9)
CONFIRM = (ConfirmStage(6, 2),)


def table(*, noise: float = 0.01, rungs: tuple[int, ...] = RUNGS) -> Table:
    """Make a table with one best region, interactions, unequal costs, and some configurations that fail."""
    random = np.random.default_rng(0)
    truth = np.array(
        [
            1 - 0.02 * (each["a"] - 5) ** 2 - 0.1 * abs(np.log10(float(each["b"])) + 2)
            - 0.1 * (each["kind"] != "y") - 0.05 * (each["kind"] == "x") * each["d"] + 0.03 * each["c"] * each["d"]
            for each in CONFIGURATIONS
        ]
    )  # fmt: skip
    length = np.array(rungs, float)
    curves = truth[:, None, None] * (length / (length + 1)) + random.normal(0, noise, (len(truth), 3, len(rungs)))
    curves[::17] = np.nan
    cost = np.array([1.0 + each["a"] + 3 * each["d"] for each in CONFIGURATIONS])
    return Table(CONFIGURATIONS, curves, cost)


def test_the_same_evidence_gives_the_same_decision() -> None:
    space, standing = encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3)
    random = np.random.default_rng(1)
    standing.scores[:60, 0] = random.random(60)
    standing.reached[:60] = standing.target[:60] = 1
    standing.core_s[:60] = 1.0
    rules = RaceRules(share=0.3, rungs=RUNGS, confirm=CONFIRM)
    decision, on_two_cores = (decide(space, standing, rules, 5, 2, jobs) for jobs in (1, 2))
    assert decision == on_two_cores
    assert decision != decide(space, standing, rules, 5, 3)
    assert decision != decide(space, standing, rules, 6, 2)


def test_the_first_wave_has_every_value_of_every_parameter() -> None:
    space = encode(CONFIGURATIONS)
    chosen = covering(space, np.arange(len(space)), 40, np.random.default_rng(0))
    assert len({*chosen}) == 40
    for axis, values in zip(space.codes.T, AXES.values(), strict=True):
        counts = np.bincount(axis[chosen], minlength=len(values))
        assert counts.min() >= 0.6 * 40 / len(values)


def test_the_best_share_of_a_rung_goes_on_and_nothing_that_runs_or_ended_does() -> None:
    count = len(CONFIGURATIONS)
    standing = Standing.blank(count, 3)
    standing.scores[:30, 0] = np.arange(30)
    standing.reached[:30] = standing.target[:30] = 1
    standing.core_s[:30] = 1.0
    standing.ended[29], standing.target[29] = True, 3  # it failed further on
    standing.target[28] = 2  # it runs
    rules = RaceRules(share=0.9, rungs=RUNGS, propose="random", keep=1 / 3, audit=0.0, confirm=CONFIRM)
    decision = decide(encode(CONFIGURATIONS), standing, rules, 0, 2)
    promoted = [move.configuration for move in decision.moves if move.how is How.PROMOTED]
    assert promoted == [27, 26, 25, 24, 23, 22, 21, 20]
    assert {move.rung for move in decision.moves if move.how is How.PROMOTED} == {1}
    assert decision.cutoffs == {0: 20.0}
    assert all(move.configuration >= 30 for move in decision.moves if move.how is How.RANDOM)


def test_what_the_forest_expects_most_of_is_trained_to_the_end() -> None:
    """It takes most of a wave's cost; rungs have the rest."""
    raced, count = table(), len(CONFIGURATIONS)
    standing = Standing.blank(count, 3)
    begun = np.random.default_rng(2).permutation(count)[:200]
    standing.scores[begun, 0] = raced.curves[begun, 0, 0]
    standing.reached[begun] = standing.target[begun] = standing.starts[begun] = 1
    standing.core_s[begun] = raced.core_s[begun] / 9
    rules = RaceRules(share=0.6, rungs=RUNGS, audit=0.0, confirm=CONFIRM)
    decision = decide(encode(CONFIGURATIONS), standing, rules, 5, 3)
    to_the_end = [move for move in decision.moves if move.how is How.FINISH]
    assert {move.rung for move in to_the_end} == {2}
    chosen = [move.configuration for move in to_the_end]
    assert set(chosen) & set(begun.tolist())
    assert set(chosen) - set(begun.tolist())
    assert len({move.configuration for move in decision.moves}) == len(decision.moves)
    assert np.median(raced.truth[chosen]) > np.quantile(raced.truth, 0.9)
    costs = [raced.core_s[each] * (8 / 9 if each in set(begun.tolist()) else 1.0) for each in chosen]
    wave_s = (decision.budget_core_s - decision.reserved_core_s) / 12
    assert 0.5 * wave_s < sum(costs) < wave_s


def test_what_is_audited_was_drawn_without_looking_at_scores() -> None:
    rules = RaceRules(share=0.4, rungs=RUNGS, propose="random", audit=0.3, confirm=CONFIRM)
    decision = decide(encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3), rules, 7, 1)
    audited = [move for move in decision.moves if move.how is How.AUDIT]
    assert [move.configuration for move in audited] == audit_order(len(CONFIGURATIONS), 7)[: len(audited)].tolist()
    assert len(audited) >= 5
    assert {move.rung for move in audited} == {2}  # to the end


@pytest.mark.parametrize("tells", [True, False])
def test_a_rung_that_tells_nothing_of_the_end_drops_nothing(tells: bool) -> None:
    """What chance drew says so: it was run to the end whatever its scores on the rungs."""
    count, random = len(CONFIGURATIONS), np.random.default_rng(3)
    standing = Standing.blank(count, 3)
    drawn = audit_order(count, 7)[:40]
    standing.scores[drawn] = random.random((40, 3))
    standing.scores[drawn, 2] = standing.scores[drawn, 1]
    if tells:
        standing.scores[drawn, 0] = standing.scores[drawn, 2] + random.normal(0, 0.1, 40)
    standing.reached[drawn] = standing.target[drawn] = 3
    standing.ended[drawn] = True
    parked = audit_order(count, 7)[40:46]
    standing.scores[parked, 0] = random.random(6)
    standing.reached[parked] = standing.target[parked] = 1
    standing.core_s[np.concatenate([drawn, parked])] = 1.0
    rules = RaceRules(share=0.9, rungs=RUNGS, audit=0.0, confirm=CONFIRM)
    decision = decide(encode(CONFIGURATIONS), standing, rules, 7, 2)
    assert decision.first_rung == (0 if tells else 1)
    begun = [move for move in decision.moves if move.how in (How.FORECAST, How.SAMPLED)]
    assert begun
    assert {move.rung for move in begun} == {decision.first_rung}


def test_a_race_ends_when_all_has_been_tried() -> None:
    few = Table(CONFIGURATIONS[:20], table().curves[:20], table().core_s[:20])
    outcome = race(few, RaceRules(share=1.0, rungs=RUNGS, keep=0.9, confirm=(ConfirmStage(2, 2),)), 0)
    assert outcome.begun >= 16  # the confirmation took its share
    assert 0.85 * few.core_s.sum() < outcome.core_s < 1.05 * few.core_s.sum()
    assert outcome.winner >= 0


def test_finalists_are_the_farthest_where_too_few_were_trained_to_the_end() -> None:
    count = len(CONFIGURATIONS)
    standing = Standing.blank(count, 3)
    standing.scores[:30, 0] = np.arange(30)
    standing.scores[:4, 1] = [4, 3, 2, 1]
    standing.scores[0, 2] = 0.0
    standing.reached[:30] = 1
    standing.reached[:4] = 2
    standing.reached[0] = 3
    standing.ended[[0, 1]] = True  # trained whole; failed
    standing.target[:] = standing.reached
    standing.core_s[:30] = [9, 3, 3, 3, *[1] * 26]  # 9 for a whole training
    space = encode(CONFIGURATIONS)
    for left_s, finalists in ((12 * 9, (0, 2, 3, 29, 28, 27)), (4 * 9, (0, 2)), (2, (0,)), (-50, (0,))):
        budget_h = (standing.core_s.sum() + left_s + 0.5) / 3600
        rules = RaceRules(core_hours=budget_h, rungs=RUNGS, propose="random", audit=0.0, confirm=CONFIRM)
        decision = decide(space, standing, rules, 0, 2)
        assert decision.over is Over.BUDGET
        assert decision.finalists == finalists


def test_optuna_is_told_every_score_and_proposes_what_is_open() -> None:
    pytest.importorskip("optuna", reason="Optuna is an extra: pip install -e '.[optuna]'")
    raced, count = table(), len(CONFIGURATIONS)
    space, standing = encode(CONFIGURATIONS), Standing.blank(count, 3)
    begun = np.random.default_rng(2).permutation(count)[:90]
    standing.scores[begun, 0] = raced.curves[begun, 0, 0]
    standing.scores[begun[:30]] = raced.curves[begun[:30], 0]
    standing.reached[begun] = standing.target[begun] = 1
    standing.reached[begun[:30]] = standing.target[begun[:30]] = 3
    standing.ended[begun[:30]] = standing.ended[~np.isfinite(standing.scores[:, 0]) & (standing.target > 0)] = True
    standing.core_s[begun] = 1.0
    rules = RaceRules(share=0.9, rungs=RUNGS, propose="optuna", audit=0.0, confirm=CONFIRM)
    decision = decide(space, standing, rules, 5, 2)
    proposed = [move.configuration for move in decision.moves if move.how is How.OPTUNA]
    assert len(set(proposed)) == len(proposed) > 20
    assert not set(proposed) & set(begun.tolist())
    assert np.median(raced.truth[proposed]) > np.quantile(raced.truth, 0.65)  # chance: 0.5
    assert decide(space, standing, rules, 5, 2) == decision
    first = decide(space, Standing.blank(count, 3), rules, 5, 1)
    assert {move.how for move in first.moves} == {How.FIRST}


def test_what_failed_is_not_taken_for_a_score_of_zero() -> None:
    space = encode(CONFIGURATIONS)
    scores = np.full((len(space), 1), np.nan)
    scores[::2, 0] = -5.0  # worse than zero, and known
    assert forecast.forecast(space, scores, np.random.default_rng(0)) is not None
    expected = forecast.forecast(space, scores, np.random.default_rng(0))
    assert expected is not None
    assert expected.mean.max() == pytest.approx(-5.0)


@pytest.mark.parametrize("start_s", [0.0, 2.0, 10.0])
def test_costs_are_forecast_from_few(start_s: float) -> None:
    """The dear ones are trained further, and pay for a start at each rung: that must not make the grid dearer."""
    raced = table()
    space, random = raced.space, np.random.default_rng(0)
    known = random.permutation(len(space))[:60]
    trained, core_s = np.full(len(space), np.nan), np.zeros(len(space))
    starts = np.zeros(len(space), dtype=np.intp)
    dear = raced.core_s > np.median(raced.core_s)
    rungs = np.where(dear[known], random.integers(1, 4, 60), 1)
    trained[known], starts[known] = (1 / 9) * 3.0 ** (rungs - 1), rungs
    noise = np.exp(random.normal(0, 0.1, 60))
    core_s[known] = (starts[known] * start_s + raced.core_s[known] * trained[known]) * noise
    core_s[known[::7]] += start_s  # a worker imported its modules first
    expected = costs.forecast(space, trained, starts, core_s, np.ones(len(space)))
    assert expected.whole_s.sum() == pytest.approx((raced.core_s + start_s).sum(), rel=0.15)
    assert expected.start_s == pytest.approx(start_s, rel=0.3, abs=0.1)


def test_where_a_training_is_nearly_all_start_it_is_decided_all_the_same() -> None:
    count = len(CONFIGURATIONS)
    standing = Standing.blank(count, 3)
    standing.scores[:40, 0] = np.random.default_rng(1).random(40)
    standing.scores[:12, 1] = 0.5
    standing.reached[:40] = standing.starts[:40] = 1
    standing.reached[:12] = standing.starts[:12] = 2
    standing.target[:] = standing.reached
    standing.core_s[:40] = [*[20.0] * 6, *[19.5] * 6, *[10.0] * 28]
    for share in (0.1, 0.9):
        assert decide(encode(CONFIGURATIONS), standing, RaceRules(share=share, rungs=RUNGS, confirm=CONFIRM), 0, 2)


def test_where_nothing_is_known_what_is_asked_for_is_the_cost() -> None:
    space = encode(CONFIGURATIONS)
    nothing = np.full(len(space), np.nan)
    asked = np.full(len(space), 7.0)
    expected = costs.forecast(space, nothing, np.zeros(len(space), dtype=np.intp), np.zeros(len(space)), asked)
    assert set(expected.whole_s) == {7.0}
    assert expected.start_s == 0.0


@pytest.mark.parametrize(("most", "moves"), [(1, 1), (2, 2), (4, 4)])
def test_what_is_audited_keeps_to_the_wave_and_to_the_budget(most: int, moves: int) -> None:
    space, standing = encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3)
    rules = RaceRules(share=0.4, rungs=RUNGS, propose="random", audit=0.5, wave=most, confirm=CONFIRM)
    assert len(decide(space, standing, rules, 7, 1).moves) == moves
    # All is spent: nothing more is begun, whoever is next.
    standing.reached[:40] = standing.target[:40] = 1
    standing.scores[:40, 0] = np.arange(40)
    standing.core_s[:40] = 1.0
    spent = RaceRules(core_hours=60 / 3600, rungs=RUNGS, propose="random", audit=0.5, confirm=CONFIRM)
    decision = decide(space, standing, spent, 7, 2)
    assert decision.moves == ()
    assert decision.over is Over.BUDGET


def test_what_chance_drew_stays_the_beginning_of_its_order() -> None:
    """Where the next one is too dear for what is left, no cheaper one behind it is taken instead."""
    count = len(CONFIGURATIONS)
    standing, order = Standing.blank(count, 1), audit_order(len(CONFIGURATIONS), 7)
    standing.asked_core_s[order[2]] = 10_000.0
    rules = RaceRules(share=0.1, rungs=(9,), propose="random", audit=0.9, confirm=CONFIRM)
    decision = decide(encode(CONFIGURATIONS), standing, rules, 7, 1)
    audited = [move.configuration for move in decision.moves if move.how is How.AUDIT]
    assert audited == order[:2].tolist()


def test_what_was_spent_on_others_is_spent() -> None:
    space, standing = encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3)
    standing.reached[:20] = standing.target[:20] = 1
    standing.scores[:20, 0] = np.arange(20)
    standing.core_s[:20] = 1.0
    rules = RaceRules(core_hours=400 / 3600, rungs=RUNGS, propose="random", confirm=CONFIRM)
    assert decide(space, standing, rules, 0, 2).moves
    standing.others_core_s = 380.0  # on configurations that the grid no longer has
    decision = decide(space, standing, rules, 0, 2)
    assert (decision.moves, decision.over, decision.spent_core_s) == ((), Over.BUDGET, 400.0)


def test_while_what_is_left_of_the_budget_runs_it_is_neither_over_nor_a_wave() -> None:
    space, standing = encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3)
    standing.reached[:20] = standing.target[:20] = 1
    standing.target[3] = 3
    standing.core_s[:20] = 1.0
    rules = RaceRules(core_hours=20 / 3600, rungs=RUNGS, propose="random", confirm=CONFIRM)
    decision = decide(space, standing, rules, 0, 2)
    assert (decision.moves, decision.over, int(standing.busy.sum())) == ((), None, 1)
