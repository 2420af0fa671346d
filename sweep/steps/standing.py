"""standing: what a race has to go by, out of a snapshot and the results. What it read once is in its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from sweep.model import Objective, State, Trial, Verdict
from sweep.state.evidence import PartialResult
from sweep.state.ledger import Ledger
from sweep.state.racing import Judged
from sweep.state.results import metric_of, number
from sweep.state.settings import RaceRules
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.steps.partial import partial_results
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.race.standing import Standing

#: A trial in one of these states goes no further by itself, and its race may judge it. One that is held has to
#: have run.
JUDGED = (State.DONE, State.HELD, State.FAILED, State.CANCELLED, State.LOST, State.GONE)

#: What a training may take where the grid leaves its walltime to the site: a day.
UNASKED_S = 86400


class Oddity(StrEnum):
    """What a trial of a race did otherwise than asked."""

    RAN_ON = "ran on"
    STOPPED_SHORT = "stopped short"


@dataclass(frozen=True)
class Racing:
    """The trials of a race, and how far they are.

    Attributes
    ----------
    statuses : list of TrialStatus
        Those that it decides on, in the plan's order: one for each configuration.
    judged : list of Judged
        Those of them that have come further since the last decision.
    standing : Standing
        One row for each of the statuses.
    open : int
        Trials of the newest wave that have not ended.
    odd : dict
        What trials did otherwise than asked → those of the newly judged that did.
    """

    statuses: list[TrialStatus]
    judged: list[Judged]
    standing: Standing
    open: int
    odd: dict[Oddity, list[int]]


def contestants(snapshot: Snapshot) -> list[TrialStatus]:
    """Return the trials that a race decides on, in the plan's order: one for each configuration."""
    confirming = snapshot.ledger.confirming
    return [
        status
        for status in snapshot.active
        if status.trial.replicate == 0 and status.trial.number not in confirming
    ]


def phase_rows(snapshot: Snapshot, rules: RaceRules, statuses: Sequence[TrialStatus]) -> NDArray[np.intp]:
    """Return which of a race's trials its phase of now is among; all of them where it has no phases."""
    if not rules.phases:
        return np.arange(len(statuses))
    from sweep.race.phases import in_phase

    ended = snapshot.ledger.race.phases
    by_number = {status.trial.number: status.trial.params for status in statuses}
    # The plan forgets the phases where it has other trials: a winner is always one of these.
    winner = by_number[ended[-1].phase_winner or 0] if ended else None
    return in_phase([status.trial.params for status in statuses], rules, len(ended), winner)


def racing(store: Store, snapshot: Snapshot, rules: RaceRules) -> Racing:
    """Judge how far each trial of a race has come."""
    ledger, objective = snapshot.ledger, snapshot.settings.objective
    race = ledger.race
    statuses = contestants(snapshot)
    new = [status for status in statuses if _is_news(status, race.judged.get(status.trial.number))]
    partials = partial_results(store, (status.trial for status in new), objective)
    earlier_s = spent_earlier(ledger, snapshot.trials)
    judged, odd = [], dict[Oddity, list[int]]()
    for status in new:
        number, verdict = status.trial.number, status.verdict
        partial = partials.get(number)
        core_s = earlier_s[number] + attempt_core_s(verdict, status.trial)
        fresh = judge(number, status.attempt, verdict.state, partial, core_s, rules)
        if objective.second and verdict.state is State.DONE:
            fresh = msgspec.structs.replace(fresh, second=_second(store, status, core_s, objective))
        before = race.judged.get(number)
        if fresh.ended and not fresh.scores and before:  # it failed further on
            fresh = Judged(number, status.attempt, core_s, ended=True, scores=before.scores)
        judged.append(fresh)
        if kind := _oddity(verdict.state, partial, ledger.until_of(number)):
            odd.setdefault(kind, []).append(number)
    everything = {**race.judged, **{each.number: each for each in judged}}
    moves = race.last.moves if race.last else ()
    wave = {move.number for move in moves}
    standing = _standing(statuses, everything, ledger, rules, -1.0 if objective.minimize else 1.0)
    if objective.second:
        sign = -1.0 if objective.second_goal == "minimize" else 1.0
        seconds = {number: each.second for number, each in everything.items() if each.second is not None}
        standing.second = np.array([sign * seconds.get(status.trial.number, np.nan) for status in statuses])
    own = {status.trial.number for status in statuses}
    standing.others_core_s = sum(
        earlier_s[status.trial.number] + attempt_core_s(status.verdict, status.trial)
        for status in snapshot.trials
        if status.trial.number not in own
    )
    return Racing(
        statuses,
        judged,
        standing,
        sum(status.trial.number in wave and not is_over_for_now(status) for status in statuses),
        odd,
    )


def _second(store: Store, status: TrialStatus, core_s: float, objective: Objective) -> float | None:
    """Return the second objective of a trial that was trained whole; what it took is that of all its attempts."""
    verdict, name = status.verdict, objective.second
    elapsed_s = core_s / status.trial.resources.cores
    if name == "elapsed_s":
        return elapsed_s
    if name == "cpu_s":
        # Earlier attempts used the CPUs as the last one did.
        times = elapsed_s / verdict.elapsed_s if verdict.elapsed_s else 1.0
        return None if verdict.cpu_s is None else verdict.cpu_s * times
    if name == "peak_memory_mib":
        return verdict.peak_memory_mib
    result = store.result(status.trial, objective.file).value
    return number(metric_of(result, name)) if isinstance(result, dict) else None


def is_over_for_now(status: TrialStatus) -> bool:
    """Whether a trial goes no further by itself."""
    return status.verdict.state in JUDGED and (status.verdict.state is not State.HELD or status.has_run)


def _is_news(status: TrialStatus, before: Judged | None) -> bool:
    return is_over_for_now(status) and (before is None or before.attempt < status.attempt)


def judge(
    number: int, attempt: int, state: State, partial: PartialResult | None, core_s: float, rules: RaceRules
) -> Judged:
    """Say how far a trial has come, by its result (pure).

    A trial that is done has passed all rungs, whatever it was asked. Its score at the last one is the result's
    own; those before come from its history, as far as there is one.
    """
    if state not in (State.DONE, State.HELD):
        return Judged(number, attempt, core_s, ended=True)
    history = partial.scores if partial else ()
    whole = state is State.DONE
    reached = len(rules.rungs) if whole else sum(rung <= len(history) for rung in rules.rungs[:-1])
    scores = [history[rung - 1] if rung <= len(history) else None for rung in rules.rungs[:reached]]
    if scores and partial and (whole or scores[-1] is None):
        scores[-1] = partial.score
    return Judged(number, attempt, core_s, ended=whole, scores=tuple(scores))


def _oddity(state: State, partial: PartialResult | None, until: int) -> Oddity | None:
    if not until:
        return None
    if state is State.DONE:
        return Oddity.RAN_ON
    short = state is State.HELD and len(partial.scores if partial else ()) < until
    return Oddity.STOPPED_SHORT if short else None


def _standing(
    statuses: Sequence[TrialStatus], judged: Mapping[int, Judged], ledger: Ledger, rules: RaceRules, sign: float
) -> Standing:
    from sweep.race.standing import Standing  # sweeps without a race do without it

    rungs = len(rules.rungs)
    standing = Standing.blank(len(statuses), rungs)
    for row, status in enumerate(statuses):
        number, asked = status.trial.number, status.trial.resources
        standing.asked_core_s[row] = (asked.walltime_s or UNASKED_S) * asked.cores
        if known := judged.get(number):
            scores = [np.nan if score is None else sign * score for score in known.scores[:rungs]]
            standing.scores[row, : len(scores)] = scores
            standing.reached[row] = standing.target[row] = len(scores)
            standing.core_s[row], standing.starts[row] = known.core_s, known.attempt
            standing.ended[row] = known.ended
            if known.ended:
                standing.target[row] = rungs  # where it failed, it is not begun again
        if status.verdict.state not in JUDGED and (number in ledger.race.moves or status.sent):
            move = ledger.race.moves.get(number)
            standing.target[row] = _passed(move[0].until, rules) if move else rungs
            standing.ended[row] = False
    return standing


def _passed(until: int, rules: RaceRules) -> int:
    """Return how many rungs a trial passes that runs so far, by the rungs of today; at least the one it is on."""
    return max(1, sum(rung <= until for rung in rules.rungs)) if until else len(rules.rungs)


def spent_core_s(snapshot: Snapshot) -> float:
    """Add up what all attempts of all trials took, in core-seconds."""
    last_s = sum(attempt_core_s(status.verdict, status.trial) for status in snapshot.trials)
    return last_s + sum(spent_earlier(snapshot.ledger, snapshot.trials).values())


def spent_earlier(ledger: Ledger, statuses: Sequence[TrialStatus]) -> dict[int, float]:
    """Map each trial to what its attempts before the last took, in core-seconds; 0 where there was none."""
    cores = {status.trial.number: status.trial.resources.cores for status in statuses}
    spent = dict.fromkeys(cores, 0.0)
    for attempt in ledger.earlier:
        if attempt.number in spent:
            spent[attempt.number] += (attempt.verdict.elapsed_s or 0.0) * cores[attempt.number]
    return spent


def attempt_core_s(verdict: Verdict, trial: Trial) -> float:
    """Return what a trial's last attempt took, in core-seconds."""
    return (verdict.elapsed_s or 0.0) * trial.resources.cores
