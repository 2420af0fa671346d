"""partial: how far trials have come, by what their result files hold so far. Read only when someone asks."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.model import Objective, Trial
from sweep.state.evidence import PartialResult
from sweep.state.results import partial_result
from sweep.store import Store

#: A larger file is not read: thousands may be read in one look. 5,000 epochs of the trainer fit.
MOST_BYTES = 2**20


def partial_results(store: Store, trials: Iterable[Trial], objective: Objective) -> dict[int, PartialResult]:
    """Read how far each trial has come, by its number. Those that have written nothing are left out.

    A file that is half written, too large or closed to this user is no error: `PartialResult.fault` says so.
    """
    partials = {}
    for trial in trials:
        partial = partial_result(*store.result_so_far(trial, objective.file, MOST_BYTES), objective)
        if partial is not None:
            partials[trial.number] = partial
    return partials
