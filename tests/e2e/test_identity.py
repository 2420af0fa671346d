"""Nothing of another's is touched: a job is ours by its id, the name with our token, and its cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]
LAB = Path(__file__).parents[1] / "cluster" / "slurm.sh"


def journal(sandbox: Sandbox, kind: str) -> list[dict[str, Any]]:
    lines = (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


def job_ids(sandbox: Sandbox) -> list[str]:
    return [event["id"] for event in journal(sandbox, "submitted")]


def slurm(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def on_slurm(slurm: None, sandbox: Sandbox) -> Sandbox:
    return sandbox


@pytest.fixture
def precious(on_slurm: Sandbox) -> Iterator[str]:
    """A job of this user's that is none of the sweep's."""
    job_id = slurm("sbatch", "--parsable", "--job-name=precious", "--output=/dev/null", "--wrap", "sleep 300")
    yield job_id
    subprocess.run(["scancel", job_id], check=False, timeout=60)


def state_of(job_id: str, *cluster: str) -> str:
    return slurm("squeue", "-h", "-t", "all", *cluster, f"--jobs={job_id}", "-o", "%T")


@pytest.mark.parametrize("banner", ["{}", "{};two", "{}\n{}\nYour quota is 95 % used."])
def test_a_number_before_the_id_is_not_the_id(precious: str, on_slurm: Sandbox, toy: Toy, banner: str) -> None:
    """A site's sbatch prints a line that looks like an id: the one that counts is confirmed under our name."""
    sandbox = on_slurm
    folder = sandbox.path / "site bin"
    subprocess.run(["bash", str(LAB), "banner", str(folder)], check=True, timeout=60)
    path = {"PATH": os.pathsep.join([str(folder), sandbox.env["PATH"]])}
    toy(scheduler="{kind: slurm}", parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit", env={**path, "SBATCH_BANNER": banner.format(precious, precious)})
    [job_id] = job_ids(sandbox)
    assert job_id != precious
    assert slurm("squeue", "-h", f"--jobs={job_id}", "-o", "%j").startswith("toy.j0001.")
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 1})
    assert state_of(precious) in ("RUNNING", "PENDING")


def test_a_job_whose_id_is_anothers_by_now_is_left_alone(precious: str, on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(scheduler='{kind: slurm, extra: ["--begin=now+1hour"]}', parameters="{x: [1], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    [job_id] = job_ids(sandbox)
    slurm("scancel", job_id)
    path = sandbox.path / "results/toy/journal.jsonl"
    path.write_text(path.read_text().replace(f'"id":"{job_id}"', f'"id":"{precious}"'))
    out = sandbox.sweep("cancel").out
    assert f"job {precious} is now another one, 'precious': nothing cancelled (trial 0)" in out
    assert "0 trials cancelled" in out
    assert state_of(precious) in ("RUNNING", "PENDING")
    report = sandbox.sweep("cancel", "0", "--json").json
    assert (report["trials"], report["jobs"], report["left_alone"][0]["trials"]) == ([], [], [0])


@pytest.mark.parametrize("kind", ["pbs", "torque"])
def test_no_job_is_cancelled_under_another_name_on_pbs(
    make_fake: Callable[[str], Cluster], toy: Toy, kind: str
) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    sandbox.write("precious.sh", "#!/bin/bash\nsleep 60\n")
    precious = sandbox.run("qsub", "-N", "precious", "precious.sh").out.strip()
    toy(scheduler=cluster.scheduler, parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    [job_id] = job_ids(sandbox)
    path = sandbox.path / "results/toy/journal.jsonl"
    journal_text = path.read_text()
    path.write_text(journal_text.replace(f'"id":"{job_id}"', f'"id":"{precious}"'))
    assert "'precious': nothing cancelled" in sandbox.sweep("cancel").out
    assert not [call for call in cluster.calls() if call[0] == "qdel"]
    path.write_text(journal_text)
    assert sandbox.sweep("cancel", "--json").json["trials"] == [0]
    until(sandbox.states, {"cancelled": 1})
    sandbox.run("qdel", precious)


@pytest.fixture(scope="session")
def second_cluster(slurm_is_here: None) -> None:
    """A second cluster, `two`, in the accounting of the first."""
    if Path(os.environ["SLURM_CONF"]).parent.parent.name != f"sweep-slurm-{os.getuid()}":
        pytest.skip(
            "the second cluster is started beside that of tests/cluster/slurm.sh, which this is not. To try it: up two"
        )
    if "slurmdbd" not in slurm("scontrol", "show", "config"):
        pytest.skip(
            "two clusters know each other by their accounting, and this one has none. To try it: leave DBD=0 out"
        )
    subprocess.run(["bash", str(LAB), "up", "two"], check=True, timeout=120)


@pytest.mark.parametrize("how", ["key", "extra", "environment"])
def test_another_cluster_belongs_to_the_id(second_cluster: None, on_slurm: Sandbox, toy: Toy, how: str) -> None:
    """Asked on the home cluster, the job would be lost, sent again, and another's cancelled."""
    sandbox = on_slurm
    grid = {"key": "cluster: two", "extra": 'extra: ["--clusters=two"]', "environment": "python: python3"}[how]
    environment = {"SBATCH_CLUSTERS": "two"} if how == "environment" else {}
    toy(scheduler=f"{{kind: slurm, {grid}}}", parameters="{x: [60], how: [sleep]}", replicates="2")
    planned = sandbox.sweep("plan", env=environment)
    assert ("gives scheduler: {cluster: two}" in planned.err) is (how == "environment")
    sandbox.sweep("submit")
    [job_id] = job_ids(sandbox)
    number = job_id.removesuffix(";two")
    assert job_id == f"{number};two"
    foreign = slurm(
        "sbatch", "--parsable", "--output=/dev/null", "--wrap", "sleep 100"
    )  # the home cluster goes on
    try:
        until(lambda: sandbox.states().get("running"), 2)
        rows = sandbox.sweep("status", "--json").json["running"]
        assert [row["job"] for row in rows] == [f"{number}_0 --clusters=two", f"{number}_1 --clusters=two"]
        records = list((sandbox.path / "results/toy/trials").glob("*/*/attempt-1.json"))
        assert {json.loads(path.read_text())["job_id"] for path in records} == {job_id}
        sandbox.sweep("cancel", "0")
        until(sandbox.states, {"cancelled": 1, "running": 1})
        # A crash before the answer: the job is found where it is.
        path = sandbox.path / "results/toy/journal.jsonl"
        lines = [line for line in path.read_text().splitlines() if '"submitted"' not in line]
        path.write_text("".join(line + "\n" for line in lines))
        assert sandbox.sweep("submit", "--json").json["adopted"] == 1
        assert job_ids(sandbox) == [job_id]
        sandbox.sweep("cancel")
        until(sandbox.states, {"cancelled": 2})
        assert state_of(foreign) in ("RUNNING", "PENDING")
        calls = (sandbox.path / "results/toy/sweep.log").read_text().splitlines()
        asked = [line for line in calls if re.search(r": (squeue|sacct|scancel|scontrol) ", line)]
        assert asked
        assert all("--clusters=two" in line for line in asked)
    finally:
        subprocess.run(["scancel", foreign], check=False, timeout=60)
        subprocess.run(["scancel", "--clusters=two", number], check=False, timeout=60)


def test_a_groups_limit_is_not_a_refusal_for_good(second_cluster: None, on_slurm: Sandbox, toy: Toy) -> None:
    """AssocGrpSubmitJobsLimit: what fits is sent, the rest stays planned, and --follow waits for a place."""
    sandbox = on_slurm
    toy(
        scheduler="{kind: slurm, cluster: two, account: grp}",
        parameters="{x: [10], how: [sleep]}",  # none may have ended, and made room, before all calls are made
        replicates="12",
        submit="{max_queued: 100}",  # the grid's word, against the limit that sweep would keep to by itself
    )
    planned = sandbox.sweep("plan", "--json").json
    assert (planned["limits"]["group_queued"], planned["limits"]["max_queued"]) == (5, 100)
    sent = sandbox.sweep("--patience", "0", "submit", "--json").json
    assert 1 <= sent["trials_sent"] <= 5
    assert "will not take more now" in sent["why_left"]
    assert "AssocGrpSubmitJobsLimit" in sent["why_left"]
    sandbox.sweep("submit", "--follow", timeout_s=300)
    sandbox.follow()
    assert sandbox.states() == {"done": 12}


def test_a_job_that_a_node_knows_is_not_sent_again(make_fake: Callable[[str], Cluster], toy: Toy) -> None:
    """The answer was lost, the job ran, and the server keeps no history: the record says which job it was."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("nohistory")
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    path = sandbox.path / "results/toy/journal.jsonl"
    lines = [line for line in path.read_text().splitlines() if '"planned"' in line or '"submitting"' in line]
    path.write_text("".join(line + "\n" for line in lines))
    cluster.knob("held")
    path_of_state = cluster.knobs / "state.json" if cluster.knobs else Path()
    path_of_state.write_text("{}")  # the server has forgotten it, name and all
    again = sandbox.sweep("submit", "--json").json
    assert (again["adopted"], again["trials_sent"]) == (1, 0)
    assert sandbox.states() == {"done": 3}


@pytest.mark.parametrize(
    ("kind", "spelled"), [("local", r"\d+\.[\w-]+_0"), ("pbs", r"\d+\[0\]\.vm"), ("torque", r"\d+\[0\]\.vm:16001")]
)
def test_ids_are_spelled_as_the_sites_own_commands_take_them(
    make_fake: Callable[[str], Cluster], sandbox: Sandbox, toy: Toy, kind: str, spelled: str
) -> None:
    if kind != "local":
        make_fake(kind)
    toy(scheduler=f"{{kind: {kind}}}", parameters="{x: [60], how: [sleep]}", replicates="2")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 2)
    job = sandbox.sweep("status", "--json").json["running"][0]["job"]
    assert re.fullmatch(spelled, job)
    assert sandbox.sweep("why", "0", "--json").json["task"] == job
    if kind == "local":
        sandbox.run(sys.executable, "-P", "-m", "sweep.localbatch", "cancel", job)
    else:
        sandbox.run("qdel", job)
    until(sandbox.states, {"cancelled": 1, "running": 1})
    sandbox.sweep("cancel")
