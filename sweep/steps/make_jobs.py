"""jobs: trials → jobs and their scripts, as the grid and the scheduler's limits have them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sweep import grid as grids
from sweep.errors import GridError, SchedulerSilent, UsageError
from sweep.grid import Grid, Source
from sweep.jobs import pack, render
from sweep.jobs.pack import AttemptRequest
from sweep.model import Job, Limits, Resources, Trial
from sweep.schedulers import SCHEDULERS, Place
from sweep.shell import Shell
from sweep.state.ledger import DRIVER, Ledger
from sweep.store import Store, whoami

#: The driver sends the next wave and ends: seconds of one core.
DRIVER_ASKS = Resources(walltime_s=15 * 60, memory_mib=1024, cpus=1)

#: What is assumed of a scheduler that does not answer while a sweep is planned.
UNKNOWN = Limits(max_array_size=1000)


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


def ask_limits(grid: Grid, shell: Shell) -> tuple[Limits, list[str]]:
    """Ask the grid's scheduler what it takes; with it, what to say about the answer."""
    place = Place(whoami(), grid.scheduler.queue, grid.scheduler.account)
    try:
        return pack.effective_limits(grid, shell.converse(SCHEDULERS[grid.scheduler.kind].limits(place))), []
    except SchedulerSilent as error:
        most = pack.effective_limits(grid, UNKNOWN)
        return most, [
            f"{error}; arrays of at most {most.max_array_size} and no other limits are assumed "
            "(docs/grid.md says how to give them)"
        ]


class JobMaker:
    """Cuts trials into jobs and renders their scripts."""

    def __init__(self, grid: Grid, source: Source, store: Store, template: Path | None, limits: Limits) -> None:
        self.grid, self.source, self.store, self.limits = grid, source, store, limits
        self.of_one_trial = pack.of_one_trial(limits, grid.submit.model_dump())
        workdir = Path(os.path.expanduser(grid.workdir or "")) if grid.workdir else Path()  # noqa: PTH111
        self.workdir = workdir.absolute()
        if not self.workdir.is_dir():
            raise source.error(("workdir",), f"the workdir {str(self.workdir)!r} is not a folder", "make it first")
        self.python = grid.scheduler.python
        if grid.scheduler.kind == "local" and self.python == "python3":
            self.python = sys.executable
        self.renderer = render.Renderer(grid, {**store.paths, "workdir": str(self.workdir)}, self.python, template)

    def jobs(self, wanted: Iterable[AttemptRequest], first: int) -> list[Job]:
        """Cut attempts into jobs, numbered from `first`."""
        return pack.cut(self.grid, wanted, self.limits, first)

    def asks(self, trial: Trial, ledger: Ledger) -> Resources:
        """Return what a trial asks for: what a retry raised stays raised, as far as there is so much today."""
        if trial.number not in ledger.raised:
            return trial.resources
        own, raised, most = trial.resources, ledger.asks(trial), self.of_one_trial
        return replace(
            raised,
            memory_mib=max(own.memory_mib, min(raised.memory_mib, most.memory_mib or raised.memory_mib)),
            walltime_s=max(own.walltime_s, min(raised.walltime_s, most.walltime_s or raised.walltime_s)),
        )

    def render(self, job: Job) -> str:
        """Render a job's script."""
        return self.renderer(job)

    def driver(self) -> str:
        """Render the driver's script: one that runs `sweep submit` on this sweep."""
        command = [sys.executable, "-P", "-m", "sweep", "submit", "--retry", str(self.store.path)]
        most, asks = self.limits, DRIVER_ASKS
        asks = replace(
            asks,
            walltime_s=min(asks.walltime_s, most.walltime_s or asks.walltime_s),
            memory_mib=min(asks.memory_mib, most.memory_mib or asks.memory_mib),
        )
        return self.renderer(Job(DRIVER, asks, ()), command)


def maker_of(store: Store, ledger: Ledger) -> JobMaker:
    """Make the maker that the newest plan had."""
    event = ledger.planned or {}
    overrides = [*event["set"], f"workdir={json.dumps(event['workdir'], ensure_ascii=False)}"]
    grid, source, _ = read_grid(store.path / "grid.yaml", overrides)
    template = Path(event["template"]) if event["template"] else None
    return JobMaker(grid, source, store, template, limits_of(event))


def limits_of(event: dict[str, Any] | Any) -> Limits:
    """Read the limits as a ``planned`` event keeps them; an older version's kept one of them."""
    return Limits(**event.get("limits", {"max_array_size": event.get("max_array_size", UNKNOWN.max_array_size)}))


def next_job(store: Store, ledger: Ledger) -> int:
    """Return the number of the next job; none is ever used twice."""
    names = {*store.job_names(), *ledger.jobs, *(one.job for one in ledger.submissions.values())} - {DRIVER}
    last: int = (ledger.planned or {}).get("last_job", 0)
    return max([last, *(int(name[1:]) for name in names)]) + 1


def described(store: Store, jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """Describe jobs for a report."""
    return [
        {
            "job": job.name,
            "trials": len(job.tasks),
            "workers": job.workers,
            "asks": asdict(job.asks),
            "script": str(store.script(job.name)),
        }
        for job in jobs
    ]
