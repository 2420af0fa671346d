"""confirm: run the best configurations again, with seeds that had no part in choosing them; `submit` sends it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweep import grid as grids
from sweep.errors import SweepError
from sweep.model import Raised, Resources, Trial
from sweep.shell import Shell
from sweep.state.events import Decided, NextAttempt
from sweep.state.ledger import Ledger
from sweep.state.snapshot import Snapshot
from sweep.steps import collect, home
from sweep.steps.decision import Decision, commit, digest, prepare, request_of
from sweep.steps.make_jobs import JobMaker, maker_of
from sweep.steps.observe import observe, sent_from
from sweep.store import PlannedTrials, Store
from sweep.verbs.report import ranked

if TYPE_CHECKING:
    from sweep.leaderboard.ranking import Configuration


@dataclass(frozen=True)
class ConfirmedConfiguration:
    """A configuration that is run again.

    Attributes
    ----------
    trial : int
        The trial that stands for it.
    score : float
        What it was chosen by.
    trials : tuple of int
        The new trials that run it again.
    had : int
        How many confirming trials it had before.
    """

    trial: int
    parameters: dict[str, Any]
    score: float
    trials: tuple[int, ...]
    had: int


@dataclass(frozen=True)
class ConfirmReport:
    """Which configurations are run again, as which trials, in which jobs.

    Attributes
    ----------
    replicates : int
        How many confirming runs each configuration is to have.
    unfinished : int
        Trials of the sweep that have not ended: the best may still change.
    """

    replicates: int
    configurations: tuple[ConfirmedConfiguration, ...]
    trials: tuple[int, ...]
    jobs: tuple[str, ...]
    unfinished: int
    dry_run: bool


@dataclass(frozen=True)
class Addition:
    """The trials to add for one configuration, and what they ask for beyond the grid's."""

    configuration: Configuration
    trials: tuple[Trial, ...]
    raised: Raised


def confirm(
    store: Store, shell: Shell, *, top: int, replicates: int, where: str = "", dry_run: bool = False
) -> ConfirmReport:
    """Plan confirming runs of the best configurations.

    Safe to repeat: a configuration that has so many gets no more. All get the same seeds, so that they can be
    compared in pairs. A configuration that is confirmed later is filled up to what the others have.

    Parameters
    ----------
    top : int
        How many of the best configurations.
    replicates : int
        How many confirming runs of each.
    where : str
        An expression; only configurations that fit it are confirmed.

    Raises
    ------
    SweepError
        No trial has a score yet.
    """
    with store.lock():
        home.check(store, store.ledger()[0])
        snapshot = observe(store, shell)
        objective = snapshot.settings.objective
        board = ranked(collect.entries(store, snapshot, snapshot.active), objective, where)
        best = [configuration for configuration in board.configurations if configuration.scores][:top]
        if not best:
            raise SweepError(
                f"no trial of {store.name!r} has a {objective.metric} yet: there is nothing to confirm",
                "`sweep status` shows what runs; `sweep why TRIAL` why one failed",
            )
        maker = maker_of(store, snapshot.settings)
        additions, decision = confirming(store, snapshot, maker, best, replicates, dry_run=dry_run)
        jobs = []
        if decision.trials and not dry_run:
            jobs = commit(store, prepare(store, snapshot.ledger, maker, decision)).jobs
    return ConfirmReport(
        replicates,
        tuple(_described(addition) for addition in additions),
        tuple(trial.number for addition in additions for trial in addition.trials),
        tuple(jobs),
        len(snapshot.active) - sum(status.verdict.state.final for status in snapshot.active),
        dry_run,
    )


def confirming(
    store: Store,
    snapshot: Snapshot,
    maker: JobMaker,
    best: Sequence[Configuration],
    replicates: int,
    *,
    dry_run: bool = False,
) -> tuple[list[Addition], Decision]:
    """Decide on the trials that confirm these configurations. The lock is held."""
    additions = _additions(store, snapshot, maker, best, replicates, dry_run=dry_run)
    return additions, _decision(snapshot, maker, best, additions)


def _additions(
    store: Store,
    snapshot: Snapshot,
    maker: JobMaker,
    best: Sequence[Configuration],
    replicates: int,
    *,
    dry_run: bool,
) -> list[Addition]:
    """Work out which trials each configuration still needs."""
    ledger, planned, grid_replicates = snapshot.ledger, store.trials(), maker.grid.replicates
    sent = sent_from(store, ledger)
    if not dry_run:
        _retire_strays(store, planned, sent | ledger.confirming, grid_replicates)
    seeds = _seeds(planned, ledger, sent, grid_replicates, replicates)
    next_number = max(planned.trials) + 1
    by_id = {trial.id: trial for trial in planned.trials.values()}
    additions = []
    for configuration in best:
        present = {entry.trial.replicate for entry in configuration.entries if entry.confirms}
        params = configuration.entry.trial.params
        missing = [(params, seed) for seed in seeds if seed not in present]
        trials = []
        for draft in grids.make_trials(maker.grid, maker.source, maker.variables, missing):
            old = by_id.get(draft.id)  # confirmed before, and the grid had dropped it in between
            trials.append(replace(draft, number=old.number if old else next_number))
            next_number += old is None
        raised = _raised(configuration, trials[0].resources) if trials else Raised()
        additions.append(Addition(configuration, tuple(trials), raised))
    return additions


def _seeds(planned: PlannedTrials, ledger: Ledger, sent: set[int], grid_replicates: int, count: int) -> list[int]:
    """Choose the confirming replicates: those there are, and new ones until there are `count`.

    All confirmed configurations get these, so that they can be compared in pairs. None may have had a part in a
    choice: not the grid's own replicates, nor those that it once had or that confirmed another metric's choice.
    """
    chose = {
        trial.replicate
        for number, trial in planned.trials.items()
        if number in sent and number not in ledger.counting
    }
    first = max([grid_replicates, *(replicate + 1 for replicate in chose)])
    confirming = {planned.trials[number].replicate for number in ledger.counting if number in planned.trials}
    usable = sorted(replicate for replicate in confirming if replicate >= first)
    new = (replicate for replicate in itertools.count(first) if replicate not in confirming)
    return [*usable, *itertools.islice(new, max(0, count - len(usable)))]


def _retire_strays(store: Store, planned: PlannedTrials, journalled: set[int], replicates: int) -> None:
    """Retire what a confirmation left that was cut off before it was journalled: no job has these trials."""
    strays = [
        trial
        for number, trial in planned.trials.items()
        if number not in journalled and trial.replicate >= replicates and not trial.retired
    ]
    if strays:
        store.add_trials([replace(trial, retired=True) for trial in strays])


def _raised(configuration: Configuration, asks: Resources) -> Raised:
    """Return what a retry had to raise for this configuration: its further runs need it, too."""
    asked = [entry.trial.resources for entry in configuration.entries]
    memory_mib = max(resources.memory_mib for resources in asked)
    walltime_s = max(resources.walltime_s for resources in asked)
    return Raised.beyond(asks, memory_mib, walltime_s)


def _described(addition: Addition) -> ConfirmedConfiguration:
    configuration = addition.configuration
    return ConfirmedConfiguration(
        configuration.number,
        configuration.entry.trial.params,
        configuration.mean,
        tuple(trial.number for trial in addition.trials),
        sum(entry.confirms for entry in configuration.entries),
    )


def _decision(
    snapshot: Snapshot, maker: JobMaker, best: Sequence[Configuration], additions: Sequence[Addition]
) -> Decision:
    """Say which trials are added, and what their first attempts ask for (pure)."""
    ledger = snapshot.ledger
    trials = [trial for addition in additions for trial in addition.trials]
    firsts = [
        NextAttempt(number=trial.number, attempt=1, raised=addition.raised)
        for addition in additions
        if addition.raised
        for trial in addition.trials
    ]
    requests = [
        request_of(maker, ledger, trial, raised=addition.raised)
        for addition in additions
        for trial in addition.trials
    ]
    entries = [entry for configuration in best for entry in configuration.entries]
    saw = digest((entry.trial.number, 0, entry.verdict) for entry in entries)
    event = Decided(by="confirm", saw=saw, attempts=firsts, confirming=[trial.number for trial in trials])
    return Decision(event, tuple(requests), tuple(trials))
