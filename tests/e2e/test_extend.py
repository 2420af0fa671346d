"""SWEEP_UNTIL: a trial stops on its way and is held there, and goes on from there; the example of the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.e2e.test_decision import Desk

Toy = Callable[..., Path]

#: What the example of docs/grid.md leaves to its reader: what one epoch is, and how it is saved.
READERS_OWN = """\
import json, os, sys

EPOCHS, folder = 4, os.environ["SWEEP_FOLDER"]

def restore(folder):
    path = os.path.join(folder, "saved.json")
    history = json.load(open(path)) if os.path.exists(path) else []
    print("from", len(history), flush=True)
    return history

def save(folder, history):
    json.dump(history, open(os.path.join(folder, "saved.json"), "w"))

def write_result(result):
    json.dump(result, open(os.environ["SWEEP_RESULT"] + ".new", "w"))
    os.replace(os.environ["SWEEP_RESULT"] + ".new", os.environ["SWEEP_RESULT"])

def score_of(history):
    return history[-1]["segMeasure"] if history else None

def train_one_epoch():
    return 1 - 1 / (2 + len(history))

"""


def example() -> str:
    page = (Path(__file__).parent.parent.parent / "docs" / "grid.md").read_text(encoding="utf-8")
    (code,) = [
        code for code in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "UNTIL" in code
    ]
    return str(code)


@pytest.fixture
def loops(sandbox: Sandbox, toy: Toy) -> Callable[..., None]:
    def plan(**keys: str) -> None:
        sandbox.write("loop.py", READERS_OWN + example())
        toy(**{"command": "[python3, loop.py, '{{ x }}']", "parameters": "{x: [1, 2, 3]}", **keys})
        sandbox.sweep("plan")

    return plan


def why(sandbox: Sandbox, trial: int) -> Any:
    return sandbox.sweep("why", str(trial), "--json").json


@pytest.mark.parametrize("submit", ["{placement: array}", "{placement: packed, per_worker: 2}"])
def test_a_trial_goes_as_far_as_it_is_told_and_on_from_there(
    sandbox: Sandbox, loops: Callable[..., None], monkeypatch: pytest.MonkeyPatch, submit: str
) -> None:
    loops(submit=submit, retry="{}")
    desk = Desk(sandbox, monkeypatch)
    desk.hold(0)
    desk.let_go_on(0, 1, SWEEP_UNTIL="2")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"held": 1, "done": 2}
    parked = why(sandbox, 0)
    assert parked["partial"]["epochs"] == [1, 2]
    assert "as far as it was to, entry 2" in parked["reason"]
    assert "held" not in sandbox.sweep("report", "--cost", "--json").json["wasted_core_h"]
    # Nobody lets it go on but who says how far: no plan, no submit, no rule of retry.
    sandbox.sweep("plan")
    sandbox.sweep("submit", "--follow", "--interval", "0.3")
    assert sandbox.states() == {"held": 1, "done": 2}
    assert "held" in sandbox.sweep("retry", "0", code=2).err
    assert "has 2 entries already" in sandbox.sweep("extend", "0", "--until", "2", code=2).err
    assert "from 2: trial 0" in sandbox.sweep("extend", "0", "--until", "3").out
    sandbox.follow()
    assert why(sandbox, 0)["partial"]["epochs"] == [1, 2, 3]
    # Beyond its own length it is done, and one that is done goes on for longer.
    sandbox.sweep("extend", "0", "1", "--until", "6")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}
    for trial, began in ((0, "from 3"), (1, "from 4")):
        ended = why(sandbox, trial)
        assert [entry["epoch"] for entry in ended["result"]["history"]] == [1, 2, 3, 4, 5, 6]
        assert began in sandbox.sweep("logs", str(trial)).out


def test_what_cannot_go_on_is_refused_and_nothing_is_written(sandbox: Sandbox, loops: Callable[..., None]) -> None:
    loops(parameters="{x: [1]}")
    assert "trial 0 is planned" in sandbox.sweep("extend", "0", "--until", "9", code=2).err
    sandbox.sweep("submit")
    sandbox.follow()
    before = (sandbox.path / "results/toy/journal.jsonl").read_bytes()
    assert "has 4 entries already" in sandbox.sweep("extend", "0", "--until", "4", code=2).err
    assert "--until" in sandbox.sweep("extend", "0", code=2).err
    assert (sandbox.path / "results/toy/journal.jsonl").read_bytes() == before
    assert sandbox.sweep("extend", "0", "--until", "5", "--plan-only", "--json").json["reached"] == {"0": 4}
    assert sandbox.states() == {"planned": 1}


def test_trials_are_named_by_what_is_true_of_them(sandbox: Sandbox, loops: Callable[..., None]) -> None:
    """Of those that fit, one has come so far, and goes no further; what failed cannot go on."""
    loops(parameters="{x: [1, 2, 3]}")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("extend", "2", "--until", "6")
    sandbox.follow()
    assert sandbox.sweep("extend", "--where", "x > 1", "--until", "5", "--plan-only", "--json").json[
        "reached"
    ] == {"1": 4}
    assert "fits none of 2 trials" in sandbox.sweep("extend", "--where", "x > 3", "--until", "9", code=2).err
    nothing_to_do = sandbox.sweep("extend", "--where", "x > 2", "--until", "6", code=2).err
    assert "name more: --until 7" in nothing_to_do
    assert "which trials?" in sandbox.sweep("extend", "--until", "9", code=2).err
    assert "exclude each other" in sandbox.sweep("extend", "0", "--where", "x > 1", "--until", "9", code=2).err
