"""why and logs: one trial, its state with all the evidence for it, and what it wrote."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import visible
from sweep.errors import CannotRead, NoSuch
from sweep.model import Cause, ResultProblem, SchedulerStatus, State, Submission, Trial
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.state.evidence import Attempt, PartialResult, ReadResult, ResultFault
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.state.submissions import host_of
from sweep.steps import collect
from sweep.steps.logs import of_last_attempt
from sweep.steps.observe import observe, pick
from sweep.steps.partial import partial_results
from sweep.steps.select import Selection, selected
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.steps.raced import TrialRace

#: The log's end that usually says it.
TAIL_LINES = 15


@dataclass(frozen=True)
class WhyReport:
    """One trial, with all the evidence.

    Attributes
    ----------
    retries : tuple of str
        The rules that its further attempts were made under.
    result : object
        What its result file holds. None where it cannot be read: `problem` says why, `result_problem` in words.
    log_tail, job_log_tail : tuple of str
        The end of what it wrote, and of what its job's tasks wrote outside of any trial.
    stale : str
        Why the scheduler's status is an old one, in words; empty if it is not.
    task : str
        Its job, or its task of an array, as the scheduler's own commands spell it.
    said : str
        What the scheduler said of its end, in words, once that is settled and `scheduler` is not asked any more.
    notes : tuple of str
        What a person should know about the sweep: its node may be unfit.
    at : float
        When this was so (Unix time).
    partial : PartialResult or None
        How far it has come, by its result file. None: it has written none, or it is done.
    race : TrialRace or None
        What a race did with it. None: nothing.
    """

    trial: int
    id: str
    state: State
    reason: str
    cause: Cause
    cancelled_by: str
    retries: tuple[str, ...]
    retired: bool
    params: dict[str, Any]
    replicate: int
    argv: tuple[str, ...]
    folder: str
    submission: Submission | None
    scheduler: SchedulerStatus | None
    attempt: Attempt | None
    result: object
    problem: ResultProblem | None
    result_problem: str
    log_tail: tuple[str, ...]
    job_log_tail: tuple[str, ...]
    stale: str
    task: str
    said: str
    notes: tuple[str, ...] = ()
    at: float = 0.0
    partial: PartialResult | None = None
    race: TrialRace | None = None


def _files_of(store: Store, trial: Trial, file: str, number: int) -> tuple[ReadResult, Attempt | None]:
    """Read a trial's result and record. What cannot be read is in the reason, or in the result's."""
    attempt, read = None, ReadResult()
    with contextlib.suppress(CannotRead):
        attempt = store.attempt(trial, number)
    try:
        read = store.result(trial, file)
    except CannotRead as error:
        read = ReadResult(fault=ResultFault(ResultProblem.UNREADABLE, str(error)))
    return read, attempt


def why(store: Store, shell: Shell, selection: Selection) -> list[WhyReport]:
    """Tell each trial's state, the reason, and the evidence: journal, node, result, scheduler."""
    planned = store.trials()
    named = [pick(planned, name).number for name in selection.names]
    snapshot = observe(store, shell, partial_of=named)
    chosen = selected(store, snapshot, selection, snapshot.active)
    if not named:  # which trials are meant was not known before
        partials = partial_results(store, [status.trial for status in chosen], snapshot.settings.objective)
        snapshot = replace(snapshot, partial_results=partials)
    return [_why(store, snapshot, status) for status in chosen]


def _why(store: Store, snapshot: Snapshot, status: TrialStatus) -> WhyReport:
    trial, file = status.trial, snapshot.settings.objective.file
    status = collect.if_there(store, status, file)
    read, attempt = _files_of(store, trial, file, status.attempt)
    return WhyReport(
        trial=trial.number,
        id=trial.id,
        state=status.verdict.state,
        reason=status.verdict.reason,
        cause=status.verdict.cause,
        cancelled_by=snapshot.ledger.cancelled.get(trial.number, ""),
        retries=tuple(snapshot.ledger.rules.get(trial.number, ())),
        retired=trial.retired,
        params=trial.params,
        replicate=trial.replicate,
        argv=trial.argv,
        folder=str(store.trial_folder(trial)),
        submission=status.sent.submission if status.sent else None,
        scheduler=status.evidence.status if status.evidence else None,
        attempt=attempt,
        result=read.value,
        problem=read.fault.problem if read.fault else None,
        result_problem=read.fault.words if read.fault else "",
        log_tail=tuple(of_last_attempt(store.log_tail(trial, TAIL_LINES))),
        job_log_tail=tuple(store.job_log_tail(host_of(status.sent.submission), TAIL_LINES) if status.sent else ()),
        stale=snapshot.stale,
        task=SCHEDULERS[snapshot.settings.kind].spell(status.sent.task)
        if status.sent and status.sent.task
        else "",
        said=status.verdict.said or "not asked, or it did not say",
        notes=snapshot.notes,
        at=snapshot.at,
        partial=None if status.verdict.state is State.DONE else snapshot.partial_results.get(trial.number),
        race=_race(snapshot, trial.number),
    )


def _race(snapshot: Snapshot, number: int) -> TrialRace | None:
    if number not in snapshot.ledger.race.moves:
        return None
    from sweep.steps.raced import trial_race

    return trial_race(snapshot, number)


@dataclass(frozen=True)
class TrialLog:
    """What a trial wrote, and where."""

    path: str
    lines: tuple[str, ...]


def logs_of(
    store: Store, shell: Shell, selection: Selection, lines: int | None, *, raw: bool = False
) -> dict[int, TrialLog]:
    """Read the logs of those trials that an expression fits, by number. Those that wrote none are left out."""
    snapshot = observe(store, shell)
    chosen = selected(store, snapshot, selection, snapshot.active)
    return {
        status.trial.number: _read(store.trial_log(status.trial), lines, raw=raw)
        for status in chosen
        if store.trial_log(status.trial).is_file()
    }


def logs(store: Store, name: str, lines: int | None, *, raw: bool = False) -> TrialLog:
    """Read a trial's log.

    Parameters
    ----------
    lines : int or None
        How many of its last lines; None: all.
    raw : bool
        With its control characters, and all that was overwritten.

    Raises
    ------
    NoSuch
        The trial has not begun.
    """
    trial = pick(store.trials(), name)
    path = store.trial_log(trial)
    if not path.is_file():
        raise NoSuch(
            f"trial {trial.number} has written no log yet", f"`sweep why {trial.number}` says where it stands"
        )
    return _read(path, lines, raw=raw)


def _read(path: Path, lines: int | None, *, raw: bool) -> TrialLog:
    whole = path.read_bytes().decode("utf-8", "replace")
    text = whole.split("\n") if raw else visible.lines(whole)
    if raw and not text[-1]:
        text.pop()
    return TrialLog(str(path), tuple(text if lines is None else text[-lines:] if lines else []))
