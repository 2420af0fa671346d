"""SIGTERM and SIGUSR1: the scheduler's warnings before it kills."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A warning came; what there is to save has been saved."""


class Sigterm:
    """Turns a warning into `Interrupted`: at once, or where the training can be left between two steps.

    PBS warns with SIGTERM. Slurm is asked to send SIGUSR1, earlier, to those who wait for it.
    """

    def __init__(self) -> None:
        self.came = False
        self._deferred = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        if not self._deferred:
            raise Interrupted

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a warning only sets `came`."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.came:
            raise Interrupted
