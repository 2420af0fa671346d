"""Leaderboard entries made by hand."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from sweep.leaderboard.entries import Entry
from sweep.model import Resources, State, Trial, Verdict


class Make(Protocol):
    """Makes an entry."""

    def __call__(self, number: int, score: Any, **more: Any) -> Entry: ...


def entry(
    number: int,
    score: Any,
    *,
    state: State = State.DONE,
    cpu_s: float | None = 10.0,
    elapsed_s: float | None = 10.0,
    replicate: int = 0,
    confirms: bool = False,
    seed: int = 0,
    test: float | None = None,
    **params: Any,
) -> Entry:
    """Make an entry. Further keywords are its parameters."""
    trial = Trial(number, f"{number:016x}", params, replicate, seed, Resources(60, 100, 2), ("p",))
    result = {"score": score} | ({"test": {"score": test}} if test is not None else {})
    return Entry(trial, Verdict(state, "why", elapsed_s, cpu_s, 512.0), result, confirms)


@pytest.fixture
def make() -> Make:
    """Return the function that makes entries."""
    return entry
