"""What it means when a submit command does not take a job: not now, never, or a line of the script (pure).

Each scheduler has a table of its own, ``REFUSALS``; ``docs/schedulers.md`` has it, too. What is in no row is told
with its text, and may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent


class Kind(StrEnum):
    """What a refusal means for the jobs that wait."""

    NO_ANSWER = "no answer"  # it leaves open whether the job was submitted
    NOW = "not now"  # the same call may be accepted later
    LINE = "the grid's"  # a line of the script has to be another one
    NEVER = "never"  # somebody at the site has to change something
    UNKNOWN = "unknown"  # the list does not have it


def error_of(client: str, kind: Kind, answer: str, summary: str, directive: str = "") -> SchedulerError:
    """Make the error for a refusal.

    Parameters
    ----------
    client : str
        The submit command.
    answer : str
        All that it wrote on stderr.
    summary : str
        The first lines of that.
    directive : str
        What in the script it is about.
    """
    if kind is Kind.NO_ANSWER:
        return SchedulerSilent(f"{client}: {summary}")
    if kind is Kind.NOW:
        return SchedulerBusy(f"{client} will not take more now: {summary}")
    return SchedulerRefused(f"{client} refused: {summary}", _HINTS[kind], directive, answer)


_HINTS: Mapping[Kind, str] = {
    Kind.LINE: "change the grid and plan again",
    Kind.NEVER: "ask the cluster's staff: another grid would not be taken either",
    Kind.UNKNOWN: "if that may pass, repeat `sweep submit`; else change the grid and plan again",
}


def blamed(message: str, directives: Sequence[tuple[str, str]]) -> str:
    """Return the directive that a message is about. Empty: it does not say.

    Parameters
    ----------
    directives : sequence of (str, str)
        A pattern, and the directive; an empty one is the pattern's first group.
    """
    for pattern, directive in directives:
        match = re.search(pattern, message, re.IGNORECASE)
        if match:
            return directive or match[1]
    return ""
