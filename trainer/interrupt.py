"""SIGTERM: the scheduler's warning before it kills."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """SIGTERM came; what there is to save has been saved."""


class Sigterm:
    """Turns SIGTERM into `Interrupted`: at once, or where the training can be left between two steps."""

    def __init__(self) -> None:
        self.came = False
        self._deferred = False
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        if not self._deferred:
            raise Interrupted

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, SIGTERM only sets `came`."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.came:
            raise Interrupted
