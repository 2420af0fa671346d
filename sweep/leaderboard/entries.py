"""A trial with its verdict and result, and the numbers in it (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.model import Objective, State, Trial, Verdict, canonical
from sweep.state.results import metric_of, number

#: The largest number of columns made of one result. A program may write a number for each of its weights.
MAX_NUMBERS = 200

#: How many levels of objects in a result are searched for numbers.
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial with its verdict and its result.

    Attributes
    ----------
    result : dict
        The result that the trial wrote; empty if there is none.
    confirms : bool
        Whether `sweep confirm` added the trial, after its configuration had been chosen by its scores.
    """

    trial: Trial
    verdict: Verdict
    result: dict[str, Any] = field(default_factory=dict)
    confirms: bool = False


def score_of(entry: Entry, objective: Objective) -> float | None:
    """Return a trial's score. None unless the trial is done and its score is a finite number."""
    return measure(entry, objective.metric) if entry.verdict.state is State.DONE else None


def test_score_of(entry: Entry, objective: Objective) -> float | None:
    """Return ``test.METRIC``, the score on images that no choice has seen. None where the result has none."""
    return measure(entry, f"test.{objective.metric}") if entry.verdict.state is State.DONE else None


def measure(entry: Entry, name: str) -> float | None:
    """Return a number of the result by its name. ``test.segMeasure`` reaches into an object."""
    return number(metric_of(entry.result, name))


#: What a trial took: names of the verdict's numbers.
TOOK = ("elapsed_s", "cpu_s", "peak_memory_mib")


def measured(entry: Entry, name: str) -> float | None:
    """Return what a trial took, or else a number of its result, by its name."""
    return number(getattr(entry.verdict, name)) if name in TOOK else measure(entry, name)


def numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Flatten the numbers of a result: ``{"test": {"f1": 0.9}}`` to ``{"test.f1": 0.9}``. Lists are left out.

    >>> numbers({"a": 1, "test": {"f1": 0.5, "name": "x"}, "history": [1, 2], "ok": True})
    {'a': 1.0, 'test.f1': 0.5}
    """
    flat: dict[str, float] = {}
    for name, value in _leaves(result, "", MAX_DEPTH):
        if len(flat) == MAX_NUMBERS:
            break
        flat[name] = value
    return flat


def _leaves(result: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, float]]:
    for name, value in result.items():
        if isinstance(value, dict):
            if depth > 1:
                yield from _leaves(value, f"{prefix}{name}.", depth - 1)
        elif (leaf := number(value)) is not None:
            yield f"{prefix}{name}", leaf


_SORTED = json.JSONEncoder(sort_keys=True)


def key_of(params: Mapping[str, Any]) -> str:
    """Return the key of a configuration. Its replicates share it; 1 and 1.0 are one value, as for a trial's id.

    >>> key_of({"x": 1, "y": "1"}) == key_of({"y": "1", "x": 1.0})
    True
    """
    return _SORTED.encode({name: canonical(value) for name, value in params.items()})


def plain(value: Any) -> Any:
    """Return a parameter's value as a table's cell holds it.

    Lists and objects become JSON. Lone surrogates, which no file can hold, become escapes.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return json.dumps(value) if isinstance(value, list | dict) else value
