"""One trial with what came of it, and the numbers that can be read off it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.model import Objective, State, Trial, Verdict, canonical
from sweep.state.verdict import finite, metric_of

#: Of one result, so many numbers become columns; a program may write a number for each of its weights.
MOST_NUMBERS = 200

#: A larger number is no measure: variances would overflow.
LARGEST = 1e150

#: So deep is looked for numbers in a result.
DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial with what came of it.

    Attributes
    ----------
    confirms : bool
        It was added to confirm its configuration, after that had been chosen by the metric that ranks.
    """

    trial: Trial
    verdict: Verdict
    result: dict[str, Any] = field(default_factory=dict)
    confirms: bool = False


def number(value: Any) -> float | None:
    """Take a value as a measure: None unless it is a finite number whose square is one, too.

    >>> number(3), number(True), number("0.9"), number(float("nan")), number(10**400), number(1e200)
    (3.0, None, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not finite(value):
        return None
    return float(value) if abs(value) <= LARGEST else None


def score_of(entry: Entry, objective: Objective) -> float | None:
    """Return a trial's score; None unless it is done and the score is a finite number."""
    return measure(entry, objective.metric) if entry.verdict.state is State.DONE else None


def test_score_of(entry: Entry, objective: Objective) -> float | None:
    """Return the score on images that no choice has seen, where the result has one: ``test.METRIC``."""
    return measure(entry, f"test.{objective.metric}") if entry.verdict.state is State.DONE else None


def measure(entry: Entry, name: str) -> float | None:
    """Look a number of the result up; ``test.segMeasure`` reaches into an object."""
    return number(metric_of(entry.result, name))


def numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Flatten the numbers of a result, ``{"test": {"f1": 0.9}}`` to ``{"test.f1": 0.9}``; lists are left out.

    >>> numbers({"a": 1, "test": {"f1": 0.5, "name": "x"}, "history": [1, 2], "ok": True})
    {'a': 1.0, 'test.f1': 0.5}
    """
    found: dict[str, float] = {}
    for name, value in _leaves(result, "", DEEPEST):
        if len(found) == MOST_NUMBERS:
            break
        found[name] = value
    return found


def _leaves(result: Mapping[str, Any], prefix: str, deep: int) -> Iterator[tuple[str, float]]:
    for name, value in result.items():
        if isinstance(value, dict):
            if deep > 1:
                yield from _leaves(value, f"{prefix}{name}.", deep - 1)
        elif (taken := number(value)) is not None:
            yield f"{prefix}{name}", taken


_SORTED = json.JSONEncoder(sort_keys=True)


def key_of(params: Mapping[str, Any]) -> str:
    """Name a configuration: replicates share it, and 1 and 1.0 are one value, as for a trial's id.

    >>> key_of({"x": 1, "y": "1"}) == key_of({"y": "1", "x": 1.0})
    True
    """
    return _SORTED.encode({name: canonical(value) for name, value in params.items()})


def plain(value: Any) -> Any:
    """Make a parameter's value fit a cell: lists and objects as their JSON, half characters spelled out."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return json.dumps(value) if isinstance(value, list | dict) else value
