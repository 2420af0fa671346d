"""A trial's result: its metrics, and whether it counts (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from sweep.model import Cause, Objective, ResultProblem, State, Verdict
from sweep.state.evidence import PartialResult, ReadResult, ResultFault

#: A larger number is no measure: variances would overflow.
MAX_VALUE = 1e150


def metric_of(result: dict[str, Any], metric: str) -> Any:
    """Look a metric up; ``test.segMeasure`` reaches into an object. None if it is not there."""
    if metric in result:
        return result[metric]
    value: Any = result
    for step in metric.split("."):
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value


def number(value: Any) -> float | None:
    """Return a value as a float. None unless it is a finite number whose square is finite as well.

    >>> number(3), number(True), number("0.9"), number(float("nan")), number(10**400), number(1e200)
    (3.0, None, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not finite(value):
        return None
    return float(value) if abs(value) <= MAX_VALUE else None


def history_of(result: Any, metric: str) -> list[dict[str, Any]]:
    """Return the entries of a result's ``history``, one an epoch. Empty where it has none, or something else.

    A plain number is the metric's value. What is neither an object nor a number is left out.

    >>> history_of({"history": [0.5, {"score": 0.7, "loss": 2}, "odd"]}, "score")
    [{'score': 0.5}, {'score': 0.7, 'loss': 2}]
    >>> history_of({"history": 7}, "score"), history_of([1, 2], "score")
    ([], [])
    """
    entries = result.get("history") if isinstance(result, dict) else None
    records: list[dict[str, Any]] = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            records.append(entry)
        elif number(entry) is not None:
            records.append({metric: entry})
    return records


def partial_result(read: ReadResult, written_at: float | None, objective: Objective) -> PartialResult | None:
    """Return how far a trial has come, by what was read of its result file. None: it has written none.

    A program that went on may have written an epoch again: of entries with the same ``epoch`` the last counts.

    >>> history = [{"epoch": 1, "f1": 0.5}, {"epoch": 2, "f1": 0.6}, {"epoch": 2, "f1": 0.7}]
    >>> partial = partial_result(ReadResult({"history": history, "f1": 0.7}), 60.0, Objective("f1"))
    >>> partial.epochs, partial.scores, partial.score
    ((1, 2), (0.5, 0.7), 0.7)
    """
    if read.fault and read.fault.problem is ResultProblem.MISSING:
        return None
    fault = read.fault
    if not fault and not isinstance(read.value, dict):
        fault = _fault(ResultProblem.NOT_AN_OBJECT, read.value, objective)
    if fault or not isinstance(read.value, dict):
        return PartialResult(written_at=written_at, fault=fault)
    history = history_of(read.value, objective.metric)
    metric, scores = _scores(history, objective.metric)
    by_epoch = dict(sorted(zip(_epoch_numbers(history), scores, strict=True), key=lambda item: item[0]))
    own_score = number(metric_of(read.value, objective.metric))
    return PartialResult(metric, tuple(by_epoch), tuple(by_epoch.values()), own_score, written_at)


def _scores(history: Sequence[dict[str, Any]], metric: str) -> tuple[str, list[float | None]]:
    """Return the score of each epoch, and its name: a history has ``score`` where a result has ``test.score``."""
    for name in (metric, metric.rpartition(".")[2]):
        scores = [number(metric_of(epoch, name)) for epoch in history]
        if any(score is not None for score in scores):
            return name, scores
    return metric, [None] * len(history)


def _epoch_numbers(history: Sequence[dict[str, Any]]) -> list[int]:
    numbers = [epoch.get("epoch") for epoch in history]
    known = [each for each in numbers if isinstance(each, int) and not isinstance(each, bool)]
    return known if len(known) == len(history) else [*range(1, len(history) + 1)]


def result_fault(result: Any, objective: Objective) -> ResultFault | None:
    """Say why a result does not count; None if it does.

    >>> result_fault({"segMeasure": 0.7}, Objective())
    >>> result_fault({"segMeasure": None}, Objective()).words
    'segMeasure is null in segMeasure.json'
    """
    problem = _problem(result, objective)
    return None if problem is None else _fault(problem, result, objective)


def _fault(problem: ResultProblem, result: Any, objective: Objective) -> ResultFault:
    # A result may hold what is no text at all, half a character for instance. What is said of it is text.
    return ResultFault(problem, _words(problem, result, objective).encode("utf-8", "backslashreplace").decode())


def without_result(verdict: Verdict, what: str) -> Verdict:
    """Return what is so of a trial that was done and whose result is gone. What it used stays as it was.

    Parameters
    ----------
    what : str
        What is not there.
    """
    reason = f"was done ({verdict.reason}), and {what} is not there any more"
    return msgspec.structs.replace(verdict, state=State.GONE, cause=Cause.GONE, reason=reason)


def gone_words(numbers: Sequence[int]) -> str:
    """Say which trials' results are gone, and what to do.

    >>> gone_words([4])
    'trial 4 was done, and its result is not there any more: `sweep retry --gone` runs it again'
    """
    some = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
    if len(numbers) == 1:
        return f"trial {some} was done, and its result is not there any more: `sweep retry --gone` runs it again"
    words = f"{len(numbers)} trials were done, and their results are not there any more ({some})"
    return f"{words}: `sweep retry --gone` runs them again"


def _problem(result: Any, objective: Objective) -> ResultProblem | None:
    if not isinstance(result, dict):
        return ResultProblem.NOT_AN_OBJECT
    if result.get("complete") is False:
        return ResultProblem.INCOMPLETE
    value = metric_of(result, objective.metric)
    if value is None:
        return ResultProblem.NULL_METRIC if objective.metric in result else ResultProblem.NO_METRIC
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ResultProblem.NOT_A_NUMBER
    return None if finite(value) else ResultProblem.NOT_FINITE


def _words(problem: ResultProblem, result: Any, objective: Objective) -> str:
    file, metric = objective.file, objective.metric
    if problem is ResultProblem.NOT_AN_OBJECT:
        return f"{file} holds a {type(result).__name__}, not an object"
    if problem is ResultProblem.INCOMPLETE:
        return f"{file} says it is not complete"
    if problem is ResultProblem.NULL_METRIC:
        return f"{metric} is null in {file}"
    if problem is ResultProblem.NO_METRIC:
        names = ", ".join(sorted(result)[:8])
        return f"{file} has no {metric} (it has: {names or 'nothing'})"
    value = metric_of(result, metric)
    if problem is ResultProblem.NOT_A_NUMBER:
        return f"{metric} is {str(value)[:40]!r} in {file}, not a number"
    return f"{metric} is {str(value)[:40]} in {file}"


def finite(value: float) -> bool:
    """Whether a number can be ranked by: not NaN, not infinite, not larger than any float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
