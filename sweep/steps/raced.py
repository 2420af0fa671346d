"""raced: where a race is and what it has come to, for those who look."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.model import ENDED, State
from sweep.state.ledger import Ledger
from sweep.state.racing import Race, RungLoss
from sweep.state.settings import RaceRules
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.steps.standing import contestants, phase_rows, spent_core_s

if TYPE_CHECKING:
    from sweep.leaderboard.ranking import Board
    from sweep.race.agreement import Agreement
    from sweep.race.audit import Audit


@dataclass(frozen=True)
class RaceProgress:
    """Where a race is.

    Attributes
    ----------
    wave : int
        The newest wave; 0: nothing was decided yet.
    over : str
        Why nothing more is begun: ``budget`` or ``all``.
    stage, stages : int
        Stages of the confirmation that were planned, and how many there are.
    phase, phases : int
        Which phase it is in, from 1, and how many there are; 0: it has none.
    configurations, begun, whole : int
        Of the grid; those that were begun; and those that were trained to the end.
    parked : dict
        Rung, in entries of the history → how many have stopped there.
    spent_core_h, budget_core_h, grid_core_h : float
        What all attempts took so far, what they may, and what the whole grid would, as of the newest decision.
    """

    wave: int
    over: str
    stage: int
    stages: int
    configurations: int
    begun: int
    whole: int
    parked: dict[int, int]
    spent_core_h: float
    budget_core_h: float
    grid_core_h: float
    phase: int = 0
    phases: int = 0


@dataclass(frozen=True)
class TrialRace:
    """What a race did with one trial.

    Attributes
    ----------
    wave : int
        The newest that it was in.
    how : str
        Why: a value of `sweep.race.standing.How`.
    until : int
        How far it was to go, in entries of its history; 0: to its end.
    forecast : float or None
        What was expected of it at the end.
    score : float or None
        What it had at the last rung that it reached, where it has stopped.
    cutoff : float or None
        What it would have needed there to go on.
    """

    wave: int
    how: str
    until: int
    forecast: float | None
    score: float | None
    cutoff: float | None


@dataclass(frozen=True)
class Phase:
    """A phase of a race.

    Attributes
    ----------
    names : tuple of str
        The parameters that it decides.
    winner : dict or None
        Their values in all later phases. None: it has not ended.
    trial : int or None
        The trial that has them.
    alike : int
        How many others may have been the best as well: of these the cheapest was taken.
    """

    names: tuple[str, ...]
    winner: dict[str, Any] | None = None
    trial: int | None = None
    alike: int = 0


@dataclass(frozen=True)
class RaceResult:
    """What a race has come to.

    Attributes
    ----------
    audit : Audit or None
        What may have been missed. None: nothing that chance chose has ended, or there is no winner yet.
    agreements : tuple of Agreement
        What each rung tells of the end; empty where chance has drawn too few to say.
    losses : tuple of RungLoss
        How many later winners the rungs have dropped; empty where too little was trained whole to say.
    passed : int
        How many rungs the newest decision passed by.
    finalists, alike : int
        How many configurations were confirmed, and how many of those behind the first may be the best as well.
    phases : tuple of Phase
        In order; empty: all parameters varied at once.
    among : int
        How many configurations the newest phase chose among, which chance drew from; without phases, all.
    further : int
        How often some of them were run again, because nobody could tell which is best.
    """

    progress: RaceProgress
    audit: Audit | None = None
    agreements: tuple[Agreement, ...] = ()
    losses: tuple[RungLoss, ...] = ()
    passed: int = 0
    finalists: int = 0
    alike: int = 0
    phases: tuple[Phase, ...] = ()
    among: int = 0
    further: int = 0

    @property
    def cannot_tell(self) -> bool:
        """Whether the noise is as large as the differences: half of the others, or more, may be the best."""
        from sweep.race.replicates import cannot_tell

        return cannot_tell(self.finalists, self.alike)


def race_progress(snapshot: Snapshot) -> RaceProgress | None:
    """Say where a race is; None where the grid has none."""
    rules, race = snapshot.settings.race, snapshot.ledger.race
    if rules is None:
        return None
    statuses, last = contestants(snapshot), race.last
    stopped = [status for status in statuses if status.verdict.state is State.HELD and status.has_run]
    rungs = Counter(_rung_of(snapshot.ledger, rules, status) for status in stopped)
    return RaceProgress(
        wave=last.wave if last else 0,
        over=last.over if last else "",
        stage=race.stage,
        stages=max(race.stage, len(rules.confirm)),
        configurations=len(statuses),
        begun=sum(status.trial.number in race.moves for status in statuses),
        whole=sum(status.verdict.state is State.DONE for status in statuses),
        parked=dict(sorted(rungs.items())),
        spent_core_h=spent_core_s(snapshot) / 3600,
        budget_core_h=last.budget_core_s / 3600 if last else 0.0,
        grid_core_h=last.grid_core_s / 3600 if last else 0.0,
        phase=len(race.phases) + 1 if rules.phases else 0,
        phases=len(rules.phases),
    )


def _rung_of(ledger: Ledger, rules: RaceRules, status: TrialStatus) -> int:
    """Return the rung where a trial has stopped, in entries of its history: as judged, or else as asked."""
    judged = ledger.race.judged.get(status.trial.number)
    if judged and judged.scores and judged.attempt >= status.attempt:
        return rules.rungs[len(judged.scores) - 1]
    return ledger.until_of(status.trial.number)


def trial_race(snapshot: Snapshot, number: int) -> TrialRace | None:
    """Say what a race did with a trial; None where it did nothing with it."""
    race = snapshot.ledger.race
    if number not in race.moves:
        return None
    move, wave = race.moves[number]
    judged = race.judged.get(number)
    stopped = bool(judged and judged.scores and not judged.ended)
    rung = len(judged.scores) - 1 if judged and stopped else -1
    in_earlier_phase = bool(race.phases) and wave <= race.same_order
    return TrialRace(
        wave,
        move.how,
        move.until,
        move.forecast,
        judged.scores[rung] if judged and stopped else None,
        race.last.cutoffs.get(rung) if race.last and stopped and not in_earlier_phase else None,
    )


def finalists_of(board: Board) -> tuple[int, int]:
    """Count the confirmed configurations, and those of them behind the first that may be the best as well."""
    finalists = sum(each.confirmed for each in board.configurations)
    return finalists, len(board.best.tied) if board.best and finalists else 0


def race_result(
    snapshot: Snapshot, scores: Mapping[int, float | None], winner: float | None, finalists: int, alike: int
) -> RaceResult | None:
    """Say what a race has come to; None where nothing was raced.

    Parameters
    ----------
    scores : mapping of int to float or None
        Trial number → its score; None: it has none.
    winner : float or None
        The winner's.
    finalists, alike : int
        How many were confirmed, and how many of those behind the first may be the best as well.
    """
    race, rules, progress = snapshot.ledger.race, snapshot.settings.race, race_progress(snapshot)
    if race.last is None or rules is None or progress is None:
        return None
    from sweep.race.agreement import agreements
    from sweep.race.audit import audit

    sign = -1.0 if snapshot.settings.objective.minimize else 1.0
    statuses = contestants(snapshot)
    among = [statuses[row] for row in phase_rows(snapshot, rules, statuses)]
    numbers = _drawn(race, among)
    drawn = [sign * score if (score := scores.get(number)) is not None else None for number in numbers]
    judged = [race.judged[number].scores for number in numbers if number in race.judged]
    rows = [
        [math.nan if score is None else sign * score for score in own]
        for own in judged
        if len(own) == len(rules.rungs)
    ]
    return RaceResult(
        progress,
        audit=audit(drawn, sign * winner) if drawn and winner is not None else None,
        agreements=agreements(rows, rules.rungs, rules.keep),
        losses=tuple(race.last.losses),
        passed=race.last.first_rung,
        finalists=finalists,
        alike=alike,
        phases=phases_of(snapshot, rules),
        among=len(among),
        further=max(0, race.stage - len(rules.confirm)),
    )


def phases_of(snapshot: Snapshot, rules: RaceRules) -> tuple[Phase, ...]:
    """Return the phases of a race, with what they have decided so far."""
    params = {status.trial.number: status.trial.params for status in snapshot.active}
    ended = dict(enumerate(snapshot.ledger.race.phases))
    return tuple(
        Phase(
            names,
            {name: params[step.phase_winner][name] for name in names},
            step.phase_winner,
            step.phase_alike,
        )
        if (step := ended.get(index)) and step.phase_winner is not None
        else Phase(names)
        for index, names in enumerate(rules.phases)
    )


def _drawn(race: Race, statuses: Sequence[TrialStatus]) -> list[int]:
    """Return the trials that chance chose and that have ended, uniformly drawn from all.

    The order is fixed by the seed and the number of trials. What was asked to run for the audit, and what comes
    before it in that order and had been run anyway, is the beginning of that order: chance alone chose it. With
    other trials, or another seed, there is another order, and what was asked by the one before counts no more.
    """
    import numpy as np

    from sweep.race.audit import chance_drawn
    from sweep.race.standing import How

    assert race.last is not None
    numbers = [status.trial.number for status in statuses]
    waves = race.waves[race.same_order :]
    audited = {move.number for wave in waves for move in wave.moves if move.how == How.AUDIT}
    ended = np.array([status.verdict.state in ENDED for status in statuses])
    asked = np.array([number in audited for number in numbers])
    drawn = [statuses[row] for row in chance_drawn(len(numbers), race.last.seed, ended, asked)]
    return [each.trial.number for each in drawn if each.verdict.state in (State.DONE, State.FAILED)]
