"""Clients that hang, die, answer nonsense or nothing, or take their time; several people at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster
from tests.e2e.test_killed import until_sent

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]
KINDS = pytest.mark.parametrize("kind", ["pbs", "torque"])


@KINDS
@pytest.mark.parametrize("trouble", ["hang", "die", "garbage", "empty"])
def test_a_submission_whose_answer_is_lost_is_found_and_not_sent_twice(
    make_fake: MakeFake, toy: Toy, kind: str, trouble: str
) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    cluster.knob(trouble, text="1")
    ran = sandbox.dying("count", 0, "submit", DYING_TIMEOUT_S="3")
    assert ran.code == 1
    message = {"hang": "timed out", "die": "was killed by signal 9", "garbage": "Bad", "empty": "no job id"}[
        trouble
    ]
    assert message in ran.err
    again = sandbox.sweep("submit", "--json").json
    assert (again["adopted"], again["trials_sent"]) == (1, 0)
    sandbox.follow()
    assert sandbox.accounted_for() == "3 trials: 3 ran exactly once to a recorded end (3 done, 0 failed)"


def test_a_slow_client_is_waited_for(make_fake: MakeFake, toy: Toy) -> None:
    """The time-out is a minute; a client may take up to that."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    cluster.knob("slow", text="5")
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3
    sandbox.follow()
    sandbox.accounted_for()


@KINDS
@pytest.mark.parametrize("nonsense", ["", "\n", "Traceback (most recent call last):\n", "{]"])
def test_a_poll_answer_that_makes_no_sense_ends_no_trial(
    make_fake: MakeFake, toy: Toy, kind: str, nonsense: str
) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [4], how: [sleep]}")
    sandbox.sweep("plan")
    cluster.knob("held")
    sandbox.sweep("submit")
    cluster.knob("nonsense", text=nonsense)
    ran = sandbox.sweep("status", "--json", env={"SWEEP_GRACE_S": "0"})
    assert ran.json["counts"] == {"queued": 1}
    assert "stale: qstat did not answer: it makes no sense" in ran.err
    cluster.knob("nonsense", on=False)
    cluster.knob("held", on=False)
    sandbox.run("qstat", "run")  # the fake looks at its queue when it is called
    sandbox.sweep("cancel")
    sandbox.follow()
    sandbox.accounted_for()


def test_a_refusal_says_which_line_of_the_script(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler='{kind: pbs, extra: ["-q nosuch"]}')
    sandbox.sweep("plan")
    ran = sandbox.sweep("submit", code=1)
    script = sandbox.path / "results/toy/jobs/j0001.sh"
    number = script.read_text().splitlines().index("#PBS -q nosuch") + 1
    assert f"{script}:{number}: #PBS -q nosuch" in ran.err


def test_a_journal_torn_in_its_last_and_in_a_middle_line(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, submit="{placement: each}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    journal = sandbox.path / "results/toy/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert '"submitted"' in lines[2]
    assert '"submitted"' in lines[6]
    journal.write_text("".join([*lines[:2], lines[2][:30] + "\n", *lines[3:6], lines[6][:30]]))
    ran = sandbox.sweep("status", "--json")
    assert ran.err.count("is torn and was passed over") == 2
    again = sandbox.dying("count", 0, "submit", "--json", DYING_IN_FLIGHT_S="0")
    assert '"adopted": 2' in again.out
    sandbox.follow()
    assert sandbox.accounted_for() == "3 trials: 3 ran exactly once to a recorded end (3 done, 0 failed)"


@pytest.mark.parametrize("placement", ["array", "each", "packed"])
def test_sixteen_at_once(make_fake: MakeFake, toy: Toy, placement: str) -> None:
    """Sixteen commands run at the same time, and no trial runs twice."""
    cluster = make_fake("torque")
    sandbox = cluster.sandbox
    toy(
        scheduler=cluster.scheduler,
        parameters="{x: {range: [1, 20]}, how: [ok]}",
        submit=f"{{placement: {placement}{', workers: 4' if placement == 'packed' else ''}}}",
    )
    sandbox.sweep("plan")
    commands = (
        [["submit"]] * 6 + [["status"]] * 5 + [["cancel"], ["cancel", "3"], ["retry"], ["report"], ["submit"]]
    )
    crowd = [
        subprocess.Popen(
            [sys.executable, "-m", "sweep", "--patience", "100", *argv],
            cwd=sandbox.path, env=sandbox.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for argv in commands
    ]  # fmt: skip
    for argv, process in zip(commands, crowd, strict=True):
        _, err = process.communicate(timeout=200)
        fine = (0, 2) if argv == ["cancel", "3"] else (0,)  # it may not be in the queue yet
        assert process.returncode in fine, f"{argv}: {err}"
        assert "Traceback" not in err
    until_sent(sandbox)
    sandbox.follow()
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.accounted_for().startswith("20 trials: ")


def test_a_waiting_command_names_the_holder_and_gives_up_after_its_patience(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, time\nfrom pathlib import Path\nfrom sweep.store import Store\n"
         "with Store(Path('results/toy')).lock():\n    print('held', flush=True)\n    time.sleep(60)"],
        cwd=sandbox.path, env=sandbox.env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout
        holder.stdout.readline()
        ran = sandbox.sweep("--patience", "2", "submit", code=1)
        assert f"waiting up to 2 s for process {holder.pid} on " in ran.err
        assert ", since " in ran.err
        assert "error: the sweep 'toy' is being changed by process" in ran.err
        (sandbox.path / "results/toy/.lock").touch()
        assert sandbox.sweep("--patience", "0", "submit", code=1)
    finally:
        holder.kill()
        holder.communicate()
    assert (
        sandbox.sweep("submit", "--json").json["trials_sent"] == 3
    )  # the lock ended with its process, however old it is
    sandbox.follow()


def test_a_status_soon_after_another_does_not_ask_the_scheduler_and_says_so(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    cluster.knob("held")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    often = {"SWEEP_POLL_EVERY_S": "10"}
    assert sandbox.sweep("status", "--json", env=often).json["calls"] == 1
    ran = sandbox.sweep("status", "--json", env=often)
    assert ran.json["calls"] == 0
    assert "note: the scheduler was asked " in ran.err
    sandbox.sweep("cancel")  # a command that changes something always asks
    assert sandbox.sweep("status", "--json").json["counts"] == {"cancelled": 3}
