"""Trials and limits → jobs that the scheduler will take (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweep.errors import GridError
from sweep.grid import Grid, Source, units
from sweep.model import Job, Limits, Resources

#: A worker's time beside its trials': to start, to look for the next one, to write the last record.
SLACK_S = 60
SLACK_SHARE = 0.02


@dataclass(frozen=True)
class AttemptRequest:
    """An attempt that is to be run: what it asks for, and the nodes it should not get."""

    number: int
    attempt: int
    resources: Resources
    avoid: tuple[str, ...] = ()


def limits(grid: Grid, told: Limits) -> Limits:
    """Put what the grid says of the limits over what the scheduler told."""
    given = grid.scheduler.limits
    return replace(
        told,
        max_array_size=grid.submit.max_array_size or told.max_array_size,
        max_queued=grid.submit.max_queued or told.max_queued,
        walltime_s=units.walltime_s(given.walltime) if given.walltime else told.walltime_s,
        memory_mib=units.memory_mib(given.memory) if given.memory else told.memory_mib,
        cpus=given.cpus or told.cpus,
        gpus=told.gpus if given.gpus is None else given.gpus,
    )


def of_one_trial(most: Limits, submit: Mapping[str, Any]) -> Limits:
    """Return what one trial may ask for at most, by the plan's `submit`: in a worker, its share of a node."""
    if submit["placement"] != "packed":
        return most
    own_s = units.walltime_s(submit["worker_walltime"]) if submit["worker_walltime"] else None
    walltimes = [one for one in (own_s, most.walltime_s) if one is not None]
    memory_mib = most.memory_mib and most.memory_mib // submit["per_worker"]
    return replace(most, memory_mib=memory_mib, walltime_s=min(walltimes, default=None))


def cut(grid: Grid, wanted: Iterable[AttemptRequest], most: Limits, first: int) -> list[Job]:
    """Cut attempts into jobs, numbered from `first`: a group of equal demands each, in chunks that fit.

    A packed job takes its whole group; its workers are what has to fit.
    """
    groups: dict[tuple[Resources, tuple[str, ...]], list[tuple[int, int]]] = {}
    for one in wanted:
        groups.setdefault((one.resources, one.avoid), []).append((one.number, one.attempt))
    packed = grid.submit.placement == "packed"
    jobs: list[Job] = []
    for (resources, avoid), group in groups.items():
        size = len(group) if packed else most.max_array_size
        for start in range(0, len(group), size):
            chunk = tuple(group[start : start + size])
            job = Job(f"j{first + len(jobs):04d}", resources, chunk, avoid=avoid)
            jobs.append(_packed(grid, job, most) if packed else job)
    return jobs


def _packed(grid: Grid, job: Job, most: Limits) -> Job:
    """Give a job its workers: no more than have something to do, or than may be queued."""
    asked, one, side_by_side = grid.submit, job.resources, grid.submit.per_worker
    allowed = min(most.max_array_size, most.max_queued or most.max_array_size)
    workers = max(1, min(asked.workers, math.ceil(len(job.tasks) / side_by_side), allowed))
    rounds = math.ceil(len(job.tasks) / (workers * side_by_side))
    walltime_s = rounds * one.walltime_s + max(SLACK_S, math.ceil(SLACK_SHARE * rounds * one.walltime_s))
    if asked.worker_walltime:
        walltime_s = units.walltime_s(asked.worker_walltime)
    elif most.walltime_s is not None:
        walltime_s = max(one.walltime_s, min(walltime_s, most.walltime_s))
    asks = Resources(walltime_s, one.memory_mib * side_by_side, one.cpus * side_by_side, one.gpus * side_by_side)
    return replace(job, workers=workers, worker_asks=asks)


def check(grid: Grid, source: Source, jobs: Sequence[Job], most: Limits) -> None:
    """Refuse here what the scheduler would refuse later, or hold for ever.

    Raises
    ------
    GridError
        A job asks for more than the queue or any of its nodes has.
    """
    if grid.submit.driver and most.max_queued == 1:
        raise source.error(
            ("submit", "driver"), "the driver is a job, too, and only one may be queued", "allow two, or no driver"
        )
    _check_ceilings(grid, source, jobs)
    where = f"the queue {grid.scheduler.queue!r}" if grid.scheduler.queue else "the default queue"
    if grid.scheduler.kind == "local":
        where = "this machine"
    spelled: dict[str, Callable[[int], str]] = {
        "walltime": lambda seconds: Resources(seconds, 0, 0).walltime,
        "memory": lambda mib: f"{mib:,} MiB" if mib < 10240 else f"{mib / 1024:,.1f} GiB",
        "cpus": lambda number: f"{number} CPU{'' if number == 1 else 's'}",
        "gpus": lambda number: f"{number} GPU{'' if number == 1 else 's'}",
    }
    for job in jobs:
        for key, shown in spelled.items():
            name = {"walltime": "walltime_s", "memory": "memory_mib"}.get(key, key)
            have = getattr(most, name)
            asked, alone = getattr(job.asks, name), getattr(job.resources, name)
            if have is not None and asked > have:
                raise _too_much(source, key, shown(asked), shown(have), where, packed=alone <= have)
        if job.workers and job.asks.walltime_s < job.resources.walltime_s:
            raise source.error(
                ("submit", "worker_walltime"),
                f"a worker has {job.asks.walltime}, and one trial asks for {job.resources.walltime}",
                "give the workers more, or the trials less",
            )


def _check_ceilings(grid: Grid, source: Source, jobs: Sequence[Job]) -> None:
    """Refuse a retry's ceiling that is below what a first attempt asks for."""
    rules = grid.retry
    for job in jobs if rules else []:
        assert rules
        memory, walltime = rules.out_of_memory.ceiling, rules.walltime.ceiling
        if memory and units.memory_mib(memory) < job.resources.memory_mib:
            raise source.error(
                ("retry", "out_of_memory", "ceiling"),
                f"the ceiling {memory} is less than the {job.resources.memory_mib:,} MiB that a trial asks for",
                "raise it, or leave it out: no attempt asks for more than a node has",
            )
        if walltime and units.walltime_s(walltime) < job.resources.walltime_s:
            raise source.error(
                ("retry", "walltime", "ceiling"),
                f"the ceiling {walltime} is less than the {job.resources.walltime} that a trial asks for",
                "raise it, or leave it out: no attempt asks for more than the queue allows",
            )


def _too_much(source: Source, key: str, asked: str, have: str, where: str, *, packed: bool) -> GridError:
    what = f"{where} allows {have}" if key == "walltime" else f"{where} has {have}"
    if key != "walltime" and where != "this machine":
        what = f"no node of {where} has more than {have}"
    hint = f"or say what holds, in scheduler: {{limits: {{{key}: …}}}}"
    if packed:
        at = ("submit", "worker_walltime" if key == "walltime" else "per_worker")
        return source.error(at, f"a worker asks for {asked}, and {what}", f"give it fewer trials at once, {hint}")
    return source.error(
        ("resources", key), f"a trial asks for {asked}, and {what}", f"ask for less, name another queue, {hint}"
    )


def waves(jobs: Sequence[Job], most: Limits, *, driver: bool = False) -> int:
    """Return in how many waves the jobs' tasks go out, as far as the cap on queued ones makes them.

    The driver takes a place of each but the last.
    """
    tasks = sum(job.workers or len(job.tasks) for job in jobs)
    if not most.max_queued or tasks <= most.max_queued:
        return min(1, tasks)
    return math.ceil((tasks - 1) / (most.max_queued - 1)) if driver else math.ceil(tasks / most.max_queued)
