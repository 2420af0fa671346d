"""Write the folder of a sweep that has run, as a real sweep leaves it, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sweep.grid.expand import trial_id, trial_seed
from sweep.model import Cause, Job, Limits, Objective, Resources, State, Task, Trial, Verdict
from sweep.node import runner
from sweep.state.events import FORMAT, Event, Observed, Planned, Submitted, Submitting, TrialEnd
from sweep.state.settings import RetryRule, RetryRules, Settings, SubmitSettings
from sweep.store import Shelf, Store
from sweep.store.records import spelled

REQUESTED = Resources(3600, 8192, 2)

NO_RETRY = RetryRules(*[RetryRule(0)] * 5)

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
    store = Shelf(results).create(name)
    trials, ends = [], []
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
        ends.append(TrialEnd(number, 1, verdict))
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
    settings = _settings("local", Objective(metric, goal, f"{metric}.json"), results)
    token = "t1"
    journal: list[Event] = [
        Planned(format=FORMAT, jobs=["j0001"], settings=settings, last_job=1, new=len(trials)),
        Submitting(token=token, job="j0001", job_name=f"{name}.j0001.{token}"),
        Submitted(token=token, id="1"),
        Observed(trials=ends),
    ]
    for event in journal:
        store.note(msgspec.structs.replace(event, at=SUBMITTED_AT))
    return store


def lived(results: Path, name: str, jobs: int) -> Store:
    """Write the folder of a sweep that has sent so many jobs of one trial each, all of which are in the queue."""
    store = Shelf(results).create(name)
    trials = [
        Trial(number, trial_id({"x": number}, 0), {"x": number}, 0, 0, REQUESTED, ("true",))
        for number in range(jobs)
    ]
    offsets = store.add_trials(trials)
    names = [f"j{number:05d}" for number in range(jobs)]
    for number, job in enumerate(names):
        store.write_job(Job(job, REQUESTED, (Task(number, 1),)), "#!/bin/sh\n", offsets)
    settings = _settings("slurm", Objective(), results)
    journal: list[Event] = [Planned(format=FORMAT, jobs=names, settings=settings, last_job=jobs, new=jobs)]
    for number, job in enumerate(names):
        token = f"t{number}"
        journal += [
            Submitting(token=token, job=job, job_name=f"{name}.{job}.{token}", index=0, at=SUBMITTED_AT),
            Submitted(token=token, id=str(1000 + number), at=SUBMITTED_AT),
        ]
    store.append("journal.jsonl", map(spelled, journal))
    return store


def _settings(kind: str, objective: Objective, results: Path) -> Settings:
    return Settings(kind, objective, Limits(100_000), SubmitSettings(), NO_RETRY, str(results))
