"""A grid's ``race`` → the rules of the race, what it may cost, and whether it can be run (pure)."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from sweep.errors import nearest
from sweep.grid import Grid, Source, units
from sweep.grid.axes import comparison_key
from sweep.grid.race import RaceSpec
from sweep.grid.source import KeyPath
from sweep.model import Trial
from sweep.state.ledger import Ledger
from sweep.state.settings import USUAL_WAVES, ConfirmStage, RaceRules

#: Who holds what a race has not begun.
PLAN = "plan"

#: Of a race's budget, the largest share that its confirmation takes where the grid is silent about it.
CONFIRM_SHARE = 0.25


@dataclass(frozen=True)
class RacePlan:
    """What the race of a plan may cost.

    Attributes
    ----------
    trainings : float
        The budget as a number of whole trainings, the confirmation included. None where it is in core-hours.
    confirming : int
        Those of them that confirm.
    core_h, grid_core_h : float or None
        The most that the race and the whole grid can cost, by the walltimes that are asked for. None where one is
        left to the site.
    rungs : tuple of int
        How far a trial is trained before it is judged.
    waves : int
        About how many decisions spend it.
    begun_anew : float
        What the rungs cost at most, as a multiple, where the command cannot go on and begins each of them anew.
    phases : tuple of (tuple of str, int)
        The parameters of each phase, and how many choices of them there are; empty: there are none.
    """

    trainings: float | None
    confirming: int
    core_h: float | None
    grid_core_h: float | None
    rungs: tuple[int, ...]
    waves: int
    begun_anew: float
    phases: tuple[tuple[tuple[str, ...], int], ...] = ()


def rules_of(grid: Grid, trials: int) -> RaceRules | None:
    """Take from a grid how it is raced; None: all trials run.

    Parameters
    ----------
    trials : int
        How many trials the grid has.
    """
    race = grid.race
    if race is None:
        return None
    share, core_hours = units.budget(race.budget)
    return RaceRules(
        share=share,
        core_hours=core_hours,
        rungs=tuple(race.rungs),
        keep=race.keep,
        propose=race.propose,
        wave=race.wave or 0,
        audit=race.audit,
        confirm=_stages(race, share * trials / max(1, len(race.phases))),
        checkpoints=race.checkpoints or "",
        disk_mib=units.memory_mib(race.disk) if race.disk else 0,
        phases=tuple(map(tuple, race.phases)),
        first={name: values[0] for name, values in axes_of(grid).items() if any(name in p for p in race.phases)},
    )


def axes_of(grid: Grid) -> dict[str, list[Any]]:
    """Return all parameters of a grid with their values, also those that vary together."""
    return {**grid.parameters, **{name: values for group in grid.zip for name, values in group.items()}}


def _stages(race: RaceSpec, trainings: float) -> tuple[ConfirmStage, ...]:
    """Take the stages of the confirmation, or those that so many whole trainings allow (0: unknown)."""
    if race.confirm:
        specs = [race.confirm, *([race.confirm.then] if race.confirm.then else [])]
        return tuple(ConfirmStage(spec.top, spec.replicates) for spec in specs)
    usual = RaceRules()
    if not trainings or usual.confirm_runs <= CONFIRM_SHARE * trainings:
        return usual.confirm
    top = max(2, int(CONFIRM_SHARE * trainings / 3.5))  # a quarter of them gets two more runs
    return (ConfirmStage(top, 3),) if top < 6 else (ConfirmStage(top, 3), ConfirmStage(top // 4, 5))


def contestants(trials: Iterable[Trial], confirming: Set[int]) -> list[Trial]:
    """Return the trials that a race decides on: one for each configuration that the grid has."""
    return [
        trial for trial in trials if not trial.retired and trial.replicate == 0 and trial.number not in confirming
    ]


def digest(grid: Grid, trials: Iterable[Trial], confirming: Set[int]) -> str:
    """Return a digest of what a race chooses among, and of the seed that it draws by; empty without a race."""
    if grid.race is None:
        return ""
    lines = [str(grid.seed), *sorted(trial.id for trial in contestants(trials, confirming))]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def planned(grid: Grid, trials: Iterable[Trial], confirming: Set[int] = frozenset()) -> RacePlan | None:
    """Say what the race of a plan may cost; None: the grid has none.

    Parameters
    ----------
    confirming : set of int
        Trials that were added to confirm their configurations: they are no part of the grid.
    """
    asked = [trial.resources for trial in contestants(trials, confirming)]
    rules = rules_of(grid, len(asked))
    if rules is None:
        return None
    known = all(resources.walltime_s for resources in asked)
    grid_h = sum(resources.walltime_s * resources.cores for resources in asked) / 3600 if known else None
    in_share = None if grid_h is None else rules.share * grid_h
    return RacePlan(
        trainings=rules.share * len(asked) if rules.share else None,
        confirming=rules.confirm_runs * max(1, len(rules.phases)),
        core_h=rules.core_hours or in_share,
        grid_core_h=grid_h,
        rungs=rules.rungs,
        waves=(USUAL_WAVES + len(rules.confirm)) * max(1, len(rules.phases)),
        begun_anew=sum(rules.rungs) / rules.rungs[-1],
        phases=tuple((names, _choices(grid, names)) for names in rules.phases),
    )


def _choices(grid: Grid, names: Sequence[str]) -> int:
    """Count the choices of some parameters; those that vary together are one choice."""
    groups = [{name: values} for name, values in grid.parameters.items()] + list(grid.zip)
    return math.prod(len(next(iter(group.values()))) for group in groups if not group.keys().isdisjoint(names))


def holds(grid: Grid, ledger: Ledger, waiting: Iterable[Trial]) -> tuple[dict[int, str], list[int]]:
    """Return which trials a plan holds, and why; and which it lets go.

    Of a race, those that it has not begun wait for it. Where the grid has none any more, they wait no longer.

    Parameters
    ----------
    waiting : iterable of Trial
        What was not sent.
    """
    if grid.race is None:
        return {}, [number for number, hold in ledger.held.items() if hold.by == PLAN]
    others = ledger.confirming | ledger.race.moves.keys()
    return {trial.number: "until a race begins it" for trial in waiting if trial.number not in others}, []


def check(source: Source, grid: Grid, drafts: Sequence[Trial]) -> None:
    """Refuse a race that cannot be run.

    Raises
    ------
    GridError
        Its budget does not pay for the confirmation, or the grid has what goes with no race.
    """
    rules = rules_of(grid, len(drafts))
    if grid.race is None or rules is None:
        return
    if grid.design == "one_at_a_time":
        raise source.error(
            ("race",),
            "a race, and `design: one_at_a_time`",
            "these trials are few and each is needed: take it out",
        )
    if grid.stop:
        raise source.error(
            ("stop",), "a race, and a rule to stop by", "a race drops what scores too low by itself: take one out"
        )
    if grid.replicates > 1:
        raise source.error(
            ("replicates",),
            f"a race, and {grid.replicates} replicates of every configuration",
            "a race runs each once; its best are run again: race: {confirm: {replicates: 3}}",
        )
    if rules.propose == "optuna" and find_spec("optuna") is None:
        raise source.error(
            ("race", "propose"), "propose: optuna, and Optuna is not installed here", "pip install optuna"
        )
    if rules.phases:
        _check_phases(source, grid, drafts)
    # What a training really takes is not known yet: a tenth of what is asked for is little.
    each_h = max(trial.resources.walltime_s * trial.resources.cores for trial in drafts) / 3600 / 10
    budget, each, unit = (
        (rules.share * len(drafts), 1.0, "trainings") if rules.share else (rules.core_hours, each_h, "core-hours")
    )
    phases = max(1, len(rules.phases))
    needed = rules.confirm_runs * phases * each
    if budget <= needed:
        stages = " and then ".join(f"the top {stage.top} × {stage.replicates}" for stage in rules.confirm)
        raise source.error(
            ("race", "budget"),
            f"the budget {grid.race.budget} is {budget:.3g} {unit}, and to confirm {stages}"
            f"{f' in each of {phases} phases' if rules.phases else ''} takes {needed:.3g}",
            _affordable(
                grid.race,
                len(drafts) / phases,
                (math.ceil(budget / each) - 1) // phases,
                needed if rules.core_hours else 0.0,
            ),
        )


def _check_phases(source: Source, grid: Grid, drafts: Sequence[Trial]) -> None:
    """Refuse phases that name what is no parameter, leave one out, part a group of `zip`, or have no choice."""
    assert grid.race is not None
    axes, phases = axes_of(grid), grid.race.phases
    if grid.objective.second:
        raise source.error(
            ("race", "phases"),
            "phases, and a second objective",
            "a phase fixes one winner, and of two objectives there is none: take one of the two out",
        )
    for index, names in enumerate(phases):
        path: KeyPath = ("race", "phases", index)
        for place, name in enumerate(names):
            if name not in axes:
                message = f"phases: {name!r} is no parameter"
                raise source.error((*path, place), message, nearest(name, axes))
        for group in grid.zip:
            if apart := [name for name in group if name not in names and not group.keys().isdisjoint(names)]:
                named = next(name for name in group if name in names)
                raise source.error(
                    path, f"phases: {named} varies together with {apart[0]}", "name all of a group in one phase"
                )
        if _choices(grid, names) < 2:
            raise source.error(
                path,
                f"phases: {', '.join(names)} has one choice",
                "give it values to choose among, or take it out",
            )
    left = [name for name, values in axes.items() if len(values) > 1 and all(name not in p for p in phases)]
    if left:
        raise source.error(
            ("race", "phases"),
            f"phases: {left[0]} is in none of them, and has {len(axes[left[0]])} values",
            f"name it in a phase, or give it one value: {left[0]}: [{axes[left[0]][0]}]",
        )
    first = comparison_key({name: axes[name][0] for names in phases[1:] for name in names})
    later = [name for names in phases[1:] for name in names]
    if all(comparison_key({name: draft.params[name] for name in later}) != first for draft in drafts):
        raise source.error(
            ("race", "phases"),
            "phases: `exclude` leaves nothing of the first one, where all others have their first value",
            "put a value first that the others go with",
        )


def _affordable(race: RaceSpec, trials: float, runs: int, needed_h: float) -> str:
    """Say which budget pays for the confirmation, and which confirmation half of this budget pays for.

    Parameters
    ----------
    trials : float
        Of the grid, for each phase.
    runs : int
        How many whole trainings the budget more than pays for, for each phase.
    needed_h : float
        What the confirmation takes, in core-hours; 0: the budget is a share.
    """
    ways = []
    if needed_h:
        ways.append(f"raise it: race: {{budget: {math.floor(needed_h) + 1} core-hours}}")
    else:  # a larger share may confirm more, where the grid is silent about it
        shares = [(percent, percent / 100 * trials) for percent in range(1, 101)]
        enough = (
            percent
            for percent, trainings in shares
            if RaceRules(confirm=_stages(race, trainings)).confirm_runs < trainings
        )
        ways += [f"raise it: race: {{budget: {percent}%}}" for percent in itertools.islice(enough, 1)]
    if runs >= 2:
        fewer = max(2, runs // 2)
        top, replicates = (fewer // 3, 3) if fewer >= 6 else (fewer // 2, 2)
        ways.append(f"confirm fewer: race: {{confirm: {{top: {top}, replicates: {replicates}}}}}")
    return "; or ".join(ways) or "the grid is too small for a race: take it out"
