"""race: decide which trials run next, and how far; write the decision down, and send it. Safe to repeat.

::

    the newest wave still runs:   nothing is decided
    else, as of this cut:         evidence ─▶ Wave ─▶ Decision ─▶ prepare ─▶ commit ─▶ submit
    nothing more is begun:        confirm the best with fresh seeds, stage after stage ─▶ submit
"""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sweep.errors import SweepError, UsageError
from sweep.race.decide import decide
from sweep.race.replicates import cannot_tell, further_runs
from sweep.race.standing import Wave
from sweep.shell import Shell
from sweep.state.events import Decided
from sweep.state.racing import NOISE, TOLD, Judged, RaceMove, RaceStep
from sweep.state.settings import RaceRules
from sweep.state.snapshot import Snapshot
from sweep.steps import collect, home, learnt
from sweep.steps.checkpoints import NOTHING_KEPT, ParkedDisk, tidy
from sweep.steps.decision import Decision, commit, ends_of, going_on, prepare
from sweep.steps.make_jobs import maker_of
from sweep.steps.observe import observe
from sweep.steps.raced import finalists_of
from sweep.steps.standing import Oddity, Racing, attempt_core_s, is_over_for_now, racing, spent_core_s
from sweep.store import Store
from sweep.verbs.confirm import confirming
from sweep.verbs.submit import SubmitReport, submit

if TYPE_CHECKING:
    from sweep.leaderboard.ranking import Board, Configuration

#: A wave is closed when at most this share of it has not ended: a straggler holds nobody.
STRAGGLERS = 0.1

#: A decision uses at most so many cores: login nodes are shared.
MOST_CORES = 4


@dataclass(frozen=True)
class RaceReport:
    """What a step of a race did.

    Attributes
    ----------
    wave : int
        The newest wave, from 1; 0 before the first.
    open : int
        Trials that have not ended, where nothing was decided because of them: the wave's, or all that run where
        no more can be begun beside them.
    moves : tuple of RaceMove
        What was decided to run.
    how : dict
        Why → how many of the moves.
    cutoffs : dict
        Rung, in entries of the history → the score below which nothing goes on from it.
    grid_core_h, budget_core_h, spent_core_h, reserved_core_h : float
        What the whole grid would cost, by what was measured, and before that by what is asked for; the race's
        budget; what all trials took until now; and what is kept of the rest for a confirmation that is not
        planned yet.
    passed : tuple of int
        Rungs that tell too little of the end, in entries of the history.
    over : str
        Why nothing more is begun: ``budget`` or ``all``.
    stage, stages : int
        Stages of the confirmation that were planned, this step's included, and how many there are. More than the
        grid names: nobody could tell which is best, and what was left of the budget went to further replicates.
    alike : int
        Where nobody can tell which finalist is best: how many may be it as well as the first.
    confirming : tuple of int
        The trials that were added in this step to confirm.
    finished : bool
        Nothing is left to decide.
    disk : ParkedDisk
        What the checkpoints of trials that have stopped on a rung take, and what of them was removed.
    sent : SubmitReport or None
        What was submitted.
    """

    wave: int
    open: int = 0
    moves: tuple[RaceMove, ...] = ()
    how: dict[str, int] | None = None
    cutoffs: dict[int, float] | None = None
    grid_core_h: float = 0.0
    budget_core_h: float = 0.0
    spent_core_h: float = 0.0
    reserved_core_h: float = 0.0
    passed: tuple[int, ...] = ()
    over: str = ""
    stage: int = 0
    stages: int = 0
    alike: int = 0
    confirming: tuple[int, ...] = ()
    finished: bool = False
    dry_run: bool = False
    disk: ParkedDisk = NOTHING_KEPT
    sent: SubmitReport | None = None
    notes: tuple[str, ...] = ()


def race(store: Store, shell: Shell, *, dry_run: bool = False, patience_s: float = 0.0) -> RaceReport:
    """Make one step of a race, and send what it decided.

    Raises
    ------
    UsageError
        The grid has no ``race``.
    SweepError
        Nothing that was trained can be judged.
    """
    report = step(store, shell, dry_run=dry_run)
    return report if dry_run else replace(report, sent=submit(store, shell, patience_s=patience_s))


def step(store: Store, shell: Shell, *, dry_run: bool = False) -> RaceReport:
    """Make one step of a race, without sending anything: see `race`."""
    with store.lock():
        home.check(store, store.ledger()[0])
        snapshot = observe(store, shell)
        rules = snapshot.settings.race
        if rules is None:
            raise UsageError(f"the grid of {store.name!r} has no race", "add `race: {budget: 5%}`, and plan again")
        now = racing(store, snapshot, rules)
        last = snapshot.ledger.race.last
        if now.open > STRAGGLERS * len(last.moves if last else ()):
            return _report(snapshot, rules, last, open_=now.open, dry_run=dry_run)
        notes: tuple[str, ...] = ()
        if last is None or not last.over:
            _check_judged(now, snapshot, rules)
            decided = _decide(store, snapshot, rules, now, dry_run=dry_run)
            if decided is None:
                running = int(now.standing.busy.sum())
                return _report(snapshot, rules, last, open_=running, dry_run=dry_run)
            last, notes = decided, tuple(_notes(snapshot, now, rules))
            if not last.over:
                moving = {move.number for move in last.moves}
                return replace(
                    _report(snapshot, rules, last, dry_run=dry_run),
                    moves=tuple(last.moves),
                    how=dict(Counter(move.how for move in last.moves)),
                    disk=tidy(store, snapshot, now, moving, over=False, dry_run=dry_run),
                    notes=notes,
                )
        disk = tidy(store, snapshot, now, (), over=True, dry_run=dry_run)
        return replace(_confirm(store, snapshot, rules, last, dry_run=dry_run), disk=disk, notes=notes)


def _report(
    snapshot: Snapshot, rules: RaceRules, last: RaceStep | None, *, open_: int = 0, dry_run: bool
) -> RaceReport:
    last = last or RaceStep()
    stage = snapshot.ledger.race.stage
    spent_s = spent_core_s(snapshot)
    left_s = max(0.0, last.budget_core_s - spent_s)
    return RaceReport(
        last.wave,
        open_,
        cutoffs={rules.rungs[rung]: score for rung, score in last.cutoffs.items()},
        grid_core_h=last.grid_core_s / 3600,
        budget_core_h=last.budget_core_s / 3600,
        spent_core_h=spent_s / 3600,
        reserved_core_h=0.0 if stage else min(last.reserved_core_s, left_s) / 3600,
        passed=rules.rungs[: last.first_rung],
        over=last.over,
        stage=stage,
        stages=max(stage, len(rules.confirm)),
        dry_run=dry_run,
    )


# --- a wave -------------------------------------------------------------------------------------------------


def _decide(store: Store, snapshot: Snapshot, rules: RaceRules, now: Racing, *, dry_run: bool) -> RaceStep | None:
    """Decide on a wave, and commit that; None: what runs has to end first."""
    ledger, maker = snapshot.ledger, maker_of(store, snapshot.settings)
    number, seed = len(ledger.race.waves) + 1, maker.grid.seed
    planned = ledger.planned
    runs = learnt.recall(store, planned.learnt if planned else "")
    params = [status.trial.params for status in now.statuses]
    space, earlier = learnt.encoded(params, runs, len(rules.rungs), _sign(snapshot))
    wave = decide(space, now.standing, rules, seed, number, _cores(), earlier)
    if not wave.moves and not wave.over:
        return None
    step = _step(snapshot, rules, now, wave, number, seed)
    if dry_run:
        return step
    moving = [now.statuses[move.configuration] for move in wave.moves]
    asked = [going_on(maker, ledger, status, move.until) for status, move in zip(moving, step.moves, strict=True)]
    event = Decided(
        by="race",
        saw=digest_of({**ledger.race.judged, **{judged.number: judged for judged in now.judged}}.values()),
        attempts=[attempt for _, attempt in asked],
        ends=ends_of(ledger, moving),
        race=step,
    )
    commit(store, prepare(store, ledger, maker, Decision(event, tuple(request for request, _ in asked))))
    return step


def _step(snapshot: Snapshot, rules: RaceRules, now: Racing, wave: Wave, number: int, seed: int) -> RaceStep:
    """Write a wave as the journal has it: by trials, and in the metric's own direction (pure)."""
    sign = _sign(snapshot)
    last_rung = len(rules.rungs) - 1
    return RaceStep(
        wave=number,
        seed=seed,
        judged=now.judged,
        moves=[
            RaceMove(
                now.statuses[move.configuration].trial.number,
                move.rung,
                rules.rungs[move.rung] if move.rung < last_rung else 0,
                move.how.value,
                None if move.forecast is None else sign * move.forecast,
            )
            for move in wave.moves
        ],
        cutoffs={rung: sign * score for rung, score in wave.cutoffs.items()},
        budget_core_s=wave.budget_core_s,
        spent_core_s=wave.spent_core_s,
        reserved_core_s=wave.reserved_core_s,
        grid_core_s=wave.grid_core_s,
        first_rung=wave.first_rung,
        losses=list(wave.losses),
        finalists=[now.statuses[row].trial.number for row in wave.finalists],
        over=wave.over.value if wave.over else "",
    )


def _sign(snapshot: Snapshot) -> float:
    """Return what a score is multiplied by so that higher is better."""
    return -1.0 if snapshot.settings.objective.minimize else 1.0


def digest_of(judged: Iterable[Judged]) -> str:
    """Return a digest of what a decision went by."""
    rows = sorted(judged, key=lambda each: each.number)
    return hashlib.blake2b(msgspec.json.encode(rows), digest_size=8).hexdigest()


def _cores() -> int:
    return min(MOST_CORES, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 1


def _notes(snapshot: Snapshot, now: Racing, rules: RaceRules) -> Iterator[str]:
    """Say what is otherwise than a race expects; each trial once."""
    race, metric = snapshot.ledger.race, snapshot.settings.objective.metric
    if race.changed == "objective":
        yield f"the race begins anew: the objective has changed. What was trained is judged by its {metric}"
    elif race.changed:
        rungs = ", ".join(map(str, rules.rungs))
        yield f"the race begins anew: its rungs have changed. What was trained is judged at {rungs} entries"
    if ran_on := now.odd.get(Oddity.RAN_ON):
        yield (
            f"{_some(ran_on)} ran to the end, although asked to stop earlier: the command does not heed "
            f"SWEEP_UNTIL. Judged as whole, at that cost; race: {{rungs: [{rules.rungs[-1]}]}} asks for no more"
        )
    second = now.standing.second
    if second is not None and np.isfinite(now.standing.scores[:, -1]).any() and not np.isfinite(second).any():
        name = snapshot.settings.objective.second
        yield f"no result has the second objective {name!r}: it has no part in the race yet"
    if short := now.odd.get(Oddity.STOPPED_SHORT):
        yield f"{_some(short)} stopped before the rung that was asked for: judged by the entries that are there"


def _some(numbers: Sequence[int]) -> str:
    """Name the first of some trials.

    >>> _some([3]), _some([3, 5, 8])
    ('trial 3', 'trial 3 (and 2 more)')
    """
    return f"trial {numbers[0]}" + (f" (and {len(numbers) - 1} more)" if len(numbers) > 1 else "")


def _check_judged(now: Racing, snapshot: Snapshot, rules: RaceRules) -> None:
    """Refuse to go on where no history has the metric: nothing would ever be told from anything."""
    judged = {**snapshot.ledger.race.judged, **{each.number: each for each in now.judged}}.values()
    if any(score is not None for each in judged for score in each.scores):
        return
    rungs = rules.rungs
    metric, file = snapshot.settings.objective.metric, snapshot.settings.objective.file
    whole = f"race whole trainings: race: {{rungs: [{rungs[-1]}]}}"
    # Before the rungs were changed, some may have been asked for less than the first of today.
    stopped = [each for each in judged if not each.ended and snapshot.ledger.until_of(each.number) >= rungs[0]]
    if any(each.scores for each in stopped):
        raise SweepError(
            f"{len(stopped)} trials stopped on a rung, and no history in their {file} has {metric!r}",
            f"write it into each entry; or {whole}",
        )
    if stopped:
        raise SweepError(
            f"{len(stopped)} trials stopped before the first rung, {rungs[0]} entries of their history",
            f"SWEEP_UNTIL tells the command where to stop (docs/grid.md); or {whole}",
        )
    if len(judged) > 1 and all(each.ended for each in judged):
        raise SweepError(
            f"none of the {len(judged)} trials of the race ended well: nothing is known to go by",
            "`sweep status` says why; `sweep retry --errors` tries them again",
        )


# --- the end ------------------------------------------------------------------------------------------------


def _confirm(store: Store, snapshot: Snapshot, rules: RaceRules, last: RaceStep, *, dry_run: bool) -> RaceReport:
    """Plan the next stage of the confirmation, once all that runs has ended."""
    from sweep.leaderboard.ranking import rank

    ledger = snapshot.ledger
    stage = ledger.race.stage
    report = _report(snapshot, rules, last, dry_run=dry_run)
    if ledger.race.is_finished:
        return replace(report, finished=True)
    own = ledger.confirming | ledger.race.moves.keys()
    open_ = [each for each in snapshot.active if each.trial.number in own and not is_over_for_now(each)]
    if open_:
        return replace(report, open=len(open_))
    board = rank(collect.entries(store, snapshot, snapshot.active), snapshot.settings.objective)
    maker, alike = maker_of(store, snapshot.settings), 0
    if stage < len(rules.confirm):
        replicates, top = rules.confirm[stage].replicates, rules.confirm[stage].top
        of = {entry.trial.number: each for each in board.configurations for entry in each.entries}
        first = [of[number] for number in last.finalists if number in of]
        best = (_best_confirmed(board) if stage else first)[:top]
    else:
        best, replicates, alike = _to_run_again(board, last.budget_core_s - spent_core_s(snapshot))
        report = replace(report, alike=alike)
        if not best:
            if not dry_run:
                closing = Decided(by="race", race=RaceStep(closed=NOISE if alike else TOLD))
                commit(store, prepare(store, ledger, maker, Decision(closing)))
            return replace(report, finished=True)
    _, decision = confirming(store, snapshot, maker, best, replicates, dry_run=dry_run)
    if not dry_run:
        event = msgspec.structs.replace(decision.event, by="race", race=RaceStep())
        commit(store, prepare(store, ledger, maker, replace(decision, event=event)))
    numbers = tuple(trial.number for trial in decision.trials)
    return replace(
        report, stage=stage + 1, stages=max(stage + 1, report.stages), reserved_core_h=0.0, confirming=numbers
    )


def _best_confirmed(board: Board) -> list[Configuration]:
    """Return what is confirmed, the best first; with two objectives first what nothing beats in both (pure)."""
    from sweep.race.front import by_both

    confirmed, objective = [each for each in board.configurations if each.confirmed], board.objective
    if not objective.second:
        return confirmed
    sign, second_sign = (-1.0 if goal == "minimize" else 1.0 for goal in (objective.goal, objective.second_goal))
    means = [sign * each.mean for each in confirmed]
    seconds = [second_sign * each.mean_of(objective.second) for each in confirmed]
    values = by_both(np.array(means), np.array(seconds))
    return [confirmed[row] for row in np.argsort(-values, kind="stable")]


def _to_run_again(board: Board, left_s: float) -> tuple[list[Configuration], int, int]:
    """Say what runs again because nobody can tell which is best, as far as the budget pays for it (pure).

    Returns
    -------
    configurations : list of Configuration
        The first and those that may be the best as well, the best first; empty where nothing runs again.
    replicates : int
        Until each of them has so many fresh replicates.
    alike : int
        How many may be the best as well; 0 where it can be told.
    """
    finalists, alike = finalists_of(board)
    if not board.best or board.objective.second or not cannot_tell(finalists, alike):
        return [], 0, 0  # with two objectives there is no best one
    may_be_best = {board.best.configuration.number, *board.best.tied}
    best = [each for each in board.configurations if each.confirmed and each.number in may_be_best]
    had = max(sum(entry.confirms for entry in each.entries) for each in best)
    costs_s = [
        statistics.fmean(attempt_core_s(entry.verdict, entry.trial) for entry in each.counted) for each in best
    ]
    if not any(each.deviation > 0 for each in best):
        return [], 0, alike  # they score the same with every seed
    top, runs = further_runs(costs_s, had, left_s)
    return best[:top], had + runs, alike
