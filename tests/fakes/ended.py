"""Write the folder of a sweep that has run, as a real one leaves it, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sweep.grid.expand import trial_id, trial_seed
from sweep.model import Cause, Limits, Objective, Resources, State, Trial, Verdict
from sweep.state.events import FORMAT, Event, Observed, Planned, Submitted, Submitting, trial_end
from sweep.state.settings import RetryRule, RetryRules, Settings, SubmitSettings
from sweep.store import Store, create

ASKED = Resources(3600, 8192, 2)

NO_RETRY = RetryRules(*[RetryRule(0)] * 5)

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
        settled.append(trial_end(number, 1, verdict))
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
    settings = Settings(
        "local",
        Objective(metric, goal, f"{metric}.json"),
        Limits(100_000),
        SubmitSettings(),
        NO_RETRY,
        str(results),
    )
    token = "t1"
    journal: list[Event] = [
        Planned(format=FORMAT, jobs=["j0001"], settings=settings, last_job=1, new=len(trials)),
        Submitting(token=token, job="j0001", job_name=f"{name}.j0001.{token}"),
        Submitted(token=token, id="1"),
        Observed(trials=settled),
    ]
    for event in journal:
        store.note(msgspec.structs.replace(event, at=BEGAN))
    return store
