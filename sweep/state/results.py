"""A trial's result: its metrics, and whether it counts (pure)."""

from __future__ import annotations

import math
from typing import Any

from sweep.model import Objective, ResultProblem
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
