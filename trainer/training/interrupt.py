"""SIGTERM and SIGUSR1: the warnings of a scheduler before it kills."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The training stops before its end, and everything that can be saved has been saved. Its text says why."""


class Sigterm:
    """Turns a warning into `Interrupted`: at once, or where the training can stop between two steps.

    PBS warns with SIGTERM. Slurm is asked to send SIGUSR1 before it, to the jobs that ask for it.
    """

    def __init__(self) -> None:
        self.received = False
        self._deferred = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True
        if not self._deferred:
            raise Interrupted("interrupted")

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within this context a warning only sets `received`. `Interrupted` is raised at its end."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.received:
            raise Interrupted("interrupted")
