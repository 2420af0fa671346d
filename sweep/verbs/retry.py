"""retry: plan another attempt of trials that failed, were cancelled or got lost. `sweep submit` sends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import UsageError
from sweep.ledger import Ledger
from sweep.model import State
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.observe import Seen, observe, pick
from sweep.verbs.plan import JobMaker, next_job, read_grid

RETRIED = (State.FAILED, State.CANCELLED, State.LOST)


@dataclass
class RetryReport:
    """Which trials get another attempt, in which jobs."""

    trials: list[int]
    jobs: list[str]


def retry(store: Store, shell: Shell, wanted: Sequence[str] = ()) -> RetryReport:
    """Plan the next attempt of these trials, or of all that failed, were cancelled or got lost.

    Raises
    ------
    UsageError
        A trial that was named has not ended, or is done.
    """
    with store.lock():  # from the first look on: of two at once, the second sees what the first has planned
        snapshot = observe(store, shell)
        chosen = snapshot.of(*RETRIED)
        if wanted:
            planned = store.trials()
            numbers = {pick(planned, text).number for text in wanted}
            chosen = [_retryable(one) for one in snapshot.seen if one.trial.number in numbers]
        if not chosen:
            return RetryReport([], [])
        ledger = store.ledger()[0]
        maker = _maker(store, ledger)
        tasks = [(one.trial, one.attempt + 1) for one in chosen]
        jobs = maker.jobs(tasks, next_job(store, ledger))
        offsets = store.trials().offsets
        for job in jobs:
            store.write_job(job, maker.render(job), offsets)
        names = [job.name for job in jobs]
        store.note(event="retried", trials=[[trial.number, attempt] for trial, attempt in tasks], jobs=names)
    return RetryReport([one.trial.number for one in chosen], names)


def _retryable(one: Seen) -> Seen:
    if one.verdict.state not in RETRIED:
        raise UsageError(
            f"trial {one.trial.number} is {one.verdict.state}: {one.verdict.reason}",
            "only trials that failed, were cancelled or got lost are tried again",
        )
    return one


def _maker(store: Store, ledger: Ledger) -> JobMaker:
    event = ledger.planned or {}
    grid, source, _ = read_grid(
        store.path / "grid.yaml", [*event["set"], f"workdir={json.dumps(event['workdir'], ensure_ascii=False)}"]
    )
    template = Path(event["template"]) if event["template"] else None
    return JobMaker(grid, source, store, template, event["max_array_size"])
