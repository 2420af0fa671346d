"""Attempts and limits → jobs: how they are cut, sized, refused, and counted in waves."""

from __future__ import annotations

import pytest

from sweep import grid as grids
from sweep.errors import GridError
from sweep.grid import Grid, Source
from sweep.jobs import pack
from sweep.jobs.pack import AttemptRequest
from sweep.model import Limits, Resources

HOUR = Resources(3600, 1000, 2)
ROOMY = Limits(max_array_size=1000)


def grid(submit: str = "{}", **keys: str) -> tuple[Grid, Source]:
    document = {"name": "toy", "command": "prog", "scheduler": "{kind: slurm}", "submit": submit} | keys
    return grids.read("".join(f"{key}: {value}\n" for key, value in document.items()), "grid.yaml")


def requests(count: int, resources: Resources = HOUR, first: int = 0) -> list[AttemptRequest]:
    return [AttemptRequest(number, 1, resources) for number in range(first, first + count)]


def test_each_group_is_cut_into_arrays_of_the_allowed_size() -> None:
    two_groups = requests(5) + requests(2, Resources(60, 1, 1), first=5)
    jobs = pack.cut(grid()[0], two_groups, Limits(max_array_size=3), 4)
    assert [(job.name, [number for number, _ in job.tasks]) for job in jobs] == [
        ("j0004", [0, 1, 2]),
        ("j0005", [3, 4]),
        ("j0006", [5, 6]),
    ]
    assert jobs[0].asks == HOUR


def test_an_attempt_that_avoids_a_node_gets_its_own_job() -> None:
    attempts = [AttemptRequest(0, 1, HOUR), AttemptRequest(1, 2, HOUR, ("n3",)), AttemptRequest(2, 1, HOUR)]
    jobs = pack.cut(grid()[0], attempts, ROOMY, 1)
    assert [(job.tasks, job.avoid) for job in jobs] == [(((0, 1), (2, 1)), ()), (((1, 2),), ("n3",))]


@pytest.mark.parametrize(
    ("submit", "trials", "limits", "workers", "hours"),
    [
        ("{placement: packed, workers: 4, per_worker: 2}", 80, ROOMY, 4, 10),  # 80 / (4 · 2) rounds
        ("{placement: packed, workers: 4, per_worker: 2}", 5, ROOMY, 3, 1),  # no more than have a trial to run
        ("{placement: packed, workers: 4, per_worker: 2}", 80, Limits(1000, max_queued=2), 2, 20),
        ("{placement: packed, workers: 4}", 80, Limits(1000, walltime_s=5 * 3600), 4, 5),  # the queue's walltime
        ("{placement: packed, worker_walltime: 6h}", 80, ROOMY, 1, 6),
    ],
)
def test_workers(submit: str, trials: int, limits: Limits, workers: int, hours: float) -> None:
    [job] = pack.cut(grid(submit)[0], requests(trials), limits, 1)
    per_worker = 2 if "per_worker" in submit else 1
    assert job.workers == workers
    assert hours * 3600 <= job.asks.walltime_s <= hours * 3600 * 1.02 + 60
    assert (job.asks.memory_mib, job.asks.cpus) == (1000 * per_worker, 2 * per_worker)
    assert len(job.tasks) == trials


@pytest.mark.parametrize(
    ("keys", "limits", "message"),
    [
        ({}, Limits(10, walltime_s=1800), "a trial asks for 01:00:00, and the default queue allows 00:30:00"),
        ({}, Limits(10, cpus=1), "a trial asks for 2 CPUs, and no node of the default queue has more than 1 CPU"),
        (
            {},
            Limits(10, memory_mib=999),
            "asks for 1,000 MiB, and no node of the default queue has more than 999 MiB",
        ),
        ({"submit": "{placement: packed, per_worker: 3}"}, Limits(10, cpus=4), "a worker asks for 6 CPUs"),
        (
            {"submit": "{placement: packed, worker_walltime: 30min}"},
            ROOMY,
            "a worker has 00:30:00, and one trial asks",
        ),
    ],
)
def test_a_job_that_no_node_can_run_is_refused(keys: dict[str, str], limits: Limits, message: str) -> None:
    checked, source = grid(**keys)
    jobs = pack.cut(checked, requests(10), limits, 1)
    with pytest.raises(GridError) as caught:
        pack.check(checked, source, jobs, limits)
    assert message in str(caught.value)
    assert "grid.yaml:" in str(caught.value)
    pack.check(checked, source, pack.cut(grid()[0], requests(10), ROOMY, 1), ROOMY)


def test_the_grid_overrules_the_schedulers_limits() -> None:
    checked, _ = grid("{max_queued: 7, max_array_size: 5}", scheduler="{limits: {walltime: 2h, gpus: 0}}")
    reported = Limits(1000, max_queued=100, walltime_s=60, memory_mib=10, cpus=4, gpus=8)
    assert pack.effective_limits(checked, reported) == Limits(
        5, max_queued=7, walltime_s=7200, memory_mib=10, cpus=4, gpus=0
    )


def test_waves() -> None:
    limits = Limits(1000, max_queued=30)
    jobs = pack.cut(grid()[0], requests(100), limits, 1)
    assert pack.waves(jobs, limits) == 4
    assert pack.waves(jobs, ROOMY) == 1
    assert pack.waves([], limits) == 0
