"""A second objective: what nothing beats in both is reported, raced for and confirmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Sandbox
from tests.e2e.test_race import CURVE, decisions, race_on, racing, replan

__all__ = ["racing"]  # the fixture

#: The best is a = 5, b = 2; the smallest is a = 1, b = 0: between them nothing is best in both.
SIZED = CURVE.replace('"complete": whole,', '"complete": whole, "size": a + b,')


def test_two_objectives_keep_the_front(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(
        program=SIZED,
        objective="{metric: segMeasure, second: {metric: size}}",
        race="{budget: 1 core-hours, rungs: [9], confirm: {top: 6, replicates: 2, then: {top: 4, replicates: 3}}}",
    )
    race_on(sandbox)
    over = [event["race"] for event in decisions(sandbox) if event["race"].get("wave")][-1]
    trials = {each["trial"]: each for each in sandbox.sweep("report", "--trials", "--json").json}
    sizes = [trials[number]["a"] + trials[number]["b"] for number in over["finalists"]]
    assert len({*sizes}) >= 4  # by the first objective alone, all of the best six have 6, 7 or 8
    assert min(sizes) <= 2 < 5 <= max(sizes)
    assert decisions(sandbox)[-1]["race"] == {"closed": "told"}
    said = sandbox.sweep("report")
    assert "Pareto front of segMeasure (more is better), size (less is better)" in said.out
    best = sandbox.sweep("best", "--json").json["parameters"]
    assert best["a"] + best["b"] >= 5  # the first objective alone ranks
    sandbox.accounted_for(also=frozenset({"held"}))


def test_one_that_no_result_has_is_named_and_another_one_later_discards_nothing(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    first = "{metric: segMeasure, second: {metric: sise}}"
    racing(program=SIZED, objective=first, race="{budget: 80%, rungs: [9], confirm: {top: 2, replicates: 2}}")
    sandbox.sweep("race")
    sandbox.follow()
    said = "no result has the second objective 'sise': it has no part in the race yet"
    assert said in sandbox.sweep("race", "--dry-run").err
    assert "Pareto front" not in sandbox.sweep("report").out
    replan(sandbox, ("sise", "size"))
    step = sandbox.sweep("race", "--json")
    assert "no result has the second" not in step.err
    assert step.json["wave"] == 2
    judged = decisions(sandbox)[-1]["race"]["judged"]
    assert {each[5] for each in judged} <= {*range(1, 10)}
    sandbox.follow()
    replan(sandbox, ("{metric: size}", "{metric: elapsed_s}"))
    assert "elapsed_s (less is better)" in sandbox.sweep("report").out
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True


def test_a_plain_sweep_shows_the_front_of_both(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(program=SIZED, race="null", objective="{second: {metric: size, goal: maximize}}")
    sandbox.sweep("submit")
    sandbox.follow()
    assert "Pareto front of segMeasure (more is better), size (more is better)" in sandbox.sweep("report").out
    page = Path(sandbox.sweep("page", "--json").json["page"]).read_text()
    assert "<h3>Score against size</h3>" in page
    assert "in segMeasure and size" in page
