"""Write the folder of a sweep that has run, as a real one leaves it, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.grid.expand import trial_id, trial_seed
from sweep.model import Cause, Resources, State, Trial, Verdict
from sweep.state.ledger import observed
from sweep.store import Store, create

ASKED = Resources(3600, 8192, 2)

#: The moment at which the first trial was submitted.
BEGAN = 1_790_000_000.0


@dataclass(frozen=True)
class Ran:
    """One trial that has run; `result` None: it failed."""

    params: Mapping[str, Any]
    result: Mapping[str, Any] | None
    replicate: int = 0
    elapsed_s: float = 600.0
    peak_memory_mib: float = 1500.0
    cause: Cause = Cause.ERROR
    resources: Resources = ASKED


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
        So many trials ran at once.
    leave : callable, optional
        Given a trial's folder and what ran there, leaves something else in it.
    """
    store = create(results, name)
    trials, settled = [], []
    free = [BEGAN + 5.0] * slots
    for number, one in enumerate(ran):
        trial = Trial(
            number, trial_id(one.params, one.replicate), dict(one.params), one.replicate, trial_seed(0, one.replicate),
            one.resources, ("python", "-m", "trainer", str(number)),
        )  # fmt: skip
        trials.append(trial)
        start = min(free)
        free[free.index(start)] = start + one.elapsed_s
        done = one.result is not None
        verdict = Verdict(
            State.DONE if done else State.FAILED,
            "exit code 0 and a valid result" if done else str(one.cause),
            one.elapsed_s, one.elapsed_s * 1.8, one.peak_memory_mib, f"n{free.index(min(free)) % 4}",
            Cause.NONE if done else one.cause, "node", start,
        )  # fmt: skip
        settled.append((number, 1, verdict))
        folder = store.trial_folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        if done:
            (folder / f"{metric}.json").write_text(json.dumps(one.result))
        if leave:
            leave(folder, one)
    store.add_trials(trials)
    (store.path / "jobs" / "j0001.tasks").write_text(
        "".join(f"{n:010d} 0001 {0:014d}\n" for n in range(len(trials)))
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
        observed(settled),
    ]
    store.append("journal.jsonl", (json.dumps({"at": BEGAN, **event}).encode() for event in events))
    return store
