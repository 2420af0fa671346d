"""A scheduler that is down, limited, or answers oddly: on the fakes, whose knobs are files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]
KINDS = pytest.mark.parametrize("kind", ["pbs", "torque"])


@KINDS
def test_a_scheduler_that_is_down_ends_nothing(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [30], how: [sleep]}", replicates="3")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    for _ in range(50):
        if sandbox.states().get("running") == 3:
            break
    cluster.knob("down")
    status = sandbox.sweep("status", "--json")
    assert status.json["counts"] == {"running": 3}
    assert "did not answer" in status.err
    error = sandbox.sweep("cancel", code=1).err  # whose jobs these are cannot be asked
    assert error.startswith("error: qstat did not answer")
    assert "nothing was cancelled" in error
    cluster.knob("down", on=False)
    sandbox.sweep("cancel")
    sandbox.follow()
    assert sandbox.states() == {"cancelled": 3}


@KINDS
def test_a_submission_to_a_dead_server_is_in_doubt_and_then_sent(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    cluster.knob("down")
    assert "Connection refused" in sandbox.sweep("submit", code=1).err
    assert sandbox.states() == {"submitting": 3}
    assert (
        "did not answer" in sandbox.sweep("submit", code=1).err
    )  # the doubt cannot be resolved, so nothing is sent
    cluster.knob("down", on=False)
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


@KINDS
def test_trials_that_do_not_fit_stay_planned_and_are_sent_later(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, submit="{placement: each}")
    cluster.knob("limit", text="2")
    cluster.knob("held")
    sandbox.sweep("plan")
    sent = sandbox.sweep("--patience", "5", "submit", "--json").json
    assert (sent["trials_sent"], sent["trials_left"]) == (2, 1)
    assert "will not take more now" in sent["why_left"]
    assert sum(call[0] == "qsub" for call in cluster.calls()) >= 4  # the refused one was repeated, as long as that
    assert sandbox.states() == {"planned": 1, "queued": 2}
    cluster.knob("held", on=False)
    cluster.knob("limit", text="10")
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 1
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


def test_max_queued_sends_in_waves(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: {range: [1, 7]}, how: [ok]}", submit="{max_queued: 3}")
    plan = sandbox.sweep("plan", "--json").json
    assert ([job["trials"] for job in plan["jobs"]], plan["waves"]) == ([7], 3)
    waves = []
    for _ in range(4):
        sent = sandbox.sweep("submit", "--json").json
        waves.append(sent["trials_sent"])
        sandbox.follow()
    assert waves == [3, 3, 1, 0]
    assert sandbox.states() == {"done": 7}
    arrays = [call[call.index("-J") + 1] for call in cluster.calls() if call[0] == "qsub"]
    assert arrays == ["0-2", "3-5", "6-7:2"]  # an array of one task; OpenPBS refuses 6-6
    sandbox.accounted_for()


def test_a_refusal_is_shown_and_the_trials_stay_planned(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler='{kind: pbs, extra: ["-q nosuch"]}')
    sandbox.sweep("plan")
    assert "Unknown queue" in sandbox.sweep("submit", code=1).err
    assert sandbox.states() == {"planned": 3}
    toy(scheduler="{kind: pbs}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


@pytest.mark.parametrize("trouble", ["nohistory", "badjson"])
def test_openpbs_without_history_and_with_broken_json(make_fake: MakeFake, toy: Toy, trouble: str) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob(trouble)
    toy(scheduler=cluster.scheduler, parameters="{x: [1], how: [ok, fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 1, "failed": 1}


def test_ended_trials_are_never_asked_about_again(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    # The fake may still show as running what has just ended by its own record.
    until(lambda: sandbox.sweep("status", "--json").json["calls"], 0)
    before = len(cluster.calls())
    assert sandbox.sweep("status", "--json").json["calls"] == 0
    sandbox.sweep("report")
    assert len(cluster.calls()) == before


def test_no_client_at_all_says_so(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    assert cluster.knobs
    sandbox.sweep("plan")
    nowhere = {"PATH": str(sandbox.path)}
    assert "qsub: not found" in sandbox.sweep("submit", code=1, env=nowhere).err
    assert sandbox.states() == {"planned": 3}  # nothing is in doubt


@pytest.mark.parametrize("placement", ["array", "each", "packed"])
def test_a_job_whose_tasks_cannot_be_read_is_neither_sent_again_nor_passed_over(
    sandbox: Sandbox, toy: Toy, placement: str
) -> None:
    toy(parameters="{x: [1, 2, 3], how: [ok]}", submit=f"{{placement: {placement}}}")
    sandbox.sweep("plan")
    tasks = sandbox.path / "results/toy/jobs/j0001.tasks"
    away = tasks.with_name("away")
    tasks.rename(away)
    for argv in (["submit"], ["submit", "--dry-run"], ["submit", "--follow"]):
        assert "cannot read" in sandbox.sweep(*argv, code=2).err
    away.rename(tasks)
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3
    sandbox.follow()  # while they run, the nodes need that file as well
    assert sandbox.states() == {"done": 3}
    tasks.rename(away)
    assert "cannot read" in sandbox.sweep("submit", code=2).err
    away.rename(tasks)
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 0
