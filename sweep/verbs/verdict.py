"""verdict: whether one configuration is better than another, or one sweep's best than another's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.errors import NoSuch, UsageError
from sweep.shell import Shell
from sweep.steps.observe import pick
from sweep.store import Store
from sweep.verbs.compare import check_objectives
from sweep.verbs.report import LeaderboardReport, report

if TYPE_CHECKING:
    from sweep.leaderboard.difference import Answer, Side


@dataclass(frozen=True)
class Judged:
    """One of the two that are compared.

    Attributes
    ----------
    trial : int
        The trial that stands for the configuration.
    score : float
        The mean of the scores that count.
    expected : float
        What new runs score on average: high scores of a sweep are too good on average, and low ones too bad.
    runs : int
        How many scores count.
    """

    sweep: str
    trial: int
    parameters: dict[str, Any]
    score: float
    expected: float
    runs: int


@dataclass(frozen=True)
class VerdictReport:
    """Whether the candidate is better than the base.

    Attributes
    ----------
    answer : Answer
        ``better``, ``not better`` or ``cannot be told``.
    difference : float
        Candidate − base, in the metric's units, of what new runs score on average.
    interval : (float, float) or None
        Its 95 % interval; None where nothing says how large the noise is.
    shared_seeds : int
        How many seeds were compared in pairs; 0: these are other seeds.
    further_runs : int or None
        About how many further runs of each would tell. None: no feasible number.
    at_least : float
        By how much it had to be better.
    """

    metric: str
    goal: str
    answer: Answer
    base: Judged
    candidate: Judged
    difference: float
    interval: tuple[float, float] | None
    shared_seeds: int
    further_runs: int | None
    at_least: float
    notes: tuple[str, ...]


def verdict(
    base: str, candidate: str, open_store: Callable[[str | None], Store], shell: Shell, *, at_least: float = 0.0,
    sweep: str | None = None,
) -> VerdictReport:  # fmt: skip
    """Judge whether a candidate is better than a base.

    Parameters
    ----------
    base, candidate : str
        A trial of the sweep, by number or id, for its configuration; or a sweep, for its best.
    open_store : callable
        Opens a sweep by its name or folder; of None, the last planned.
    at_least : float
        By how much it has to be better, in the metric's units.
    sweep : str, optional
        The sweep whose trials are meant; else the last planned.

    Raises
    ------
    UsageError
        One of them has no score, both are the same, or they are ranked by different metrics.
    """
    from sweep.leaderboard.difference import judge
    from sweep.leaderboard.origins import codes_of

    reports: dict[str, LeaderboardReport] = {}
    sides = [_side(name, sweep, open_store, shell, reports) for name in (base, candidate)]
    (base_report, ours), (candidate_report, theirs) = sides
    check_objectives(base_report, candidate_report)
    if ours.configuration is theirs.configuration:
        raise UsageError(f"{base!r} and {candidate!r} are one configuration", "name two")
    judged = judge(ours, theirs, at_least)
    return VerdictReport(
        base_report.objective.metric,
        base_report.objective.goal,
        judged.answer,
        _judged(base_report, ours),
        _judged(candidate_report, theirs),
        judged.difference,
        None if math.isnan(judged.low) else (judged.low, judged.high),
        judged.shared_seeds,
        judged.further_runs,
        at_least,
        (
            *dict.fromkeys(note for each in reports.values() for note in each.notes),
            *codes_of([*ours.configuration.counted, *theirs.configuration.counted]).words,
        ),
    )


def _side(
    name: str,
    sweep: str | None,
    open_store: Callable[[str | None], Store],
    shell: Shell,
    reports: dict[str, LeaderboardReport],
) -> tuple[LeaderboardReport, Side]:
    from sweep.leaderboard.difference import Side

    number = None
    store = open_store(sweep) if sweep is not None else None
    try:
        store = store or open_store(None)
        number = pick(store.trials(), name).number
    except NoSuch as no_trial:
        try:
            store = open_store(name)
        except NoSuch:
            raise NoSuch(f"{name!r} is neither a sweep nor a trial: {no_trial}", no_trial.hint) from None
    key = str(store.path)
    if key not in reports:
        reports[key] = report(store, shell, write=False)
    ranked = reports[key]
    board = ranked.analysis.board
    if number is None:
        configuration = board.best.configuration if board.best else None
        what = f"no trial of {store.name!r} has a"
    else:
        of_trial = (each for each in board.configurations if number in {e.trial.number for e in each.entries})
        configuration = next(of_trial, None)
        what = f"trial {number} of {store.name!r} and its replicates have no"
    if configuration is None or not configuration.scores:
        raise UsageError(
            f"{what} {ranked.objective.metric}: there is nothing to judge",
            "`sweep status` shows what runs; `sweep why TRIAL` why one failed",
        )
    return ranked, Side(board, configuration)


def _judged(ranked: LeaderboardReport, side: Side) -> Judged:
    configuration = side.configuration
    return Judged(
        ranked.name,
        configuration.number,
        configuration.entry.trial.params,
        configuration.mean,
        side.expected,
        len(configuration.scores),
    )
