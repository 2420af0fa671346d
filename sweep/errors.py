"""The error tree.

::

    SweepError                    exit code 1: it failed
    ├── UsageError                exit code 2: a request that cannot be carried out
    │   ├── GridError             … in grid.yaml, at a line and column
    │   ├── TemplateError         … in a job-script template
    │   ├── NoSuch                … a sweep, trial or file that is not there
    │   └── FormatError           … a sweep's folder that another version wrote
    ├── StoreError                the sweep folder cannot be read or written
    │   ├── CannotRead            … one file of it, which may be whole
    │   └── LockHeld              another process is changing it
    └── SchedulerError            the scheduler did not accept, or did not answer
        ├── SchedulerSilent       it did not answer: nothing is known
        ├── SchedulerBusy         it said: not now
        └── SchedulerRefused      it said: no

Every error says what went wrong with the value seen, and in ``hint`` what to do next.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SweepError(Exception):
    """Something failed. ``str(error)`` is what and the value; ``hint`` is what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SweepError):
    """What was asked for cannot be done as it was asked."""

    exit_code = 2


class GridError(UsageError):
    """A mistake in grid.yaml.

    Parameters
    ----------
    message : str
        What is wrong, with the value.
    hint : str
        What to write instead.
    source : str
        The file's name as the person gave it.
    line, column : int
        1-based place; 0 where there is none (an override on the command line, say).
    """

    def __init__(self, message: str, hint: str = "", *, source: str = "", line: int = 0, column: int = 0) -> None:
        place = f"{source}:{line}:{column}: " if line else (f"{source}: " if source else "")
        super().__init__(place + message, hint)
        self.line = line
        self.column = column


class TemplateError(UsageError):
    """A job-script template does not parse, or names what is not there."""


class NoSuch(UsageError):
    """A sweep, a trial or a file that is not there."""


class FormatError(UsageError):
    """A sweep's folder that an older or newer version of sweep wrote."""


class StoreError(SweepError):
    """The sweep folder cannot be read or written."""


class CannotRead(StoreError):
    """A file is there, or may be, and cannot be read: by this machine, by this user, or this time."""


class LockHeld(StoreError):
    """Another process is changing the sweep."""


class SchedulerError(SweepError):
    """A scheduler did not do what it was asked."""


class SchedulerSilent(SchedulerError):
    """The scheduler did not answer. What it would have said is unknown."""


class SchedulerBusy(SchedulerError):
    """The scheduler refuses for now; the same call may succeed later."""


class SchedulerRefused(SchedulerError):
    """The scheduler refuses for good; the same call will be refused again.

    Parameters
    ----------
    directive : str
        What in the script it is about, as it is spelled there (``--partition``); empty if it did not say.
    answer : str
        What the submit command itself wrote.
    """

    def __init__(self, message: str, hint: str = "", directive: str = "", answer: str = "") -> None:
        super().__init__(message, hint)
        self.directive = directive
        self.answer = answer


class InvalidValue(ValueError):
    """A value that cannot be used: what a reader of the grid raises, and `GridError` then gives a place.

    Parameters
    ----------
    message : str
        What is wrong, with the value.
    hint : str
        What to write instead.
    names_parameter : bool
        The message says which parameter it is about.
    """

    def __init__(self, message: str, hint: str = "", *, names_parameter: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.names_parameter = names_parameter


def count(number: int, noun: str) -> str:
    """Spell a number of things with their noun.

    >>> count(1, "trial"), count(8192, "trial")
    ('1 trial', '8,192 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which of the known words was probably meant.

    >>> nearest("learning_rat", ["learning_rate", "depth"])
    "did you mean 'learning_rate'?"
    >>> nearest("zzz", ["depth", "model"])
    'there are: depth, model'
    """
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"there are: {shown}" if names else "there are none"
