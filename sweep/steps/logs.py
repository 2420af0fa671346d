"""logs: what a trial and its job wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweep.model import Trial
from sweep.node import runner
from sweep.store import Store

#: More than the last lines of any log that people read.
TAIL_BYTES = 20_000


def last_lines(store: Store, trial: Trial, lines: int) -> list[str]:
    """Return the end of what a trial wrote in its last attempt; nothing if it wrote nothing."""
    return [line for line in of_last_attempt(tail(store.trial_log(trial))) if line.strip()][-lines:]


def of_last_attempt(lines: Sequence[str]) -> Sequence[str]:
    """Leave out what earlier attempts wrote."""
    starts = [index for index, line in enumerate(lines) if line.startswith(runner.ATTEMPT_MARK)]
    return lines[starts[-1] :] if starts else lines


def tail(path: Path) -> list[str]:
    """Return the last lines of a log; nothing if there is none."""
    if not path.is_file():
        return []
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode("utf-8", "replace").splitlines()
