"""The grid's `race`: what is refused, where it stands, and what to do; and what a plan says that it may cost."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sweep.errors import GridError
from sweep.grid import expand, read
from sweep.jobs import racing
from sweep.state.settings import ConfirmStage, RaceRules

GRID = "name: t\ncommand: prog {{ params | flags }}\nparameters: {a: {range: [1, 20]}, b: {range: [1, 30]}}\n"


def checked(race: str, more: str = "") -> RaceRules:
    grid, source = read(f"{GRID}{more}race: {race}\n", "g.yaml", ())
    drafts = expand(grid, source, {})
    racing.check(source, grid, drafts)
    rules = racing.rules_of(grid, len(drafts))
    assert rules
    return rules


def test_all_of_it_is_optional() -> None:
    rules = checked("{budget: 50%}")
    assert (rules.share, rules.core_hours, rules.rungs, rules.propose) == (0.5, 0.0, (1, 3, 9, 27), "forest")
    assert rules.keep == pytest.approx(1 / 3)
    assert rules.confirm == (ConfirmStage(20, 3), ConfirmStage(5, 5))
    assert checked("{budget: 200 core-hours, confirm: {top: 4, replicates: 2}}").core_hours == 200
    # Where the grid is silent, no more than a quarter of the budget confirms.
    small = checked("{budget: 10%}")
    assert small.confirm_runs <= 15


@pytest.mark.parametrize(
    ("race", "what", "hint"),
    [
        ("{rungs: [1, 9, 3]}", "the rungs [1, 9, 3] do not rise", "in order"),
        ("{rungs: []}", "rungs", ""),
        ("{budget: 5}", "budget is 5", ""),
        ("{budget: a little}", "the budget is 'a little'", "200 core-hours"),
        ("{budget: 120%}", "the budget is '120%'", "more than the whole grid"),
        ("{keep: 3/2}", "keep is 3/2", "between 0 and 1"),
        ("{keep: 0}", "keep is 0", "between 0 and 1"),
        ("{propose: magic}", "propose is 'magic'", ""),
        ("{buget: 5%}", "unknown key 'buget'", "budget"),
        ("{form: [old]}", "unknown key 'form'", "from"),
        ("{from: old}", "from is 'old'", "list"),
        ("{from: [old], propose: random}", "the forest alone learns from earlier sweeps", "propose: forest"),
        ("{budget: 1%}", "the budget 1% is 6 trainings, and to confirm", "confirm fewer"),
        ("{budget: 1 core-hours, confirm: {top: 20, replicates: 3}}", "the budget 1 core-hours is 1", "raise it"),
        ("{confirm: {top: 5, replicates: 3, then: {top: 9, replicates: 5}}}", "the second stage has top 9", "fewer"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_line(race: str, what: str, hint: str) -> None:
    with pytest.raises(GridError) as caught:
        checked(race, "resources: {walltime: 10h}\n")
    assert what in str(caught.value)
    assert str(caught.value).startswith("g.yaml:5:")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("more", "what", "line"),
    [
        ("design: one_at_a_time\nbaseline: {a: 1, b: 1}\n", "one_at_a_time", 6),
        ("replicates: 3\n", "3 replicates", 4),
    ],
)
def test_what_goes_with_no_race_is_refused(more: str, what: str, line: int) -> None:
    with pytest.raises(GridError, match=what) as caught:
        checked("{budget: 50%}", more)
    assert str(caught.value).startswith(f"g.yaml:{line}:")


def test_optuna_has_to_be_installed_where_it_is_to_propose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "find_spec", lambda _name: None)
    with pytest.raises(GridError, match="Optuna is not installed here") as caught:
        checked("{budget: 50%, propose: optuna}")
    assert caught.value.hint == "pip install optuna"


def test_a_plan_says_what_the_race_may_cost() -> None:
    grid, source = read(f"{GRID}resources: {{walltime: 2h, cpus: 4}}\nrace: {{budget: 50%}}\n", "g.yaml", ())
    planned = racing.planned(grid, expand(grid, source, {}))
    assert planned
    assert (planned.trainings, planned.grid_core_h, planned.core_h) == (300, 600 * 8, 300 * 8)
    assert planned.begun_anew == pytest.approx(40 / 27)


def test_what_confirms_or_was_retired_is_no_part_of_what_a_race_may_cost() -> None:
    grid, source = read(f"{GRID}resources: {{walltime: 2h}}\nrace: {{budget: 50%}}\n", "g.yaml", ())
    trials = expand(grid, source, {})
    alone = racing.planned(grid, trials)
    again = [replace(trial, number=600 + place, replicate=1) for place, trial in enumerate(trials[:4])]
    first = replace(trials[9], number=604)  # with the seed of no other, where replicates are counted from 0
    gone = replace(trials[5], number=605, retired=True)
    assert racing.planned(grid, [*trials, *again, first, gone], {*range(600, 605)}) == alone


@pytest.mark.parametrize(
    ("race", "trials"),
    [
        ("{budget: 1%}", 24),
        ("{budget: 10%}", 24),
        ("{budget: 1%}", 600),
        ("{budget: 0.9%}", 600),
        ("{budget: 0.1%}", 600),
        ("{budget: 30%, confirm: {top: 20, replicates: 3}}", 24),
        ("{budget: 90%, confirm: {top: 20, replicates: 3}}", 24),
        ("{budget: 1 core-hours}", 600),
        ("{budget: 20 core-hours, confirm: {top: 20, replicates: 3}}", 600),
    ],
)
def test_each_way_that_a_hint_names_is_accepted(race: str, trials: int) -> None:
    parameters = f"parameters: {{a: {{range: [1, {trials}]}}}}\nresources: {{walltime: 10h}}\n"

    def checked_with(spec: dict[str, Any]) -> None:
        text = f"name: t\ncommand: prog {{{{ a }}}}\n{parameters}race: {json.dumps(spec)}\n"
        grid, source = read(text, "g.yaml", ())
        racing.check(source, grid, expand(grid, source, {}))

    asked = YAML(typ="safe").load(race)
    with pytest.raises(GridError) as caught:
        checked_with(asked)
    ways = re.findall(r"race: (\{.*?\}+)(?:; or |$)", caught.value.hint)
    assert ways
    for way in ways:
        checked_with(asked | YAML(typ="safe").load(way))


def test_a_grid_that_no_budget_can_confirm_is_told_so() -> None:
    text = "name: t\ncommand: prog {{ a }}\nparameters: {a: [1, 2]}\nrace: {budget: 60%}\n"
    grid, source = read(text, "g.yaml", ())
    with pytest.raises(GridError) as caught:
        racing.check(source, grid, expand(grid, source, {}))
    assert caught.value.hint == "the grid is too small for a race: take it out"


def test_the_example_can_be_raced() -> None:
    path = Path(__file__).parent.parent.parent / "examples" / "race.yaml"
    grid, source = read(path.read_text(), path.name, ())
    drafts = expand(grid, source, {})
    racing.check(source, grid, drafts)
    rules = racing.rules_of(grid, len(drafts))
    assert rules
    assert (len(drafts), rules.rungs, rules.confirm_runs) == (144, (1, 3, 9), 4)
