"""A clock that waits for nothing: who sleeps sets it on."""

from __future__ import annotations

from sweep.clock import Clock


class FakeClock(Clock):
    """It begins at an hour of 2026.

    Attributes
    ----------
    naps : list of float
        How long each sleep was, in seconds.
    """

    def __init__(self) -> None:
        self.at, self.naps = 1_790_000_000.0, list[float]()

    def now(self) -> float:
        return self.at

    def elapsed_s(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.naps.append(seconds)
