"""What only a real Slurm does."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox

Toy = Callable[..., Path]


def slurm_command(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def on_slurm(sandbox: Sandbox, slurm: None) -> Iterator[Sandbox]:
    yield sandbox
    for journal in sandbox.path.glob("results/*/journal.jsonl"):
        ids = [json.loads(line).get("id", "") for line in journal.read_text().splitlines()]
        subprocess.run(["scancel", *filter(None, ids), "999999"], check=False, timeout=60)


def until(look: Callable[[], Any], wanted: Any, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"{seen}, not {wanted}"
        time.sleep(0.3)


def test_a_requeued_trial_runs_again_to_its_end(on_slurm: Sandbox, toy: Toy) -> None:
    """Slurm ends it with SIGTERM, so that its record says it ended; then runs the same task once more."""
    sandbox = on_slurm
    sandbox.write(
        "t.py",
        "import json, os, time\nprint('ran', flush=True)\n"
        "first = not os.path.exists('again')\nopen('again', 'w').close()\n"
        "time.sleep(120 if first else 0)\njson.dump({'segMeasure': 1}, open(os.environ['SWEEP_RESULT'], 'w'))\n",
    )
    toy(command="[python3, t.py]", parameters="{x: [1, 2]}", scheduler="{kind: slurm}", exclude="['x == 2']")
    sandbox.sweep("plan")
    job = sandbox.sweep("submit", "--json").json["sent"][0]["id"]
    until(lambda: (sandbox.path / "again").exists(), True)
    slurm_command("scontrol", "requeue", job)
    until(sandbox.states, {"queued": 1})
    assert "requeued" in sandbox.sweep("why", "0").out
    slurm_command("scontrol", "update", f"jobid={job}", "starttime=now")  # else it waits for two minutes
    until(sandbox.states, {"done": 1})
    assert sandbox.sweep("logs", "0").out == "ran\nran\n"


def test_walltime_is_the_reason(on_slurm: Sandbox, toy: Toy) -> None:
    """Slurm's limits are minutes, looked at every half: a minute takes up to 90 s."""
    sandbox = on_slurm
    toy(
        parameters="{x: [300], how: [sleep]}",
        scheduler="{kind: slurm}",
        resources="{walltime: 1min, memory: 50MiB}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"running": 1})
    until(sandbox.states, {"failed": 1}, timeout_s=150)
    [row] = sandbox.sweep("status", "--json").json["failures"]
    assert row["reason"].startswith("walltime exceeded")
    assert row["reason"].endswith("(killed by SIGTERM)")


def test_a_trial_that_is_held_says_why_it_waits(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(scheduler="{kind: slurm, extra: [--hold]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"queued": 3})
    assert "queued, 3: waits in the queue: JobHeldUser" in sandbox.sweep("status").out
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 3})


def test_what_sbatch_refuses_is_told_in_its_words(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(scheduler="{kind: slurm, queue: nosuch}")
    sandbox.sweep("plan")
    assert "invalid partition specified: nosuch" in sandbox.sweep("submit", code=1).err
    assert sandbox.states() == {"planned": 3}


def test_arrays_are_cut_to_what_slurm_takes(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    limit = next(
        line for line in slurm_command("scontrol", "show", "config").splitlines() if "MaxArraySize" in line
    )
    size = int(limit.split("=")[1])
    toy(parameters=f"{{x: {{range: [1, {size + 5}]}}, how: [ok]}}", scheduler="{kind: slurm, extra: [--hold]}")
    plan = sandbox.sweep("plan", "--json").json
    assert [job["trials"] for job in plan["jobs"]] == [size, 5]
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == size + 5
    assert sandbox.states() == {"queued": size + 5}
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": size + 5})
