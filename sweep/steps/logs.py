"""logs: the end of what a trial wrote."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.model import Trial
from sweep.node import runner
from sweep.store import Store

#: Lines of a log in which the last ones that are not blank are looked for.
SEARCHED_LINES = 200


def last_lines(store: Store, trial: Trial, lines: int) -> list[str]:
    """Return the last lines, none of them blank, of what a trial wrote in its last attempt."""
    log = of_last_attempt(store.log_tail(trial, SEARCHED_LINES))
    return [line for line in log if line.strip() and not line.startswith(runner.ATTEMPT_MARK)][-lines:]


def of_last_attempt(lines: Sequence[str]) -> Sequence[str]:
    """Leave out what earlier attempts wrote."""
    starts = [index for index, line in enumerate(lines) if line.startswith(runner.ATTEMPT_MARK)]
    return lines[starts[-1] :] if starts else lines
