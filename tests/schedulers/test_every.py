"""What holds for every scheduler, without one: those that sweep has, and those that only the tests have."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import pytest

from sweep.grid import Grid, Source, read
from sweep.jobs import pack
from sweep.jobs.render import renderer_of, template_environment
from sweep.model import Job, Limits, Resources, Task
from sweep.schedulers import SCHEDULERS, Scheduler, environment
from sweep.state.settings import Planner
from tests.clusters import schedulers
from tests.conftest import ROOT

EVERY = list(schedulers().values())
OURS = [pytest.param(scheduler, id=scheduler.kind) for scheduler in SCHEDULERS.values()]
PLANNER = Planner("0022", {}, ("/opt/bin/sub",))
PATHS = {name: f"/home/eve/it's here/{name}" for name in ("folder", "node", "worker", "workdir")}
JOB = Job("j0001", Resources(3600, 100, 1), tuple(Task(number, 1) for number in range(6)))


@pytest.fixture(params=EVERY, ids=[scheduler.kind for scheduler in EVERY])
def scheduler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """Each scheduler in turn, in the registry."""
    scheduler: Scheduler = request.param
    monkeypatch.setitem(SCHEDULERS, scheduler.kind, scheduler)
    return scheduler


def grid_for(scheduler: Scheduler, submit: str = "{}") -> tuple[Grid, Source]:
    return read(f"name: toy\ncommand: prog\nscheduler: {{kind: {scheduler.kind}}}\nsubmit: {submit}\n", "g.yaml")


@pytest.mark.parametrize("submit", ["{}", "{placement: each}", "{placement: packed, workers: 3}"])
def test_its_scripts_are_bash(scheduler: Scheduler, submit: str) -> None:
    grid, _ = grid_for(scheduler, submit)
    limits = pack.effective_limits(grid, Limits(max_array_size=1000))
    requests = [pack.AttemptRequest(number, 1, JOB.resources) for number in range(6)]
    jobs = pack.cut(grid, requests, limits, 1)
    assert scheduler.has_arrays or all(job.workers or len(job.tasks) == 1 for job in jobs)
    renderer = renderer_of(grid, PATHS, "python3", PLANNER)
    for script in (*map(renderer, jobs), renderer(replace(JOB, tasks=()), ["sweep", "submit"])):
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_its_arrays_are_of_the_throttle_that_the_grid_says(scheduler: Scheduler) -> None:
    grid, source = grid_for(scheduler, "{throttle: 7}")
    if not scheduler.has_arrays:
        with pytest.raises(Exception, match="throttle is for arrays"):
            pack.check(grid, source, [JOB], Limits(max_array_size=1))
        return
    pack.check(grid, source, [JOB], Limits(max_array_size=1000))
    script = renderer_of(grid, PATHS, "python3", PLANNER)(JOB)
    [line] = [line for line in script.splitlines() if scheduler.spell_array(0, 5, 7) in line]
    assert line.startswith("#")
    assert script != renderer_of(grid_for(scheduler)[0], PATHS, "python3", PLANNER)(JOB)


def test_the_grid_that_init_writes_is_read(scheduler: Scheduler) -> None:
    text = template_environment().get_template("grid.yaml.j2").render(scheduler=scheduler)
    if scheduler.example_queue:
        for key in ("queue", "account", "extra"):
            text = text.replace(f"  # {key}:", f"  {key}:")
    assert read(text, "grid.yaml")[0].scheduler.queue == (scheduler.example_queue or None)


def test_nothing_of_an_outer_job_reaches_a_job(scheduler: Scheduler) -> None:
    own = scheduler.variables
    named = dict.fromkeys(own.cluster, "x")
    outer: dict[str, str] = {**dict.fromkeys(filter(None, [own.job]), "7"), "TMPDIR": "/gone", "SWEEP_NODE": "n1"}
    assert own.job
    assert environment.of_submission({**named, **outer, "MINE": "stays"}) == {**named, "MINE": "stays"}


def test_a_cluster_or_qos_is_for_those_that_have_one(scheduler: Scheduler) -> None:
    for key in ("qos", "cluster"):
        text = f"name: toy\ncommand: prog\nscheduler: {{kind: {scheduler.kind}, {key}: x}}\n"
        if key in scheduler.further_keys:
            assert getattr(read(text, "g.yaml")[0].scheduler, key) == "x"
        else:
            with pytest.raises(Exception, match=f"{key} means nothing to {scheduler.kind}"):
                read(text, "g.yaml")


@pytest.mark.parametrize("ours", OURS)
def test_the_docs_and_the_help_name_it(ours: Scheduler) -> None:
    docs = (ROOT / "docs" / "schedulers.md").read_text()
    assert docs.count(f"\n| `{ours.kind}` |") == 2  # how it is called, and its limits
    assert f"`{ours.kind}`" in (ROOT / "docs" / "grid.md").read_text()
    assert ours.kind in (ROOT / "sweep" / "cli" / "begin.py").read_text()
    assert (ROOT / "templates" / f"{ours.kind}.sh.j2").exists()
    assert (ROOT / "tests" / "golden" / f"{ours.kind}.sh").exists()


def test_a_scheduler_without_a_method_cannot_be_made() -> None:
    class Half(Scheduler):
        kind = "half"

    made: Any = Half
    with pytest.raises(TypeError, match="abstract method"):
        made()
