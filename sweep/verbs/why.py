"""why and logs: one trial, its state with all the evidence for it, and what it wrote."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sweep.errors import NoSuch
from sweep.model import Trial
from sweep.node.runner import ATTEMPT_MARK
from sweep.shell import Shell
from sweep.steps.observe import observe, pick
from sweep.store import Store

#: The log's end that usually says it.
TAIL_LINES = 15


def why(store: Store, shell: Shell, wanted: str) -> dict[str, Any]:
    """Tell a trial's state, the reason, and the evidence: journal, node, result, scheduler."""
    trial = pick(store.trials(), wanted)
    snapshot = observe(store, shell)
    one = next(seen for seen in snapshot.seen if seen.trial.number == trial.number)
    attempt = store.attempt(trial, one.attempt)
    value, problem = store.result(trial, snapshot.settings.objective.file)
    return {
        "trial": trial.number,
        "id": trial.id,
        "state": one.verdict.state.value,
        "reason": one.verdict.reason,
        "cause": one.verdict.cause.value,
        "cancelled_by": snapshot.ledger.cancelled.get(trial.number, ""),
        "retries": snapshot.ledger.causes.get(trial.number, []),
        "retired": trial.retired,
        "params": trial.params,
        "replicate": trial.replicate,
        "argv": list(trial.argv),
        "folder": str(store.trial_folder(trial)),
        "submission": asdict(one.sent.submission) if one.sent else None,
        "scheduler": _said(asdict(one.evidence.status)) if one.evidence and one.evidence.status else None,
        "attempt": _said(asdict(attempt)) if attempt else None,
        "result": problem or value,
        "log_tail": _this_attempt(tail(store, wanted, TAIL_LINES)[0]) if store.trial_log(trial).is_file() else [],
        "job_log_tail": _job_log(store, one.sent.submission.job) if one.sent else [],
        "stale": snapshot.stale,
    }


def _this_attempt(lines: list[str]) -> list[str]:
    """Leave out what earlier attempts wrote; node.py draws a line before each but the first."""
    starts = [index for index, line in enumerate(lines) if line.startswith(ATTEMPT_MARK)]
    return lines[starts[-1] :] if starts else lines


def last_lines(store: Store, trial: Trial, lines: int) -> list[str]:
    """Return the end of what a trial wrote in its last attempt; nothing if it wrote nothing."""
    path = store.trial_log(trial)
    if not path.is_file():
        return []
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 20_000))
        text = log.read().decode("utf-8", "replace").splitlines()
    return [line for line in _this_attempt(text) if line.strip()][-lines:]


def tail(store: Store, wanted: str, lines: int | None) -> tuple[list[str], str]:
    """Read a trial's log: (its last lines, or all of them, and its path).

    Raises
    ------
    NoSuch
        The trial has not begun.
    """
    trial = pick(store.trials(), wanted)
    path = store.trial_log(trial)
    if not path.is_file():
        raise NoSuch(
            f"trial {trial.number} has written no log yet", f"`sweep why {trial.number}` says where it stands"
        )
    text = path.read_bytes().decode("utf-8", "replace").splitlines()
    return (text if lines is None else text[-lines:] if lines else []), str(path)


def _job_log(store: Store, job: str) -> list[str]:
    """Return the end of what the job's tasks wrote outside of any trial: a failed `module load`, say."""
    path = store.job_log(job)
    if not path.is_file():
        return []
    return path.read_bytes()[-20_000:].decode("utf-8", "replace").splitlines()[-TAIL_LINES:]


def _said(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not said."""
    return {name: value for name, value in record.items() if value not in (None, "", (), [])}
