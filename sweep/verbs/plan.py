"""plan: grid.yaml → trials and job scripts in the sweep's folder. Nothing is submitted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sweep import grid as grids
from sweep import render
from sweep import store as stores
from sweep.errors import GridError, SchedulerSilent, UsageError
from sweep.grid import Draft, Grid, Source
from sweep.grid.expressions import split
from sweep.ledger import Ledger
from sweep.model import Job, Resources, State, Trial
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.store import Planned, Store
from sweep.verbs.observe import newest, observe

#: What people write for a shell, who then find it among their program's arguments.
SHELL_WORDS = frozenset(("|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1", "2>"))


@dataclass
class PlanReport:
    """What a plan holds, and what it changed."""

    name: str
    folder: str
    kind: str
    placement: str
    trials: int
    new: int
    kept: int
    retired: int
    axes: dict[str, list[Any]]
    groups: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    max_array_size: int
    ended_badly: int = 0
    retired_done: int = 0
    dry_run: bool = False
    sample: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Settled:
    """How an earlier plan and the new trials go together."""

    lines: list[Trial]  # to append: new, changed, retired, returned
    trials: dict[int, Trial]  # all, by number
    new: int
    kept: int
    retired: int


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


def plan(
    path: Path,
    results: Path,
    shell: Shell,
    *,
    overrides: Sequence[str] = (),
    template: Path | None = None,
    yes: bool = False,
    dry_run: bool = False,
) -> PlanReport:
    """Plan a grid, anew or again.

    Parameters
    ----------
    path : Path
        grid.yaml.
    results : Path
        The folder that sweeps land in.
    overrides : sequence of str
        ``name=value`` each.
    template : Path, optional
        A job-script template to use instead of the scheduler's own.
    yes : bool
        Accept more than a million trials.
    dry_run : bool
        Work all out and write nothing.

    Raises
    ------
    UsageError
        Something in the grid or a template; nothing was written.
    """
    grid, source, data = read_grid(path, overrides)
    most = sys.maxsize if yes else grids.MOST_TRIALS
    drafts = grids.expand(grid, source, os.environ, most)
    if template and not template.is_file():
        raise UsageError(f"there is no template {str(template)!r}")
    limit, notes = _max_array_size(grid, shell)
    store = Store(results.absolute() / grid.name)
    maker = JobMaker(grid, source, store, template, limit)
    # Once without writing anything, so that what cannot be planned leaves nothing behind.
    if not dry_run:
        _look(store, shell, grid, source)
    notes += [*_forgotten(store, overrides, template), *_shell_words(grid)]
    settled, jobs, scripts = _work_out(store, drafts, maker)
    if not dry_run:
        stores.create(results, grid.name)
        with store.lock():
            settled, jobs, scripts = _work_out(store, drafts, maker)
            _write(store, settled, jobs, scripts, data, _event(grid, overrides, template, maker, settled, jobs))
        store.make_current()
    made = _reported(grid, store, settled, jobs, limit)
    ledger = store.ledger()[0]
    ended = {number: verdict.state for number, (_, verdict) in ledger.settled.items()}
    active = {number: state for number, state in ended.items() if not settled.trials[number].retired}
    return replace(
        made,
        ended_badly=sum(state is not State.DONE for state in active.values()),
        retired_done=sum(state is State.DONE for number, state in ended.items() if number not in active),
        dry_run=dry_run,
        sample=list(drafts[0].argv),
        notes=notes,
    )


def _reported(grid: Grid, store: Store, settled: Settled, jobs: list[Job], limit: int) -> PlanReport:
    return PlanReport(
        name=grid.name,
        folder=str(store.path),
        kind=grid.scheduler.kind,
        placement=grid.submit.placement,
        trials=settled.new + settled.kept,
        new=settled.new,
        kept=settled.kept,
        retired=settled.retired,
        axes=_axes(grid),
        groups=_groups(settled.trials.values()),
        jobs=[{"job": job.name, "trials": len(job.tasks), "script": str(store.script(job.name))} for job in jobs],
        max_array_size=limit,
    )


def _look(store: Store, shell: Shell, grid: Grid, source: Source) -> None:
    """See what became of what was sent, so that what ended badly takes the new command.

    Refuse to plan for another scheduler while the old one has trials of ours: nobody would follow them.
    """
    ledger = store.ledger()[0]
    old = ledger.planned
    if old is None or not ledger.submissions:
        return
    snapshot = observe(store, shell)
    if old["kind"] == grid.scheduler.kind:
        return
    alive = [one for one in snapshot.seen if one.verdict.state in (State.SUBMITTING, State.QUEUED, State.RUNNING)]
    if alive:
        raise source.error(
            ("scheduler",),
            f"{len(alive)} trials are still queued or running on {old['kind']}, and the grid now says "
            f"{grid.scheduler.kind}",
            "wait for them, or `sweep cancel` them; or plan under another name",
        )


def _forgotten(store: Store, overrides: Sequence[str], template: Path | None) -> list[str]:
    """Say what the last plan was told on the command line, and this one is not."""
    old = store.ledger()[0].planned
    if old is None:
        return []
    told = [f"--set {one}" for one in old["set"] if one not in overrides]
    if old["template"] and template is None:
        told.append(f"--template {old['template']}")
    return [f"the last plan had {one}; this one has not" for one in told]


def _shell_words(grid: Grid) -> list[str]:
    """Say which arguments look like shell: none stands between the command and the program."""
    words = split(grid.command) if isinstance(grid.command, str) else []
    odd = [word for word in words if word in SHELL_WORDS or word.startswith(("~/", "$"))]
    return [f"the command has {word!r}, and no shell to interpret it; see docs/grid.md" for word in odd[:3]]


def _max_array_size(grid: Grid, shell: Shell) -> tuple[int, list[str]]:
    """Return how many tasks one array may have, and what to say about it."""
    given, kind = grid.submit.max_array_size, grid.scheduler.kind
    if given:
        return given, []
    scheduler = SCHEDULERS[kind]
    try:
        return shell.converse(scheduler.max_array_size()), []
    except SchedulerSilent as error:
        return 1000, [
            f"{error}; arrays of at most 1000 are assumed (submit: {{max_array_size: …}} says otherwise)"
        ]


def _work_out(store: Store, drafts: list[Draft], maker: JobMaker) -> tuple[Settled, list[Job], list[str]]:
    """Decide everything; write nothing."""
    planned, ledger = store.trials(), store.ledger()[0]
    sent = {number for number, one in newest(store, ledger).items() if not one.submission.refused}
    settled = settle(planned, drafts, as_ran=_as_ran(store, planned, ledger, sent))
    unsent = [trial for number, trial in settled.trials.items() if not trial.retired and number not in sent]
    tasks = [(trial, ledger.attempts.get(trial.number, 1)) for trial in unsent]
    jobs = maker.jobs(tasks, next_job(store, ledger))
    return settled, jobs, [maker.render(job) for job in jobs]


def _as_ran(store: Store, planned: Planned, ledger: Ledger, sent: set[int]) -> set[int]:
    """Return the trials that stay as they ran, or run; those that ended badly take what the grid now says."""
    begun = store.begun()
    ran = sent | {trial.number for trial in planned.trials.values() if trial.id in begun}
    return {n for n in ran if n not in ledger.settled or ledger.settled[n][1].state is State.DONE}


def settle(planned: Planned, drafts: Iterable[Draft], as_ran: Set[int] = frozenset()) -> Settled:
    """Match drafts to the trials of earlier plans, by their ids (pure).

    A trial in `as_ran` keeps its command, resources and seed: they are what its result came of.
    """
    by_id = {trial.id: trial for trial in planned.trials.values()}
    number = max(planned.trials, default=-1) + 1
    lines, trials, asked, new = [], dict(planned.trials), set(), 0
    for draft in drafts:
        asked.add(draft.id)
        known = by_id.get(draft.id)
        trial = Trial(
            number=known.number if known else number,
            id=draft.id,
            params=draft.params,
            replicate=draft.replicate,
            seed=draft.seed,
            resources=draft.resources,
            argv=draft.argv,
        )
        if known and known.number in as_ran:
            trial = replace(known, retired=False)
        if not known:
            number, new = number + 1, new + 1
        if trial != known:
            lines.append(trial)
        trials[trial.number] = trial
    gone = [trial for trial in planned.trials.values() if not trial.retired and trial.id not in asked]
    for trial in gone:
        trials[trial.number] = replace(trial, retired=True)
        lines.append(trials[trial.number])
    return Settled(lines, trials, new, len(asked) - new, len(gone))


def next_job(store: Store, ledger: Ledger) -> int:
    """Return the number of the next job; none is ever used twice."""
    names = {*store.job_names(), *ledger.jobs, *(one.job for one in ledger.submissions.values())}
    last: int = (ledger.planned or {}).get("last_job", 0)
    return max([last, *(int(name[1:]) for name in names)]) + 1


class JobMaker:
    """Cuts trials into jobs and renders their scripts."""

    def __init__(self, grid: Grid, source: Source, store: Store, template: Path | None, limit: int) -> None:
        self.grid, self.limit = grid, limit
        workdir = Path(os.path.expanduser(grid.workdir or "")) if grid.workdir else Path()  # noqa: PTH111
        self.workdir = workdir.absolute()
        if not self.workdir.is_dir():
            raise source.error(("workdir",), f"the workdir {str(self.workdir)!r} is not a folder", "make it first")
        self.python = grid.scheduler.python
        if grid.scheduler.kind == "local" and self.python == "python3":
            self.python = sys.executable
        self.renderer = render.Renderer(grid, {**store.paths, "workdir": str(self.workdir)}, self.python, template)

    def jobs(self, tasks: Sequence[tuple[Trial, int]], first: int) -> list[Job]:
        """Cut (trial, attempt) pairs into jobs: a group of equal resources each, in chunks that fit."""
        groups: dict[Resources, list[tuple[int, int]]] = {}
        for trial, attempt in tasks:
            groups.setdefault(trial.resources, []).append((trial.number, attempt))
        size = self.limit
        if self.grid.submit.max_queued:
            size = min(size, self.grid.submit.max_queued)
        chunks = [
            (resources, group[start : start + size])
            for resources, group in groups.items()
            for start in range(0, len(group), size)
        ]
        return [
            Job(f"j{number:04d}", resources, tuple(chunk))
            for number, (resources, chunk) in enumerate(chunks, first)
        ]

    def render(self, job: Job) -> str:
        """Render a job's script."""
        return self.renderer(job)


def _write(
    store: Store, settled: Settled, jobs: list[Job], scripts: list[str], data: bytes, event: dict[str, Any]
) -> None:
    """Write a plan. The journal's line comes last and makes it count; until then the old plan holds."""
    old = store.ledger()[0]
    store.keep_grid(data)
    store.install_node()
    store.add_trials(settled.lines)
    offsets = store.trials().offsets
    for job, script in zip(jobs, scripts, strict=True):
        store.write_job(job, script, offsets)
    store.note(**event)
    for name in old.jobs:
        if not any(one.job == name for one in old.submissions.values()):
            store.remove_job(name)


def _event(
    grid: Grid,
    overrides: Sequence[str],
    template: Path | None,
    maker: JobMaker,
    settled: Settled,
    jobs: list[Job],
) -> dict[str, Any]:
    """Say in the journal what was planned, and what the later commands need of the grid."""
    return {
        "event": "planned",
        "jobs": [job.name for job in jobs],
        "last_job": int(jobs[-1].name[1:]) if jobs else 0,
        "new": settled.new,
        "kept": settled.kept,
        "retired": settled.retired,
        "set": list(overrides),
        "template": str(template.absolute()) if template else None,
        "workdir": str(maker.workdir),
        "max_array_size": maker.limit,
        "objective": grid.objective.model_dump(),
        "kind": grid.scheduler.kind,
        "environment": grid.environment,
        "submit": grid.submit.model_dump(),
    }


def _axes(grid: Grid) -> dict[str, list[Any]]:
    return {**grid.parameters, **{name: axis for group in grid.zip for name, axis in group.items()}}


def _groups(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    counts: dict[Resources, int] = {}
    for trial in trials:
        if not trial.retired:
            counts[trial.resources] = counts.get(trial.resources, 0) + 1
    return [{**asdict(resources), "trials": count} for resources, count in counts.items()]
