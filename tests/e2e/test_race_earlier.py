"""`race: {from: [OLDER]}`: a race begins with what an earlier sweep of the same parameters learnt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.test_race import CURVE, race_on

FROM = "{budget: 70%, rungs: [1, 9], from: [older], audit: 0, confirm: {top: 3, replicates: 2}}"
KEYS = {
    "command": "[python3, trial.py, '{{ a }}', '{{ b }}']",
    "submit": "{placement: packed, per_worker: 2}",
}


@pytest.fixture
def older(sandbox: Sandbox, toy: Callable[..., Path]) -> Callable[..., Path]:
    """Run a sweep called older, and return what writes the grid of a later one."""
    sandbox.write("trial.py", CURVE)
    toy(**KEYS, name="older", parameters="{a: [2, 4, 6], b: [0, 1, 2, 3]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()

    def write(**keys: str) -> Path:
        return toy(**{**KEYS, "parameters": "{a: [1, 2, 3, 4, 5, 6], b: [0, 1, 2, 3]}", "race": FROM, **keys})

    return write


def test_a_race_begins_with_what_an_earlier_sweep_learnt(sandbox: Sandbox, older: Callable[..., Path]) -> None:
    older()
    before = (sandbox.path / "results/older/journal.jsonl").read_bytes()
    said = sandbox.sweep("plan").err
    assert "from older: the forest begins with what 12 of its trials scored; none of that decides" in said
    assert (sandbox.path / "results/older/journal.jsonl").read_bytes() == before
    shutil.rmtree(sandbox.path / "results/older")  # the plan has what it needs
    (sandbox.path / "runs").unlink()
    first = sandbox.sweep("race", "--dry-run", "--json").json
    assert first["cutoffs"] == {}
    assert {*first["how"]} <= {"finish", "forecast", "sampled"}
    expected = {move["number"]: move["forecast"] for move in first["moves"]}
    params = {number: sandbox.sweep("why", str(number), "--json").json["params"] for number in expected}
    best = max(expected, key=lambda number: expected[number])
    assert (params[best]["a"] in (4, 5, 6), params[best]["b"] in (1, 2, 3)) == (True, True)
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    best_of_all = sandbox.sweep("best", "--json").json
    assert len(best_of_all["replicates"]) == 2  # runs of its own decide
    refused = sandbox.sweep("plan", code=2).err
    assert "grid.yaml:6:" in refused
    assert "from: there is no sweep 'older'" in refused
    sandbox.accounted_for(also=frozenset({"held"}))


def test_what_the_plan_kept_may_go_and_is_asked_for_again(sandbox: Sandbox, older: Callable[..., Path]) -> None:
    older()
    sandbox.sweep("plan")
    (sandbox.path / "results/toy/provenance.jsonl").unlink()
    refused = sandbox.sweep("race", code=1).err
    assert "what earlier sweeps learnt is gone" in refused
    assert "`sweep plan` reads them again" in refused
    sandbox.sweep("plan")
    assert sandbox.sweep("race", "--dry-run", "--json").json["moves"]


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"race": FROM.replace("[older]", "[oldre]")}, "from: there is no sweep 'oldre'"),
        ({"race": FROM.replace("[older]", "[older, older]")}, "from: older is named twice"),
        ({"name": "older"}, "from: older is the sweep itself"),
        ({"objective": "{goal: minimize}"}, "older was to maximize segMeasure, and this sweep is to minimize segMeas"),
        ({"objective": "{metric: f1}"}, "older was to maximize segMeasure, and this sweep is to maximize f1"),
        ({"parameters": "{a: {range: [1, 20]}}", "command": "[p, '{{ a }}']"}, "other parameters: it has b"),
        ({"parameters": "{a: [1, 2, 3], b: [1, 2, 3], c: [1, 2, 3]}"}, "other parameters: it has no c"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused_with_its_line(
    sandbox: Sandbox, older: Callable[..., Path], keys: dict[str, str], what: str
) -> None:
    grid = older(**keys).read_text()
    line = next(index for index, text in enumerate(grid.splitlines(), 1) if text.startswith("race:"))
    refused = sandbox.sweep("plan", code=2).err
    assert what in " ".join(refused.split())
    assert f"grid.yaml:{line}:" in refused
    assert "hint:" in refused


def test_a_sweep_that_has_not_run_yet_is_told_and_not_refused(sandbox: Sandbox, toy: Callable[..., Path]) -> None:
    sandbox.write("trial.py", CURVE)
    toy(**KEYS, name="older", parameters="{a: [2, 4, 6], b: [0, 1, 2, 3]}")
    sandbox.sweep("plan")
    toy(**KEYS, parameters="{a: [1, 2, 3, 4, 5, 6], b: [0, 1, 2, 3]}", race=FROM)
    assert "from older: none of its trials has a score yet; plan again when some have" in sandbox.sweep("plan").err
    planned = json.loads((sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()[0])
    assert planned["learnt"]
    assert {*sandbox.sweep("race", "--dry-run", "--json").json["how"]} == {"first wave"}
