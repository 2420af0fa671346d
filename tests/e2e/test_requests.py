"""What a site's own queues, units and limits ask of a plan; and what no node can start."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]
KINDS = pytest.mark.parametrize("kind", ["pbs", "torque"])


def directives(sandbox: Sandbox, job: str = "j0001") -> list[str]:
    text = (sandbox.path / f"results/toy/jobs/{job}.sh").read_text()
    return [line for line in text.splitlines() if re.match("#(SBATCH|PBS|LOCAL) ", line)]


def slurm_job(job_id: str) -> str:
    argv = ["scontrol", "show", "job", job_id]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


# --- left to the site -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["scheduler", "resources"])
def test_memory_may_be_left_to_slurm(slurm: None, sandbox: Sandbox, toy: Toy, where: str) -> None:
    """Sites that use --mem-per-cpu, or whose nodes declare no memory."""
    own = ', extra: ["--mem-per-cpu=500M"]' if where == "scheduler" else ""
    unit = ", extra: {mem-per-cpu: 500M}" if where == "resources" else ""
    toy(
        scheduler=f"{{kind: slurm, queue: batch{own}}}",
        parameters="{x: [1], how: [ok]}",
        resources=f"{{walltime: 5min, memory: null, cpus: 2{unit}}}",
    )
    assert "site" in sandbox.sweep("plan").out
    assert "#SBATCH --mem-per-cpu=500M" in directives(sandbox)
    assert not [line for line in directives(sandbox) if "--mem=" in line]
    sent = sandbox.sweep("submit", "--json").json["sent"]
    assert "MinMemoryCPU=500M" in slurm_job(sent[0]["id"])
    sandbox.follow()
    assert sandbox.states() == {"done": 1}
    assert "memory" in sandbox.sweep("report", "--cost").out  # nothing divides by it
    sandbox.accounted_for()


@pytest.mark.parametrize("kind", ["slurm", "pbs", "torque", "local"])
def test_any_request_may_be_left_to_the_site(make_fake: MakeFake, sandbox: Sandbox, toy: Toy, kind: str) -> None:
    if kind in ("pbs", "torque"):
        make_fake(kind)
    toy(
        scheduler=f"{{kind: {kind}}}",
        resources="{walltime: null, memory: null, cpus: null, gpus: null}",
        parameters="{x: [1, 2], how: [ok]}",
        retry="{out_of_memory: {times: 2}, walltime: {times: 2}}",
    )
    sandbox.sweep("plan")
    asked = " ".join(directives(sandbox))
    assert not re.search(
        r"--(mem|time|cpus-per-task|gres)=|mem=|walltime=|ncpus|ppn|ngpus", asked.replace("#LOCAL", "")
    )
    if kind in ("pbs", "torque", "local"):
        sandbox.sweep("submit")
        sandbox.follow()
        assert sandbox.states() == {"done": 2}
        assert "SWEEP_CPUS" not in sandbox.sweep("best").out


def test_a_worker_needs_a_walltime_from_somewhere(sandbox: Sandbox, toy: Toy) -> None:
    toy(resources="{walltime: null}", submit="{placement: packed, workers: 1}")
    error = sandbox.sweep("plan", code=2).err
    assert "grid.yaml:4:" in error
    assert "worker_walltime" in error
    toy(resources="{walltime: null}", submit="{placement: packed, workers: 1, worker_walltime: 10min}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


# --- the site's own units -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "extra", "line"),
    [
        ("pbs", "{mpiprocs: '{{ x }}', gpu_model: a100}", "#PBS -l select=1:ncpus=1:mem=100mb:mpiprocs=4:gpu_model=a100"),
        ("torque", "{a100: null, software: matlab}", "#PBS -l nodes=1:ppn=1:a100"),
        ("torque", "{a100: null, software: matlab}", "#PBS -l software=matlab"),
        ("slurm", "{gpus-per-node: 'a100:1', licenses: matlab}", "#SBATCH --gpus-per-node=a100:1"),
        ("slurm", "{exclusive: null}", "#SBATCH --exclusive"),
    ],
)  # fmt: skip
def test_the_sites_units_have_a_place(
    make_fake: MakeFake, sandbox: Sandbox, toy: Toy, kind: str, extra: str, line: str
) -> None:
    if kind != "slurm":
        make_fake(kind)
    resources = f"{{walltime: 5min, memory: 100MiB, extra: {extra}}}"
    toy(scheduler=f"{{kind: {kind}}}", parameters="{x: [4], how: [ok]}", resources=resources)
    assert "the site's units" in sandbox.sweep("plan", "--dry-run").out
    sandbox.sweep("plan")
    assert line in directives(sandbox)


@pytest.mark.parametrize(
    ("scheduler", "resources", "message"),
    [
        ('{kind: pbs, extra: ["-l select=1:ncpus=1:mpiprocs=2"]}', "{}", "would be ignored"),
        ('{kind: torque, extra: ["-l nodes=2"]}', "{}", "would be ignored"),
        ('{kind: slurm, extra: ["--mem-per-cpu=500M"]}', "{memory: 2GiB}", "leave one of them out"),
        ("{kind: slurm}", "{extra: {mem-per-cpu: 500M}}", "leave one of them out"),
        ("{kind: local}", "{extra: {mpiprocs: 2}}", "no units of its own"),
        ("{kind: pbs}", "{extra: {mpiprocs: '2 or 3'}}", "no directive can carry"),
        ("{kind: pbs}", "{extra: {ngpus: '1:gpu_model=a100'}}", "a colon ends a part"),
        ("{kind: pbs, qos: high}", "{}", "qos means nothing to pbs"),
    ],
)
def test_a_request_in_a_wrong_place_is_refused(
    make_fake: MakeFake, sandbox: Sandbox, toy: Toy, scheduler: str, resources: str, message: str
) -> None:
    kind = scheduler[7:].strip("}").partition(",")[0]
    if kind in ("pbs", "torque"):
        make_fake(kind)
    toy(scheduler=scheduler, resources=resources)
    ran = sandbox.sweep("plan", code=2)
    assert message in ran.err
    assert re.search(r"grid\.yaml:\d+:\d+: ", ran.err)
    assert not (sandbox.path / "results").exists()


# --- queues ---------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    ("queue", "walltime", "message"),
    [
        ("nosuch", "5min", "there is no queue 'nosuch'"),
        ("closed", "5min", "does not take the jobs of"),
        ("route", "1h", "the queue 'route' allows 00:10:00"),
        ("tiny", "5min", "the queue 'tiny' allows 00:01:00"),
    ],
)
def test_a_queue_that_takes_no_such_job_is_refused(
    make_fake: MakeFake, toy: Toy, kind: str, queue: str, walltime: str, message: str
) -> None:
    """Of a routing queue's job that no destination takes, the server says nothing, and drops it."""
    sandbox = make_fake(kind).sandbox
    toy(scheduler=f"{{kind: {kind}, queue: {queue}}}", resources=f"{{walltime: {walltime}, memory: 100MiB}}")
    assert message in sandbox.sweep("plan", code=2).err


@KINDS
def test_a_routing_queue_takes_what_fits_a_destination(make_fake: MakeFake, toy: Toy, kind: str) -> None:
    sandbox = make_fake(kind).sandbox
    toy(scheduler=f"{{kind: {kind}, queue: route}}", resources="{walltime: 5min, memory: 100MiB}")
    assert "walltime 10:00" in sandbox.sweep("plan").out
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


@pytest.mark.parametrize("queue", ["nosuch", "batch,nosuch"])
def test_a_partition_that_is_not_there_is_refused(slurm: None, sandbox: Sandbox, toy: Toy, queue: str) -> None:
    toy(scheduler=f"{{kind: slurm, queue: '{queue}'}}")
    ran = sandbox.sweep("plan", code=2)
    assert "there is no partition 'nosuch' on this cluster" in ran.err
    assert "batch" in ran.err  # those that are


# --- the cap --------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("known", ["grid", "server"])
def test_the_cap_counts_the_users_other_jobs(make_fake: MakeFake, toy: Toy, kind: str, known: str) -> None:
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    cluster.knob("held")
    sandbox.write("other.sh", "#!/bin/bash\nsleep 60\n")
    for name in ("one", "two"):
        sandbox.run("qsub", "-N", name, "other.sh")
    if known == "server":
        cluster.knob("limit", text="4")
        cluster.knob("advertised")
    submit = "{max_queued: 4}" if known == "grid" else "{placement: array}"
    toy(scheduler=cluster.scheduler, parameters="{x: {range: [1, 6]}, how: [ok]}", submit=submit)
    sandbox.sweep("plan")
    sent = sandbox.sweep("submit", "--json").json
    assert (sent["trials_sent"], sent["trials_left"]) == (2, 4)
    assert sum(call[0] == "qsub" for call in cluster.calls()) == 3  # nothing was tried that cannot fit


def test_a_driver_that_cannot_be_queued_is_told(make_fake: MakeFake, toy: Toy) -> None:
    """The cap is not known, and the last place went to a trial."""
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    cluster.knob("held")
    cluster.knob("limit", text="2")
    toy(scheduler=cluster.scheduler, parameters="{x: {range: [1, 5]}, how: [ok]}", submit="{driver: true}")
    sandbox.sweep("plan")
    ran = sandbox.sweep("--patience", "0", "submit")
    assert "the driver job could not be queued" in ran.out
    assert "no driver job is queued" in sandbox.sweep("status").err


# --- what no node can start -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["argument", "all together"])
def test_a_command_that_is_too_long_is_refused(sandbox: Sandbox, toy: Toy, kind: str) -> None:
    if kind == "argument":
        toy(parameters=f"{{x: [1, '{'a' * 140_000}'], how: [ok]}}")
        trial, culprit = 1, "(the parameter x)"
    else:
        words = ", ".join(["'{{ x }}'"] * 40)
        toy(command=f"[python3, trial.py, {words}]", parameters=f"{{x: ['{'b' * 100_000}'], how: [ok]}}")
        trial, culprit = 0, "(the parameter x)"
    ran = sandbox.sweep("plan", code=2)
    assert f"trial {trial} cannot be started" in ran.err
    assert culprit in ran.err
    assert len(ran.err) + len(ran.out) < 2000
    assert not (sandbox.path / "results/toy/trials.jsonl").exists()


@pytest.mark.parametrize("submit", ["{placement: array}", "{placement: packed, workers: 1}"])
def test_parameters_that_are_too_long_go_to_a_file(sandbox: Sandbox, toy: Toy, submit: str) -> None:
    """The command does not use them as arguments; it reads them where it is told."""
    read = "import json, os; p = json.load(open(os.environ['SWEEP_PARAMS_FILE'])); "
    read += "assert 'SWEEP_PARAMS' not in os.environ; json.dump({'segMeasure': len(p['x'])}, open(os.environ['SWEEP_RESULT'], 'w'))"
    sandbox.write("read.py", read)
    numbers = list(range(25_000))
    toy(command="[python3, read.py]", parameters=f"{{x: [{numbers}]}}", submit=submit)
    assert len(sandbox.sweep("plan").out) < 3000
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 1}, sandbox.sweep("logs", "0").out
    best = sandbox.sweep("best", "--json").json
    assert best["score"] == 25_000
    [path] = (sandbox.path / "results/toy/trials").glob("*/*/params.json")
    assert json.loads(path.read_text())["x"] == numbers
    assert f"SWEEP_PARAMS_FILE='{str(path).split(chr(39))[0]}" in best["command"]
    again = {"SWEEP_RESULT": str(sandbox.path / "again.json")}
    command = re.sub(r"SWEEP_RESULT=\S+", "", best["command"])
    assert sandbox.run("bash", "-c", command, env=again).code == 0  # it can be repeated
    assert json.loads((sandbox.path / "again.json").read_text()) == {"segMeasure": 25_000}


# --- clients, doctor, pipes -----------------------------------------------------------------------------------


@KINDS
def test_doctor_asks_only_the_pbs_that_is_there(make_fake: MakeFake, kind: str) -> None:
    cluster = make_fake(kind)
    out = cluster.sandbox.sweep("doctor").out
    other, there = {"pbs": ("torque", "OpenPBS"), "torque": ("pbs", "Torque")}[kind]
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith(("ok", "note"))}
    assert f"qstat is {there}'s" in rows[other]
    assert rows[kind].startswith("ok")


def test_no_table_is_wider_than_a_page_in_a_pipe(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    del sandbox.env["COLUMNS"]
    long = "a-very-long-value-" * 12
    toy(scheduler=cluster.scheduler, parameters=f"{{x: [1, 2], how: [ok], note: ['{long}', short]}}")
    outs = [sandbox.sweep("doctor").out, sandbox.sweep("plan").out]
    sandbox.sweep("submit")
    sandbox.follow()
    outs += [sandbox.sweep(*words).out for words in (["status"], ["report"], ["report", "--trials"], ["why", "0"])]
    tables = [[line for line in out.splitlines() if re.search(r"\S {2,}\S", line)] for out in outs]
    assert sum(map(bool, tables)) >= 4
    assert max(len(line) for rows in tables for line in rows) <= 120


def test_a_missing_client_leaves_nothing_in_doubt(make_fake: MakeFake, toy: Toy) -> None:
    cluster = make_fake("torque")
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    assert cluster.knobs
    (cluster.knobs / "bin" / "qselect").unlink()
    if [folder for folder in sandbox.env["PATH"].split(os.pathsep) if (Path(folder) / "qselect").exists()]:
        pytest.skip("another PBS is on PATH. To try it: take it from PATH")
    assert "qselect: not found on PATH; nothing was submitted" in sandbox.sweep("submit", code=1).err
    assert sandbox.states() == {"planned": 3}
