"""collect: every trial with its result, for those who rank them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sweep.errors import CannotRead
from sweep.model import ResultProblem, State, Verdict
from sweep.state.results import history_of, without_result
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.leaderboard.cost import Attempted
    from sweep.leaderboard.entries import Entry


#: With more trials than this, learning curves are not loaded: they are most of a result.
MOST_WHOLE = 20_000

#: How many failed trials' results are searched for metrics.
MAX_SEARCHED = 12

#: The file of kept results is written again when this share of it is new.
WORTH_KEEPING = 0.02


def entries(
    store: Store, snapshot: Snapshot, chosen: Sequence[TrialStatus], *, whole: bool = False, fresh: bool = False
) -> list[Entry]:
    """Read the results of those that are done.

    Parameters
    ----------
    whole : bool
        With their lists, learning curves and names of pictures, which no number of the leaderboard comes from.
    fresh : bool
        Read them all anew.
    """
    from sweep.leaderboard.entries import Entry

    whole = whole and len(chosen) <= MOST_WHOLE
    confirming = snapshot.ledger.counting
    results = _whole(store, snapshot, chosen) if whole else _scalars(store, snapshot, chosen, fresh=fresh)
    file = snapshot.settings.objective.file
    return [
        Entry(
            status.trial,
            status.verdict if result is not None else without_result(status.verdict, f"its {file}"),
            result or {},
            status.trial.number in confirming,
        )
        for status, result in ((status, results.get(status.trial.number, {})) for status in chosen)
    ]


def kept_of(store: Store, snapshot: Snapshot, numbers: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return what was kept of results that are gone."""
    kept = store.cache.results(snapshot.settings.objective.file)
    return {number: kept[number][1] for number in numbers if number in kept}


def histories(store: Store, snapshot: Snapshot, chosen: Collection[int]) -> dict[int, list[dict[str, Any]]]:
    """Read the histories of those that are done: trial → its entries, by `history_of`. Empty ones are left out."""
    objective = snapshot.settings.objective
    read = {}
    for status in snapshot.of(State.DONE):
        if status.trial.number in chosen:
            entries = history_of(_result(store, status, objective.file), objective.metric)
            if entries:
                read[status.trial.number] = entries
    return read


def numbers_in_failed(store: Store, snapshot: Snapshot) -> list[str]:
    """Name the numbers in the results of some trials that failed: the metric may be there under another name."""
    from sweep.leaderboard.entries import numbers

    names: dict[str, None] = {}
    for status in snapshot.of(State.FAILED)[:MAX_SEARCHED]:
        value = None
        with contextlib.suppress(CannotRead):
            value = store.result(status.trial, snapshot.settings.objective.file).value
        if isinstance(value, dict):
            names |= dict.fromkeys(numbers(value))
    return [*names]


def _whole(store: Store, snapshot: Snapshot, chosen: Sequence[TrialStatus]) -> dict[int, dict[str, Any] | None]:
    file = snapshot.settings.objective.file
    done = (status for status in chosen if status.verdict.state is State.DONE)
    return {status.trial.number: _result(store, status, file) for status in done}


def _scalars(
    store: Store, snapshot: Snapshot, chosen: Sequence[TrialStatus], *, fresh: bool
) -> dict[int, dict[str, Any] | None]:
    """Return the results without their lists; each is read once, then from the one file that keeps them all."""
    file, settled = snapshot.settings.objective.file, snapshot.ledger.settled
    before = store.cache.results(file)
    kept = {} if fresh else dict(before)
    results: dict[int, dict[str, Any] | None] = {}
    new = 0
    for status in chosen:
        if status.verdict.state is not State.DONE:
            continue
        number = status.trial.number
        attempt, result = kept.get(number, (0, {}))
        if attempt != status.attempt or number not in settled:
            whole = _result(store, status, file)
            if whole is None:
                results[number] = None
                continue
            result = {name: value for name, value in whole.items() if not isinstance(value, list)}
            if number in settled:
                kept[number], new = (status.attempt, result), new + 1
        results[number] = result
    if new > WORTH_KEEPING * len(kept):
        store.cache.keep_results(file, before | kept)  # with the scores of those that are gone
    return results


def if_there(store: Store, status: TrialStatus, file: str) -> TrialStatus:
    """Return the status of a trial that was done as it is without its result, if the file is gone."""
    if status.verdict.state is State.DONE and not status.evidence and not store.has_result(status.trial, file):
        return msgspec.structs.replace(status, verdict=without_result(status.verdict, f"its {file}"))
    return status


def _result(store: Store, status: TrialStatus, file: str) -> dict[str, Any] | None:
    """Read a result. None: it is gone."""
    if status.evidence and status.evidence.result:  # it was just read
        return status.evidence.result
    try:
        read = store.result(status.trial, file)
    except CannotRead:  # the command ends with what could not be read
        return {}
    if read.fault and read.fault.problem is ResultProblem.MISSING:
        return None
    return read.value if isinstance(read.value, dict) else {}


def attempts(store: Store, snapshot: Snapshot) -> list[Attempted]:
    """List what has ended, with the attempts before the last; retired and parked trials cost, too."""
    from sweep.leaderboard.cost import Attempted

    planned = store.trials().trials
    earlier = [
        Attempted(earlier.raised.replacing(planned[earlier.number].resources), earlier.verdict)
        for earlier in snapshot.ledger.earlier
        if earlier.number in planned and not _never_began(earlier.verdict)
    ]
    last = [
        Attempted(status.trial.resources, status.verdict)
        for status in snapshot.trials
        if (status.verdict.state.final or _goes_on(status.verdict)) and not _never_began(status.verdict)
    ]
    return [*earlier, *last]


def _goes_on(verdict: Verdict) -> bool:
    """Whether an attempt has ended, and its trial has not. What is held may never have begun."""
    return verdict.state in (State.PAUSED, State.HELD) and verdict.elapsed_s is not None


def _never_began(verdict: Verdict) -> bool:
    """Whether nothing ran: it was cancelled while it waited."""
    return verdict.state is State.CANCELLED and not verdict.elapsed_s
