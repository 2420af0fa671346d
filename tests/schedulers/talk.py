"""Hold a talk with canned replies, and see what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sweep.schedulers.base import Call, Reply, Talk

T = TypeVar("T")


def reply(capture: tuple[str, str, int]) -> Reply:
    """Make a reply of a capture: (stdout, stderr, exit code)."""
    out, err, code = capture
    return Reply(code, out, err)


def hold(talk: Talk[T], replies: Sequence[Reply]) -> tuple[T, list[Call]]:
    """Answer each call with the next reply; all must be used. Returns (what was learned, the calls)."""
    calls: list[Call] = []
    left = list(replies)
    try:
        call = next(talk)
        while True:
            calls.append(call)
            assert left, f"one call more than there are replies: {call.argv}"
            call = talk.send(left.pop(0))
    except StopIteration as stop:
        assert not left, f"{len(left)} replies were not asked for"
        value: T = stop.value
        return value, calls
