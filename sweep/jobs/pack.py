"""Attempts and limits → jobs that the scheduler will take (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sweep.errors import GridError
from sweep.grid import Grid, Source, units
from sweep.model import Job, Limits, Resources, Task
from sweep.schedulers import SCHEDULERS
from sweep.schedulers.directives import Requests

#: A worker needs more time than its trials: to start, to find the next trial, to write the last record. It gets
#: the larger of a number of seconds and a share of the trials' time.
SLACK_S = 60
SLACK_SHARE = 0.02


#: While a driver runs, it and its successor have a place in the queue each.
DRIVER_PLACES = 2


@dataclass(frozen=True)
class AttemptRequest:
    """An attempt to make a job for, with its own facts.

    Attributes
    ----------
    number, attempt : int
        The trial's number, and the attempt's.
    avoid : tuple of str
        Nodes that it is not to run on.
    variables : tuple of (str, str)
        What its command gets in its environment, beside what every trial does.
    """

    number: int
    attempt: int
    resources: Resources
    avoid: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


def effective_limits(grid: Grid, scheduler_limits: Limits) -> Limits:
    """Return the scheduler's limits, with those replaced that the grid gives."""
    in_grid = grid.scheduler.limits
    max_array_size = grid.submit.max_array_size or scheduler_limits.max_array_size
    return replace(
        scheduler_limits,
        max_array_size=max_array_size if SCHEDULERS[grid.scheduler.kind].has_arrays else 1,
        max_queued=grid.submit.max_queued or scheduler_limits.max_queued,
        walltime_s=units.walltime_s(in_grid.walltime) if in_grid.walltime else scheduler_limits.walltime_s,
        memory_mib=units.memory_mib(in_grid.memory) if in_grid.memory else scheduler_limits.memory_mib,
        cpus=in_grid.cpus or scheduler_limits.cpus,
        gpus=scheduler_limits.gpus if in_grid.gpus is None else in_grid.gpus,
    )


def job_name(number: int) -> str:
    """Name a job.

    >>> job_name(7), job_number("j0007")
    ('j0007', 7)
    """
    return f"j{number:04d}"


def job_number(name: str) -> int:
    """Return the number in a job's name."""
    return int(name[1:])


def cut(grid: Grid, requests: Iterable[AttemptRequest], limits: Limits, first: int) -> list[Job]:
    """Cut attempts into jobs, numbered from `first`.

    Attempts with equal resources and equal nodes to avoid form a group. A group becomes one job or several, none
    larger than an array may be. In packed placement a group becomes one job, and its workers form the array.
    """
    groups: dict[tuple[Resources, tuple[str, ...]], list[Task]] = {}
    variables: dict[int, dict[str, str]] = {}
    for request in requests:
        groups.setdefault((request.resources, request.avoid), []).append(Task(request.number, request.attempt))
        if request.variables:
            variables[request.number] = dict(request.variables)
    packed = grid.submit.placement == "packed"
    jobs: list[Job] = []
    for (resources, avoid), group in groups.items():
        size = len(group) if packed else limits.max_array_size
        for start in range(0, len(group), size):
            chunk = tuple(group[start : start + size])
            own = {task.number: variables[task.number] for task in chunk if task.number in variables}
            job = Job(job_name(first + len(jobs)), resources, chunk, avoid=avoid, variables=own)
            jobs.append(_with_workers(grid, job, limits) if packed else job)
    return jobs


def _with_workers(grid: Grid, job: Job, limits: Limits) -> Job:
    """Give a packed job its workers: no more than have a trial to run, and no more than may be queued."""
    submit, trial, per_worker = grid.submit, job.resources, grid.submit.per_worker
    allowed = min(limits.max_array_size, limits.max_queued or limits.max_array_size)
    workers = max(1, min(submit.workers, math.ceil(len(job.tasks) / per_worker), allowed))
    rounds = math.ceil(len(job.tasks) / (workers * per_worker))
    if submit.linger:  # what comes later has its time as well
        rounds *= 2
    walltime_s = rounds * trial.walltime_s + max(SLACK_S, math.ceil(SLACK_SHARE * rounds * trial.walltime_s))
    if submit.worker_walltime:
        walltime_s = units.walltime_s(submit.worker_walltime)
    elif limits.walltime_s is not None:
        walltime_s = max(trial.walltime_s, min(walltime_s, limits.walltime_s))
    asks = Resources(
        walltime_s, trial.memory_mib * per_worker, trial.cpus * per_worker, trial.gpus * per_worker, trial.extra
    )
    return replace(job, workers=workers, worker_asks=asks)


def check(grid: Grid, source: Source, jobs: Sequence[Job], limits: Limits) -> None:
    """Refuse a job that the scheduler would refuse later, or would never start.

    Raises
    ------
    GridError
        A job asks for more than the queue allows, or than any of its nodes has.
    """
    tasks = sum(job.workers or len(job.tasks) for job in jobs)
    if grid.submit.driver and limits.max_queued is not None and limits.max_queued <= min(DRIVER_PLACES, tasks - 1):
        raise source.error(
            ("submit", "driver"),
            f"the driver is a job, too, and so is the one that comes after it: of {limits.max_queued} that may be "
            "queued no place is left for a trial",
            "raise max_queued, or take the driver out",
        )
    _check_arrays(grid, source, limits)
    _check_requests(grid, source, jobs)
    _check_ceilings(grid, source, jobs)
    _check_warning(grid, source, jobs)
    where = f"the queue {grid.scheduler.queue!r}" if grid.scheduler.queue else "the default queue"
    if SCHEDULERS[grid.scheduler.kind].this_machine:
        where = "this machine"
    formats: dict[str, Callable[[int], str]] = {
        "walltime": lambda seconds: Resources(seconds, 0, 0).walltime,
        "memory": lambda mib: f"{mib:,} MiB" if mib < 10240 else f"{mib / 1024:,.1f} GiB",
        "cpus": lambda number: f"{number} CPU{'' if number == 1 else 's'}",
        "gpus": lambda number: f"{number} GPU{'' if number == 1 else 's'}",
    }
    for job in jobs:
        for key, formatted in formats.items():
            name = {"walltime": "walltime_s", "memory": "memory_mib"}.get(key, key)
            limit, asked = getattr(limits, name), getattr(job.asks, name)
            if limit is not None and asked > limit:
                one_fits = getattr(job.resources, name) <= limit
                raise _exceeds_limit(source, key, formatted(asked), formatted(limit), where, one_fits=one_fits)
        if limits.one_of and all(way.exceeded_by(job.asks) for way in limits.one_of.values()):
            raise source.error(
                ("scheduler", "queue"),
                f"{where} leads to {', '.join(limits.one_of)}, and none of these takes a job of "
                f"{job.asks.walltime or 'any walltime'}, {job.asks.memory_mib:,} MiB and {job.asks.cpus} CPUs",
                "ask for less, or name another queue; the server drops such a job without a word",
            )
        if job.workers and not job.resources.walltime_s and not grid.submit.worker_walltime:
            raise source.error(
                ("resources", "walltime"),
                "the walltime is left to the site, and a worker's is worked out from it",
                "write submit: {worker_walltime: …}",
            )
        if job.workers and grid.submit.linger and job.asks.walltime_s < 2 * job.resources.walltime_s:
            raise source.error(
                ("submit", "linger"),
                f"a worker has {job.asks.walltime}, and a trial asks for {job.resources.walltime}: it has no "
                "time for a further one",
                "raise worker_walltime, lower the trials' walltime, or take linger out",
            )
        if job.workers and job.asks.walltime_s < job.resources.walltime_s:
            raise source.error(
                ("submit", "worker_walltime"),
                f"a worker has {job.asks.walltime}, and one trial asks for {job.resources.walltime}",
                "raise worker_walltime, or lower the trials' walltime",
            )


def _check_arrays(grid: Grid, source: Source, limits: Limits) -> None:
    """Refuse what an array cannot be."""
    kind = grid.scheduler.kind
    for key in ("throttle", "max_array_size") if not SCHEDULERS[kind].has_arrays else ():
        if getattr(grid.submit, key):
            raise source.error(("submit", key), f"{key} is for arrays, and {kind} has none", "use max_queued")
    throttle = grid.submit.throttle
    if throttle and limits.max_throttle is not None and throttle > limits.max_throttle:
        raise source.error(
            ("submit", "throttle"),
            f"{throttle} tasks of an array are to run at once, and the scheduler allows {limits.max_throttle}",
            "lower the throttle",
        )


def _check_requests(grid: Grid, source: Source, jobs: Sequence[Job]) -> None:
    """Refuse a request in a place where the scheduler would not heed it, or would refuse it."""
    units_of_jobs = [dict(job.resources.extra) for job in jobs]
    requests = Requests(
        grid.scheduler.extra,
        {name: frozenset(of_job[name] for of_job in units_of_jobs) for name in grid.resources.extra},
        str(grid.resources.memory) if any(job.resources.memory_mib for job in jobs) else "",
    )
    for objection in SCHEDULERS[grid.scheduler.kind].objections(requests):
        raise source.error(*objection)


def _check_warning(grid: Grid, source: Source, jobs: Sequence[Job]) -> None:
    """Refuse a warning that comes before the trial begins."""
    warning = grid.scheduler.warning
    for job in jobs if warning else []:
        assert warning
        walltime_s = job.resources.walltime_s
        if walltime_s and units.walltime_s(warning) >= walltime_s:
            raise source.error(
                ("scheduler", "warning"),
                f"the warning comes {warning} before the end, and a trial asks for {job.resources.walltime}",
                "lower it, or raise the trials' walltime",
            )


def _check_ceilings(grid: Grid, source: Source, jobs: Sequence[Job]) -> None:
    """Refuse a retry's ceiling that is lower than what a first attempt asks for."""
    rules = grid.retry
    for job in jobs if rules else []:
        assert rules
        memory, walltime = rules.out_of_memory.ceiling, rules.walltime.ceiling
        if memory and units.memory_mib(memory) < job.resources.memory_mib:
            raise source.error(
                ("retry", "out_of_memory", "ceiling"),
                f"the ceiling {memory} is less than the {job.resources.memory_mib:,} MiB that a trial asks for",
                "raise it, or leave it out. No attempt asks for more than a node has",
            )
        if walltime and units.walltime_s(walltime) < job.resources.walltime_s:
            raise source.error(
                ("retry", "walltime", "ceiling"),
                f"the ceiling {walltime} is less than the {job.resources.walltime} that a trial asks for",
                "raise it, or leave it out. No attempt asks for more than the queue allows",
            )


def _exceeds_limit(source: Source, key: str, asked: str, limit: str, where: str, *, one_fits: bool) -> GridError:
    """Make the error for a job that asks for too much. `one_fits`: only the whole worker does, not one trial."""
    rule = f"{where} allows {limit}" if key == "walltime" else f"{where} has {limit}"
    if key != "walltime" and where != "this machine":
        rule = f"no node of {where} has more than {limit}"
    hint = f"or set the true limit in scheduler: {{limits: {{{key}: …}}}}"
    if one_fits:
        path = ("submit", "worker_walltime" if key == "walltime" else "per_worker")
        return source.error(
            path, f"a worker asks for {asked}, and {rule}", f"give it fewer trials at once, {hint}"
        )
    return source.error(
        ("resources", key), f"a trial asks for {asked}, and {rule}", f"ask for less, name another queue, {hint}"
    )


def waves(jobs: Sequence[Job], limits: Limits, *, driver: bool = False) -> int:
    """Count the waves in which the jobs' tasks are submitted. A wave is as many tasks as may be queued at once.

    The driver is one of the tasks of every wave but the last, and it runs itself while it sends.
    """
    tasks = sum(job.workers or len(job.tasks) for job in jobs)
    if not limits.max_queued or tasks <= limits.max_queued:
        return min(1, tasks)
    if not driver:
        return math.ceil(tasks / limits.max_queued)
    left = tasks - (limits.max_queued - 1)  # a person sends the first wave; the last has no successor
    return 1 + max(1, math.ceil((left - 1) / (limits.max_queued - DRIVER_PLACES)))
