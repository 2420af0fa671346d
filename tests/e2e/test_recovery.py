"""Packed workers, waves, retries by cause, and going on after the walltime."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]

#: Counts to x, one a second; told to end, or warned, it saves where it was and asks to go on.
RESUMES = """\
import json, os, signal, sys, time
note = lambda word: os.write(os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND),
                             (" ".join([word, os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]]) + "\\n").encode())
saved = os.path.join(os.environ["SWEEP_FOLDER"], "saved")
done = int(open(saved).read()) if os.path.exists(saved) else 0
def leave(number, frame):
    open(saved, "w").write(str(done))
    sys.exit(75)
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGUSR1, leave)
note("begin")
print("from", done, flush=True)
while done < int(sys.argv[1]):
    time.sleep(1)
    done += 1
json.dump({"segMeasure": done}, open(os.environ["SWEEP_RESULT"], "w"))
note("end")
"""


def until(look: Callable[[], Any], wanted: Any, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"{seen}, not {wanted}"
        time.sleep(0.3)


def events(sandbox: Sandbox, kind: str) -> list[dict[str, Any]]:
    lines = (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


# --- packed ---------------------------------------------------------------------------------------------------


def test_one_trial_of_a_worker_is_cancelled_without_the_others(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: [2, 60, 61, 3], how: [sleep]}",
        submit="{placement: packed, workers: 1, per_worker: 2}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: [row["trial"] for row in sandbox.sweep("status", "--json").json["running"]], [1, 2])
    assert sandbox.sweep("cancel", "1", "2", "--json").json["jobs"] == []
    sandbox.follow()
    assert sandbox.states() == {"done": 2, "cancelled": 2}
    assert "cancelled while it ran" in sandbox.sweep("why", "2", "--json").json["reason"]
    assert sandbox.accounted_for().startswith("4 trials: 2 ran")


def test_a_trial_that_waits_for_a_worker_is_cancelled_by_its_claim(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [3, 4, 5], how: [sleep]}", submit="{placement: packed}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 1)
    sandbox.sweep("cancel", "2")
    assert sandbox.sweep("why", "2", "--json").json["reason"] == "cancelled before it ran"
    sandbox.follow()
    assert sandbox.states() == {"done": 2, "cancelled": 1}
    sandbox.accounted_for()


def test_a_worker_starts_nothing_that_cannot_end_and_the_rest_is_sent_again(sandbox: Sandbox, toy: Toy) -> None:
    """A worker of 26 s, trials that may take 20 s and take 3: after 6 s nothing more is begun."""
    toy(
        parameters="{x: [3, 3.1, 3.2, 3.3, 3.4], how: [sleep]}",
        resources="{walltime: 20s, memory: 100MiB}",
        submit="{placement: packed, worker_walltime: 26s}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    until(lambda: "queued" in sandbox.states(), False)
    left = sandbox.states()["planned"]
    assert 2 <= left <= 4  # two begin within 6 s, or on a slow machine one
    assert "ended before its turn came" in sandbox.sweep("why", "4", "--json").json["reason"]
    assert sandbox.sweep("plan", "--json").json["jobs"] == []  # the job is there, and is sent again
    sandbox.sweep("submit", "--follow", "--interval", "0.5")
    assert sandbox.states() == {"done": 5}
    sandbox.accounted_for()


def test_a_worker_ends_its_trials_at_their_own_limits(sandbox: Sandbox, toy: Toy) -> None:
    sandbox.write("eat.py", "import sys, time\nhog = bytearray(int(sys.argv[1]) * 2**20)\ntime.sleep(60)\n")
    toy(
        command="[python3, eat.py, '{{ x }}']",
        parameters="{x: [10, 300]}",
        resources="{walltime: 5s, memory: 100MiB}",
        submit="{placement: packed, per_worker: 2}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    causes = {row["cause"]: row["reason"] for row in sandbox.sweep("status", "--json").json["failures"]}
    assert causes.keys() == {"walltime", "out of memory"}
    assert "of 100 MiB, ended by its worker" in causes["out of memory"]
    raised = sandbox.sweep("retry", "--plan-only", "--json").json["raised"]
    assert raised["0"] == {"walltime_s": 10}
    assert raised["1"]["memory_mib"] >= 450  # once and a half the peak that was measured
    script = (sandbox.path / "results/toy/jobs/j0003.sh").read_text()
    assert f"--memory-mib {raised['1']['memory_mib']}" in script


def test_workers_that_cannot_run_anything_are_not_sent_for_ever(sandbox: Sandbox, toy: Toy) -> None:
    toy(submit="{placement: packed, workers: 2}", scheduler="{kind: local, python: no-such-python}", retry="{}")
    sandbox.sweep("plan")
    ran = sandbox.sweep("submit", "--follow", "--interval", "0.5")
    assert "began no trial; " in ran.out
    assert len(events(sandbox, "submitting")) == 1
    assert sandbox.states() == {"planned": 3}
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3  # a person may


def test_a_failed_environment_line_spoils_one_trial_a_worker(sandbox: Sandbox, toy: Toy) -> None:
    toy(submit="{placement: packed, workers: 2}", environment="[no_such_module]")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    until(sandbox.states, {"failed": 2, "planned": 1})
    [row] = sandbox.sweep("status", "--json").json["failures"]
    assert row["cause"] == "environment"


# --- waves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["array", "each", "packed"])
def test_follow_feeds_until_all_is_sent(make_fake: MakeFake, toy: Toy, placement: str) -> None:
    cluster = make_fake("torque")
    sandbox = cluster.sandbox
    cluster.knob("limit", text="3")
    cluster.knob("told")
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 7]}, how: [ok]}",
        submit=f"{{placement: {placement}{', workers: 5' if placement == 'packed' else ''}}}",
    )
    plan = sandbox.sweep("plan", "--json").json
    assert plan["limits"]["max_queued"] == 3
    assert plan["waves"] == (1 if placement == "packed" else 3)
    sandbox.sweep("submit", "--follow", "--interval", "0.3")
    sandbox.follow()
    assert sandbox.states() == {"done": 7}
    assert not events(sandbox, "refused")  # the cap was asked for, not run into
    sandbox.accounted_for()


def test_a_cap_that_nobody_tells_of_is_found_by_halving(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("limit", text="3")
    cluster.knob("held")
    toy(scheduler=cluster.scheduler, parameters="{x: {range: [1, 9]}, how: [ok]}")
    sandbox.sweep("plan")
    sent = sandbox.sweep("--patience", "0", "submit", "--json").json
    assert (sent["trials_sent"], sent["trials_left"]) == (3, 6)
    assert sandbox.states() == {"queued": 3, "planned": 6}


def test_the_driver_job_sends_one_wave_after_another(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 5]}, how: [ok]}",
        submit="{max_queued: 3, driver: true}",
    )
    assert "so: 2 waves; the driver job sends them" in sandbox.sweep("plan").out  # 2, 2 and 1 of 3: see below
    sent = sandbox.sweep("submit", "--json").json
    assert (sent["trials_sent"], sent["trials_left"]) == (2, 3)  # and the driver's own place
    assert sandbox.sweep("submit", "--json").json["driver"] == ""  # one is waiting already
    until(sandbox.states, {"done": 5})
    assert {event["job"] for event in events(sandbox, "submitting")} == {"j0001", "driver"}
    sandbox.accounted_for()


# --- retries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pbs", "torque"])
def test_walltime_is_doubled_up_to_the_ceiling(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    cluster.knob("walltime", text="1")
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: [30], how: [sleep]}",
        resources="{walltime: 1h, memory: 100MiB}",
        retry="{walltime: {times: 5, ceiling: 3h}}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    asked = []
    for _ in range(3):
        sandbox.follow()
        row = sandbox.sweep("why", "0", "--json").json
        assert (row["state"], row["cause"]) == ("failed", "walltime")
        made = sandbox.sweep("retry", "--json").json
        asked.append(made["raised"].get("0", made["spared"]))
    highest = {"walltime: it had 03:00:00, and the ceiling is 03:00:00": [0]}
    assert asked == [{"walltime_s": 7200}, {"walltime_s": 10800}, highest]


@pytest.mark.parametrize("kind", ["pbs", "torque"])
def test_a_command_that_saved_where_it_was_goes_on(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    """PBS and Torque send SIGTERM at the walltime; exit code 75 is progress, not a failure."""
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    cluster.knob("walltime", text="6")
    toy(scheduler=cluster.scheduler, command="[python3, trial.py, '{{ x }}']", parameters="{x: [9, 10]}")
    sandbox.write("trial.py", RESUMES)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"paused": 2}
    assert sandbox.sweep("submit", "--json").json["resumed"] == 2
    for _ in range(8):
        sandbox.follow()
        if sandbox.states() == {"done": 2}:
            break
        sandbox.sweep("submit")
    assert sandbox.states() == {"done": 2}
    starts = [
        int(line.split()[1]) for line in sandbox.sweep("logs", "1").out.splitlines() if line.startswith("from")
    ]
    assert starts[0] == 0
    assert starts == sorted(set(starts))  # each went on where the last one was
    sandbox.accounted_for()


def test_follow_retries_by_the_grids_rules_and_ends(sandbox: Sandbox, toy: Toy) -> None:
    """The first two attempts fail; the rules give two more to an error."""
    program = "import json, os\nif int(os.environ['SWEEP_ATTEMPT']) < 3: raise SystemExit(9)\n"
    program += "json.dump({'segMeasure': 1}, open(os.environ['SWEEP_RESULT'], 'w'))\n"
    sandbox.write("flaky.py", program)
    toy(command="[python3, flaky.py, '{{ x }}', '{{ how }}']", retry="{error: {times: 2}}")
    sandbox.sweep("plan")
    ran = sandbox.sweep("submit", "--follow", "--interval", "0.3")
    assert "3 trials tried again" in ran.out
    assert sandbox.states() == {"done": 3}
    assert [event["why"][0][1] for event in events(sandbox, "retried")][:1] == ["error"]


def test_a_warning_reaches_only_those_who_wait_for_it(sandbox: Sandbox, slurm: None, toy: Toy) -> None:
    """Slurm sends SIGUSR1 before the end: one saves and goes on, the other is not killed by it."""
    toy(
        scheduler="{kind: slurm, extra: ['--signal=B:USR1@55']}",
        parameters="{x: [200], how: [sleep, resumes]}",
        command="[python3, '{{ \"trial.py\" if how == \"sleep\" else \"resumes.py\" }}', '{{ x }}', '{{ how }}']",
        resources="{walltime: 1min, memory: 50MiB}",
    )
    sandbox.write("resumes.py", RESUMES)
    sandbox.sweep("plan")
    assert "#SBATCH --signal=B:USR1@15" in (sandbox.path / "results/toy/jobs/j0001.sh").read_text()
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("paused"), 1, timeout_s=100)
    told = sandbox.sweep("why", "1", "--json").json["attempt"]
    assert told["told"] == ["SIGUSR1"]
    assert sandbox.sweep("why", "0", "--json").json["state"] == "running"
    sandbox.sweep("cancel")
    until(lambda: sandbox.states().get("cancelled"), 1, timeout_s=30)
