"""plan: grid.yaml → trials and job scripts in the sweep's folder. Nothing is submitted."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from sweep import grid as grids
from sweep.errors import StoreError, UsageError
from sweep.grid import Grid, Source
from sweep.grid.expressions import split
from sweep.grid.expressions import text as text_of
from sweep.jobs import pack, racing, where
from sweep.model import Job, Limits, State, Trial
from sweep.node.command import MOST_STRING_BYTES
from sweep.node.preload import program_of
from sweep.schedulers import SCHEDULERS, environment
from sweep.shell import Shell
from sweep.state.events import LEFT_TO_SITE_FORMAT, OLDEST_FORMAT, Planned
from sweep.state.ledger import DRIVER, Ledger
from sweep.state.settings import Settings
from sweep.steps import learnt, provenance
from sweep.steps.decision import Decision, Prepared, commit, digest, prepare, request_of
from sweep.steps.make_jobs import JobMaker, JobSummary, ask_limits, job_maker, planner_of, read_grid, summaries
from sweep.steps.observe import observe, sent_from
from sweep.store import PlannedTrials, Shelf, Store

#: What people write for a shell, who then find it among their program's arguments.
SHELL_WORDS = frozenset(("|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1", "2>"))

#: The same within a word: a home, a variable, a command in backticks, an end of a command, a pattern of names.
_SHELL_LIKE = re.compile(r"^~|^\$|^[^{}]*(`|;$|\$\(|[^\s=]\*|^\*|\[[^]]*\]\S*\.)[^{}]*$")

#: The same where the program stands: an assignment, or what only a shell can do.
_SHELL_FIRST = re.compile(r"[A-Za-z_]\w*=.*|source|\.|cd|export|module|conda|eval|exec|set|ulimit")


@dataclass(frozen=True)
class ResourceGroup:
    """Trials that ask for the same resources; 0: that is left to the site."""

    walltime_s: int
    memory_mib: int
    cpus: int
    gpus: int
    trials: int
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PlanReport:
    """What a plan holds, and what it changed.

    Attributes
    ----------
    axes : dict
        Parameter → its values.
    waves : int
        In how many waves the trials can be sent.
    ended_badly : int
        Trials of the grid that ended earlier, and not well.
    retired_done : int
        Trials that the grid no longer asks for and that have a result.
    sample : tuple of str
        The first trial's command.
    race : RacePlan or None
        What the race may cost. None: all trials run.
    """

    name: str
    folder: str
    kind: str
    placement: str
    trials: int
    new: int
    kept: int
    retired: int
    axes: dict[str, list[Any]]
    groups: tuple[ResourceGroup, ...]
    jobs: tuple[JobSummary, ...]
    limits: Limits
    waves: int
    driver: bool
    ended_badly: int
    retired_done: int
    dry_run: bool
    sample: tuple[str, ...]
    notes: tuple[str, ...]
    race: racing.RacePlan | None = None


@dataclass(frozen=True)
class Merged:
    """How an earlier plan and the new trials go together.

    Attributes
    ----------
    lines : list of Trial
        What is appended to the folder's trials: new, changed, retired and returned ones.
    trials : dict
        All trials, by number.
    """

    lines: list[Trial]
    trials: dict[int, Trial]
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
    diff: bool = True,
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
    diff : bool
        Keep what differs from the git commit of the folder in which the trials run.
    dry_run : bool
        Work all out and write nothing.

    Raises
    ------
    UsageError
        Something in the grid or a template is wrong; nothing was written.
    """
    grid, source, data = read_grid(path, overrides)
    variables = grids.UsedVariables(os.environ)
    drafts = grids.expand(grid, source, variables, sys.maxsize if yes else grids.MAX_TRIALS)
    _check_drafts(grid, source, drafts, template)
    from_environment = where.from_environment(grid, os.environ)
    grid = where.with_environment(grid, from_environment)
    earlier = learnt.learn(grid, source, drafts, results, shell)
    limits, notes = ask_limits(grid, source, shell)
    shelf = Shelf(results, shell.clock)
    store = shelf.at(grid.name)
    _check_path(store, grid)
    maker = job_maker(
        grid, source, store, template, limits, planner_of(grid.scheduler.kind), from_environment, variables
    )
    if not dry_run:
        _look(store, shell, grid, source)
    notes += [*_notes(maker, overrides), *_secrets(variables.used), *earlier.notes]
    was_blank = store.blank
    # Once without writing anything, so that what cannot be planned leaves nothing behind.
    worked = _work_out(store, drafts, maker, overrides)
    pack.check(grid, source, worked.prepared.jobs, limits)
    _check_startable(source, worked.merged, worked.prepared.jobs)
    if not dry_run:
        commands, argv = grid.environment, drafts[0].argv
        looked = provenance.look(store, shell, maker.workdir, commands, argv, grid=path, diff=diff)
        notes += provenance.words(store.ledger()[0], looked.provenance)
        shelf.create(grid.name)
        with store.lock():
            if not (was_blank and store.blank):  # else what was worked out still holds
                worked = _work_out(store, drafts, maker, overrides)
            _write(store, maker, data, worked.prepared, looked, earlier)
        shelf.make_current(grid.name)
    merged, jobs = worked.merged, worked.prepared.jobs
    sample = merged.trials[jobs[0].tasks[0].number].argv if jobs else drafts[0].argv
    return _report(store, maker, merged, jobs, sample=sample, notes=tuple(notes), dry_run=dry_run)


def _notes(maker: JobMaker, overrides: Sequence[str]) -> list[str]:
    """Say what a person may not expect of this plan."""
    return [
        *_spoken(maker.grid, maker.from_environment),
        *_unheard(maker.grid, maker.from_environment),
        *_forgotten(maker.store, overrides, maker.template),
        *_moved(maker.store),
        *_shell_words(maker.grid),
        *_unusual(maker.source),
    ]


def _check_path(store: Store, grid: Grid) -> None:
    """Refuse a folder that the scheduler cannot write a job's output to."""
    unfit = SCHEDULERS[grid.scheduler.kind].unfit_folder(str(store.path))
    if unfit:
        raise UsageError(
            f"the sweep's folder {str(store.path)!r} has {unfit}: every job would fail at its start",
            "rename the folder, or name another one with --results",
        )


def _check_drafts(grid: Grid, source: Source, drafts: list[Trial], template: Path | None) -> None:
    """Refuse a template that is not there, a race that cannot be run, and to preload for what would not be so."""
    if template and not template.is_file():
        raise UsageError(f"there is no template {str(template)!r}")
    racing.check(source, grid, drafts)
    if grid.submit.preload and program_of(list(drafts[0].argv)) is None:
        raise source.error(
            ("submit", "preload"),
            f"nothing can be preloaded for {shlex.join(drafts[0].argv)[:60]!r}",
            "it has to be `python -m module …` or `python script.py …`",
        )


def _check_startable(source: Source, merged: Merged, jobs: Sequence[Job]) -> None:
    """Refuse a command that no node can start, because an argument or all of them are too long."""
    room = os.sysconf("SC_ARG_MAX") - sum(len(name) + len(value) + 10 for name, value in os.environ.items())
    for number in (task.number for job in jobs for task in job.tasks):
        trial = merged.trials[number]
        if sum(map(len, trial.argv)) * 4 < MOST_STRING_BYTES:
            continue  # all but one of millions
        sizes = [len(os.fsencode(word)) + 1 for word in trial.argv]
        if max(sizes) > MOST_STRING_BYTES:
            word = trial.argv[sizes.index(max(sizes))]
            what = f"an argument of {max(sizes) - 1:,} bytes; Linux takes {MOST_STRING_BYTES - 1:,}"
        elif sum(sizes) + 8 * len(sizes) + MOST_STRING_BYTES > room:
            word = max(trial.argv, key=len)
            what = f"arguments of {sum(sizes):,} bytes; with its environment this machine takes {room:,}"
        else:
            continue
        culprit = max(
            (name for name, value in trial.params.items() if str(value) in word),
            key=lambda name: len(str(trial.params[name])),
            default="",
        )
        of = f" (the parameter {culprit})" if culprit else ""
        raise source.error(
            ("parameters", culprit) if culprit else ("command",),
            f"trial {number} cannot be started: its command has {what}{of}",
            "write the value to a file and give the command its path, or let the command read SWEEP_PARAMS_FILE",
        )


def _report(
    store: Store,
    maker: JobMaker,
    merged: Merged,
    jobs: list[Job],
    *,
    sample: tuple[str, ...],
    notes: tuple[str, ...],
    dry_run: bool,
) -> PlanReport:
    grid = maker.grid
    ended = {number: verdict.state for number, (_, verdict) in store.ledger()[0].settled.items()}
    active = {number: state for number, state in ended.items() if not merged.trials[number].retired}
    return PlanReport(
        name=grid.name,
        folder=str(store.path),
        kind=grid.scheduler.kind,
        placement=grid.submit.placement,
        trials=merged.new + merged.kept,
        new=merged.new,
        kept=merged.kept,
        retired=merged.retired,
        axes={**grid.parameters, **{name: axis for group in grid.zip for name, axis in group.items()}},
        groups=tuple(_groups(merged.trials.values())),
        jobs=tuple(summaries(store, jobs)),
        limits=maker.limits,
        waves=pack.waves(jobs, maker.limits, driver=grid.submit.driver),
        driver=grid.submit.driver,
        ended_badly=sum(state not in (State.DONE, State.PAUSED) for state in active.values()),
        retired_done=sum(state is State.DONE for number, state in ended.items() if number not in active),
        dry_run=dry_run,
        sample=sample,
        notes=notes,
        race=racing.planned(grid, merged.trials.values(), store.ledger()[0].confirming),
    )


def _groups(trials: Iterable[Trial]) -> Iterator[ResourceGroup]:
    counts = Counter([trial.resources for trial in trials if not trial.retired])
    for asks, count in counts.items():
        yield ResourceGroup(asks.walltime_s, asks.memory_mib, asks.cpus, asks.gpus, count, asks.extra)


def _look(store: Store, shell: Shell, grid: Grid, source: Source) -> None:
    """Look at what was submitted before. A trial that failed takes the new command.

    Refuse to plan for another scheduler while the old one has trials of ours: nobody would follow them.
    """
    ledger = store.ledger()[0]
    if ledger.planned is None or not ledger.submissions:
        return
    snapshot = observe(store, shell)
    old_kind = ledger.settings.kind
    if old_kind == grid.scheduler.kind:
        return
    count = sum(status.verdict.state.alive for status in snapshot.trials)
    if count:
        raise source.error(
            ("scheduler",),
            f"{count} trials are still queued or running on {old_kind}, and the grid now says "
            f"{grid.scheduler.kind}",
            "wait for them, or `sweep cancel` them; or plan under another name",
        )


def _forgotten(store: Store, overrides: Sequence[str], template: Path | None) -> list[str]:
    """Say what the last plan was given on the command line, and this one is not."""
    ledger = store.ledger()[0]
    if ledger.planned is None:
        return []
    options = [f"--set {override}" for override in ledger.settings.overrides if override not in overrides]
    if ledger.settings.template and template is None:
        options.append(f"--template {ledger.settings.template}")
    return [f"the last plan had {option}; this one has not" for option in options]


def _moved(store: Store) -> list[str]:
    """Say where the sweep was planned before, if that was another place."""
    planned = store.ledger()[0].planned
    if planned is None or store.is_at(planned.home):
        return []
    return [
        f"it was planned in {planned.home!r} before; what has not begun here is planned anew, for this folder, "
        "and jobs that were sent from there are not this sweep's any more"
    ]


def _spoken(grid: Grid, from_environment: Mapping[str, str]) -> list[str]:
    """Say what the environment decided, because the grid is silent about it."""
    speakers = SCHEDULERS[grid.scheduler.kind].speakers
    return [
        f"{' or '.join(speakers[key].variables)} in the environment gives scheduler: {{{key}: {value}}}: "
        "the grid is silent about it"
        for key, value in from_environment.items()
    ]


def _unheard(grid: Grid, from_environment: Mapping[str, str]) -> list[str]:
    """Say which variables a person's own submit command would heed, and the jobs of this grid do not get."""
    scheduler = SCHEDULERS[grid.scheduler.kind]
    heard = {variable for key in from_environment for variable in scheduler.speakers[key].variables}
    options = environment.of_submit_options(scheduler.variables, os.environ)
    return [
        f"{variable}={value} in the environment has no effect: the grid decides (scheduler: {{extra: …}})"
        for variable, value in options.items()
        if variable not in heard
    ]


#: So many numbers that are written unusually are named.
_NAMED = 5


def _unusual(source: Source) -> list[str]:
    """Say which numbers are passed otherwise than they are written: a git hash or a version may be meant."""
    notes = []
    for path, written in source.unusual.items():
        value: Any = source.data
        for key in path:
            value = value[key]
        where = ".".join(map(str, path))
        notes.append(f'{where}: {written} is a number, {text_of(value)}; if it is a text, quote it: "{written}"')
    more = [f"and {len(notes) - _NAMED} more numbers that are written so"] if len(notes) > _NAMED else []
    return notes[:_NAMED] + more


def _secrets(used: Mapping[str, str]) -> list[str]:
    """Say which variables look like secrets: they stand in the trials' commands, and in the journal."""
    return [
        f"{{{{ env.{name} }}}} looks like a secret; its value is kept in the sweep's folder, like all of the plan"
        for name in used
        if re.search(r"TOKEN|SECRET|PASSW|API_?KEY|CREDENTIAL|PRIVATE", name, re.IGNORECASE)
    ]


def _shell_words(grid: Grid) -> list[str]:
    """Say which arguments look like shell: none stands between the command and the program."""
    words = split(grid.command) if isinstance(grid.command, str) else []
    odd = [word for word in words if word in SHELL_WORDS or _SHELL_LIKE.search(word)]
    odd = [word for word in words[:1] if _SHELL_FIRST.fullmatch(word)] + odd
    return [f"the command has {word!r}, and no shell to interpret it; see docs/grid.md" for word in odd[:3]]


@dataclass(frozen=True)
class _Worked:
    """All that a plan decides, before anything of it is written."""

    merged: Merged
    prepared: Prepared


def _work_out(store: Store, drafts: list[Trial], maker: JobMaker, overrides: Sequence[str]) -> _Worked:
    """Decide everything; write nothing."""
    planned, ledger, settings = store.trials(), store.ledger()[0], maker.settings(overrides, len(drafts))
    if ledger.confirming:
        drafts = [*drafts, *_confirming(planned, ledger, drafts, maker)]
    sent = sent_from(store, ledger)
    merged = merge(planned, drafts, as_ran=_as_ran(store, planned, ledger, sent))
    waiting = [trial for number, trial in merged.trials.items() if not trial.retired and number not in sent]
    held, released = racing.holds(maker.grid, ledger, waiting)
    kept = {*ledger.held, *held} - {*released}
    requests = [request_of(maker, ledger, trial) for trial in waiting if trial.number not in kept]
    event = msgspec.structs.replace(_event(maker, ledger, settings, merged), held=held, released=released)
    decision = Decision(event, tuple(requests), tuple(merged.lines))
    return _Worked(merged, prepare(store, ledger, maker, decision))


def _confirming(planned: PlannedTrials, ledger: Ledger, drafts: list[Trial], maker: JobMaker) -> list[Trial]:
    """Write out anew what `sweep confirm` added to configurations that the grid still has."""
    ids = {draft.id for draft in drafts}
    added = [planned.trials[number] for number in sorted(ledger.confirming) if number in planned.trials]
    remaining = [trial for trial in added if grids.trial_id(trial.params, 0) in ids and trial.id not in ids]
    pairs = [(trial.params, trial.replicate) for trial in remaining]
    return grids.make_trials(maker.grid, maker.source, maker.variables, pairs) if pairs else []


def _as_ran(store: Store, planned: PlannedTrials, ledger: Ledger, sent: set[int]) -> set[int]:
    """Return the trials that stay as they ran, or run; those that ended badly take what the grid now says."""
    begun: Set[str] = set()
    with contextlib.suppress(StoreError):  # the look before has seen that nothing hangs on it
        begun = store.begun()
    # A further attempt that is planned and was not sent has run nothing yet; what has begun may be by hand.
    by_hand = {
        number for number, trial in planned.trials.items() if ledger.attempt_of(number) == 1 and trial.id in begun
    }
    settled = ledger.settled
    return {number for number in sent | by_hand if number not in settled or settled[number][1].state is State.DONE}


def merge(planned: PlannedTrials, drafts: Iterable[Trial], as_ran: Set[int] = frozenset()) -> Merged:
    """Match drafts to the trials of earlier plans, by their ids (pure).

    A trial in `as_ran` keeps its command, resources and seed: they are what its result came of.
    """
    by_id = {trial.id: trial for trial in planned.trials.values()}
    next_number = max(planned.trials, default=-1) + 1
    lines, trials, asked_for, new = [], dict(planned.trials), set[int](), 0
    for draft in drafts:
        earlier = by_id.get(draft.id)
        number = earlier.number if earlier else next_number
        trial = draft if draft.number == number else replace(draft, number=number)
        if earlier and number in as_ran:
            trial = replace(earlier, retired=False)
        if earlier:
            asked_for.add(number)
        else:
            next_number, new = next_number + 1, new + 1
        if trial != earlier:
            lines.append(trial)
        trials[number] = trial
    dropped = [trial for trial in planned.trials.values() if not trial.retired and trial.number not in asked_for]
    for trial in dropped:
        trials[trial.number] = replace(trial, retired=True)
        lines.append(trials[trial.number])
    return Merged(lines, trials, new, len(asked_for), len(dropped))


def _write(
    store: Store,
    maker: JobMaker,
    grid: bytes,
    prepared: Prepared,
    looked: provenance.Findings,
    earlier: learnt.Learnt,
) -> None:
    """Write a plan: what its later commands need, and then the decision."""
    store.keep_grid(grid)
    store.texts.keep({**looked.texts, **earlier.texts})
    if maker.template:
        store.keep_template(maker.template)
    if maker.grid.submit.driver:
        store.write_script(DRIVER, maker.driver())
    found = {"provenance": looked.provenance, "learnt": earlier.digest}
    event = msgspec.structs.replace(prepared.decision.event, **found)
    commit(store, replace(prepared, decision=replace(prepared.decision, event=event)))


def _format(merged: Merged) -> int:
    """Return the format that the trials need: an older version takes a request that is left to the site for 0."""
    asked = (trial.resources for trial in merged.trials.values())
    left = any(
        not (request.walltime_s and request.memory_mib and request.cpus) or request.extra for request in asked
    )
    return LEFT_TO_SITE_FORMAT if left else OLDEST_FORMAT


def _event(maker: JobMaker, ledger: Ledger, settings: Settings, merged: Merged) -> Planned:
    """Say in the journal what was planned, and what the later commands need of the grid."""
    submitted = {submission.job for submission in ledger.submissions.values()}
    return Planned(
        by="plan",
        saw=digest((number, attempt, verdict) for number, (attempt, verdict) in ledger.settled.items()),
        format=_format(merged),
        jobs=[],  # `prepare` names them
        settings=settings,
        dropped=[job for job in ledger.jobs if job not in submitted],
        home=str(maker.store.path),
        new=merged.new,
        kept=merged.kept,
        retired=merged.retired,
        configurations=racing.digest(maker.grid, merged.trials.values(), ledger.confirming),
    )
