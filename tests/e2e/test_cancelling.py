"""cancel while somebody is still submitting."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]


def sent(cluster: Cluster) -> int:
    return sum(call[0] == "qsub" for call in cluster.calls())


@pytest.fixture
def sending(make_fake: Callable[[str], Cluster], toy: Toy) -> Iterator[tuple[Cluster, subprocess.Popen[str]]]:
    """A submission of thirty jobs, a second each, of which three are with the scheduler."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: {range: [1, 30]}, how: [ok]}", submit="{placement: each}")
    sandbox.sweep("plan")
    cluster.knob("held")
    cluster.knob("slow", text="1")
    submit = subprocess.Popen(
        [sys.executable, "-m", "sweep", "submit"],
        cwd=sandbox.path, env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    until(lambda: sent(cluster) >= 3, True)
    yield cluster, submit
    submit.kill()
    submit.wait()


def test_all_that_was_sent_is_cancelled_and_nothing_more_is_sent(
    sending: tuple[Cluster, subprocess.Popen[str]],
) -> None:
    cluster, submit = sending
    sandbox = cluster.sandbox
    sandbox.sweep("cancel")
    output, _ = submit.communicate(timeout=60)
    assert submit.returncode == 0, output
    assert "is cancelling: nothing more is sent" in output
    calls = sent(cluster)
    assert calls < 30
    assert sandbox.states() == {"planned": 30 - calls, "cancelled": calls}
    cluster.knob("slow", on=False)
    cluster.knob("held", on=False)
    assert sandbox.run("qstat", "run").code == 0
    assert not (sandbox.path / "runs").exists()
    assert sent(cluster) == calls
    assert not (sandbox.path / "results/toy/.stop").exists()
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 30 - calls  # when a person says so


def test_one_trial_is_cancelled_in_the_middle(sending: tuple[Cluster, subprocess.Popen[str]]) -> None:
    cluster, submit = sending
    sandbox = cluster.sandbox
    began = time.monotonic()
    sandbox.sweep("cancel", "0")
    output, _ = submit.communicate(timeout=60)
    assert submit.returncode == 0, output
    assert time.monotonic() - began < 25  # thirty calls of a second each would have gone first
    states = sandbox.states()
    assert states["cancelled"] == 1
    assert states["queued"] + 1 == sent(cluster)
    assert sum(states.values()) == 30


def test_a_request_of_someone_who_died_holds_nobody_up(make_fake: Callable[[str], Cluster], toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    stop = sandbox.path / "results/toy/.stop"
    for content in (
        f"{time.time()} 999999999 {socket.gethostname()} eve\n",
        "0 1 elsewhere eve\n",
        "",
        "x",
    ):
        stop.write_text(content)
        assert sandbox.sweep("submit", "--dry-run").code == 0
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3
    stop.write_text(f"{time.time()} 1 elsewhere eve\n")
    sandbox.sweep("plan", "--set", "x=[1,2,3,4]")
    left = sandbox.sweep("submit", "--json").json
    assert (left["trials_sent"], left["why_left"]) == (0, "eve on elsewhere is cancelling: nothing more is sent")


def test_each_hosts_local_queue_is_asked_for_its_own(sandbox: Sandbox, toy: Toy) -> None:
    """Two login nodes and one home: a host's queue does not know the other's jobs, and says where they are."""
    there = {"SWEEP_LOCAL_SPOOL": str(sandbox.path / "spool of the other host")}
    runs = sandbox.path / "runs"
    for number, env in enumerate((there, {})):
        toy(parameters=f"{{x: {[60, 61][: number + 1]}, how: [sleep]}}")
        sandbox.sweep("plan")
        sandbox.sweep("submit", env=env)
        until(lambda: runs.exists() and len(runs.read_text().splitlines()), number + 1)
    assert sandbox.states() == {"running": 2}
    said = sandbox.sweep("cancel").out
    assert "only its own host can be" in said, said
    until(sandbox.states, {"cancelled": 1, "running": 1}, timeout_s=20)
    sandbox.sweep("cancel", env=there)
    until(lambda: sandbox.sweep("status", "--json", env=there).json["counts"], {"cancelled": 2}, timeout_s=20)
