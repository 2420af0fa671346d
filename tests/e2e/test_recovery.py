"""Packed workers, waves, retries by cause, and going on after the walltime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.schedulers import SCHEDULERS
from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]

#: Counts to x, one a second. On SIGTERM or SIGUSR1 it saves its count and ends with 75, which asks to go on.
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
    planned = sandbox.states()["planned"]
    assert 2 <= planned <= 4  # two begin within 6 s, or on a slow machine one
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
    peak_mib = sandbox.sweep("why", "1", "--json").json["attempt"]["peak_memory_mib"]
    raised = sandbox.sweep("retry", "--plan-only", "--json").json["raised"]
    assert raised["0"] == {"memory_mib": None, "walltime_s": 10}
    assert 1.5 * peak_mib <= raised["1"]["memory_mib"] <= 1.5 * peak_mib + 26  # of the peak, in quarters of 100
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
    cluster.knob("advertised")
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
    assert not events(sandbox, "refused")  # the scheduler told its cap, so nothing was refused
    sandbox.accounted_for()


def test_an_unadvertised_cap_is_found_by_halving(make_fake: MakeFake, toy: Toy) -> None:
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
    if cluster.kind not in SCHEDULERS:
        pytest.skip(
            "the driver job is sweep itself, which has no scheduler of the tests: try it on one that it has"
        )
    sandbox = cluster.sandbox
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 5]}, how: [ok]}",
        submit="{max_queued: 3, driver: true}",
    )
    # 2, 1 and 2: while a driver runs, it and its successor have a place each.
    assert "so: 3 waves; the driver job sends them" in sandbox.sweep("plan").out
    sent = sandbox.sweep("submit", "--json").json
    assert (sent["trials_sent"], sent["trials_left"]) == (2, 3)  # the driver takes one place
    assert sandbox.sweep("submit", "--json").json["driver"] == ""  # a driver waits already
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
    outcomes = []
    for _ in range(3):
        sandbox.follow()
        row = sandbox.sweep("why", "0", "--json").json
        assert (row["state"], row["cause"]) == ("failed", "walltime")
        report = sandbox.sweep("retry", "--json").json
        outcomes.append(report["raised"].get("0") or [spared["reason"] for spared in report["spared"]])
    highest = ["walltime: it had 03:00:00, and the ceiling is 03:00:00"]
    raised = [{"memory_mib": None, "walltime_s": seconds} for seconds in (7200, 10800)]
    assert outcomes == [*raised, highest]


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
    assert starts == sorted(set(starts))  # each went on where the one before had stopped
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
    assert [(event["by"], event["attempts"][0]["rule"]) for event in events(sandbox, "decided")][:1] == [
        ("rules", "error")
    ]


def test_a_warning_signal_reaches_only_commands_that_handle_it(sandbox: Sandbox, slurm: None, toy: Toy) -> None:
    """Slurm sends SIGUSR1 before the end. One command saves and is paused; the signal does not kill the other."""
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
    attempt = sandbox.sweep("why", "1", "--json").json["attempt"]
    assert attempt["signals"] == ["SIGUSR1"]
    assert sandbox.sweep("why", "0", "--json").json["state"] == "running"
    sandbox.sweep("cancel")
    until(lambda: sandbox.states().get("cancelled"), 1, timeout_s=30)


# --- what an edited grid and a bad moment may not do -------------------------------------------------------------


def test_planning_again_strands_no_trial(make_fake: MakeFake, toy: Toy) -> None:
    """A submission that nobody answered, then an edited grid: in the end all trials have run."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [1, 2], how: [ok]}")
    sandbox.sweep("plan")
    cluster.knob("down")
    sandbox.sweep("submit", code=1)
    cluster.knob("down", on=False)
    toy(scheduler=cluster.scheduler, parameters="{x: [1, 2, 3], how: [ok]}")
    sandbox.sweep("plan")
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3
    sandbox.follow()
    assert sandbox.accounted_for() == "3 trials: 3 ran exactly once to a recorded end (3 done, 0 failed)"


def test_a_further_attempt_that_was_not_sent_takes_the_edited_grid(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1], how: [fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("retry", "--errors", "--plan-only")
    toy(parameters="{x: [1], how: [fail]}", command="[python3, trial.py, '{{ x }}', ok]")
    assert "the first runs: python3 trial.py 1 ok" in sandbox.sweep("plan").out
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 1}


def test_a_driver_that_meets_a_silent_scheduler_tries_again(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("torque")
    sandbox = cluster.sandbox
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 4]}, how: [ok]}",
        submit="{max_queued: 3, driver: true}",
    )
    sandbox.sweep("plan")
    cluster.knob("held")
    sandbox.sweep("submit")
    cluster.knob("down")
    cluster.knob("held", on=False)
    # This runs the fake's queue while its clients do not answer.
    queue_runner = subprocess.Popen(
        ["qsub", "run"],
        cwd=sandbox.path,
        env=sandbox.env,
        executable=shutil.which("qsub", path=sandbox.env["PATH"]),
    )
    log = sandbox.path / "results/toy/jobs/driver.log"
    until(lambda: (sandbox.path / "runs").exists() and len(read_lines(sandbox.path / "runs")) == 4, True)
    calls_before = len(cluster.calls())
    until(lambda: len(cluster.calls()) > calls_before, True)  # the driver has asked, and nobody answered
    cluster.knob("down", on=False)
    until(sandbox.states, {"done": 4}, timeout_s=90)
    assert "2 trials submitted, 0 left" in log.read_text()
    assert queue_runner.wait(30) == 0
    sandbox.accounted_for()


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_no_driver_is_sent_after_a_refused_submission(make_fake: MakeFake, toy: Toy) -> None:
    """The scheduler would refuse the driver's submissions again and again."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler='{kind: pbs, extra: ["-q nosuch"]}', submit="{driver: true, max_queued: 3}")
    sandbox.sweep("plan")
    assert "Unknown queue" in sandbox.sweep("submit", code=1).err
    assert {event["job"] for event in events(sandbox, "submitting")} == {"j0001"}
    toy(scheduler="{kind: pbs}", submit="{driver: true, max_queued: 1}")
    assert "the driver is a job, too" in sandbox.sweep("plan", code=2).err


def test_cancelling_everything_stops_a_following_submit(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [30, 31, 32], how: [sleep]}", submit="{max_queued: 1}")
    sandbox.sweep("plan")
    follower = subprocess.Popen(
        [sys.executable, "-m", "sweep", "submit", "--follow", "--interval", "0.3"],
        cwd=sandbox.path, env=sandbox.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: sandbox.states().get("running"), 1)
    sandbox.sweep("cancel")
    _, err = follower.communicate(timeout=60)
    assert "someone has cancelled everything: nothing more is sent" in err
    until(sandbox.states, {"cancelled": 1, "planned": 2})


def test_a_cancel_that_failed_is_no_reason_later(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: (sandbox.path / "runs").exists(), True)
    cluster.knob("down")
    assert "nothing was cancelled" in sandbox.sweep("cancel", code=1).err
    cluster.knob("down", on=False)
    cluster.knob("walltime", text="1")
    sandbox.follow()
    assert sandbox.sweep("why", "0", "--json").json["cause"] == "walltime"


def test_a_paused_trial_that_may_not_be_resumed_is_reported(sandbox: Sandbox, toy: Toy) -> None:
    toy(command="[bash, -c, 'exit 75']", parameters="{x: [1]}", retry="{resume: {times: 1}}")
    sandbox.sweep("plan")
    sandbox.sweep("submit", "--follow", "--interval", "0.3")
    assert sandbox.states() == {"paused": 1}
    assert "not tried again, 1: paused: tried again 1 times already" in sandbox.sweep("submit").out
    assert sandbox.sweep("retry", "0", "--json").json["trials"] == [0]  # a person may
    sandbox.follow()


def test_retries_for_memory_stay_together_and_under_the_limit(sandbox: Sandbox, toy: Toy) -> None:
    """Retries with different peaks share one job. A limit that is lowered later lowers the raised memory."""
    sandbox.write("eat.py", "import sys, time\nhog = bytearray(int(sys.argv[1]) * 2**20)\ntime.sleep(60)\n")
    grid_keys = {
        "command": "[python3, eat.py, '{{ x }}']",
        # Whenever a growing program is stopped, 1.5 times its peak lies between six and seven steps.
        "parameters": "{x: [158, 159, 160]}",
        "resources": "{walltime: 1min, memory: 160MiB}",
        "submit": "{placement: packed, per_worker: 3}",
    }
    toy(**grid_keys)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    report = sandbox.sweep("retry", "--plan-only", "--json").json
    assert report["jobs"] == ["j0002"]
    assert {raised["memory_mib"] for raised in report["raised"].values()} == {280}
    toy(**grid_keys, scheduler="{kind: local, limits: {memory: 600MiB}}")
    plan = sandbox.sweep("plan", "--json").json
    assert [job["asks"]["memory_mib"] for job in plan["jobs"]] == [600]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"submit": "{workers: 4}"}, "workers means nothing with placement array"),
        ({"submit": "{placement: each, throttle: 3}"}, "throttle is for arrays"),
        ({"retry": "{out_of_memory: {ceiling: 10MiB}}"}, "the ceiling 10MiB is less than the 100 MiB"),
        ({"retry": "{walltime: {ceiling: 1min}}"}, "the ceiling 1min is less than the 00:05:00"),
        ({"retry": "{walltime: {factor: 0.5}}"}, "factor"),
        ({"retry": "{errors: {times: 1}}"}, "did you mean 'error'?"),
        ({"submit": "{placement: packed, worker_walltime: 1min}"}, "one trial asks for 00:05:00"),
    ],
)
def test_settings_that_would_mean_nothing_are_refused(
    sandbox: Sandbox, toy: Toy, keys: dict[str, str], message: str
) -> None:
    toy(**keys)
    ran = sandbox.sweep("plan", code=2)
    assert message in ran.err
    assert "grid.yaml:" in ran.err
