"""The errors of the trainer, each with its exit code.

::

    TrainerError      exit code 1: the training failed
    ├── InputError    exit code 2: the data or an option cannot be used as it is
    └── Diverged      exit code 1: the loss is not a finite number any more; the result says so
"""

from __future__ import annotations


class TrainerError(Exception):
    """The training failed; ``hint`` says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InputError(TrainerError):
    """The data or an option cannot be used as it is."""

    exit_code = 2


class Diverged(TrainerError):
    """The loss is not a finite number any more."""
