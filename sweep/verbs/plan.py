"""plan: grid.yaml → trials and job scripts in the sweep's folder. Nothing is submitted."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sweep import grid as grids
from sweep import store as stores
from sweep.errors import UsageError
from sweep.grid import Grid, Source
from sweep.grid.expressions import split
from sweep.grid.schema import RetrySpec
from sweep.jobs import pack
from sweep.jobs.pack import AttemptRequest
from sweep.model import Job, Limits, Resources, State, Trial
from sweep.node.preload import program_of
from sweep.shell import Shell
from sweep.state.ledger import DRIVER, Ledger
from sweep.steps.make_jobs import JobMaker, ask_limits, described, next_job, read_grid
from sweep.steps.observe import observe, sent_trials
from sweep.store import Planned, Store

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
    limits: dict[str, int | None]
    waves: int
    driver: bool
    ended_badly: int = 0
    retired_done: int = 0
    dry_run: bool = False
    sample: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Merged:
    """How an earlier plan and the new trials go together."""

    lines: list[Trial]  # to append: new, changed, retired, returned
    trials: dict[int, Trial]  # all, by number
    new: int
    kept: int
    retired: int


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
    most = sys.maxsize if yes else grids.MAX_TRIALS
    drafts = grids.expand(grid, source, os.environ, most)
    if template and not template.is_file():
        raise UsageError(f"there is no template {str(template)!r}")
    _check_preload(grid, source, drafts)
    limits, notes = ask_limits(grid, shell)
    store = Store(results.absolute() / grid.name)
    maker = JobMaker(grid, source, store, template, limits)
    # Once without writing anything, so that what cannot be planned leaves nothing behind.
    if not dry_run:
        _look(store, shell, grid, source)
    notes += [*_forgotten(store, overrides, template), *_shell_words(grid)]
    was_blank = store.blank
    settled, jobs, scripts = _work_out(store, drafts, maker)
    pack.check(grid, source, jobs, limits)
    if not dry_run:
        stores.create(results, grid.name)
        with store.lock():
            if not (was_blank and store.blank):  # else what was worked out still holds
                settled, jobs, scripts = _work_out(store, drafts, maker)
            event = _event(grid, overrides, template, maker, settled, jobs)
            _write(store, settled, jobs, scripts, maker.driver() if grid.submit.driver else "", data, event)
        store.make_current()
    made = _reported(grid, store, settled, jobs, limits)
    ledger = store.ledger()[0]
    ended = {number: verdict.state for number, (_, verdict) in ledger.settled.items()}
    active = {number: state for number, state in ended.items() if not settled.trials[number].retired}
    return replace(
        made,
        ended_badly=sum(state not in (State.DONE, State.PAUSED) for state in active.values()),
        retired_done=sum(state is State.DONE for number, state in ended.items() if number not in active),
        dry_run=dry_run,
        sample=list(_sample(settled, jobs, drafts)),
        notes=notes,
    )


def _check_preload(grid: Grid, source: Source, drafts: list[Trial]) -> None:
    """Refuse to preload for a command that would not be started by it."""
    if grid.submit.preload and program_of(list(drafts[0].argv)) is None:
        raise source.error(
            ("submit", "preload"),
            f"nothing can be preloaded for {shlex.join(drafts[0].argv)[:60]!r}",
            "it has to be `python -m module …` or `python script.py …`",
        )


def _sample(settled: Merged, jobs: list[Job], drafts: list[Trial]) -> Sequence[str]:
    """Return the command of the first trial that is to be sent; if none is, the grid's first."""
    return settled.trials[jobs[0].tasks[0][0]].argv if jobs else drafts[0].argv


def _reported(grid: Grid, store: Store, settled: Merged, jobs: list[Job], limits: Limits) -> PlanReport:
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
        jobs=described(store, jobs),
        limits=asdict(limits),
        waves=pack.waves(jobs, limits, driver=grid.submit.driver),
        driver=grid.submit.driver,
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


def _work_out(store: Store, drafts: list[Trial], maker: JobMaker) -> tuple[Merged, list[Job], list[str]]:
    """Decide everything; write nothing."""
    planned, ledger = store.trials(), store.ledger()[0]
    if ledger.confirming:
        drafts = [*drafts, *_confirming(planned, ledger, drafts, maker)]
    sent = sent_trials(store, ledger)
    settled = settle(planned, drafts, as_ran=_as_ran(store, planned, ledger, sent))
    unsent = (trial for number, trial in settled.trials.items() if not trial.retired and number not in sent)
    wanted = (
        AttemptRequest(one.number, ledger.attempts.get(one.number, 1), maker.asks(one, ledger)) for one in unsent
    )
    jobs = maker.jobs(wanted, next_job(store, ledger))
    return settled, jobs, [maker.render(job) for job in jobs]


def _confirming(planned: Planned, ledger: Ledger, drafts: list[Trial], maker: JobMaker) -> list[Trial]:
    """Write out anew what `sweep confirm` added to configurations that the grid still has."""
    known = {draft.id for draft in drafts}
    added = [planned.trials[number] for number in sorted(ledger.confirming) if number in planned.trials]
    kept = [one for one in added if grids.trial_id(one.params, 0) in known and one.id not in known]
    wanted = [(one.params, one.replicate) for one in kept]
    return grids.make_trials(maker.grid, maker.source, os.environ, wanted) if wanted else []


def _as_ran(store: Store, planned: Planned, ledger: Ledger, sent: set[int]) -> set[int]:
    """Return the trials that stay as they ran, or run; those that ended badly take what the grid now says."""
    begun = store.begun()
    # A further attempt that is planned and was not sent has run nothing yet; what has begun may be by hand.
    first = {n for n in planned.trials if ledger.attempts.get(n, 1) == 1}
    ran = sent | {trial.number for trial in planned.trials.values() if trial.id in begun and trial.number in first}
    return {n for n in ran if n not in ledger.settled or ledger.settled[n][1].state is State.DONE}


def settle(planned: Planned, drafts: Iterable[Trial], as_ran: Set[int] = frozenset()) -> Merged:
    """Match drafts to the trials of earlier plans, by their ids (pure).

    A trial in `as_ran` keeps its command, resources and seed: they are what its result came of.
    """
    by_id = {trial.id: trial for trial in planned.trials.values()}
    number = max(planned.trials, default=-1) + 1
    lines, trials, asked, new = [], dict(planned.trials), set[int](), 0
    for draft in drafts:
        known = by_id.get(draft.id)
        wanted = known.number if known else number
        trial = draft if draft.number == wanted else replace(draft, number=wanted)
        if known and known.number in as_ran:
            trial = replace(known, retired=False)
        if known:
            asked.add(known.number)
        else:
            number, new = number + 1, new + 1
        if trial != known:
            lines.append(trial)
        trials[trial.number] = trial
    gone = [trial for trial in planned.trials.values() if not trial.retired and trial.number not in asked]
    for trial in gone:
        trials[trial.number] = replace(trial, retired=True)
        lines.append(trials[trial.number])
    return Merged(lines, trials, new, len(asked), len(gone))


def _write(
    store: Store,
    settled: Merged,
    jobs: list[Job],
    scripts: list[str],
    driver: str,
    data: bytes,
    event: dict[str, Any],
) -> None:
    """Write a plan. The journal's line comes last and makes its jobs those that `submit` sends."""
    old = store.ledger()[0]
    store.keep_grid(data)
    store.install_node()
    offsets = store.offsets_with(settled.lines)
    for job, script in zip(jobs, scripts, strict=True):
        store.write_job(job, script, offsets)
    if driver:
        store.write_script(DRIVER, driver)
    store.note(**event)
    for name in old.jobs:
        if not any(one.job == name for one in old.submissions.values()):
            store.remove_job(name)


def _event(
    grid: Grid,
    overrides: Sequence[str],
    template: Path | None,
    maker: JobMaker,
    settled: Merged,
    jobs: list[Job],
) -> dict[str, Any]:
    """Say in the journal what was planned, and what the later commands need of the grid."""
    return {
        "event": "planned",
        "jobs": [job.name for job in jobs],
        "workers": {job.name: job.workers for job in jobs if job.workers},
        "last_job": int(jobs[-1].name[1:]) if jobs else 0,
        "new": settled.new,
        "kept": settled.kept,
        "retired": settled.retired,
        "set": list(overrides),
        "template": str(template.absolute()) if template else None,
        "workdir": str(maker.workdir),
        "limits": asdict(maker.limits),
        "objective": grid.objective.model_dump(),
        "kind": grid.scheduler.kind,
        "environment": grid.environment,
        "submit": grid.submit.model_dump(),
        "retry": (grid.retry or RetrySpec()).model_dump(),
        "auto_retry": grid.retry is not None,
    }


def _axes(grid: Grid) -> dict[str, list[Any]]:
    return {**grid.parameters, **{name: axis for group in grid.zip for name, axis in group.items()}}


def _groups(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    counts: dict[Resources, int] = {}
    for trial in trials:
        if not trial.retired:
            counts[trial.resources] = counts.get(trial.resources, 0) + 1
    return [{**asdict(resources), "trials": count} for resources, count in counts.items()]
