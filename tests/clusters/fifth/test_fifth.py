"""The fifth scheduler's own facts: it counts from 1, throttles by an option, and has letters for ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.model import Outcome, TaskRef, TaskState
from sweep.schedulers import Reply, SubmitRequest
from tests.clusters import Cluster
from tests.clusters.fifth import KINDS, cluster
from tests.clusters.fifth.scheduler import Fifth
from tests.conftest import Sandbox
from tests.schedulers.replay import replay


def test_an_array_in_part_with_a_throttle() -> None:
    request = SubmitRequest("/s.sh", "toy.j0001.t", None, "/log", span=(4, 8), throttle=2)
    job_id, [call] = replay(Fifth().submit(request), [Reply(0, "a site's word\nyour job qab waits\n")])
    assert job_id == "qab"
    assert call.argv == ("fifth-sub", "-N", "toy.j0001.t", "-t", "5-9", "-tc", "2", "/s.sh")


def test_its_first_task_is_ours_too() -> None:
    tasks = [TaskRef("qab", 0), TaskRef("qab", 1), TaskRef("qc"), TaskRef("qd", 0)]
    text = "qab\t1\tz\tn\t3\nqab\t2\tr\tn\t-\nqc\t-\tz\tn\t-\n"
    answer, [call] = replay(Fifth().poll(tasks), [Reply(0, text)])
    assert call.argv == ("fifth-stat", "qab", "qc", "qd")
    assert [answer.statuses[task].state for task in tasks] == [
        TaskState.ENDED,
        TaskState.RUNNING,
        TaskState.ENDED,
        TaskState.ABSENT,
    ]
    assert answer.statuses[tasks[0]].outcome is Outcome.FAILED
    _, [call] = replay(Fifth().cancel(["qc"], [tasks[0]]), [Reply(0)])
    assert call.argv == ("fifth-del", "qc", "qab.1")


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Cluster]:
    yield from cluster(request.param, request, sandbox, tmp_path / "fake")


def test_what_is_shown_counts_as_it_does(here: Cluster, toy: Callable[..., Path]) -> None:
    sandbox = here.sandbox
    toy(scheduler=here.scheduler, parameters="{x: [1, 2, 3, 4, 5, 6], how: [ok]}")
    if here.has_arrays:
        toy(
            scheduler=here.scheduler,
            parameters="{x: [1, 2, 3, 4, 5, 6], how: [ok]}",
            submit="{max_array_size: 4, throttle: 3}",
        )
    assert ("arrays of up to 4" if here.has_arrays else "no arrays") in sandbox.sweep("plan").out
    calls = sandbox.sweep("submit", "--dry-run", "--json").json["calls"]
    assert len(sandbox.sweep("submit", "--json").json["sent"]) == len(calls) == (2 if here.has_arrays else 6)
    sandbox.follow()
    assert sandbox.states() == {"done": 6}
    assert sandbox.sweep("why", "5", "--json").json["task"] == ("qb.2" if here.has_arrays else "qf")
    record = json.loads(next((sandbox.path / "results/toy/trials").glob("*/*/attempt-1.json")).read_text())
    assert record["node"] == "east"
    sandbox.accounted_for()


def test_a_sites_own_template_extends_it(here: Cluster, toy: Callable[..., Path]) -> None:
    sandbox = here.sandbox
    sandbox.write("ours.sh.j2", '{% extends "fifth.sh.j2" %}{% block setup %}\nulimit -c 0\n{% endblock %}')
    toy(scheduler=here.scheduler)
    sandbox.sweep("plan", "--template", "ours.sh.j2")
    script = (sandbox.path / "results/toy/jobs/j0001.sh").read_text()
    assert "\nulimit -c 0\n" in script
    assert ("\n#FIFTH -t 1-3\n" in script) is here.has_arrays
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


def test_doctor_names_it(here: Cluster) -> None:
    findings = {finding["what"]: finding["finding"] for finding in here.sandbox.sweep("doctor", "--json").json}
    assert findings["fifth"] == "Fifth 5.0; arrays of up to 64"
    assert findings["fifth-single"] == "Fifth 5.0; no arrays"


def test_a_grid_that_asks_for_arrays_where_there_are_none_is_refused(
    here: Cluster, toy: Callable[..., Path]
) -> None:
    toy(scheduler=here.scheduler, submit="{throttle: 2}")
    refused = here.sandbox.sweep("plan", code=0 if here.has_arrays else 2)
    assert ("throttle is for arrays, and fifth-single has none" in refused.err) is not here.has_arrays
