"""What goes wrong on the nodes: clocks, file systems, killed runners, invalid results."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]

RESULTS = {
    "half written": "b'{\"segMeasure\": 0.'",
    "not UTF-8": 'b\'{"segMeasure": 0.5, "note": "\\xff"}\'',
    "NaN": "b'{\"segMeasure\": NaN}'",
    "100 MB": "b'{\"segMeasure\": 0.5, \"x\": \"' + b'x' * 10**8 + b'\"}'",
    "a list": "b'[0.5]'",
}


def test_invalid_results_are_failures_each_with_its_reason(sandbox: Sandbox, toy: Toy) -> None:
    sandbox.write(
        "t.py",
        f"import os, sys\nforms = {{{', '.join(f'{name!r}: {code}' for name, code in RESULTS.items())}}}\n"
        "open(os.environ['SWEEP_RESULT'], 'wb').write(forms[sys.argv[1]])\n",
    )
    toy(command="[python3, t.py, '{{ kind }}']", parameters=f"{{kind: {json.dumps(list(RESULTS))}}}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    rows = sandbox.sweep("report", "--json").json
    reasons = {row["kind"]: row["reason"] for row in rows}
    assert {row["state"] for row in rows} == {"failed"}
    assert "is not JSON" in reasons["half written"]
    assert "is not JSON" in reasons["not UTF-8"]
    assert "segMeasure is nan" in reasons["NaN"]
    assert "100,000,028 bytes long" in reasons["100 MB"]
    assert "holds a list" in reasons["a list"]
    causes = {row["cause"] for row in sandbox.sweep("status", "--json").json["failures"]}
    assert causes == {"result not valid"}


@pytest.mark.parametrize("apart_s", [3600, -3600])
def test_a_node_whose_clock_is_an_hour_off(make_fake: MakeFake, toy: Toy, apart_s: int) -> None:
    """Durations are measured on one clock. So no elapsed time is negative, and no trial is lost."""
    sandbox = make_fake("pbs").sandbox
    python = sandbox.write(
        "skewed", f'#!/bin/sh\nshift 2\nexec {shlex.quote(sys.executable)} -c "import runpy, sys, time; real = time.time; '
        f"time.time = lambda: real() + {apart_s}; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')\" \"$@\"\n",
    )  # fmt: skip
    python.chmod(0o755)
    sandbox.write("plain/skewed", python.read_text()).chmod(0o755)
    toy(
        scheduler=json.dumps({"kind": "pbs", "python": str(python)}),
        parameters="{x: [6, 6.5], how: [sleep, ok]}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: (sandbox.path / "runs").exists(), True)
    for row in sandbox.sweep("status", "--json").json["running"]:
        assert (row["elapsed_s"] or 0) >= 0
    sandbox.follow()
    rows = sandbox.sweep("report", "--json").json
    assert all(0 <= row["elapsed_s"] < 60 for row in rows)
    assert sandbox.accounted_for() == "4 trials: 4 ran exactly once to a recorded end (4 done, 0 failed)"


def test_a_trial_folder_that_appears_late_is_waited_for(make_fake: MakeFake, toy: Toy) -> None:
    """The job has ended, and this login node does not see its record yet."""
    sandbox = make_fake("torque").sandbox
    toy(scheduler="{kind: torque}", parameters="{x: [1], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    trials = sandbox.path / "results/toy/trials"
    own = trials.parent / "elsewhere"
    until(lambda: '"ended": true' in "".join(path.read_text() for path in trials.rglob("attempt-1.json")), True)
    trials.rename(own)
    trials.mkdir()
    patient = {"SWEEP_GRACE_S": "60"}
    until(lambda: "awaited" in sandbox.sweep("why", "0", "--json", env=patient).json["reason"], True)
    assert sandbox.sweep("status", "--json", env=patient).json["counts"] in ({"running": 1}, {"queued": 1})
    trials.rmdir()
    own.rename(trials)
    assert sandbox.states() == {"done": 1}
    sandbox.accounted_for()


def test_a_worker_that_is_killed(sandbox: Sandbox, toy: Toy) -> None:
    """Its running trial ends with it and is failed. The trial that it had not begun is sent again."""
    toy(parameters="{x: [60, 1], how: [sleep]}", submit="{placement: packed, workers: 1}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: (sandbox.path / "runs").exists(), True)
    record = next((sandbox.path / "results/toy/trials").rglob("attempt-1.json"))
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    until(sandbox.states, {"failed": 1, "planned": 1}, timeout_s=20)
    assert "no exit record" in sandbox.sweep("why", "0", "--json").json["reason"]
    sandbox.sweep("submit")
    until(sandbox.states, {"failed": 1, "done": 1}, timeout_s=20)
    sandbox.accounted_for()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_runner_that_is_killed(make_fake: MakeFake, toy: Toy, number: signal.Signals) -> None:
    sandbox = make_fake("pbs").sandbox
    toy(scheduler="{kind: pbs}", parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: (sandbox.path / "runs").exists(), True)
    record = next((sandbox.path / "results/toy/trials").rglob("attempt-1.json"))
    runner = psutil.Process(json.loads(record.read_text())["pid"])
    commands = runner.children(recursive=True)
    assert commands
    os.kill(runner.pid, number)
    sandbox.follow()
    why = sandbox.sweep("why", "0", "--json").json
    assert why["state"] == "failed"
    assert ("no exit record" in why["reason"]) == (number is signal.SIGKILL)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in commands)
    sandbox.accounted_for()
    sandbox.write("trial.py", (sandbox.path / "trial.py").read_text().replace("time.sleep(x)", "pass"))
    sandbox.sweep("retry", "0")
    sandbox.follow()
    assert sandbox.states() == {"done": 1}
    sandbox.accounted_for()


def test_a_command_killed_at_its_memory_was_most_likely_killed_for_that(sandbox: Sandbox, toy: Toy) -> None:
    """The kernel sends SIGKILL when the memory is used up, and leaves no message. This command does the same."""
    sandbox.write(
        "eat.py", "import os, time\nhog = bytearray(110 * 2**20)\ntime.sleep(2)\nos.kill(os.getpid(), 9)\n"
    )
    toy(command="[python3, eat.py]", parameters="{x: [1]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    [row] = sandbox.sweep("status", "--json").json["failures"]
    assert row["cause"] == "out of memory"
    assert "MiB that it asked for" in row["reason"]
    report = sandbox.sweep("retry", "--json").json
    assert report["raised"]["0"]["memory_mib"] >= 165  # 1.5 times the measured peak


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Make a file system of a few MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small tmpfs needs the right to mount one. To try it: be root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def commands_in(folder: Path) -> list[int]:
    """List the processes of trials that run there."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and "trial.py" in process.cmdline():
                pids.append(process.pid)
    return pids


def test_the_disk_full_under_running_trials(make_fake: MakeFake, toy: Toy, small_disk: Path) -> None:
    """The nodes wait for room. A task without room for its claim says so in its job's log, and can be tried again."""
    sandbox = make_fake("torque").sandbox
    toy(scheduler="{kind: torque}", parameters="{x: [3, 3.5, 3.25], how: [sleep]}")
    results = {"SWEEP_RESULTS": str(small_disk)}
    sandbox.sweep("plan", env=results)
    sandbox.sweep("submit", env=results)
    claims = small_disk / "toy/trials"
    until(lambda: len(list(claims.rglob("attempt-1.json"))), 3)
    stuffing = small_disk / "stuffing"
    subprocess.run(["dd", "if=/dev/zero", f"of={stuffing}", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
    status = sandbox.sweep("status", "--json", env=results)
    assert status.json["counts"] == {"running": 3}
    until(lambda: commands_in(sandbox.path), [])  # all end while the disk is full
    stuffing.unlink()
    sandbox.sweep("status", "--watch", "--interval", "0.3", env=results)
    states = sandbox.sweep("status", "--json", env=results).json["counts"]
    assert set(states) <= {"done", "failed"}  # failed: where the result itself found no room
    assert sum(states.values()) == 3
    sandbox.sweep("retry", "--errors", env=results)
    sandbox.sweep("status", "--watch", "--interval", "0.3", env=results)
    assert sandbox.sweep("status", "--json", env=results).json["counts"] == {"done": 3}
