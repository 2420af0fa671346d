"""Every command, with standard streams that are closed, full, or read by nobody: it does what it does, and says so by its code."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.cli.common import GROUPS
from tests.conftest import Sandbox

Toy = Callable[..., Path]

#: A way to call each command that ends with 0 on a sweep of which two trials are done and one failed.
CALLS = {
    "init": "init new.yaml",
    "doctor": "doctor",
    "schema": "schema",
    "plan": "plan",
    "submit": "submit",
    "retry": "retry --errors --plan-only",
    "cancel": "cancel",
    "status": "status",
    "why": "why 0",
    "logs": "logs 0",
    "report": "report",
    "page": "page",
    "best": "best",
    "confirm": "confirm --top 1 --replicates 1 --plan-only",
    "compare": "compare toy other",
    "verdict": "verdict 1 2",
    "race": "race raced --dry-run",
    "replay": "replay curves --seeds 1 --set race.budget=60% --set 'race.confirm={top: 2, replicates: 2}'",
    "extend": "extend {another} --sweep curves --until 9 --plan-only",  # a trial that waits cannot be extended again
}

#: A program that says how far it came, and goes as far as it is told.
CURVE = """\
import json, os, sys
history = [{"segMeasure": int(sys.argv[1]) * n / 100} for n in range(1, int(os.environ.get("SWEEP_UNTIL", 3)) + 1)]
json.dump({"segMeasure": history[-1]["segMeasure"], "history": history}, open(os.environ["SWEEP_RESULT"], "w"))
"""
ANOTHER = itertools.cycle(range(24))

#: The exit codes that are not 0: one run each tells nothing. And those on a full device that are not 1: `page` prints
#: nothing on stdout, and of `verdict` 1 is an answer.
CODES, CODES_FULL = {"verdict": 3}, {"page": 0, "verdict": 2}

#: How the shell closes streams.
CLOSED = {"stdin and stderr": "<&- 2>&-", "all": "<&- >&- 2>&-"}


@pytest.fixture
def ended(sandbox: Sandbox, toy: Toy) -> Sandbox:
    """Two sweeps at rest, one whose results have histories, and one that is to be raced."""
    sandbox.write("curve.py", CURVE)
    curves = {"parameters": "{x: {range: [1, 12]}}", "command": "[python3, curve.py, '{{ x }}']"}
    toy(name="raced", race="{budget: 90%, rungs: [1, 3], confirm: {top: 2, replicates: 2}}", **curves)
    sandbox.sweep("plan")
    toy(name="curves", replicates="2", submit="{placement: packed, per_worker: 2}", **curves)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    for name in ("other", "toy"):
        toy(
            name=name,
            parameters="{x: [0, 1, 2], how: [ok]}",
            command="[python3, trial.py, '{{ x }}', '{{ \"fail\" if x == 0 else how }}']",
        )
        sandbox.sweep("plan")
        sandbox.sweep("submit")
        sandbox.follow()
    assert sandbox.states() == {"done": 2, "failed": 1}
    return sandbox


def call(
    sandbox: Sandbox, words: str, streams: str, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a command by a new interpreter: which streams are open is seen when it starts."""
    (sandbox.path / "new.yaml").unlink(missing_ok=True)
    words = words.replace("{another}", str(next(ANOTHER)))
    line = f"exec {shlex.quote(sys.executable)} -m sweep {words} {streams}"
    return subprocess.run(
        ["bash", "-c", line], cwd=sandbox.path, env=sandbox.env, stdout=stdout, stderr=subprocess.PIPE, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_all_commands_are_tried() -> None:
    assert {*CALLS} == {name for names in GROUPS.values() for name in names}


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams_change_nothing(ended: Sandbox, closed: str) -> None:
    for name, words in CALLS.items():
        ran = call(ended, words, CLOSED[closed])
        assert (ran.returncode, "Traceback" in ran.stderr) == (CODES.get(name, 0), False), f"{words}: {ran.stderr}"
    undamaged(ended)


def test_nobody_reads(ended: Sandbox) -> None:
    for name, words in CALLS.items():
        reader, writer = os.pipe()
        os.close(reader)
        ran = call(ended, words, "", stdout=writer)
        os.close(writer)
        assert (ran.returncode, "rror" in ran.stderr) == (CODES.get(name, 0), False), f"{words}: {ran.stderr}"
    undamaged(ended)


def test_a_full_device(ended: Sandbox) -> None:
    for name, words in CALLS.items():
        ran = call(ended, words, ">/dev/full")
        code = CODES_FULL.get(name, 1)
        assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), f"{words}: {ran.stderr}"
        assert ("No space left on device" in ran.stderr) is bool(code), words
        assert call(ended, words, ">/dev/null 2>/dev/full").returncode == CODES.get(name, 0), words
    undamaged(ended)


def undamaged(sandbox: Sandbox) -> None:
    """Nothing that was to be printed stands in the sweep's files, and no command has stopped half-way."""
    status = sandbox.sweep("status", "--json").json
    assert status["notes"] == []
    assert status["counts"] == {"done": 2, "planned": 2}
    assert sandbox.sweep("report", "--csv").out.startswith("rank,")
