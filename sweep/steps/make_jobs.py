"""make_jobs: attempts → jobs and their scripts, as the grid and the scheduler's limits have them."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import sweep
from sweep import grid as grids
from sweep.errors import GridError, SchedulerRefused, SchedulerSilent, UsageError
from sweep.grid import Grid, Source, units
from sweep.grid.schema import RetryRuleSpec, RetrySpec
from sweep.jobs import pack, racing, render, where
from sweep.jobs.pack import AttemptRequest
from sweep.model import Job, Limits, Objective, Raised, Resources, Trial
from sweep.schedulers import SCHEDULERS, Place
from sweep.shell import Shell
from sweep.state.ledger import DRIVER, Ledger
from sweep.state.settings import (
    Planner,
    RetryRule,
    RetryRules,
    Settings,
    SubmitSettings,
    limits_of_one_trial,
)
from sweep.store import Store, whoami

#: The driver sends the next wave and ends: seconds of one core.
DRIVER_ASKS = Resources(walltime_s=15 * 60, memory_mib=1024, cpus=1)

#: What is assumed of a scheduler that does not answer while a sweep is planned.
UNKNOWN = Limits(max_array_size=1000)


@dataclass(frozen=True)
class JobSummary:
    """A job, for a report. `workers` is 0 unless it is packed."""

    job: str
    trials: int
    workers: int
    asks: Resources
    script: str


def read_grid(path: Path, overrides: Sequence[str]) -> tuple[Grid, Source, bytes]:
    """Read a grid file; its bytes come along."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        hint = "`sweep init` writes one to start from" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}", hint) from None
    except UnicodeDecodeError as error:
        raise GridError(f"byte {error.start} is not UTF-8", "save the file as UTF-8", source=str(path)) from None
    grid, source = grids.read(text, str(path), overrides)
    return grid, source, data


def ask_limits(grid: Grid, source: Source, shell: Shell) -> tuple[Limits, list[str]]:
    """Ask the grid's scheduler what it accepts; with it, what to say about the answer.

    Raises
    ------
    GridError
        There is no such queue, or it does not take this user's jobs.
    """
    scheduler = grid.scheduler
    cluster, groups = where.cluster(grid), _groups()
    place = Place(whoami(), scheduler.queue, scheduler.account, scheduler.qos, cluster, groups)
    try:
        return pack.effective_limits(grid, shell.converse(SCHEDULERS[grid.scheduler.kind].limits(place))), []
    except SchedulerRefused as error:
        raise source.error(("scheduler", "queue"), str(error), error.hint) from None
    except SchedulerSilent as error:
        limits = pack.effective_limits(grid, UNKNOWN)
        return limits, [
            f"{error}; arrays of at most {limits.max_array_size} and no other limits are assumed "
            "(docs/grid.md says how to give them)"
        ]


def _groups() -> tuple[str, ...]:
    """Name this user's groups, as far as the machine knows their names."""
    names = []
    for number in os.getgroups():
        with contextlib.suppress(KeyError):
            names.append(grp.getgrgid(number).gr_name)
    return tuple(names)


def planner_of(kind: str) -> Planner:
    """Look at what the jobs take over from this process."""
    umask = os.umask(0o077)
    os.umask(umask)
    locale = {name: value for name, value in sorted(os.environ.items()) if re.fullmatch(r"LANG|LC_[A-Z]+", name)}
    clients = [shutil.which(client) for client in SCHEDULERS[kind].clients]
    return Planner(f"{umask:04o}", locale, tuple(str(Path(client).absolute()) for client in clients if client))


def submit_settings(grid: Grid) -> SubmitSettings:
    """Take from a grid how its trials become jobs."""
    submit = grid.submit
    return SubmitSettings(
        submit.placement,
        submit.per_worker,
        units.walltime_s(submit.worker_walltime) if submit.worker_walltime else None,
        submit.throttle,
        submit.driver,
        units.walltime_s(submit.linger) if submit.linger else 0,
    )


def objective_of(grid: Grid) -> Objective:
    """Take from a grid what ranks its trials."""
    spec = grid.objective
    own = Objective(spec.metric, spec.goal, spec.file, tuple(spec.require))
    return replace(own, second=spec.second.metric, second_goal=spec.second.goal) if spec.second else own


def retry_rules(grid: Grid) -> RetryRules:
    """Take from a grid what is tried again, or the defaults."""
    rules = grid.retry or RetrySpec()
    memory, walltime = rules.out_of_memory, rules.walltime
    return RetryRules(
        RetryRule(memory.times, memory.factor, units.memory_mib(memory.ceiling) if memory.ceiling else None),
        RetryRule(
            walltime.times, walltime.factor, units.walltime_s(walltime.ceiling) if walltime.ceiling else None
        ),
        *(_unraised(rule) for rule in (rules.node_failure, rules.error, rules.resume)),
    )


def _unraised(rule: RetryRuleSpec) -> RetryRule:
    return RetryRule(rule.times)


def job_maker(
    grid: Grid,
    source: Source,
    store: Store,
    template: Path | None,
    limits: Limits,
    planner: Planner,
    from_environment: dict[str, str],
    variables: Mapping[str, str],
    template_text: Path | None = None,
) -> JobMaker:
    """Look at the workdir and the template of a grid, and make what makes its jobs.

    Parameters
    ----------
    grid, source, store, template, limits, planner, from_environment, variables
        See `JobMaker`.
    template_text : Path or None
        Where the template's text is, if the plan has kept it.

    Raises
    ------
    UsageError
        The workdir is no folder, or the template cannot be used.
    """
    workdir = Path(os.path.expanduser(grid.workdir or "")) if grid.workdir else Path()  # noqa: PTH111
    workdir = workdir.absolute()
    if not workdir.is_dir():
        raise source.error(("workdir",), f"the workdir {str(workdir)!r} is not a folder", "make it first")
    python = grid.scheduler.python
    if SCHEDULERS[grid.scheduler.kind].this_machine and python == "python3":
        python = sys.executable
    renderer = render.renderer_of(
        grid,
        {**store.paths, "workdir": str(workdir)},
        python,
        planner,
        template_text or template,
        template and template.parent,
    )
    return JobMaker(grid, source, store, template, limits, planner, from_environment, variables, workdir, renderer)


@dataclass(frozen=True)
class JobMaker:
    """Cuts attempts into jobs and renders their scripts.

    Attributes
    ----------
    template : Path or None
        The template that the plan named; None: the scheduler's own.
    variables : mapping of str to str
        The environment, for expressions.
    workdir : Path
        The folder in which the commands run.
    """

    grid: Grid
    source: Source
    store: Store
    template: Path | None
    limits: Limits
    planner: Planner
    from_environment: dict[str, str]
    variables: Mapping[str, str]
    workdir: Path
    renderer: render.Renderer

    @cached_property
    def limits_of_one_trial(self) -> Limits:
        """What a single trial may ask for."""
        return limits_of_one_trial(self.limits, submit_settings(self.grid))

    def settings(self, overrides: Sequence[str], trials: int) -> Settings:
        """Return what later commands need of this grid, which has so many trials."""
        grid = self.grid
        return Settings(
            grid.scheduler.kind,
            objective_of(grid),
            self.limits,
            submit_settings(grid),
            retry_rules(grid),
            str(self.workdir),
            tuple(grid.environment),
            tuple(overrides),
            str(self.template.absolute()) if self.template else None,
            auto_retry=grid.retry is not None,
            cluster=where.cluster(grid),
            from_environment=self.from_environment,
            planner=self.planner,
            race=racing.rules_of(grid, trials),
            variables=dict(self.variables.used) if isinstance(self.variables, grids.UsedVariables) else None,
        )

    def jobs(self, requests: Iterable[AttemptRequest], first: int) -> list[Job]:
        """Cut attempts into jobs, numbered from `first`."""
        return pack.cut(self.grid, requests, self.limits, first)

    def asks(self, trial: Trial, raised: Raised | None) -> Resources:
        """Return what a trial asks for. A value that a retry raised stays raised, up to today's limit."""
        if raised is None:
            return trial.resources
        return _within(raised, self.limits_of_one_trial).applied_to(trial.resources)

    def render(self, job: Job) -> str:
        """Render a job's script."""
        return self.renderer(job)

    def driver(self) -> str:
        """Render the driver's script: one that runs `sweep submit` on this sweep."""
        command = [
            sys.executable,
            "-E",
            "-P",
            f"{sweep.__path__[0]}/__main__.py",
            "submit",
            "--retry",
            str(self.store.path),
        ]
        limits, asks, resources = self.limits, DRIVER_ASKS, self.grid.resources
        # What is left to the site for the trials is left to it here, too: the site may refuse to be asked.
        asks = replace(
            asks,
            walltime_s=min(asks.walltime_s, limits.walltime_s or asks.walltime_s) if resources.walltime else 0,
            memory_mib=min(asks.memory_mib, limits.memory_mib or asks.memory_mib) if resources.memory else 0,
            cpus=asks.cpus if resources.cpus else 0,
        )
        return self.renderer(Job(DRIVER, asks, ()), command)


def _within(raised: Raised, limits: Limits) -> Raised:
    return Raised(
        None if raised.memory_mib is None else min(raised.memory_mib, limits.memory_mib or raised.memory_mib),
        None if raised.walltime_s is None else min(raised.walltime_s, limits.walltime_s or raised.walltime_s),
    )


def maker_of(store: Store, settings: Settings) -> JobMaker:
    """Make the maker that the newest plan had."""
    overrides = [*settings.overrides, f"workdir={json.dumps(settings.workdir, ensure_ascii=False)}"]
    grid, source, _ = read_grid(store.path / "grid.yaml", overrides)
    grid = where.with_environment(grid, settings.from_environment)
    template = Path(settings.template) if settings.template else None
    variables = os.environ if settings.variables is None else settings.variables
    text = store.kept_template(template) if template else None
    return job_maker(
        grid,
        source,
        store,
        template,
        settings.limits,
        settings.planner,
        settings.from_environment,
        variables,
        text,
    )


def next_job(store: Store, ledger: Ledger) -> int:
    """Return the number of the next job; none is ever used twice."""
    submitted = (submission.job for submission in ledger.submissions.values())
    names = {*store.job_names(), *ledger.jobs, *submitted} - {DRIVER}
    return max([ledger.last_job, *(pack.job_number(name) for name in names)]) + 1


def workers_of(jobs: Iterable[Job]) -> dict[str, int]:
    """Return how many workers each packed job has."""
    return {job.name: job.workers for job in jobs if job.workers}


def summaries(store: Store, jobs: Iterable[Job]) -> list[JobSummary]:
    """Describe jobs for a report."""
    return [
        JobSummary(job.name, len(job.tasks), job.workers, job.asks, str(store.script(job.name))) for job in jobs
    ]
