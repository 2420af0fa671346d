"""A job → its script, by a Jinja template (pure: the same job gives the same text)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from sweep.errors import TemplateError
from sweep.grid import Grid, units
from sweep.grid.stop import parse as parse_stop
from sweep.jobs import where
from sweep.jobs.alike import digest
from sweep.model import Job
from sweep.schedulers import SCHEDULERS, Scheduler
from sweep.state.settings import Planner

#: The longest time in which a trial fails at once, and the longest for which a place on an unfit node is held.
QUICK_S, HOLD_S = 60, 3600

#: How long before its walltime a job is warned, if the grid does not say. A trial then saves a checkpoint.
WARNING_S = 120


def templates_folder() -> Path:
    """Return the templates' folder: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


def template_environment(
    site: Path | None = None, beside: Path | None = None, own: Path | None = None
) -> jinja2.Environment:
    """Make the Jinja environment of the templates. An undefined name is an error; ``sh`` and ``comment`` quote.

    Parameters
    ----------
    site : Path, optional
        A site's own template. Its folder is searched first.
    beside : Path, optional
        The folder that the site's own template was in, with others that it may include.
    own : Path, optional
        The scheduler's template, which may be in a folder of its own.
    """
    elsewhere = own.parent if own and own.is_absolute() else None
    folders = [folder for folder in (site and site.parent, beside, elsewhere, templates_folder()) if folder]
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html", "html.j2"]),
    )
    jinja.filters["sh"] = lambda value: shlex.quote(str(value))
    jinja.filters["comment"] = lambda value: str(value).replace("\n", "?").replace("\r", "?")
    return jinja


def renderer_of(
    grid: Grid,
    paths: Mapping[str, str],
    python: str,
    planner: Planner,
    site: Path | None = None,
    beside: Path | None = None,
) -> Renderer:
    """Load the template that a grid's scripts are made of.

    Parameters
    ----------
    grid, paths, python, planner
        See `Renderer`.
    site, beside : Path, optional
        A template to use instead of the scheduler's own; see `template_environment`.

    Raises
    ------
    TemplateError
        The template is not there, or does not parse.
    """
    own = Path(SCHEDULERS[grid.scheduler.kind].template or f"{grid.scheduler.kind}.sh.j2")
    name = site.name if site else own.name
    jinja = template_environment(site, beside, own)
    return Renderer(grid, paths, python, planner, _with_template_errors(name, jinja.get_template, name))


#: What two jobs may differ in, and a worker of the one can run the other's trials none the less.
NOT_ALIKE: Mapping[str, Any] = {
    "job": "", "trials": 0, "array": "", "workers": 1, "walltime": "", "walltime_s": 0, "warning_s": 0,
    "script": "", "log": "", "variables": "",
}  # fmt: skip


@dataclass(frozen=True)
class Renderer:
    """Renders the scripts of one plan.

    Attributes
    ----------
    grid : Grid
        The grid that is planned.
    paths : mapping of str to str
        Absolute paths: ``folder``, ``node``, ``worker``, ``workdir``.
    python : str
        The interpreter that runs node.py on the node.
    planner : Planner
        The person who plans, as far as the jobs follow them.
    template : jinja2.Template
        What the scripts are made of.
    """

    grid: Grid
    paths: Mapping[str, str]
    python: str
    planner: Planner
    template: jinja2.Template

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler that the scripts are for."""
        return SCHEDULERS[self.grid.scheduler.kind]

    def __call__(self, job: Job, driver_command: Sequence[str] = ()) -> str:
        """Render one job.

        Parameters
        ----------
        driver_command : sequence of str
            The command of the driver job. Empty: the job runs trials.

        Raises
        ------
        TemplateError
            The template uses an undefined name, or fails.
        """
        names = self._names(job, driver_command)
        if job.workers and names["linger_s"] and not driver_command:
            names["alike"] = digest(self._rendered({**names, **NOT_ALIKE}))
        text = self._rendered(names)
        if not text.startswith("#!"):
            raise TemplateError(
                f"{self.template.name} makes a script that begins with {text[:20]!r}",
                "begin it with #!/bin/bash",
            )
        return text

    def _rendered(self, names: Mapping[str, Any]) -> str:
        text: str = _with_template_errors(str(self.template.name), self.template.render, names)
        return text

    def _names(self, job: Job, driver_command: Sequence[str]) -> dict[str, Any]:
        grid, folder = self.grid, Path(self.paths["folder"])
        return {
            "sweep": grid.name,
            "job": job.name,
            "trials": len(job.tasks),
            "array": array_range(grid, job),
            "throttle": grid.submit.throttle or 0,
            "cpus": job.asks.cpus,
            "gpus": job.asks.gpus,
            "memory_mib": job.asks.memory_mib,
            "walltime": job.asks.walltime,
            "walltime_s": job.asks.walltime_s,
            "warning_s": warning_s(grid, job.asks.walltime_s),
            "trial_warning_s": warning_s(grid, job.resources.walltime_s),
            "units": job.asks.extra,
            "workers": job.workers,
            "per_worker": grid.submit.per_worker,
            "preload": grid.submit.preload,
            "linger_s": units.walltime_s(grid.submit.linger) if grid.submit.linger else 0,
            "alike": "",
            "trial_resources": job.resources,
            "avoid": job.avoid,
            "driver_command": driver_command,
            "queue": grid.scheduler.queue,
            "account": grid.scheduler.account,
            "qos": grid.scheduler.qos,
            "cluster": where.cluster(grid),
            "cluster_in_extra": not grid.scheduler.cluster,
            "umask": self.planner.umask,
            "locale": self.planner.locale,
            "clients": self.planner.clients,
            "extra": grid.scheduler.extra,
            "environment": grid.environment,
            "result_file": grid.objective.file,
            "stop": stop_rules(grid),
            "script": str(folder / "jobs" / f"{job.name}.sh"),
            "log": str(folder / "jobs" / f"{job.name}.log"),
            "variables": str(folder / "jobs" / f"{job.name}.variables") if job.variables else "",
            "python": self.python,
            # On the only node there is, nothing can go elsewhere.
            "quick_s": 0 if self.scheduler.this_machine else quick_s(job.resources.walltime_s),
            "hold_s": hold_s(job.resources.walltime_s),
            "heartbeat_s": self.scheduler.heartbeat_s,
            **self.paths,
        }


def stop_rules(grid: Grid) -> str:
    """Spell the rules by which trials are ended early as `sweep.node.stop` reads them; empty: there are none."""
    rules = [parse_stop(text).spelled() for text in grid.stop]
    return json.dumps({"metric": grid.objective.metric, "rules": rules}) if rules else ""


def quick_s(walltime_s: int) -> int:
    """Return the time in which a trial fails that fails at once: a tenth of its walltime, a minute at most."""
    return min(QUICK_S, max(5, walltime_s // 10)) if walltime_s else QUICK_S


def hold_s(walltime_s: int) -> int:
    """Return how long a task keeps its place on a node that is unfit: half its walltime, an hour at most."""
    return min(HOLD_S, walltime_s // 2) if walltime_s else HOLD_S


def warning_s(grid: Grid, walltime_s: int) -> int:
    """Return how long before its walltime a job is warned."""
    if grid.scheduler.warning:
        return units.walltime_s(grid.scheduler.warning)
    return min(WARNING_S, walltime_s // 4 or WARNING_S)


def array_range(grid: Grid, job: Job) -> str:
    """Spell the array's indices and the throttle as the scheduler does, ``0-99%50``. Empty: the job is no array.

    A job of one task is never an array: not every scheduler takes one.
    """
    size = job.workers or (len(job.tasks) if grid.submit.placement == "array" else 1)
    scheduler = SCHEDULERS[grid.scheduler.kind]
    return scheduler.spell_array(0, size - 1, grid.submit.throttle) if size > 1 else ""


def _with_template_errors(name: str, function: Any, *arguments: Any) -> Any:
    """Call a function of Jinja's, and turn its errors into TemplateError."""
    try:
        return function(*arguments)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            f"{error.filename or name}:{error.lineno}: {error.message}", "correct the template"
        ) from None
    except jinja2.TemplateNotFound as error:
        raise TemplateError(
            f"there is no template {str(error)!r}", "name one of templates/, or a file of yours"
        ) from None
    except jinja2.UndefinedError as error:
        raise TemplateError(f"{name}: {error.message}", "docs/schedulers.md lists the names it may use") from None
    except (UnicodeDecodeError, TypeError, ValueError) as error:
        raise TemplateError(f"{name} fails: {error}", "correct the template") from None
