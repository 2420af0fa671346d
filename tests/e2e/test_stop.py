"""``stop``: a running trial whose history meets a rule is ended early, on its node, and counted as that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox

Toy = Callable[..., Path]

#: One entry after the other; with a = 0 the scores are bad, and it never ends by itself.
LEARNS = """\
import json, os, signal, sys, time
note = lambda word: os.write(os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND),
                             (" ".join([word, os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]]) + "\\n").encode())
note("begin")
a = int(sys.argv[1])
if a == 2:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))  # it saves, and would go on
history = []
while len(history) < 6 or a != 1:
    history.append({"epoch": len(history) + 1, "segMeasure": 0.9 if a == 1 or len(history) < 2 else 0.1})
    result = {"segMeasure": history[-1]["segMeasure"], "history": history}
    json.dump(result, open(os.environ["SWEEP_RESULT"] + ".tmp", "w"))
    os.replace(os.environ["SWEEP_RESULT"] + ".tmp", os.environ["SWEEP_RESULT"])
    time.sleep(0.05)
note("end")
"""

RULE = "history[-1] < 0.2 after 2"


@pytest.mark.parametrize("submit", ["{placement: array}", "{placement: packed, per_worker: 3}"])
def test_a_trial_that_meets_a_rule_is_ended_and_not_tried_again(sandbox: Sandbox, toy: Toy, submit: str) -> None:
    sandbox.write("learns.py", LEARNS)
    toy(
        command="[python3, learns.py, '{{ a }}']",
        parameters="{a: [0, 1, 2]}",
        stop=f'"{RULE}"',
        submit=submit,
        retry="{error: {times: 2}, resume: {times: 5}}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit", "--follow", "--interval", "0.3", timeout_s=200)
    assert sandbox.states() == {"cancelled": 2, "done": 1}
    for number in (0, 2):
        why = sandbox.sweep("why", str(number), "--json").json
        assert (why["state"], why["cause"], why["attempt"]["attempt"]) == ("cancelled", "stop rule", 1)
        assert why["reason"].startswith(f"ended early by a rule: {RULE}: 0.1 at entry 3")
        assert why["attempt"]["limit"] == "rule"
    said = " ".join(sandbox.sweep("status").out.split())
    assert "1 done, 2 cancelled" in said
    assert f"cancelled 2 ended early by a rule: {RULE}: 0.1 at entry 3" in said
    report = sandbox.sweep("report")
    assert "2 trials were ended early by a rule of `stop`: without a score, and not ranked" in " ".join(
        (report.out + report.err).split()
    )
    rows = sandbox.sweep("report", "--json").json
    assert [row["segMeasure"] for row in rows] == [0.9, None, None]
    for options in ((), ("--errors",), ("--cancelled",)):
        assert sandbox.sweep("retry", *options, "--plan-only", "--json").json["trials"] == []
    page = Path(sandbox.sweep("page", "--json").json["page"]).read_text()
    assert "2 trials were ended early by a rule of" in page
    sandbox.accounted_for()


def test_without_the_rule_it_can_be_tried_again_by_its_number(sandbox: Sandbox, toy: Toy) -> None:
    sandbox.write("learns.py", LEARNS.replace("a != 1", "False"))
    toy(
        command="[python3, learns.py, '{{ a }}']", parameters="{a: [0, 1]}", stop='["max(history) < 0.95 after 2"]'
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    ended = sandbox.states().get("cancelled", 0)
    assert ended  # both meet it; who was faster than the first look has ended by itself
    grid = (sandbox.path / "grid.yaml").read_text()
    sandbox.write("grid.yaml", "".join(line for line in grid.splitlines(True) if not line.startswith("stop:")))
    sandbox.sweep("plan")
    numbers = [
        str(each) for each in (0, 1) if sandbox.sweep("why", str(each), "--json").json["state"] == "cancelled"
    ]
    sandbox.sweep("retry", *numbers)
    sandbox.follow()
    assert sandbox.states() == {"done": 2}


def test_bad_rules_are_refused_by_plan(sandbox: Sandbox, toy: Toy) -> None:
    for stop, words in (
        ('"history < 0.2"', "is no rule to stop by"),
        ('["history[-1] < 0.2", "history[-1] > 3 after 0"]', "begins after no entry"),
        ("3", "stop is 3"),
    ):
        toy(stop=stop)
        refused = sandbox.sweep("plan", code=2).err
        assert words in refused
        assert "grid.yaml:" in refused
    toy(stop=f'"{RULE}"', race="{budget: 50%}")
    assert "a race, and a rule to stop by" in sandbox.sweep("plan", code=2).err
