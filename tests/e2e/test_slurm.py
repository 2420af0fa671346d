"""What only a real Slurm does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Sandbox, capture
from tests.e2e.conftest import until

Toy = Callable[..., Path]


def slurm_command(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def on_slurm(sandbox: Sandbox, slurm: None) -> Iterator[Sandbox]:
    yield sandbox
    for journal in sandbox.path.glob("results/*/journal.jsonl"):
        ids = [json.loads(line).get("id", "") for line in journal.read_text().splitlines()]
        subprocess.run(["scancel", *filter(None, ids), "999999"], check=False, timeout=60)


def test_a_requeued_trial_runs_again_to_its_end(on_slurm: Sandbox, toy: Toy) -> None:
    """Slurm ends the trial with SIGTERM, so its record says that it ended. Then it runs the same task again."""
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
    # Else it waits for two minutes. Within the second in which it was ended, its node would refuse it.
    slurm_command("scontrol", "update", f"jobid={job}", "starttime=now+2")
    until(sandbox.states, {"done": 1})
    assert sandbox.sweep("logs", "0").out == "ran\nran\n"


def test_walltime_is_the_reason(on_slurm: Sandbox, toy: Toy) -> None:
    """Slurm's limits are whole minutes, and it checks them every 30 s. So one minute takes up to 90 s."""
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


def test_a_held_trial_shows_why_it_waits(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(scheduler="{kind: slurm, extra: [--hold]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"queued": 3})
    assert "queued, 3: waits in the queue: JobHeldUser" in sandbox.sweep("status").out
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 3})


def test_a_refusal_is_shown_in_the_words_of_sbatch(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(scheduler='{kind: slurm, extra: ["--partition=nosuch"]}')
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


def test_a_node_set_down_under_a_running_trial_and_the_next_attempt_elsewhere(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(
        parameters="{x: [60], how: [sleep]}",
        scheduler="{kind: slurm, extra: [--no-requeue]}",
        resources="{walltime: 5min, memory: 50MiB}",
        retry="{node_failure: {times: 1}}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(
        lambda: [row["host"] for row in sandbox.sweep("status", "--json").json["running"] if row["host"]] != [],
        True,
    )
    [node] = [row["host"] for row in sandbox.sweep("status", "--json").json["running"]]
    slurm_command("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        until(sandbox.states, {"failed": 1})
        why = sandbox.sweep("why", "0", "--json").json
        assert why["cause"] == "node failure"
        sandbox.write("trial.py", (sandbox.path / "trial.py").read_text().replace("time.sleep(x)", "pass"))
        assert sandbox.sweep("submit", "--retry", "--json").json["retried"]["trials"] == [0]
        assert f"#SBATCH --exclude={node}\n" in (sandbox.path / "results/toy/jobs/j0002.sh").read_text()
        until(sandbox.states, {"done": 1})
        assert sandbox.sweep("why", "0", "--json").json["attempt"]["node"] != node
    finally:
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=False, timeout=60)
    sandbox.accounted_for()


@pytest.fixture
def controller(slurm: None) -> Iterator[Callable[[bool], None]]:
    """Stop and start the lab's controller; another Slurm than the tests' own is left alone."""
    lab = Path(os.environ.get("SLURM_CONF", "")).parent.parent
    pid_file = lab / "run" / "slurmctld.pid"
    if not pid_file.is_file():
        pytest.skip("this Slurm was not started by tests/cluster/slurm.sh: its controller is not ours to stop")

    def switch(on: bool) -> None:
        if on:
            env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
            subprocess.run(["slurmctld"], check=True, env=env, timeout=60)
        else:
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
        expected = " is UP" if on else " is DOWN"
        until(
            lambda: expected in subprocess.run(["scontrol", "ping"], capture_output=True, text=True).stdout, True
        )

    yield switch
    if " is UP" not in subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False).stdout:
        switch(True)


def test_the_controller_down_and_back(on_slurm: Sandbox, controller: Callable[[bool], None], toy: Toy) -> None:
    sandbox = on_slurm
    toy(parameters="{x: [6, 7], how: [sleep, ok]}", scheduler="{kind: slurm}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 2)
    controller(False)
    status = sandbox.sweep("status", "--json")
    assert "stale: scontrol did not answer" in status.err
    assert not {"lost", "failed", "cancelled"} & status.json["counts"].keys()
    toy(name="second", scheduler="{kind: slurm}")
    assert "arrays of at most 1000 and no other limits are assumed" in sandbox.sweep("plan").err
    assert "error: sbatch: " in sandbox.sweep("submit", "second", code=1).err
    # The trials end while the controller is down.
    records = sandbox.path / "results/toy/trials"
    until(lambda: all('"ended": true' in path.read_text() for path in records.rglob("attempt-1.json")), True)
    controller(True)
    until(lambda: sandbox.sweep("status", "toy", "--json").json["counts"], {"done": 4})
    sandbox.accounted_for("toy")
    assert sandbox.sweep("submit", "second", "--json").json["trials_sent"] == 3
    until(lambda: sandbox.sweep("status", "second", "--json").json["counts"], {"done": 3})


def test_accounting_that_is_down_settles_no_trial(on_slurm: Sandbox, toy: Toy) -> None:
    """The output was captured while the database was stopped. Trials that left the queue wait until it answers."""
    sandbox = on_slurm
    _, err, code = capture("errors/dbd_down_sacct")
    fake = sandbox.write("bin/sacct", f"#!/bin/sh\ncat >&2 <<'E'\n{err}E\nexit {code}\n")
    fake.chmod(0o755)
    down = {"PATH": f"{fake.parent}:{sandbox.env['PATH']}", "SWEEP_GRACE_S": "0"}
    toy(parameters="{x: [1, 2], how: [ok, kill]}", scheduler="{kind: slurm}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    records = sandbox.path / "results/toy/trials"
    until(lambda: sum('"ended": true' in path.read_text() for path in records.rglob("attempt-1.json")), 4)
    ran = sandbox.sweep("status", "--json", env=down)
    assert "note: sacct did not answer" in ran.err
    assert "lost" not in ran.json["counts"]
    until(sandbox.states, {"done": 2, "failed": 2})
    sandbox.accounted_for()


def test_sstat_is_asked_for_running_trials_on_request(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    burn = "import time\nend = time.time() + 30\nhog = bytearray(60 * 2**20)\nwhile time.time() < end: pass\n"
    sandbox.write("burn.py", burn)
    toy(command="[python3, burn.py, '{{ x }}']", parameters="{x: [1, 2]}", scheduler="{kind: slurm}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 2)

    def usage_is_shown() -> bool:
        rows = sandbox.sweep("status", "--usage", "--json").json["running"]
        return all(row["witness"] == "scheduler" and row["cpu_s"] and row["peak_memory_mib"] > 40 for row in rows)

    until(usage_is_shown, True, timeout_s=25)
    plain = sandbox.sweep("status", "--json").json
    assert plain["calls"] == 2  # all trials run: the accounting is not asked
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 2})


def test_the_person_who_cancelled_is_named(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(parameters="{x: [60], how: [sleep]}", scheduler="{kind: slurm, extra: [--hold]}")
    sandbox.sweep("plan")
    job = sandbox.sweep("submit", "--json").json["sent"][0]["id"]
    slurm_command("scancel", job)
    until(sandbox.states, {"cancelled": 1})
    [row] = sandbox.sweep("status", "--json").json["failures"]
    assert row["reason"] == f"cancelled: cancelled by user {os.getuid()}"
    sandbox.sweep("retry", "--cancelled")
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 1})
    assert " on " in sandbox.sweep("why", "0", "--json").json["cancelled_by"]


def test_requests_beyond_the_partition_are_refused_while_planning(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    for resources, queue, message in [
        ("{walltime: 6min, memory: 50MiB}", "short", "asks for 00:06:00, and the queue 'short' allows 00:05:00"),
        ("{cpus: 5}", "batch", "asks for 5 CPUs, and no node of the queue 'batch' has more than 4 CPUs"),
        (
            "{memory: 17000MiB}",
            "batch",
            "asks for 16.6 GiB, and no node of the queue 'batch' has more than 15.6 GiB",
        ),
        ("{gpus: 1}", "batch", "asks for 1 GPU, and no node of the queue 'batch' has more than 0 GPUs"),
    ]:
        toy(resources=resources, scheduler=f"{{kind: slurm, queue: {queue}}}")
        ran = sandbox.sweep("plan", code=2)
        assert message in ran.err
        assert "grid.yaml:4:" in ran.err
    toy(resources="{walltime: 6min}", scheduler="{kind: slurm, queue: short, limits: {walltime: 1h}}")
    sandbox.sweep("plan")
    toy(submit="{placement: packed, per_worker: 5}", scheduler="{kind: slurm}", resources="{memory: 50MiB}")
    ran = sandbox.sweep("plan", code=2)
    assert (
        "grid.yaml:5:29: a worker asks for 5 CPUs, and no node of the default queue has more than 4 CPUs"
        in ran.err
    )


#: How many trials run on the four nodes of the next test; by hand: 200.
BAD_NODE_TRIALS = int(os.environ.get("SWEEP_BAD_NODE_TRIALS", "60"))


@pytest.mark.parametrize("placement", ["array", "packed, workers: 16"])
def test_one_bad_node_does_not_eat_the_sweep(on_slurm: Sandbox, toy: Toy, placement: str) -> None:
    """One of four nodes fails each trial at once. It gets five at most; the others are run elsewhere, and it is named."""
    sandbox = on_slurm
    nodes = sorted({line.split()[0] for line in slurm_command("sinfo", "-h", "-N", "-o", "%N").splitlines()})
    bad = nodes[1]
    sandbox.write(
        "t.py",
        f"import json, os, sys, time\nif os.environ['SLURMD_NODENAME'] == {bad!r}: sys.exit(1)\ntime.sleep(1)\n"
        "json.dump({'segMeasure': 1}, open(os.environ['SWEEP_RESULT'], 'w'))\n",
    )
    toy(
        command="[python3, t.py]",
        parameters=f"{{x: {{range: [1, {BAD_NODE_TRIALS}]}}}}",
        scheduler="{kind: slurm}",
        submit=f"{{placement: {placement}}}",
        resources="{walltime: 2min, memory: 50MiB}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow(timeout_s=600)
    shown = sandbox.sweep("status")
    assert f"node {bad} looks unfit" in shown.err
    assert f"were on node {bad}" in shown.out
    counts = sandbox.states()
    assert counts["failed"] <= 5
    assert f"node {bad} looks unfit" in sandbox.sweep("report", "--cost").err
    first = json.loads(sandbox.sweep("status", "--json").out)["failures"][0]["trials"][0]
    assert f"node {bad} looks unfit" in sandbox.sweep("why", str(first)).err
    if counts.get("paused", 0) + counts.get("planned", 0):
        sandbox.sweep("submit")
        assert f"--exclude={bad}" in (sandbox.path / "results/toy/sweep.log").read_text()
        sandbox.follow(timeout_s=300)
    sandbox.sweep("retry", "--errors")
    sandbox.follow(timeout_s=300)
    assert sandbox.states() == {"done": BAD_NODE_TRIALS}
    assert f"node {bad} is used again" in sandbox.sweep("submit", "--no-exclude").err
    assert "looks unfit" not in sandbox.sweep("status").err
