"""The time, and letting it pass. One clock goes wherever the store and the shell go; a test may hold its own."""

from __future__ import annotations

import time


class Clock:
    """The system's clock."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def elapsed_s(self) -> float:
        """Return the seconds since some moment, evenly, also where a person or a time server sets the clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)


#: The clock of whoever is given no other.
SYSTEM = Clock()
