"""`race: {phases: …}`: one group of parameters is decided, its winner fixed, then the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.e2e.test_killed import SOON, until_sent
from tests.e2e.test_race import CURVE, decisions, journalled, race_on, replan

PHASES = "{budget: 100%, rungs: [1, 9], phases: [[a], [b]], audit: 0.5, confirm: {top: 3, replicates: 2}}"


@pytest.fixture
def in_phases(sandbox: Sandbox, toy: Callable[..., Path]) -> Callable[..., None]:
    def plan(program: str = CURVE, **keys: str) -> None:
        sandbox.write("trial.py", program)
        toy(
            **{
                "command": "[python3, trial.py, '{{ a }}', '{{ b }}']",
                "parameters": "{a: [1, 2, 3, 4, 5, 6], b: [0, 1, 2, 3]}",
                "submit": "{placement: packed, per_worker: 2}",
                "race": PHASES,
                **keys,
            }
        )
        sandbox.sweep("plan")

    return plan


def params_of(sandbox: Sandbox, number: int) -> dict[str, Any]:
    params: dict[str, Any] = sandbox.sweep("why", str(number), "--json").json["params"]
    return params


def ended(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [event["race"] for event in decisions(sandbox) if "phase_winner" in event["race"]]


def test_one_phase_after_the_other_to_the_winner(sandbox: Sandbox, in_phases: Callable[..., None]) -> None:
    in_phases()
    assert "in phases: a (6 choices); then b (4 choices)" in sandbox.sweep("plan").out
    first = sandbox.sweep("race", "--json").json
    assert (first["phase"], first["phases"]) == (1, 2)
    assert {params_of(sandbox, move["number"])["b"] for move in first["moves"]} == {0}  # its first value
    sandbox.follow()
    assert "phase 1 of 2" in sandbox.sweep("status").out
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    (step,) = ended(sandbox)
    fixed = params_of(sandbox, step["phase_winner"])
    assert fixed["a"] in (4, 5, 6)
    waves = [
        [params_of(sandbox, move["number"]) for move in wave.get("moves", ())] for wave in journalled(sandbox)
    ]
    chosen = [params for wave in waves for params in wave]
    assert {params["a"] for params in chosen if params["b"] != 0} == {fixed["a"]}
    assert {params["a"] for params in chosen if params["b"] == 0} == {1, 2, 3, 4, 5, 6}
    best = sandbox.sweep("best", "--json").json
    assert (best["parameters"]["a"], best["parameters"]["b"] in (1, 2, 3)) == (fixed["a"], True)
    # The next phase is decided by runs that had no part in the one before.
    lines = (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()
    confirming = [event["confirming"] for line in lines if "confirming" in (event := json.loads(line))]
    replicates = [
        {sandbox.sweep("why", str(n), "--json").json["replicate"] for n in stage} for stage in confirming
    ]
    assert replicates == [{1, 2}, {3, 4}]
    assert sandbox.states()["done"] <= 10 + 12
    said = " ".join(sandbox.sweep("report").out.split())
    assert f"phase 1: a = {fixed['a']} (trial {step['phase_winner']}" in said
    assert "not seen: whether another choice of a is better with other values of b" in said
    assert "of the 4 of this phase do" in said
    sandbox.sweep("page")
    sandbox.accounted_for(also=frozenset({"held"}))


def to_the_end_of_the_first(sandbox: Sandbox) -> dict[str, Any]:
    """Race up to the step that ends the first phase, and return what it would do."""
    for _ in range(20):
        shown: dict[str, Any] = sandbox.sweep("race", "--dry-run", "--json").json
        if shown["phase_winner"] is not None:
            return shown
        sandbox.sweep("race")
        sandbox.follow()
    raise AssertionError("the first phase did not end")


def test_the_step_that_ends_a_phase_begins_the_next_and_may_be_killed(
    sandbox: Sandbox, in_phases: Callable[..., None]
) -> None:
    in_phases()
    shown = to_the_end_of_the_first(sandbox)
    assert ended(sandbox) == []
    assert f"the values of trial {shown['phase_winner']} would be fixed" in sandbox.sweep("race", "--dry-run").out
    kills = 0
    for step in range(1, 40):
        ran = sandbox.dying("half" if step % 2 else "after", step, "race", **SOON)
        assert [each["phase_winner"] for each in ended(sandbox)] in ([], [shown["phase_winner"]])
        if ran.code == 0:
            break
        kills += 1
    assert kills >= 4
    assert [each["phase_winner"] for each in ended(sandbox)] == [shown["phase_winner"]]
    until_sent(sandbox)
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))


def test_other_values_in_the_middle_decide_the_phases_again(
    sandbox: Sandbox, in_phases: Callable[..., None]
) -> None:
    in_phases(race=PHASES.replace("100%", "9 core-hours"))
    to_the_end_of_the_first(sandbox)
    report = sandbox.sweep("race", "--json").json
    assert (report["phase"], report["phase_winner"] is not None, bool(report["moves"])) == (2, True, True)
    sandbox.follow()
    replan(sandbox, ("b: [0, 1, 2, 3]", "b: [1, 2, 3]"))  # the first value is another one
    report = sandbox.sweep("race", "--json").json
    assert (report["phase"], report["phase_winner"]) == (1, None)
    assert {params_of(sandbox, move["number"])["b"] for move in report["moves"]} == {1}
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    best = sandbox.sweep("best", "--json").json["parameters"]
    assert (best["a"] in (4, 5, 6), best["b"] in (1, 2, 3)) == (True, True)


def test_on_paper_a_race_has_no_phases_and_says_so(sandbox: Sandbox, in_phases: Callable[..., None]) -> None:
    in_phases(race="null", parameters="{a: [1, 2, 3, 4, 5], b: [0, 1, 2]}")
    sandbox.sweep("submit")
    sandbox.follow()
    replan(sandbox, ("race: null", f"race: {PHASES}"))
    ran = sandbox.sweep("replay", "--seeds", "1")
    assert "without its phases" in ran.out + ran.err
