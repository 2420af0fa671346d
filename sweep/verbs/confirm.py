"""confirm: run the best configurations again, with seeds that had no part in choosing them; `submit` sends it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sweep import grid as grids
from sweep.errors import SweepError
from sweep.jobs.pack import AttemptRequest
from sweep.model import Resources, Trial
from sweep.shell import Shell
from sweep.state.ledger import Ledger
from sweep.steps import collect
from sweep.steps.make_jobs import maker_of, next_job
from sweep.steps.observe import Snapshot, observe, sent_trials
from sweep.store import Planned, Store
from sweep.verbs.retry import workers_of

if TYPE_CHECKING:
    from sweep.leaderboard.ranking import Configuration


@dataclass
class ConfirmReport:
    """Which configurations are run again, as which trials, in which jobs.

    Attributes
    ----------
    configurations : list of dict
        ``trial``, ``parameters``, ``score`` (that it was chosen by), ``trials`` (new), ``had`` (from before).
    unfinished : int
        Trials of the sweep that have not ended: the best may still change.
    """

    replicates: int
    configurations: list[dict[str, Any]] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    unfinished: int = 0
    dry_run: bool = False


def confirm(store: Store, shell: Shell, *, top: int, replicates: int, dry_run: bool = False) -> ConfirmReport:
    """Plan confirming runs of the best configurations.

    Safe to repeat: a configuration that has so many gets no more. All get the same seeds, so that they can be
    compared in pairs: who is confirmed later is filled up to what the others have.

    Parameters
    ----------
    top : int
        So many of the best.
    replicates : int
        So many confirming runs of each.

    Raises
    ------
    SweepError
        No trial has a score yet.
    """
    from sweep.leaderboard.ranking import rank

    with store.lock():
        snapshot = observe(store, shell)
        objective = snapshot.settings.objective
        board = rank(collect.entries(store, snapshot, snapshot.active), objective)
        chosen = [one for one in board.configurations if one.scores][:top]
        if not chosen:
            raise SweepError(
                f"no trial of {store.name!r} has a {objective.metric} yet: there is nothing to confirm",
                "`sweep status` shows what runs; `sweep why TRIAL` why one failed",
            )
        report = ConfirmReport(replicates, dry_run=dry_run)
        report.unfinished = len(snapshot.active) - sum(one.verdict.state.final for one in snapshot.active)
        _plan(store, snapshot, chosen, report)
    return report


def _plan(store: Store, snapshot: Snapshot, chosen: Sequence[Configuration], report: ConfirmReport) -> None:
    ledger = snapshot.ledger
    maker = maker_of(store, ledger)
    planned = store.trials()
    sent = sent_trials(store, ledger)
    if not report.dry_run:
        _retire_strays(store, planned, sent | ledger.confirming, maker.grid.replicates)
    seeds = _seeds(planned, ledger, sent, maker.grid.replicates, report.replicates)
    number = max(planned.trials) + 1
    known = {trial.id: trial for trial in planned.trials.values()}
    added: list[Trial] = []
    raised: list[tuple[int, dict[str, int]]] = []
    for one in chosen:
        missing = [
            seed for seed in seeds if seed not in {each.trial.replicate for each in one.entries if each.confirms}
        ]
        drafts = grids.make_trials(
            maker.grid, maker.source, os.environ, [(one.entry.trial.params, n) for n in missing]
        )
        trials = []
        for draft in drafts:
            old = known.get(draft.id)  # confirmed before, and the grid had dropped it in between
            trials.append(replace(draft, number=old.number if old else number))
            number += old is None
        more = _more(one, trials[0].resources) if trials else {}
        raised += [(trial.number, more) for trial in trials if more]
        added += trials
        report.configurations.append(_described(one, trials))
    report.trials = [trial.number for trial in added]
    if added and not report.dry_run:
        _write(store, ledger, added, raised, report)


def _seeds(planned: Planned, ledger: Ledger, sent: set[int], own: int, wanted: int) -> list[int]:
    """Choose the confirming replicates: those there are, and new ones until there are so many.

    All that are confirmed get these, so that they can be compared in pairs. None may have had a part in a choice:
    not the grid's own replicates, nor those that it once had, or that confirmed what another metric chose.
    """
    known = {number: trial.replicate for number, trial in planned.trials.items() if number in sent}
    first = max([own, *(replicate + 1 for number, replicate in known.items() if number not in ledger.counting)])
    there = {planned.trials[number].replicate for number in ledger.counting if number in planned.trials}
    kept = sorted(replicate for replicate in there if replicate >= first)
    new = (replicate for replicate in itertools.count(first) if replicate not in there)
    return [*kept, *itertools.islice(new, max(0, wanted - len(kept)))]


def _retire_strays(store: Store, planned: Planned, known: set[int], replicates: int) -> None:
    """Retire what a confirmation left that was cut off before it was journalled: no job has these trials."""
    strays = [
        trial
        for number, trial in planned.trials.items()
        if number not in known and trial.replicate >= replicates and not trial.retired
    ]
    if strays:
        store.add_trials([replace(trial, retired=True) for trial in strays])


def _more(one: Configuration, asks: Resources) -> dict[str, int]:
    """Return what a retry had to raise for this configuration: its further runs need it, too."""
    names = ("memory_mib", "walltime_s")
    most = {name: max(getattr(entry.trial.resources, name) for entry in one.entries) for name in names}
    return {name: value for name, value in most.items() if value > getattr(asks, name)}


def _described(one: Configuration, trials: list[Trial]) -> dict[str, Any]:
    return {
        "trial": one.number,
        "parameters": one.entry.trial.params,
        "score": one.mean,
        "trials": [trial.number for trial in trials],
        "had": sum(entry.confirms for entry in one.entries),
    }


def _write(
    store: Store,
    ledger: Ledger,
    added: list[Trial],
    raised: list[tuple[int, dict[str, int]]],
    report: ConfirmReport,
) -> None:
    """Write the trials, then their jobs, then the journal's line, which makes them count."""
    maker = maker_of(store, ledger)
    for number, more in raised:
        ledger.raised.setdefault(number, {}).update(more)
    wanted = [
        AttemptRequest(trial.number, ledger.attempts.get(trial.number, 1), maker.asks(trial, ledger))
        for trial in added
    ]
    jobs = maker.jobs(wanted, next_job(store, ledger))
    offsets = store.offsets_with(added)
    for job in jobs:
        store.write_job(job, maker.render(job), offsets)
    report.jobs = [job.name for job in jobs]
    store.note(event="confirmed", trials=report.trials, jobs=report.jobs, workers=workers_of(jobs), raised=raised)
