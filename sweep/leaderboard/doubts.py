"""What keeps the winner from being certain, in words, and what to do about it (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.errors import nearest
from sweep.leaderboard.entries import Entry, measure
from sweep.leaderboard.ranking import Board, Configuration
from sweep.model import Cause, Objective, State
from sweep.state.results import gone_words

#: The largest number of existing metrics that are named where no result has the grid's metric.
MAX_METRICS = 12

#: The number in results that sees false positives, and the share of the highest one that is much less.
F1, MUCH_LESS = "f1", 0.75

#: The largest number of better scores that are named where results are gone.
MAX_BETTER = 8


def of_winner(board: Board, confirming: int, ended: int) -> list[str]:
    """Say what is uncertain about the winner, or what may still change it.

    Parameters
    ----------
    confirming, ended : int
        The number of the grid's confirming trials, and how many of these have ended.
    """
    doubts, best = of_requirements(board), board.best
    if ended < confirming:
        doubts.append(f"{confirming - ended} of {confirming} confirming trials have not ended yet")
    failed = sum(entry.confirms and entry.verdict.state is State.FAILED for entry in board.entries)
    if failed:
        doubts.append(
            f"{failed} of {confirming} confirming trials failed: `sweep retry --errors` tries them again"
        )
    if best is None:
        return doubts
    if best.optimism is None and confirming > ended:
        return doubts  # what settles it is under way
    if best.optimism is None:
        doubts.append(
            f"one run each: by how much the best of {best.compared:,} scores is too good cannot be known; "
            "`sweep confirm --top 5 --replicates 5` settles it"
        )
    elif len(best.configuration.scores) == 2:
        doubts.append("two runs make a wide interval, or one that is narrow by chance: five tell more")
    elif best.configuration.deviation == 0:
        doubts.append("its replicates score exactly alike: does the command use {{ seed }}, or SWEEP_SEED?")
    if count := best.better_unconfirmed:
        subject = "1 that was not confirmed" if count == 1 else f"{count:,} that were not confirmed"
        doubts.append(
            f"{subject} scored better, and no confirming run has tested that: "
            f"`sweep confirm --top {best.top_to_confirm}` does"
        )
    return doubts


def of_requirements(board: Board) -> list[str]:
    """Say what is ranked below for what it fails, and whether anything meets what is required."""
    scored = board.scored
    failing = [each for each in scored if each.fails]
    if not failing:
        return []
    required = " and ".join(board.objective.require)
    first = f"trial {failing[0].number}: {failing[0].fails}"
    if len(failing) == len(scored):
        return [f"no configuration meets what the objective requires, {required} ({first})"]
    subject = "1 configuration is" if len(failing) == 1 else f"{len(failing):,} configurations are"
    return [f"{subject} ranked below the others for failing {required} ({first})"]


def of_false_positives(board: Board) -> list[str]:
    """Say that the winner finds much less well than another one, by the F1 of the results, where they have it.

    SEG does not see objects that are found and are not there; F1 does.
    """
    best = board.best
    if best is None or board.objective.metric.lower().endswith(F1):
        return []
    own = _mean_f1(best.configuration)
    if own is None:
        return []
    values = {each.number: f1 for each in board.scored if (f1 := _mean_f1(each)) is not None}
    other, most = max(values.items(), key=lambda item: item[1])
    if own >= MUCH_LESS * most:
        return []
    between = (own + most) / 2  # rounded, too, it lies between them
    return [
        f"the best has an {F1} of {own:.3g}, and trial {other} of {most:.3g}: it may find much that is not there; "
        f'objective: {{require: ["{F1} > {between:.2g}"]}} ranks such ones below'
    ]


def _mean_f1(configuration: Configuration) -> float | None:
    known = [f1 for entry in configuration.counted if (f1 := measure(entry, F1)) is not None]
    return sum(known) / len(known) if known else None


def of_gone_results(
    board: Board, gone: Sequence[Entry], kept: Mapping[int, dict[str, Any]], noted: Collection[int]
) -> list[str]:
    """Say which results are gone, and whether the best may be among them.

    Parameters
    ----------
    gone : sequence of Entry
        The trials whose results are gone.
    kept : mapping
        Trial number → what was kept of its result.
    noted : collection of int
        The trials of which the look at the sweep has said it already.
    """
    if not gone:
        return []
    numbers = [entry.trial.number for entry in gone]
    doubts = [] if set(noted).issuperset(numbers) else [gone_words(numbers)]
    best, sign = board.best, -1 if board.objective.minimize else 1
    had = {
        entry.trial.number: measure(
            replace(entry, result=kept.get(entry.trial.number, {})), board.objective.metric
        )
        for entry in gone
    }
    better = [
        f"trial {number} had {score:.4g}"
        for number, score in had.items()
        if score is not None and (best is None or sign * score > sign * best.score)
    ]
    if better:
        doubts.append(f"better ones are among those whose results are gone: {', '.join(better[:MAX_BETTER])}")
    elif len(kept) < len(gone):
        doubts.append("the best may be among those whose results are gone: nobody kept their scores")
    return doubts


def of_rules(board: Board) -> list[str]:
    """Say how many trials were ended early by a rule: nobody knows what they would have come to."""
    count = len([entry for entry in board.entries if entry.verdict.cause is Cause.RULE])
    if not count:
        return []
    some = "1 trial was" if count == 1 else f"{count:,} trials were"
    return [f"{some} ended early by a rule of `stop`: without a score, and not ranked"]


def of_metric(objective: Objective, existing: Iterable[str]) -> list[str]:
    """Say that results are there, but not with the metric: name what they have, and the nearest.

    Parameters
    ----------
    existing : iterable of str
        The names of the numbers in results that were found to be without the metric.
    """
    names = [*dict.fromkeys(existing)]
    if not names or objective.metric in names:
        return []
    listed = ", ".join(names[:MAX_METRICS])
    return [f"results have no {objective.metric!r}, but {listed}; {nearest(objective.metric, names)}"]
