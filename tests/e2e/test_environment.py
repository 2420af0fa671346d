"""An environment full of other people's settings changes neither what is asked nor what a job gets."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.schedulers import SCHEDULERS, environment
from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]

#: What hides jobs, changes formats, or makes a client wait for an answer.
ODD = {
    "SQUEUE_PARTITION": "short",
    "SQUEUE_USERS": "nobody",
    "SQUEUE_ACCOUNT": "nobodys",
    "SQUEUE_QOS": "none",
    "SQUEUE_STATES": "COMPLETED",
    "SQUEUE_NAMES": "other",
    "SQUEUE_FORMAT": "%A",
    "SQUEUE_FORMAT2": "jobid",
    "SQUEUE_LICENSES": "matlab",
    "SQUEUE_SORT": "-i",
    "SACCT_FORMAT": "user",
    "SINFO_PARTITION": "short",
    "SINFO_FORMAT": "%z",
    "SCANCEL_INTERACTIVE": "true",
    "SCANCEL_NAME": "other",
    "SCANCEL_PARTITION": "short",
    "SCANCEL_STATE": "SUSPENDED",
    "SCANCEL_USER": "nobody",
    "SCONTROL_ALL": "1",
    "SLURM_CLUSTERS": "",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_BITSTR_LEN": "1",
}

#: What would beat the directives of a script.
BEATS = {
    "SBATCH_TIMELIMIT": "2",
    "SBATCH_MEM_PER_NODE": "3000",
    "SBATCH_PARTITION": "short",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_ARRAY_INX": "7-9",
    "SBATCH_REQUEUE": "1",
    "SBATCH_SIGNAL": "KILL@60",
    "SBATCH_OUTPUT": "elsewhere",
    "SBATCH_WAIT": "1",
}


def slurm_command(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def on_slurm(slurm: None, sandbox: Sandbox) -> Sandbox:
    return sandbox


def only_job(sandbox: Sandbox) -> str:
    lines = (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()
    [job_id] = [json.loads(line)["id"] for line in lines if '"submitted"' in line]
    return str(job_id)


def test_filters_and_formats_change_no_question(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    sandbox.env.update(ODD)
    toy(scheduler="{kind: slurm, queue: batch}", parameters="{x: [60], how: [sleep]}", replicates="2")
    assert "4 CPUs a node, 15.6 GiB a node" in sandbox.sweep("plan").out  # SINFO_PARTITION switched these off
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 2)
    sandbox.sweep("cancel", timeout_s=60)
    until(sandbox.states, {"cancelled": 2})


def test_a_node_that_speaks_is_not_lost(on_slurm: Sandbox, toy: Toy) -> None:
    """Whatever hides the job: its record is a few seconds old. Tried again, it would run twice, side by side."""
    sandbox = on_slurm
    for client in ("squeue", "sacct"):
        hides = sandbox.write(
            f"bin/{client}", "#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 0\n"
        )
        hides.chmod(0o755)
    toy(scheduler="{kind: slurm}", parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: [bool(row["host"]) for row in sandbox.sweep("status", "--json").json["running"]], [True])
    sandbox.env["PATH"] = os.pathsep.join([str(sandbox.path / "bin"), sandbox.env["PATH"]])
    sandbox.env["SWEEP_GRACE_S"] = "20"  # at first, the record is written every 5 s
    gone: list[dict[str, int]] = [sandbox.states() for _ in range(6)]
    assert gone == [{"running": 1}] * 6
    why = sandbox.sweep("why", "0", "--json").json
    assert "by its record of" in why["reason"]
    assert why["scheduler"]["state"] == "absent"
    assert sandbox.sweep("retry", "--json").json["trials"] == []


@pytest.fixture
def without_accounting(slurm_is_here: None, sandbox: Sandbox) -> Iterator[Sandbox]:
    """A real cluster of its own that keeps no accounting: sacct says so, and what has ended is soon forgotten."""
    lab = tempfile.mkdtemp(prefix="sweep-nodbd-", dir="/tmp")  # a socket's path is short
    lab_env = {
        **os.environ,
        "DBD": "0",
        "SWEEP_SLURM_LAB": lab,
        "SWEEP_SLURM_PORT0": "19800",
        "SWEEP_SLURM_NODES": "2",
    }
    lab_env.pop("SLURM_CONF", None)
    script = str(Path(__file__).parents[1] / "cluster" / "slurm.sh")
    try:
        up = subprocess.run(
            ["bash", script, "up"], env=lab_env, capture_output=True, text=True, check=True, timeout=120
        )
        sandbox.env["SLURM_CONF"] = up.stdout.strip()
        yield sandbox
    finally:
        subprocess.run(["bash", script, "down"], env=lab_env, check=False, capture_output=True, timeout=120)


def test_without_accounting_no_filter_hides_a_job(without_accounting: Sandbox, toy: Toy) -> None:
    sandbox = without_accounting
    sandbox.env.update(ODD)
    assert "accounting storage is disabled" in sandbox.run("sacct", "-n").err
    toy(scheduler="{kind: slurm, queue: batch}", parameters="{x: [60], how: [sleep]}", zip="[{y: [1, 2]}]")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 2)
    sandbox.env["SWEEP_GRACE_S"] = "0"
    assert [sandbox.states() for _ in range(3)] == [{"running": 2}] * 3
    assert sandbox.sweep("retry", "--json").json["trials"] == []
    sandbox.sweep("cancel", "0")
    until(sandbox.states, {"cancelled": 1, "running": 1})
    sandbox.sweep("cancel")
    until(sandbox.states, {"cancelled": 2})
    sandbox.accounted_for()


def test_the_environment_does_not_beat_the_grid(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    sandbox.env.update(BEATS)
    toy(
        scheduler="{kind: slurm, queue: batch}",
        parameters="{x: [30], how: [sleep]}",
        resources="{walltime: 5min, memory: 100MiB, cpus: 2}",
    )
    planned = sandbox.sweep("plan")
    assert "SBATCH_TIMELIMIT=2 in the environment has no effect: the grid decides" in planned.err
    assert "gives scheduler" not in planned.err
    sandbox.sweep("submit", timeout_s=60)
    job = slurm_command("scontrol", "show", "job", only_job(sandbox))
    for fact in ("Partition=batch", "TimeLimit=00:05:00", "MinMemoryNode=100M", "JobName=toy.j0001."):
        assert fact in job
    until(lambda: sandbox.states().get("running"), 1)
    sandbox.sweep("cancel")


def test_where_the_grid_is_silent_the_environment_speaks_at_the_plan(on_slurm: Sandbox, toy: Toy) -> None:
    sandbox = on_slurm
    toy(scheduler="{kind: slurm}", parameters="{x: [1], how: [fail]}")
    planned = sandbox.sweep("plan", env={"SBATCH_PARTITION": "short", "SBATCH_ACCOUNT": ""})
    assert "SBATCH_PARTITION in the environment gives scheduler: {queue: short}" in planned.err
    assert "walltime 5:00" in planned.out  # the limits are that partition's
    script = (sandbox.path / "results/toy/jobs/j0001.sh").read_text()
    assert "#SBATCH --partition=short\n" in script
    assert "--account" not in script
    sandbox.sweep("submit", env={"SBATCH_PARTITION": "batch"})
    assert "Partition=short" in slurm_command("scontrol", "show", "job", only_job(sandbox))
    sandbox.follow()
    assert sandbox.sweep("retry", "--errors", "--plan-only", "--json").json["trials"] == [0]
    assert "--partition=short" in (sandbox.path / "results/toy/jobs/j0002.sh").read_text()
    assert "nosuch" in sandbox.sweep("plan", code=2, env={"SBATCH_PARTITION": "nosuch"}).err


OUTER = """\
#!/bin/bash
cd "$HERE" && {} bash submit.sh && touch submitted
"""


@pytest.mark.parametrize("within", ["job", "step", "array task"])
def test_a_job_submitted_inside_another_gets_nothing_of_it(on_slurm: Sandbox, toy: Toy, within: str) -> None:
    """And srun works in it: it died of the outer job's SLURM_CPU_BIND and SLURM_MEM_PER_CPU."""
    sandbox = on_slurm
    sandbox.write("steps.sh", 'env | grep "^SLURM_" | sort > env.txt\nsrun -n1 hostname > host.txt && exec "$@"\n')
    toy(
        scheduler="{kind: slurm}",
        command="[bash, steps.sh, python3, trial.py, '{{ x }}', '{{ how }}']",
        parameters="{x: [3], how: [ok]}",
        resources="{walltime: 2min, memory: 100MiB, cpus: 1}",
    )
    sandbox.sweep("plan")
    step = "srun --cpu-bind=mask_cpu:0x1" if within == "step" else ""
    sandbox.write("submit.sh", f"exec {shlex.quote(sys.executable)} -m sweep submit\n")
    outer = sandbox.write("outer.sh", OUTER.format(step))
    array = ["--array=3-3"] if within == "array task" else []
    options = [*array, "--mem-per-cpu=100", "--cpus-per-task=2", "--time=3", "--output=/dev/null", "-J", "outer"]
    environment_of_job = {**sandbox.env, "HERE": str(sandbox.path)}
    subprocess.run(["sbatch", "--parsable", *options, str(outer)], env=environment_of_job, check=True, timeout=60)
    until(lambda: (sandbox.path / "submitted").exists(), True, timeout_s=90)
    sandbox.follow()
    assert sandbox.states() == {"done": 1}, sandbox.sweep("why", "0").out
    variables = dict(line.split("=", 1) for line in (sandbox.path / "env.txt").read_text().splitlines())
    [record] = (sandbox.path / "results/toy/trials").glob("*/*/attempt-1.json")
    assert json.loads(record.read_text())["job_id"] == only_job(sandbox) == variables["SLURM_JOB_ID"]
    assert not [
        name for name in variables if name.startswith(("SLURM_MEM_PER_CPU", "SLURM_CPU_BIND", "SLURM_ARRAY"))
    ]
    assert variables["SLURM_CPUS_PER_TASK"] == "1"


def test_a_local_job_submitted_inside_a_trial_gets_nothing_of_it(sandbox: Sandbox, toy: Toy) -> None:
    toy(command='[bash, -c, \'env > "env.$SWEEP_NUMBER"; echo "{}" > $SWEEP_RESULT\']', parameters="{x: [1]}")
    sandbox.sweep("plan")
    outer = {
        "SWEEP_TRIAL": "outer", "SWEEP_NUMBER": "77", "SWEEP_TASK": "5", "SWEEP_LOCAL_TASK_ID": "5",
        "SLURM_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "5", "PBS_JOBID": "3.vm", "PBS_O_WORKDIR": "/",
        "CUDA_VISIBLE_DEVICES": "3", "SBATCH_TIMELIMIT": "1", "SLURM_CONF": "/etc/slurm/slurm.conf", "MINE": "stays",
    }  # fmt: skip
    sandbox.sweep("submit", env=outer)
    sandbox.follow()
    lines = (sandbox.path / "env.0").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert names & outer.keys() == {"SWEEP_TRIAL", "SWEEP_NUMBER", "SWEEP_TASK", "SLURM_CONF", "MINE"}
    assert "SWEEP_TASK=0" in lines
    assert "SWEEP_TRIAL=outer" not in lines


def test_what_names_the_cluster_is_kept() -> None:
    named = {name for scheduler in SCHEDULERS.values() for name in scheduler.variables.cluster}
    own = dict.fromkeys(named, "x") | {"SLURM_MPI_TYPE": "pmix", "LC_ALL": "de_DE"}
    odd = {**ODD, **BEATS, "PBS_DPREFIX": "#XYZ", "PBS_O_HOST": "n1", "QSTATRCHOME": "/x", "PBSDEBUG": "yes"}
    assert environment.of_question({**own, **odd, "HOME": "/h"}) == {**own, "HOME": "/h", "LC_ALL": "C"}
    submission = environment.of_submission({**own, **odd, "HOME": "/h"})
    assert submission["LC_ALL"] == "de_DE"  # not what questions are asked in: the job gets it
    assert submission["SQUEUE_FORMAT"] == "%A"  # the trial may call squeue: that is the user's own
    assert not [name for name in submission if name.startswith(("SBATCH_", "PBS_O_", "PBS_DPREFIX"))]


@pytest.mark.parametrize("kind", ["pbs", "torque"])
def test_umask_and_locale_are_those_of_the_plan(make_fake: Callable[[str], Cluster], toy: Toy, kind: str) -> None:
    """On PBS a job starts with umask 0077: colleagues could not read the results."""
    cluster = make_fake(kind)
    sandbox = cluster.sandbox
    sandbox.write("say.sh", """umask; echo $LC_NUMERIC/$LC_ALL; echo '{"segMeasure": 1}' > "$SWEEP_RESULT"\n""")
    toy(scheduler=f"{{kind: {kind}}}", command="[bash, say.sh]", parameters="{x: [1]}")
    plan = f"umask 027; exec {shlex.quote(sys.executable)} -m sweep plan"
    assert sandbox.run("bash", "-c", plan, env={"LC_NUMERIC": "POSIX", "LC_ALL": "C.UTF-8"}).code == 0
    sandbox.sweep("submit", env={"LC_ALL": "POSIX"})
    sandbox.follow()
    assert sandbox.states() == {"done": 1}
    [folder] = (sandbox.path / "results/toy/trials").glob("*/*")
    assert (folder / "log.txt").read_text().splitlines() == ["0027", "POSIX/C.UTF-8"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"attempt-1.json": 0o640, "log.txt": 0o640, "segMeasure.json": 0o640}


def test_a_driver_says_which_client_is_missing_on_its_node(make_fake: Callable[[str], Cluster], toy: Toy) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    assert cluster.knobs
    moved = shutil.copytree(cluster.knobs / "bin", sandbox.path / "module" / "bin", symlinks=True)
    toy(
        scheduler="{kind: pbs}",
        parameters="{x: {range: [1, 5]}, how: [ok]}",
        submit="{max_queued: 3, driver: true}",
    )
    with_module = {"PATH": os.pathsep.join([str(moved), sandbox.env["PATH"]])}
    sandbox.sweep("plan", env=with_module)
    cluster.knob("held")
    sandbox.sweep("submit")
    shutil.rmtree(moved)
    cluster.knob("held", on=False)
    run_queue = [sys.executable, str(cluster.knobs / "bin" / "qsub"), "run"]
    subprocess.run(run_queue, cwd=sandbox.path, env=sandbox.env, check=True, timeout=60)
    log = sandbox.path / "results/toy/jobs/driver.log"
    until(lambda: log.exists() and "which was there when the sweep was planned" in log.read_text(), True)
    assert f"{moved}/qsub, which was there when the sweep was planned, is not on" in log.read_text()
    until(lambda: sandbox.states().get("done"), 2)
    assert "run `sweep submit`" in sandbox.sweep("status").err


def test_a_colleague_looks_on(sandbox: Sandbox, toy: Toy) -> None:
    """Of the local queue, which is its owner's alone; other schedulers may hide jobs, which is the same."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user. To try it: be root")
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not here. To try it: install util-linux")
    readable = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", "import sweep, pydantic, rich"],
        cwd=sandbox.path.anchor, capture_output=True, check=False,
    )  # fmt: skip
    if readable.returncode:
        pytest.skip(
            f"another user cannot run this Python: {readable.stderr.decode().strip()[-100:]}. "
            "To try it: put it where others may read"
        )
    toy(parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 1)
    for folder in [sandbox.path, *sandbox.path.parents]:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711 if folder != sandbox.path else 0o755)
    looks = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m", "sweep"]
    for verb in ("status", "report"):
        seen = sandbox.run(
            *looks, verb, env={"HOME": "/nonexistent", "SWEEP_LOCAL_SPOOL": "", "SWEEP_GRACE_S": "0"}
        )
        assert seen.code == 0, seen.err
        assert "1 running" in seen.out
        assert "the local queue is its owner's alone" in seen.err
    sandbox.sweep("cancel")
