"""Wall time by phase."""

from __future__ import annotations

import time


class Clock:
    """Adds up the seconds of each phase. A phase may come again."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """End a phase: it took the time since the last lap."""
        now = time.monotonic()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 3)
        self._last = now

    def add(self, earlier: dict[str, float]) -> None:
        """Add the seconds of earlier runs of the same training."""
        for name, seconds in earlier.items():
            self.laps[name] = round(self.laps.get(name, 0.0) + seconds, 3)
