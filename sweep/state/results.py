"""A trial's result: its metrics, and whether it counts (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from sweep.model import Cause, Objective, ResultProblem, State, Verdict
from sweep.state.evidence import ResultFault


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


def result_fault(result: Any, objective: Objective) -> ResultFault | None:
    """Say why a result does not count; None if it does.

    >>> result_fault({"segMeasure": 0.7}, Objective())
    >>> result_fault({"segMeasure": None}, Objective()).words
    'segMeasure is null in segMeasure.json'
    """
    problem = _problem(result, objective)
    if problem is None:
        return None
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
