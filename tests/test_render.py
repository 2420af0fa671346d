"""The job scripts against golden files. The golden files are what a scheduler gets; read them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.errors import TemplateError
from sweep.grid import read
from sweep.jobs.alike import takes_over
from sweep.jobs.render import array_range, renderer_of
from sweep.model import Job, Resources, Task
from sweep.state.settings import Planner

GOLDEN = Path(__file__).parent / "golden"
GRID = """\
name: small-unet
command: python -m trainer train
objective: {{file: segMeasure.json}}
scheduler: {{kind: {kind}, queue: batch, account: lab-7, extra: ["{extra}"]}}
environment: ["module load tensorflow", "source ~/envs/u-net/bin/activate"]
submit: {{placement: {placement}{throttle}}}
"""
EXTRA = {"slurm": "--constraint=avx2", "pbs": "-m n", "torque": "-m n", "local": "--memory-mib=1"}
PATHS = {
    "folder": "/home/eve/it's here/results/small-unet",
    "node": "/home/eve/it's here/results/small-unet/node.py",
}
PLANNER = Planner("0027", {"LANG": "de_DE.UTF-8", "LC_NUMERIC": "C"}, ("/opt/pbs/bin/qsub", "/opt/pbs/bin/qstat"))
JOB = Job("j0007", Resources(43200, 8192, 4, 1), tuple(Task(number, 1) for number in range(128)))


def render(kind: str, placement: str = "array", job: Job = JOB, site: Path | None = None) -> str:
    grid, _ = read(
        GRID.format(
            kind=kind,
            placement=placement,
            extra=EXTRA[kind],
            throttle=", throttle: 50" if placement == "array" else "",
        ),
        "g.yaml",
    )
    return renderer_of(grid, {**PATHS, "workdir": "/home/eve/it's here"}, "python3", PLANNER, site)(job)


@pytest.mark.parametrize("kind", ["slurm", "pbs", "torque", "local"])
def test_scripts_equal_the_golden_files(kind: str) -> None:
    script, golden = render(kind), GOLDEN / f"{kind}.sh"
    if os.environ.get("SWEEP_UPDATE_GOLDEN"):
        golden.write_text(script)
    assert script == golden.read_text(), (
        f"the {kind} script changed; if it should have, run SWEEP_UPDATE_GOLDEN=1 pytest {__file__} and read the diff"
    )


@pytest.mark.parametrize("kind", ["slurm", "pbs", "torque", "local"])
def test_scripts_are_bash(kind: str) -> None:
    assert subprocess.run(["bash", "-n"], input=render(kind), text=True, check=False).returncode == 0


def test_placement_each_and_a_single_trial_make_no_array() -> None:
    single = Job("j0001", JOB.resources, (Task(0, 1),))
    assert "--array" not in render("slurm", placement="each")
    assert "-J" not in render("pbs", job=single)  # OpenPBS refuses an array of one
    assert "--array=0-127%50" in render("slurm")
    grid, _ = read(GRID.format(kind="pbs", placement="array", extra="", throttle=""), "g.yaml")
    assert array_range(grid, single) == ""


def test_which_jobs_workers_that_wait_take_over() -> None:
    grid, _ = read(
        "name: toy\ncommand: python job.py\nscheduler: {kind: slurm}\nsubmit: {placement: packed, workers: 4, linger: 5min}",
        "g",
    )
    paths = {**PATHS, "worker": "/home/eve/worker.py", "workdir": "/home/eve"}
    renderer = renderer_of(grid, paths, "python3", PLANNER)
    tasks = tuple(Task(number, 1) for number in range(9))
    job = Job("j0001", Resources(3600, 8192, 4), tasks, workers=4, worker_asks=Resources(7200, 8192, 4))
    script = renderer(job)
    assert "--linger-s 300" in script
    fewer = replace(job, name="j0002", tasks=tasks[:2], workers=2, variables={0: {"A": "1"}})
    shorter = replace(fewer, worker_asks=Resources(3600, 8192, 4))
    for other in (fewer, shorter):
        assert takes_over(script, renderer(other), 3600, 3600.0)
    assert not takes_over(script, renderer(fewer), 3600, 3601.0)  # no time for a whole trial
    for other in (
        replace(fewer, resources=Resources(3600, 8192, 2), worker_asks=Resources(7200, 8192, 2)),
        replace(fewer, resources=Resources(1800, 8192, 4)),
        replace(fewer, avoid=("n3",)),
    ):
        assert not takes_over(script, renderer(other), 0, 0.0)
    assert not takes_over(script, render("slurm"), 0, 0.0)


def test_a_sites_template_overrides_one_block(tmp_path: Path) -> None:
    site = tmp_path / "ours.sh.j2"
    site.write_text('{% extends "slurm.sh.j2" %}{% block setup %}\nulimit -c 0\n{% endblock %}')
    script = render("slurm", site=site)
    assert "\nulimit -c 0\n" in script
    assert "#SBATCH --array=0-127%50" in script


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/bash\n{{ no_such_name }}", "no_such_name"),
        ("#!/bin/bash\n{% if %}", "ours.sh.j2:2"),
        ("echo hi", "begins with"),
        ('{% extends "nothing.j2" %}', "nothing.j2"),
    ],
)
def test_bad_templates(tmp_path: Path, text: str, message: str) -> None:
    site = tmp_path / "ours.sh.j2"
    site.write_text(text)
    with pytest.raises(TemplateError) as caught:
        render("slurm", site=site)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
