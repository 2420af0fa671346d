"""Learning curves out of results (pure). A result may have a ``history``: a list with an entry for each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sweep.leaderboard.ranking import Configuration
from sweep.model import Objective
from sweep.state.results import history_of, number

#: The largest number of points of a curve. A longer history loses epochs at equal distances.
MAX_POINTS = 100

#: These are curves, beside the metric, where a history has them.
LOSSES = ("loss", "val_loss")

#: What an entry of a history may say of itself: how many seconds it took.
OWN_TIME = "seconds"


@dataclass(frozen=True)
class Times:
    """When a trial had come so far as each entry of its history.

    Attributes
    ----------
    since_start_s : list of float
        Seconds, one for each entry; empty where nothing is known.
    own : bool
        Whether they are the running sum of the entries' own ``seconds``. Else the trial's elapsed time was spread
        evenly over its entries.
    """

    since_start_s: list[float]
    own: bool = False


@dataclass(frozen=True)
class Curve:
    """What one trial reached, epoch by epoch.

    Attributes
    ----------
    epochs : range
        The epochs that the curve has points of, from 1. All of them, unless there were too many.
    values : list of float or None
        The value of each. None where the history has no number.
    times : Times
        When each was reached.
    cores : int
        The CPUs that the trial held meanwhile.
    """

    epochs: range
    values: list[float | None]
    times: Times
    cores: int


def learning_curves(configuration: Configuration, objective: Objective) -> dict[str, list[Curve]]:
    """Return the learning curves of a configuration's trials whose scores count, or of all where none counts.

    Returns
    -------
    dict
        The metric or a loss → one curve for each trial. The first is the trial that stands for the configuration.
    """
    curves: dict[str, list[Curve]] = {}
    for entry in configuration.counted or configuration.entries:
        history = history_of(entry.result, objective.metric)
        stride, last = max(1, -(-len(history) // MAX_POINTS)), len(history) - 1
        indices = range(last % stride, len(history), stride)  # the last epoch is one of them
        whole = times(history, entry.verdict.elapsed_s)
        own_times = Times(whole.since_start_s[indices.start :: stride], whole.own)
        for name in names(objective):
            values = [number(history[index].get(name)) for index in indices]
            if any(value is not None for value in values):
                epochs = range(indices.start + 1, indices.stop + 1, stride)
                curve = Curve(epochs, values, own_times, entry.trial.resources.cores)
                curves.setdefault(name, []).append(curve)
    return curves


def names(objective: Objective) -> list[str]:
    """Return what of a history may be drawn: the metric, also without what stands before its point, and losses."""
    return [*dict.fromkeys((objective.metric, objective.metric.rpartition(".")[2], *LOSSES))]


def times(history: Sequence[Mapping[str, Any]], elapsed_s: float | None) -> Times:
    """Say when a trial had come so far as each entry of its history.

    Parameters
    ----------
    history : sequence of dict
        The entries, in their order.
    elapsed_s : float or None
        The trial's elapsed time, in seconds.

    Examples
    --------
    >>> times([{"seconds": 2}, {"seconds": 3}], 60.0)
    Times(since_start_s=[2.0, 5.0], own=True)
    >>> times([{"seconds": 2}, {}], 60.0)
    Times(since_start_s=[30.0, 60.0], own=False)
    >>> times([{}], None)
    Times(since_start_s=[], own=False)
    """
    spans = [span for entry in history if (span := number(entry.get(OWN_TIME))) is not None and span >= 0]
    if spans and len(spans) == len(history):
        return Times([*accumulate(spans)], own=True)
    if elapsed_s is None:
        return Times([])
    return Times([elapsed_s * (index + 1) / len(history) for index in range(len(history))])
