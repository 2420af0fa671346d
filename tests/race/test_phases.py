"""Phases: which configurations each is among, what it may cost, and what a plan makes of them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from sweep.errors import GridError
from sweep.grid import expand, read
from sweep.jobs import racing
from sweep.race.decide import decide
from sweep.race.phases import decide_phase, in_phase
from sweep.race.space import encode
from sweep.race.standing import Standing
from sweep.state.events import Decided, Event
from sweep.state.ledger import add_up
from sweep.state.racing import RaceStep
from sweep.state.settings import ConfirmStage, RaceRules
from tests.race.test_decide import AXES, CONFIGURATIONS, table
from tests.race.test_plans import RULES, changed, planned, wave

PHASES = RaceRules(
    share=0.05,
    rungs=(1, 3, 9),
    audit=0.0,
    confirm=(ConfirmStage(20, 2),),
    phases=(("a", "kind"), ("b",), ("c", "d")),
    first={name: values[0] for name, values in AXES.items()},
)


def test_a_phase_is_among_what_differs_in_its_own_parameters_alone() -> None:
    rows = in_phase(CONFIGURATIONS, PHASES, 0, None)
    chosen = [CONFIGURATIONS[row] for row in rows]
    assert len(chosen) == 8 * 3
    assert {(each["b"], each["c"], each["d"]) for each in chosen} == {(0.1, True, 0)}
    winner = {"a": 5, "b": 0.1, "kind": "y", "c": True, "d": 0}
    second = [CONFIGURATIONS[row] for row in in_phase(CONFIGURATIONS, PHASES, 1, winner)]
    assert winner in second
    assert [each["b"] for each in second] == AXES["b"]
    assert {(each["a"], each["kind"], each["d"]) for each in second} == {(5, "y", 0)}
    third = in_phase(CONFIGURATIONS, PHASES, 2, {**winner, "b": 0.01})
    assert len(third) == 10


def test_one_and_true_are_two_values_and_one_and_one_point_zero_are_not() -> None:
    rules = msgspec.structs.replace(PHASES, phases=(("x",), ("y",)), first={"x": 1, "y": 1})
    assert in_phase([{"x": 2, "y": 1.0}, {"x": 3, "y": True}, {"x": 3, "y": 2}], rules, 0, None).tolist() == [0]


def test_phases_have_equal_parts_of_the_budget_and_what_is_left_before() -> None:
    space, standing = encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3)
    winner = {"a": 5, "b": 0.1, "kind": "y", "c": True, "d": 0}
    rows = [in_phase(CONFIGURATIONS, PHASES, phase, winner if phase else None) for phase in range(3)]
    whole_s = float(len(CONFIGURATIONS))
    total_s = 0.05 * whole_s
    before = (None, total_s / 3, total_s / 2)
    waves = [
        decide_phase(rows[phase], phase, space, standing, PHASES, 3, 1, spent_before_s=before[phase])
        for phase in range(3)
    ]
    assert [each.grid_core_s for each in waves] == [pytest.approx(whole_s)] * 3
    assert [each.budget_core_s for each in waves] == pytest.approx([total_s / 3, total_s * 2 / 3, total_s])
    for own, each in zip(rows, waves, strict=True):
        assert {move.configuration for move in each.moves} <= set(own.tolist())
        assert each.moves
    assert waves[1].reserved_core_s == pytest.approx(4 * 2)  # no more are confirmed than there are
    in_hours = msgspec.structs.replace(PHASES, share=0.0, core_hours=1.5)
    assert decide_phase(rows[1], 1, space, standing, in_hours, 3, 1).budget_core_s == pytest.approx(2700)
    standing.others_core_s = 1800.0  # as it begins, what is left is for two
    assert decide_phase(rows[1], 1, space, standing, in_hours, 3, 1).budget_core_s == pytest.approx(3600)
    standing.others_core_s = 2000.0  # and the same at its later waves
    later = decide_phase(rows[1], 1, space, standing, in_hours, 3, 1, spent_before_s=1800.0)
    assert later.budget_core_s == pytest.approx(3600)


def test_what_was_spent_on_other_phases_is_spent() -> None:
    space, standing = encode(CONFIGURATIONS), Standing.blank(len(CONFIGURATIONS), 3)
    first = in_phase(CONFIGURATIONS, PHASES, 0, None)
    standing.core_s[first] = 2.0
    second = in_phase(CONFIGURATIONS, PHASES, 1, CONFIGURATIONS[first[3]])
    own = standing.of(second)
    assert own.others_core_s == pytest.approx(2.0 * len(first) - float(own.core_s.sum()))
    assert standing.others_core_s == 0.0
    assert decide_phase(second, 1, space, standing, PHASES, 3, 1).spent_core_s == pytest.approx(2.0 * len(first))


def test_a_single_phase_of_all_parameters_is_a_race_without_phases() -> None:
    space, raced = encode(CONFIGURATIONS), table()
    standing = Standing.blank(len(CONFIGURATIONS), 3)
    begun = np.random.default_rng(2).permutation(len(CONFIGURATIONS))[:100]
    standing.scores[begun, 0] = raced.curves[begun, 0, 0]
    standing.reached[begun] = standing.target[begun] = standing.starts[begun] = 1
    standing.core_s[begun] = raced.core_s[begun] / 9
    rules = msgspec.structs.replace(PHASES, share=0.3, phases=(tuple(AXES),))
    phase = decide_phase(in_phase(CONFIGURATIONS, rules, 0, None), 0, space, standing, rules, 3, 2)
    alone = decide(space, standing, rules, 3, 2)
    assert phase.budget_core_s == pytest.approx(alone.budget_core_s)
    assert phase == replace(alone, budget_core_s=phase.budget_core_s)


# --- the journal ------------------------------------------------------------------------------------------------

IN_PHASES = changed(phases=(("x",), ("y",)), first={"x": 1, "y": 1})
ENDED = Decided(by="race", race=RaceStep(phase_winner=1, phase_alike=2))
CONFIRM = Decided(by="race", race=RaceStep(), confirming=[8, 9])


def test_a_phase_that_has_ended_lets_the_race_go_on_with_fresh_seeds_to_come() -> None:
    events: list[Event] = [planned(IN_PHASES), wave(1), wave(2, over="all"), CONFIRM]
    before = add_up(events)
    assert before.is_racing  # the first phase is confirmed, and has to be ended
    assert before.counting == {8, 9}
    after = add_up([*events, ENDED])
    assert after.is_racing
    assert (after.race.stage, after.race.same_order, len(after.race.phases)) == (0, 2, 1)
    assert after.race.last is not None
    assert after.race.last.over == ""
    assert (after.counting, after.confirming) == (set(), {8, 9})  # they chose the winner, and decide nothing more
    assert add_up([*events, ENDED, wave(3, over="all"), CONFIRM]).is_racing
    told = Decided(by="race", race=RaceStep(closed="told"))
    assert not add_up([*events, ENDED, wave(3, over="all"), CONFIRM, told]).is_racing


def test_a_phase_without_finalists_ends_the_race() -> None:
    step = RaceStep(wave=1, over="all")
    assert not add_up([planned(IN_PHASES), Decided(by="race", race=step)]).is_racing


@pytest.mark.parametrize(
    ("again", "phases"),
    [
        (planned(IN_PHASES), 1),
        (planned(changed(phases=IN_PHASES.phases, first=IN_PHASES.first, share=0.9)), 1),
        (planned(IN_PHASES, configurations="b"), 0),
        (planned(changed(phases=(("y",), ("x",)), first={"x": 1, "y": 1})), 0),
        (planned(changed(phases=(("x",), ("y",)), first={"x": 2, "y": 1})), 0),
        (planned(changed(phases=(("x",), ("y",)), first={"x": 1, "y": 1}, rungs=(4, 9))), 0),
        (planned(IN_PHASES, metric="auc"), 0),
        (planned(RULES), 0),
    ],
)
def test_other_values_or_phases_decide_them_again_from_the_first(again: Event, phases: int) -> None:
    ledger = add_up([planned(IN_PHASES), wave(1), wave(2, over="all"), CONFIRM, ENDED, CONFIRM, again])
    assert len(ledger.race.phases) == phases
    assert bool(ledger.counting) is bool(phases)


# --- the grid ---------------------------------------------------------------------------------------------------

GRID = """\
name: t
command: prog {{ params | flags }}
parameters: {a: [1, 2, 3, 4, 5, 6], c: [7], d: [1, 2, 3, 4, 5, 6]}
zip: [{x: [1, 2], y: [3, 4]}]
"""


def checked(text: str) -> racing.RacePlan:
    grid, source = read(text, "g.yaml", ())
    drafts = expand(grid, source, {})
    racing.check(source, grid, drafts)
    plan = racing.planned(grid, drafts)
    assert plan
    return plan


def test_a_plan_says_what_its_phases_choose_among() -> None:
    plan = checked(f"{GRID}race: {{phases: [[x, y, a], [d]], budget: 50%}}\n")
    assert plan.phases == ((("x", "y", "a"), 12), (("d",), 6))
    rules = racing.rules_of(read(f"{GRID}race: {{phases: [[x, y, a], [d]]}}\n", "g.yaml", ())[0], 72)
    assert rules
    assert rules.first == {"a": 1, "d": 1, "x": 1, "y": 3}


@pytest.mark.parametrize(
    ("more", "what", "hint"),
    [
        ("objective: {second: {metric: elapsed_s}}\nrace: {phases: [[a, x, y], [d]], budget: 90%}\n", "second", "one winner"),
        ("race: {phases: [[a, x], [y, d]], budget: 50%}\n", "x varies together with y", "in one phase"),
        ("race: {phases: [[a, x, y], [c], [d]], budget: 50%}\n", "c has one choice", "take it out"),
        ("exclude: ['a > 1 and d == 1', 'a == 1']\nrace: {phases: [[a, x, y], [d]], budget: 90%}\n", "`exclude`", "first"),
    ],
)  # fmt: skip
def test_phases_that_cannot_be_are_refused_with_their_line(more: str, what: str, hint: str) -> None:
    with pytest.raises(GridError) as caught:
        checked(GRID + more)
    assert what in str(caught.value)
    assert hint in caught.value.hint
    assert str(caught.value).startswith(f"g.yaml:{4 + more.count(chr(10))}:")
