"""replay: race a sweep that has been run, on paper, beside other ways to choose; nothing is started or written."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sweep.errors import SweepError, UsageError
from sweep.jobs import racing
from sweep.leaderboard.entries import Entry, key_of
from sweep.model import Objective, State
from sweep.shell import Shell
from sweep.state.evidence import PartialResult, ReadResult
from sweep.state.results import partial_result
from sweep.state.settings import RaceRules
from sweep.state.snapshot import Snapshot
from sweep.steps import collect
from sweep.steps.make_jobs import read_grid
from sweep.steps.observe import observe
from sweep.steps.standing import attempt_core_s, judge
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.race.replay import Outcome, Table

#: Fewer trials that have ended are no grid to race.
FEWEST_CONFIGURATIONS = 10

#: Where the grid has no race, these rungs below the length of the histories.
USUAL_RUNGS = (1, 3, 9, 27, 81, 243)


@dataclass(frozen=True)
class Way:
    """One way to choose a winner, over all seeds.

    Attributes
    ----------
    name : str
        ``whole grid``, ``race``, ``random`` or ``first rung``.
    share : float
        Its mean cost, as a share of the grid's, the confirmation included.
    core_h : float
        The same in core-hours.
    begun : float
        How many configurations it began, on average.
    place, worst_place : int
        Where its winner stands among all configurations, by their mean over the replicates: the median over the
        seeds, and the worst.
    below_best : float
        How much worse than the best its winner is, on average.
    """

    name: str
    share: float
    core_h: float
    begun: float
    place: int
    worst_place: int
    below_best: float


@dataclass(frozen=True)
class ReplayReport:
    """What a race of a finished sweep would have come to.

    Attributes
    ----------
    configurations, replicates : int
        What was raced on paper.
    rules : RaceRules
        How.
    seeds : int
        How often each way was tried.
    grid_core_h : float
        What one run of every configuration cost.
    """

    name: str
    configurations: int
    replicates: int
    rules: RaceRules
    seeds: int
    grid_core_h: float
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()


def replay(store: Store, shell: Shell, *, overrides: Sequence[str] = (), seeds: int = 5) -> ReplayReport:
    """Race a sweep on paper.

    Parameters
    ----------
    overrides : sequence of str
        ``race.budget=2%`` and the like, as `sweep plan --set` takes them.
    seeds : int
        How often, each time with other random numbers.

    Raises
    ------
    UsageError
        What is to be set is no setting of a race.
    SweepError
        Too little of it has ended, its results have no history to judge by, or nobody knows what it cost.
    GridError
        The race cannot be run.
    """
    for override in overrides:
        if not override.startswith("race."):
            raise UsageError(f"--set {override!r} is no setting of a race", "for instance --set race.budget=2%")
    snapshot = observe(store, shell, recent_s=math.inf)
    entries = collect.entries(store, snapshot, snapshot.active, whole=True)
    runs = _runs([entry for entry in entries if not entry.confirms])
    if len(runs) < FEWEST_CONFIGURATIONS:
        raise SweepError(
            f"{len(runs)} configurations of {store.name!r} have ended: too few to race",
            f"run at least {FEWEST_CONFIGURATIONS} of them to their end: `sweep submit`",
        )
    objective = snapshot.settings.objective
    longest = max(len(_partial(entry, objective).scores) for replicates in runs for entry in replicates)
    rules = _rules(store, snapshot, runs, overrides, longest)
    if len(rules.rungs) > 1 and not longest:
        raise SweepError(
            f"no {objective.file} of {store.name!r} has a history to judge by",
            "race whole trainings: --set 'race.rungs=[1]'",
        )
    table = _table(runs, rules, objective)
    if not table.core_s.all():
        raise SweepError(
            f"how long {np.count_nonzero(table.core_s == 0)} configurations of {store.name!r} took is not known",
            "their cost is needed to race them; a scheduler without accounting, and a lost record, leave it out",
        )
    return ReplayReport(
        name=store.name,
        configurations=len(runs),
        replicates=table.curves.shape[1],
        rules=rules,
        seeds=seeds,
        grid_core_h=float(table.core_s.sum()) / 3600,
        ways=tuple(_ways(table, rules, seeds)),
        notes=(*_notes(table, rules, len(entries), longest), *_second_note(objective)),
    )


def _partial(entry: Entry, objective: Objective) -> PartialResult:
    return partial_result(ReadResult(entry.result), None, objective) or PartialResult()


def _runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Group what has ended by configuration; those with fewer replicates than most are left out."""
    by_key: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.verdict.state in (State.DONE, State.FAILED):
            by_key.setdefault(key_of(entry.trial.params), []).append(entry)
    counts = Counter(len(runs) for runs in by_key.values())
    usual = counts.most_common(1)[0][0] if counts else 0
    return [runs[:usual] for runs in by_key.values() if len(runs) >= usual]


def _rules(
    store: Store, snapshot: Snapshot, runs: Sequence[Sequence[Entry]], overrides: Sequence[str], longest: int
) -> RaceRules:
    """Take the race's settings: the grid's, those that are usual where it has none, and what is asked for."""
    usual: list[str] = []
    if snapshot.settings.race is None:
        usual = [f"race.rungs={[*(rung for rung in USUAL_RUNGS if rung < longest), max(1, longest)]}"]
    grid, source, _ = read_grid(store.path / "grid.yaml", [*snapshot.settings.overrides, *usual, *overrides])
    grid = grid.model_copy(update={"replicates": 1})
    trials = [replicates[0].trial for replicates in runs]
    racing.check(source, grid, trials)
    rules = racing.rules_of(grid, len(trials))
    assert rules is not None
    return rules


def _table(runs: Sequence[Sequence[Entry]], rules: RaceRules, objective: Objective) -> Table:
    from sweep.race.replay import Table

    sign = -1.0 if objective.minimize else 1.0
    curves = np.full((len(runs), len(runs[0]), len(rules.rungs)), np.nan)
    core_s = np.zeros(curves.shape[:2])
    for row, replicates in enumerate(runs):
        for column, entry in enumerate(replicates):
            core_s[row, column] = attempt_core_s(entry.verdict, entry.trial)
            partial = _partial(entry, objective)
            judged = judge(entry.trial.number, 1, entry.verdict.state, partial, core_s[row, column], rules)
            if judged.scores and judged.scores[-1] is not None:
                # A history that is shorter than a rung had ended by then.
                whole = judged.scores[-1]
                curves[row, column] = [sign * (whole if score is None else score) for score in judged.scores]
    return Table([replicates[0].trial.params for replicates in runs], curves, core_s.mean(axis=1))


def _ways(table: Table, rules: RaceRules, seeds: int) -> Iterator[Way]:
    from sweep.race import replay as paper

    raced = [paper.race(table, rules, seed) for seed in range(seeds)]
    yield _way("whole grid", table, [paper.whole_grid(table, rules, seed) for seed in range(seeds)])
    yield _way("race", table, raced)
    by_chance = [paper.by_chance(table, rules, seed, each.core_s) for seed, each in enumerate(raced)]
    yield _way("random", table, by_chance)
    if len(rules.rungs) > 1:
        yield _way("first rung", table, [paper.by_first_rung(table, rules, seed) for seed in range(seeds)])


def _way(name: str, table: Table, outcomes: Sequence[Outcome]) -> Way:
    places = [1 + round(outcome.place(table) * len(table.core_s)) for outcome in outcomes]
    cost_s = statistics.mean(outcome.core_s for outcome in outcomes)
    return Way(
        name,
        share=cost_s / float(table.core_s.sum()),
        core_h=cost_s / 3600,
        begun=statistics.mean(outcome.begun for outcome in outcomes),
        place=round(statistics.median(places)),
        worst_place=max(places),
        below_best=statistics.mean(outcome.regret(table) for outcome in outcomes),
    )


def _second_note(objective: Objective) -> Iterator[str]:
    if objective.second:
        yield f"raced by {objective.metric} alone: {objective.second} has no part in a race on paper"


def _notes(table: Table, rules: RaceRules, trials: int, longest: int) -> Iterator[str]:
    count, replicates, rungs = table.curves.shape
    if replicates == 1:
        yield (
            "one run each: what chooses the winner also says how good it is, so all places look better than they "
            "are; with `replicates: 3` the winner is confirmed by runs that had no part in choosing it"
        )
    if count * replicates < trials:
        yield f"{count * replicates} of {trials} trials are raced: the others have not ended, or lack replicates"
    if rules.phases:
        yield "without its phases: on paper, a race chooses among all configurations at once"
    if rungs > 1 and rules.rungs[-1] != longest:
        yield f"the last rung is {rules.rungs[-1]}, and the longest history has {longest} entries"
