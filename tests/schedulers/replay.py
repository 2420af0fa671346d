"""Run a scheduler's `Talk` with canned replies, and return the calls it made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sweep.schedulers.base import Call, Reply, Talk

T = TypeVar("T")


def reply(capture: tuple[str, str, int]) -> Reply:
    """Make a reply of a capture: (stdout, stderr, exit code)."""
    stdout, stderr, exit_code = capture
    return Reply(exit_code, stdout, stderr)


def replay(talk: Talk[T], replies: Sequence[Reply]) -> tuple[T, list[Call]]:
    """Answer each call with the next reply. All must be used. Returns (the talk's result, its calls)."""
    calls: list[Call] = []
    remaining = list(replies)
    try:
        call = next(talk)
        while True:
            calls.append(call)
            assert remaining, f"there is no reply left for {call.argv}"
            call = talk.send(remaining.pop(0))
    except StopIteration as stop:
        assert not remaining, f"{len(remaining)} replies were not asked for"
        result: T = stop.value
        return result, calls
