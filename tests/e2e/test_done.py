"""What was killed, or cancelled, is not done, whatever the program managed afterwards; and who keeps hold of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]

#: Its program is ended by SIGTERM; the shell goes on, writes a result and ends with 0.
TRAP = """\
trap : TERM
python3 -c 'import sys, time; open("begun-" + sys.argv[1], "w"); time.sleep(300)' "$SWEEP_NUMBER"
echo '{"segMeasure": 0.9}' > "$SWEEP_RESULT"
"""


def trapping(sandbox: Sandbox, toy: Toy, **keys: str) -> None:
    sandbox.write("run.sh", TRAP)
    toy(command="[bash, run.sh]", **{"parameters": "{x: [1, 2]}", **keys})
    sandbox.sweep("plan")
    sandbox.sweep("submit")


def trapping_and_begun(sandbox: Sandbox, toy: Toy, **keys: str) -> None:
    trapping(sandbox, toy, **keys)
    # Before its trap is set, a signal ends it without a result.
    until(lambda: all_begun(sandbox) and all((sandbox.path / f"begun-{trial}").exists() for trial in (0, 1)), True)


def all_begun(sandbox: Sandbox) -> bool:
    rows = sandbox.sweep("status", "--json").json["running"]
    return bool(rows) and all(row["host"] for row in rows)


def why(sandbox: Sandbox, trial: int) -> dict[str, Any]:
    report: dict[str, Any] = sandbox.sweep("why", str(trial), "--json").json
    return report


def not_ranked(sandbox: Sandbox) -> bool:
    return sandbox.sweep("best", code=1).err.startswith("error: no trial of")


def test_a_cancelled_trial_stays_cancelled(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    trapping_and_begun(sandbox, toy, scheduler=cluster.scheduler)
    sandbox.sweep("cancel", "1")
    until(sandbox.states, {"running": 1, "cancelled": 1})
    report = why(sandbox, 1)
    assert (report["state"], report["cause"]) == ("cancelled", "cancelled")
    assert report["result"] == {"segMeasure": 0.9}  # it is kept
    assert "its result is kept, and does not count" in report["reason"]
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 2})
    assert not_ranked(sandbox)
    sandbox.accounted_for()


def test_a_trial_killed_at_its_walltime_is_not_done_on_slurm(slurm: None, sandbox: Sandbox, toy: Toy) -> None:
    sandbox.env["SWEEP_GRACE_S"] = "30"  # Slurm says TIMEOUT first, and on a busy machine signals seconds later
    trapping_and_begun(sandbox, toy, scheduler="{kind: slurm}", resources="{walltime: 1min, memory: 100MiB}")
    [job_id] = [row["job"].partition("_")[0] for row in sandbox.sweep("status", "--json").json["running"]][:1]
    for task in (0, 1):  # its minute is over sooner
        subprocess.run(["scontrol", "update", f"jobid={job_id}_{task}", "EndTime=now+1"], check=True, timeout=60)
    until(sandbox.states, {"failed": 2}, timeout_s=180)  # Slurm looks every half a minute
    report = why(sandbox, 0)
    assert report["cause"] == "walltime"
    assert report["reason"].startswith("walltime exceeded")
    assert "(exit code 0); its result is kept" in report["reason"]
    assert report["said"].startswith("walltime exceeded")  # the scheduler's word, after it was settled
    assert "walltime exceeded" in sandbox.sweep("why", "0").out
    assert not_ranked(sandbox)
    assert sandbox.sweep("retry", "--plan-only", "--json").json["raised"]["0"]["walltime_s"] == 120


@pytest.mark.parametrize("kind", ["pbs", "torque", "local"])
def test_a_trial_killed_at_its_walltime_is_not_done(
    make_fake: MakeFake, sandbox: Sandbox, toy: Toy, kind: str
) -> None:
    if kind == "local":
        trapping(sandbox, toy, scheduler="{kind: local}", resources="{walltime: 8s, memory: 100MiB}")
    else:
        cluster = make_fake(kind)
        trapping_and_begun(
            sandbox, toy, scheduler=f"{{kind: {kind}}}", resources="{walltime: 5min, memory: 100MiB}"
        )
        cluster.knob("walltime", text="0")  # its time is over as soon as it has begun, however busy the machine is
    until(sandbox.states, {"failed": 2})
    assert why(sandbox, 0)["cause"] == "walltime"
    assert "its result is kept" in why(sandbox, 0)["reason"]
    assert not_ranked(sandbox)


@pytest.mark.parametrize("placement", ["array", "each"])
def test_without_history_the_nodes_record_says_that_the_time_was_over(
    make_fake: MakeFake, toy: Toy, placement: str
) -> None:
    """PBS keeps no history by default: the server has forgotten the job at the next look."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("nohistory")
    cluster.knob("walltime", text="4")
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: [60, 61], how: [sleep]}",
        resources="{walltime: 4s, memory: 100MiB}",
        submit=f"{{placement: {placement}}}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"failed": 2})
    report = why(sandbox, 0)
    assert report["cause"] == "walltime"
    reasons = ["by the node's record: was told to end (SIGTERM)"]
    if placement == "array":  # the server knows an ended task while another one of its array lives
        reasons.append("exceeded its walltime (killed by SIGTERM)")
    assert any(words in report["reason"] for words in reasons)
    assert sandbox.sweep("retry", "--plan-only", "--json").json["raised"]["0"]["walltime_s"] == 8


def test_deleted_by_hand_without_history_it_is_not_done(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("nohistory")
    trapping_and_begun(sandbox, toy, scheduler=cluster.scheduler, submit="{placement: each}")
    for row in sandbox.sweep("status", "--json").json["running"]:
        assert sandbox.run("qdel", row["job"]).code == 0
    until(sandbox.states, {"cancelled": 2})
    assert "was told to end (SIGTERM), exit code 0, and nobody has said why" in why(sandbox, 0)["reason"]
    assert not_ranked(sandbox)


def test_memory_killed_on_pbs_is_not_done(make_fake: MakeFake, toy: Toy) -> None:
    """The mom counts by session, so that it sees a trial's memory, and kills for it."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("memory", text="200")
    sandbox.write("eat.py", "import time\nhog = bytearray(300 * 2**20)\ntime.sleep(60)\n")
    sandbox.write("run.sh", 'trap : TERM\npython3 eat.py\necho \'{"segMeasure": 0.9}\' > "$SWEEP_RESULT"\n')
    toy(scheduler=cluster.scheduler, command="[bash, run.sh]", parameters="{x: [1]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"failed": 1})
    assert why(sandbox, 0)["cause"] == "out of memory"
    assert why(sandbox, 0)["said"].startswith("out of memory")


# --- the session ----------------------------------------------------------------------------------------------


def record_of(cluster: Cluster, job: str) -> str:
    return cluster.sandbox.run("qstat", "-x", "-t", "-f", job).out


@pytest.mark.parametrize("submit", ["{placement: array}", "{placement: packed, workers: 1}"])
def test_the_scheduler_counts_what_a_trial_uses(make_fake: MakeFake, toy: Toy, submit: str) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    sandbox.write(
        "burn.py",
        "import time\nhog = bytearray(150 * 2**20)\nwhile time.process_time() < 2: pass\ntime.sleep(30)\n",
    )
    toy(
        scheduler=cluster.scheduler,
        command="[python3, burn.py]",
        parameters="{x: [1]}",
        resources="{walltime: 5min, memory: 500MiB}",
        submit=submit,
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: all_begun(sandbox), True)

    def used() -> tuple[bool, bool]:
        text = record_of(cluster, "1.vm")
        values = dict(line.strip().split(" = ", 1) for line in text.splitlines() if " = " in line)
        kib = int(values.get("resources_used.mem", "0kb").removesuffix("kb"))
        return values.get("resources_used.cput", "") >= "00:00:02", kib > 150 * 1024

    until(used, (True, True))
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 1})


@pytest.mark.parametrize("submit", ["{placement: array}", "{placement: packed, workers: 1}"])
def test_what_ignores_sigterm_does_not_outlive_its_job(make_fake: MakeFake, toy: Toy, submit: str) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    sandbox.write(
        "stubborn.py",
        "import os, signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '300'])\nopen('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(300)\n",
    )
    toy(scheduler=cluster.scheduler, command="[python3, stubborn.py]", parameters="{x: [1]}", submit=submit)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: len((sandbox.path / "pids").read_text().split()) if (sandbox.path / "pids").exists() else 0, 2)
    pids = [int(pid) for pid in (sandbox.path / "pids").read_text().split()]
    assert sandbox.run("qdel", "1.vm").code == 0
    until(lambda: [pid for pid in pids if _lives(pid)], [])


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("submit", ["{placement: each}", "{placement: packed, workers: 1}"])
def test_suspended_is_shown_and_its_time_does_not_count(make_fake: MakeFake, toy: Toy, submit: str) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    sandbox.write("wait.py", "import os, time\nwhile not os.path.exists('go'): time.sleep(0.1)\n")
    toy(
        scheduler=cluster.scheduler,
        command="[python3, wait.py]",
        parameters="{x: [1]}",
        submit=submit,
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: all_begun(sandbox), True)
    time.sleep(2)  # past the first looks, which are short
    assert sandbox.run("qsig", "-s", "suspend", "1.vm").code == 0
    until(sandbox.states, {"suspended": 1})
    suspended_at = time.monotonic()
    assert "suspended" in sandbox.sweep("status").out
    first, second = (sandbox.sweep("status", "--json").json["running"][0] for _ in range(2))
    assert first["suspended"] is True
    assert first["elapsed_s"] == second["elapsed_s"]
    while time.monotonic() < suspended_at + 6:  # measured, not waited for
        time.sleep(0.2)
    assert sandbox.run("qsig", "-s", "resume", "1.vm").code == 0
    sandbox.write("go", "")
    until(sandbox.states, {"failed": 1})  # it writes no result
    [record] = (sandbox.path / "results/toy/trials").glob("*/*/attempt-1.json")
    end = json.loads(record.read_text())
    assert end["suspended_s"] > 4
    assert end["elapsed_s"] + end["suspended_s"] == pytest.approx(end["ended_at"] - end["started_at"], abs=2)


def test_suspended_on_slurm(slurm: None, sandbox: Sandbox, toy: Toy) -> None:
    toy(scheduler="{kind: slurm}", parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: all_begun(sandbox), True)
    job = sandbox.sweep("status", "--json").json["running"][0]["job"]
    subprocess.run(["scontrol", "suspend", job], check=True, timeout=60)
    until(sandbox.states, {"suspended": 1})
    assert "(suspended)" in sandbox.sweep("status").out
    subprocess.run(["scontrol", "resume", job], check=True, timeout=60)
    until(sandbox.states, {"running": 1})
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 1})


# --- the next look --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pbs", "torque"])
def test_after_a_change_the_next_look_asks(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    sandbox.env["SWEEP_POLL_EVERY_S"] = "600"
    toy(scheduler=cluster.scheduler, parameters="{x: [60, 61], how: [sleep]}", submit="{placement: each}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    assert sandbox.sweep("status", "--json").json["calls"] > 0
    assert sandbox.sweep("status", "--json").json["calls"] == 0
    sandbox.sweep("cancel", "1")
    assert sandbox.sweep("status", "--json").json["calls"] > 0
    sandbox.sweep("cancel")


def test_a_claim_that_is_newer_than_the_poll_runs(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    cluster.knob("held")
    sandbox.sweep("submit")
    assert sandbox.states() == {"queued": 1}
    sandbox.env["SWEEP_POLL_EVERY_S"] = "600"
    cluster.knob("held", on=False)
    run_queue = [sys.executable, str((cluster.knobs or Path()) / "bin" / "qsub"), "run"]
    runner = subprocess.Popen(run_queue, env=sandbox.env, cwd=sandbox.path)
    until(lambda: list((sandbox.path / "results/toy/trials").glob("*/*/attempt-1.json")) != [], True)
    report = sandbox.sweep("status", "--json").json
    assert (report["calls"], report["counts"]) == (0, {"running": 1})
    assert "since the scheduler was asked" in report["running"][0]["reason"]
    sandbox.sweep("cancel")
    runner.wait(60)


# --- questions that scale -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pbs", "torque"])
def test_hundreds_of_single_jobs_cost_three_calls_and_few_connections(
    make_fake: MakeFake, toy: Toy, kind: str
) -> None:
    """Asked by their ids, the server's ports run out, also for other people."""
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    cluster.knob("held")
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 60]}, how: [ok]}",
        submit="{placement: each}",
        resources="{walltime: 5min, memory: 10MiB}",
    )
    sandbox.sweep("plan")
    assert sandbox.sweep("submit", "--json", timeout_s=300).json["trials_sent"] == 60
    connections = (cluster.knobs or Path()) / "connections"
    connections.unlink()
    report = sandbox.sweep("status", "--json").json
    assert (report["counts"], report["calls"]) == ({"queued": 60}, 1)
    assert sum(map(int, connections.read_text().split())) == 2
    # Some have ended, and the history says how.
    state_file = (cluster.knobs or Path()) / "state.json"
    state = json.loads(state_file.read_text())
    for number in range(1, 31):
        task = state[str(number)]["tasks"][""]
        task.update(state="C" if kind == "torque" else "F", status=-11 if kind == "torque" else -29, walltime=3.0)
    state_file.write_text(json.dumps(state))
    connections.unlink()
    report = sandbox.sweep("status", "--json").json
    assert report["counts"] == {"queued": 30, "failed": 30}
    assert report["calls"] <= 3
    assert sum(map(int, connections.read_text().split())) <= 2 * 3
    # The next look asks for few by their ids.
    sandbox.sweep("cancel", timeout_s=120)
    until(sandbox.states, {"cancelled": 30, "failed": 30})


def test_many_arrays_and_single_jobs_without_history(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("held")
    cluster.knob("nohistory")
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 44]}, how: [ok]}",
        resources='{walltime: 5min, memory: "{{ 10 + x // 2 }}MiB"}',
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit", timeout_s=120)
    connections = (cluster.knobs or Path()) / "connections"
    connections.unlink()
    report = sandbox.sweep("status", "--json").json
    assert (report["counts"], report["calls"]) == ({"queued": 44}, 1)
    assert sum(map(int, connections.read_text().split())) == 2
    sandbox.sweep("cancel", timeout_s=120)
    until(sandbox.states, {"cancelled": 44})
