"""Records and results that cannot be read: nothing final comes of that, and it is told."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ran, Sandbox
from tests.e2e.conftest import until

Toy = Callable[..., Path]


@pytest.fixture
def mortal() -> list[str]:
    """What takes root's right to read everything away."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may read everything, and there is no setpriv to take that right away")
    dac = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={dac}", f"--inh-caps={dac}"]


@pytest.fixture
def ended(sandbox: Sandbox, toy: Toy) -> dict[int, Path]:
    """A sweep whose three trials have ended, and at which nobody has looked yet: their folders."""
    toy(parameters="{x: [1, 2, 3], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    trials = sandbox.path / "results/toy/trials"

    def records() -> dict[int, Path]:
        values = {path.parent: json.loads(path.read_text()) for path in trials.rglob("attempt-1.json")}
        return {record["number"]: folder for folder, record in values.items() if record["ended"]}

    until(lambda: len(records()), 3)
    return records()


def observed(sandbox: Sandbox) -> set[int]:
    """Return the trials whose end is in the journal."""
    events = [json.loads(line) for line in (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()]
    return {end[0] for event in events if event["event"] == "observed" for end in event["trials"]}


def test_what_cannot_be_read_is_no_end(sandbox: Sandbox, ended: dict[int, Path], mortal: list[str]) -> None:
    sandbox.env["SWEEP_GRACE_S"] = "0"
    closed = [ended[0] / "segMeasure.json", ended[1] / "attempt-1.json"]
    for path in closed:
        path.chmod(0)

    def run(*argv: str) -> Ran:
        return sandbox.run(*mortal, sys.executable, "-m", "sweep", *argv)

    def counts() -> Any:
        return run("status", "--json").json["counts"]

    until(counts, {"done": 1, "unreadable": 2})
    for argv in (
        ["status"],
        ["report"],
        ["submit", "--follow"],
        ["retry"],
        ["status", "--watch", "--interval", "0.3"],
    ):
        ran = run(*argv)
        assert ran.code == 1, f"{argv}: {ran.out}{ran.err}"
        assert "error: cannot read 2 files" in ran.err
        assert all(f"{path}: Permission denied" in ran.err for path in closed), argv
    why = run("why", "1")
    assert (why.code, "unreadable" in why.out, str(closed[1]) in why.out + why.err) == (1, True, True)
    assert run("retry", "0").code == 2
    assert observed(sandbox) == {2}
    for path in closed:
        path.chmod(0o644)
    assert counts() == {"done": 3}
    assert run("status").code == 0
    assert observed(sandbox) == {0, 1, 2}
    sandbox.accounted_for()


def test_a_colleague_without_the_right_to_read_results(
    sandbox: Sandbox, ended: dict[int, Path], mortal: list[str]
) -> None:
    """It is said, and not shown as if no trial had a score."""
    sandbox.follow()
    for folder in ended.values():
        (folder / "segMeasure.json").chmod(0)
    ran = sandbox.run(*mortal, sys.executable, "-m", "sweep", "report")
    assert ran.code == 1
    assert "error: cannot read 3 files" in ran.err


def test_a_result_that_is_not_visible_yet(sandbox: Sandbox, ended: dict[int, Path]) -> None:
    hidden = {number: (folder / "segMeasure.json", folder / "hidden") for number, folder in ended.items()}
    for path, elsewhere in hidden.values():
        path.rename(elsewhere)
    sandbox.env["SWEEP_GRACE_S"] = "600"
    assert sandbox.states() == {"running": 3}
    assert "exit code 0; its result is awaited" in sandbox.sweep("why", "1").out
    for number in (0, 1):
        hidden[number][1].rename(hidden[number][0])
    assert sandbox.states() == {"running": 1, "done": 2}
    sandbox.env["SWEEP_GRACE_S"] = "0"
    until(sandbox.states, {"done": 2, "failed": 1})
    assert sandbox.sweep("why", "2", "--json").json["cause"] == "no result"


def test_each_kind_of_reason_is_shown(sandbox: Sandbox, toy: Toy) -> None:
    """The trials are one group: that the first one's result is a folder says nothing of the others'."""
    toy(parameters="{x: [1, 2, 3, 4, 5], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    trials = sandbox.path / "results/toy/trials"
    until(lambda: len(list(trials.rglob("segMeasure.json"))), 5)
    results = sorted(trials.rglob("segMeasure.json"), key=lambda path: json.loads(path.read_text())["segMeasure"])
    for path in results:
        path.unlink()
    results[0].mkdir()
    results[1].symlink_to("segMeasure.json")  # which is itself
    results[2].mkdir()
    results[3].write_text("{")
    results[4].write_text('{"segMeasure": }')
    until(sandbox.states, {"failed": 5})
    groups = sandbox.sweep("status", "--json").json["failures"]
    assert [(group["count"], len(group["others"])) for group in groups] in ([(3, 1), (2, 1)], [(3, 1), (2, 0)])
    assert "directory" in groups[0]["reason"]
    assert "symbolic links" in groups[0]["others"][0][1]
    shown = " ".join(sandbox.sweep("status").out.split())
    assert "symbolic links (trial 1, for example)" in shown
