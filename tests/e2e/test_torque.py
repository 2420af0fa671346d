"""What is Torque's own, on the fake: it makes an array's tasks little by little, and forgets what has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]

EIGHT = "{x: {range: [1, 8]}, how: [ok]}"


@pytest.fixture
def torque(make_fake: Callable[[str], Cluster]) -> Cluster:
    """A Torque that makes three idle tasks of an array at once; its queue is held."""
    cluster = make_fake("torque")
    cluster.knob("idle_slot_limit", text="3")
    cluster.knob("held")
    cluster.sandbox.env["SWEEP_GRACE_S"] = "0"  # whatever is absent is lost at once
    return cluster


def release(cluster: Cluster) -> None:
    """Let the queue run."""
    cluster.knob("held", on=False)
    assert cluster.sandbox.run("qstat", "run").code == 0


def begins(sandbox: Sandbox) -> Counter[str]:
    """Count how often each trial began."""
    runs = sandbox.path / "runs"
    lines = runs.read_text().splitlines() if runs.exists() else []
    return Counter(line.split()[1] for line in lines if line.startswith("begin"))


def test_tasks_that_are_not_made_yet_wait(torque: Cluster, toy: Toy) -> None:
    sandbox = torque.sandbox
    toy(scheduler=torque.scheduler, parameters=EIGHT)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    assert sandbox.run("qstat", "-f", "-t", "1[].vm").out.count("Job Id:") == 3
    assert sandbox.states() == {"queued": 8}
    assert sandbox.sweep("retry", "--json").json["trials"] == []
    assert "Torque makes it when earlier ones have begun" in sandbox.sweep("why", "7").out
    assert "Torque" not in sandbox.sweep("why", "0").out
    release(torque)
    sandbox.follow()
    assert sandbox.accounted_for() == "8 trials: 8 ran exactly once to a recorded end (8 done, 0 failed)"
    assert set(begins(sandbox).values()) == {1}


def test_tasks_that_were_made_and_forgotten_have_ended(torque: Cluster, toy: Toy) -> None:
    """Their array lives on, and does not name them: the node's record says what became of them."""
    sandbox = torque.sandbox
    torque.knob("keep_completed", text="0")
    toy(scheduler=torque.scheduler, parameters="{x: [1, 60], how: [fail, kill, sleep]}", submit="{throttle: 3}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    torque.knob("held", on=False)
    assert sandbox.run("bash", "-c", "qstat run >/dev/null 2>&1 &").code == 0
    until(sandbox.states, {"failed": 4, "done": 1, "running": 1})
    sandbox.sweep("cancel")
    sandbox.follow()
    assert sandbox.states() == {"failed": 4, "done": 1, "cancelled": 1}


def test_a_task_that_is_not_made_yet_is_cancelled(torque: Cluster, toy: Toy) -> None:
    """qdel does not know it, and Torque makes it and starts it later all the same."""
    sandbox = torque.sandbox
    toy(scheduler=torque.scheduler, parameters=EIGHT)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    assert "nonexistent" in sandbox.run("qdel", "1[6].vm").err
    sandbox.sweep("cancel", "0", "6", "7")
    assert sandbox.states() == {"queued": 5, "cancelled": 3}
    release(torque)
    sandbox.follow()
    assert sandbox.states() == {"done": 5, "cancelled": 3}
    assert set(begins(sandbox).values()) == {1}
    assert len(begins(sandbox)) == 5
    assert sandbox.sweep("retry", "6", "--json").json["trials"] == [6]
    sandbox.follow()
    assert sandbox.states() == {"done": 6, "cancelled": 2}


def test_a_whole_array_is_cancelled_with_what_is_not_made_yet(torque: Cluster, toy: Toy) -> None:
    sandbox = torque.sandbox
    toy(scheduler=torque.scheduler, parameters=EIGHT)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.sweep("cancel")
    assert sandbox.states() == {"cancelled": 8}
    release(torque)
    assert sandbox.states() == {"cancelled": 8}
    assert not begins(sandbox)


@pytest.mark.parametrize(
    "submit", ["{}", "{throttle: 2}", "{placement: packed, workers: 5}", "{placement: each}", "{max_queued: 5}"]
)
def test_an_array_whose_submission_was_killed_is_found(torque: Cluster, toy: Toy, submit: str) -> None:
    """Torque lists no array by its name: its tasks are called NAME-INDEX, and those not made yet are in no list."""
    sandbox = torque.sandbox
    toy(scheduler=torque.scheduler, parameters=EIGHT, submit=submit)
    sandbox.sweep("plan")
    torque.knob("die", text="1")
    assert "was killed by signal 9" in sandbox.sweep("submit", code=1).err
    again = sandbox.sweep("submit", "--json").json
    assert again["adopted"] == 1
    assert again["trials_sent"] == (7 if "each" in submit else 0 if "packed" in submit else again["trials_sent"])
    release(torque)
    sandbox.follow()
    while sandbox.sweep("submit", "--json").json["trials_sent"]:  # the next wave
        sandbox.follow()
    assert sandbox.accounted_for() == "8 trials: 8 ran exactly once to a recorded end (8 done, 0 failed)"
    assert set(begins(sandbox).values()) == {1}


def test_the_second_part_of_an_array_is_found(torque: Cluster, toy: Toy) -> None:
    """Its first task is not task 0."""
    sandbox = torque.sandbox
    toy(scheduler=torque.scheduler, parameters=EIGHT, submit="{max_queued: 5}")
    sandbox.sweep("plan")
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 5
    release(torque)
    sandbox.follow()
    torque.knob("held")
    torque.knob("die", text="1")
    sandbox.sweep("submit", code=1)
    again = sandbox.sweep("submit", "--json").json
    assert (again["adopted"], again["trials_sent"]) == (1, 0)
    sandbox.sweep("cancel")
    assert sandbox.states() == {"done": 5, "cancelled": 3}


def test_the_servers_limits_are_read(torque: Cluster, toy: Toy) -> None:
    sandbox = torque.sandbox
    torque.knob("max_job_array_size", text="5")
    torque.knob("max_slot_limit", text="2")
    toy(scheduler=torque.scheduler, parameters=EIGHT, submit="{throttle: 3}")
    refused = sandbox.sweep("plan", code=2).err
    assert "grid.yaml:6:" in refused
    assert "3 tasks of an array are to run at once, and the scheduler allows 2" in refused
    toy(scheduler=torque.scheduler, parameters=EIGHT, submit="{throttle: 2}")
    assert [job["trials"] for job in sandbox.sweep("plan", "--json").json["jobs"]] == [5, 3]
    sandbox.sweep("submit")
    release(torque)
    sandbox.follow()
    assert sandbox.states() == {"done": 8}
    findings = {row["what"]: row["finding"] for row in sandbox.sweep("doctor", "--json").json}
    assert "arrays of up to 5, of which 3 wait in the queue at once" in findings["torque"]


#: It saves for a second when it is warned, and asks to go on; the second time it is done.
SAVING = """\
import json, os, signal, sys, time
if os.path.exists("saved"):
    json.dump({"segMeasure": 1}, open(os.environ["SWEEP_RESULT"], "w"))
    sys.exit(0)
def save(*_):
    time.sleep(1)
    open("saved", "w").close()
    sys.exit(75)
signal.signal(signal.SIGUSR1, save)
open("ready", "w").close()
time.sleep(120)
"""


def test_a_trial_that_needs_a_second_to_save_is_warned(torque: Cluster, toy: Toy) -> None:
    """Torque's SIGKILL follows its SIGTERM at once, so the runner itself warns the command before the end."""
    sandbox = torque.sandbox
    toy(
        scheduler="{kind: torque, warning: 15s}",
        parameters="{x: [1], how: [save]}",
        command="[python3, save.py, '{{ x }}', '{{ how }}']",
        resources="{walltime: 20s, memory: 100MiB}",
    )
    sandbox.write("save.py", SAVING)
    torque.knob("walltime", text="20")
    torque.knob("held", on=False)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"paused": 1})
    assert sandbox.sweep("why", "0", "--json").json["attempt"]["signals"] == ["SIGUSR1"]
    assert sandbox.sweep("submit", "--json").json["resumed"] == 1
    sandbox.follow()
    assert sandbox.states() == {"done": 1}


def test_killed_at_the_walltime_and_forgotten_at_once(torque: Cluster, toy: Toy) -> None:
    """Neither Torque nor the runner may have a word of it. The record fell silent at the walltime."""
    sandbox = torque.sandbox
    torque.knob("keep_completed", text="0")
    toy(
        scheduler=torque.scheduler,
        parameters="{x: [120], how: [sleep]}",
        resources="{walltime: 12s, memory: 100MiB}",
        retry="{}",
    )
    torque.knob("walltime", text="12")
    torque.knob("held", on=False)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"failed": 1})
    why = sandbox.sweep("why", "0", "--json").json
    assert (why["cause"], "walltime exceeded" in why["reason"]) == ("walltime", True)
    assert sandbox.sweep("retry", "--json").json["raised"]["0"]["walltime_s"] == 24


def test_no_more_memory_is_out_of_memory(sandbox: Sandbox, toy: Toy) -> None:
    """A limit on each process refuses memory and kills nobody: the program ends with an error of its own."""
    sandbox.write(
        "refused.py",
        "import os, sys\nx = bytearray(int(sys.argv[1]) << 20)\nx[::4096] = b'x' * len(x[::4096])\n"
        "import time; time.sleep(1.5)\nraise MemoryError('on purpose')\n",
    )
    toy(
        command="[python3, refused.py, '{{ x }}', '{{ how }}']",
        parameters="{x: [10, 95], how: [ok]}",
        resources="{walltime: 5min, memory: 100MiB}",
        retry="{}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    causes = [sandbox.sweep("why", trial, "--json").json["cause"] for trial in ("0", "1")]
    assert causes == ["error", "out of memory"]
    assert "it got no more memory" in sandbox.sweep("why", "1").out
    assert sandbox.sweep("retry", "--json").json["raised"]["1"]["memory_mib"] > 100
