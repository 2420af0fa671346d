"""Write the folder of a sweep that has run, as a real sweep leaves it, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.grid.expand import trial_id, trial_seed
from sweep.model import Cause, Resources, State, Trial, Verdict
from sweep.node import runner
from sweep.state.ledger import observed
from sweep.store import Store, create

REQUESTED = Resources(3600, 8192, 2)

#: When the trials were submitted, in seconds since the epoch.
SUBMITTED_AT = 1_790_000_000.0


@dataclass(frozen=True)
class Ran:
    """One trial that has run. Where `result` is None, it failed."""

    params: Mapping[str, Any]
    result: Mapping[str, Any] | None
    replicate: int = 0
    elapsed_s: float = 600.0
    peak_memory_mib: float = 1500.0
    cause: Cause = Cause.ERROR
    resources: Resources = REQUESTED


def ended(
    results: Path,
    name: str,
    ran: Iterable[Ran],
    *,
    metric: str = "segMeasure",
    goal: str = "maximize",
    slots: int = 64,
    leave: Callable[[Path, Ran], None] | None = None,
) -> Store:
    """Write a sweep's folder.

    Parameters
    ----------
    slots : int
        How many trials ran at once.
    leave : callable, optional
        Called with each trial's folder and the trial. It may write further files there.
    """
    store = create(results, name)
    trials, verdicts = [], []
    slot_free_at = [SUBMITTED_AT + 5.0] * slots
    for number, spec in enumerate(ran):
        trial = Trial(
            number, trial_id(spec.params, spec.replicate), dict(spec.params), spec.replicate,
            trial_seed(0, spec.replicate), spec.resources, ("python", "-m", "trainer", str(number)),
        )  # fmt: skip
        trials.append(trial)
        started_at = min(slot_free_at)
        slot_free_at[slot_free_at.index(started_at)] = started_at + spec.elapsed_s
        done = spec.result is not None
        verdict = Verdict(
            State.DONE if done else State.FAILED,
            "exit code 0 and a valid result" if done else str(spec.cause),
            spec.elapsed_s, spec.elapsed_s * 1.8, spec.peak_memory_mib, f"n{slot_free_at.index(min(slot_free_at)) % 4}",
            Cause.NONE if done else spec.cause, "node", started_at,
        )  # fmt: skip
        verdicts.append((number, 1, verdict))
        folder = store.trial_folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        if done:
            (folder / f"{metric}.json").write_text(json.dumps(spec.result))
        if leave:
            leave(folder, spec)
    store.add_trials(trials)
    (store.path / "jobs" / "j0001.tasks").write_text(
        "".join(runner.TASK_LINE % (n, 1, 0) for n in range(len(trials)))
    )
    plan = {
        "event": "planned", "jobs": ["j0001"], "last_job": 1, "new": len(trials), "kept": 0, "retired": 0, "set": [],
        "template": None, "workdir": str(results), "limits": {"max_array_size": 100_000},
        "objective": {"metric": metric, "goal": goal, "file": f"{metric}.json"}, "kind": "local",
        "environment": [], "submit": {"placement": "array", "max_queued": None, "throttle": None},
        "retry": {}, "auto_retry": False,
    }  # fmt: skip
    sent = {"event": "submitting", "token": "t1", "job": "j0001", "job_name": f"{name}.j0001.t1", "index": None}
    events: list[dict[str, Any]] = [
        plan,
        sent,
        {"event": "submitted", "token": "t1", "id": "1"},
        observed(verdicts),
    ]
    store.append("journal.jsonl", (json.dumps({"at": SUBMITTED_AT, **event}).encode() for event in events))
    return store
