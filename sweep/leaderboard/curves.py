"""Learning curves out of results (pure). A result may have a ``history``: a list with an entry for each epoch."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.leaderboard.ranking import Configuration
from sweep.model import Objective
from sweep.state.results import history_of, number

#: The largest number of points of a curve. A longer history loses epochs at equal distances.
MAX_POINTS = 100

#: These are curves, beside the metric, where a history has them.
LOSSES = ("loss", "val_loss")


@dataclass(frozen=True)
class Curve:
    """What one trial reached, epoch by epoch.

    Attributes
    ----------
    epochs : range
        The epochs that the curve has points of, from 1. All of them, unless there were too many.
    values : list of float or None
        The value of each. None where the history has no number.
    """

    epochs: range
    values: list[float | None]


def learning_curves(configuration: Configuration, objective: Objective) -> dict[str, list[Curve]]:
    """Return the learning curves of a configuration's trials whose scores count, or of all where none counts.

    Returns
    -------
    dict
        The metric or a loss → one curve for each trial. The first is the trial that stands for the configuration.
    """
    metric = objective.metric.rpartition(".")[2]
    curves: dict[str, list[Curve]] = {}
    for entry in configuration.counted or configuration.entries:
        history = history_of(entry.result, objective.metric)
        stride, last = max(1, -(-len(history) // MAX_POINTS)), len(history) - 1
        indices = range(last % stride, len(history), stride)  # the last epoch is one of them
        for name in dict.fromkeys((objective.metric, metric, *LOSSES)):
            values = [number(history[index].get(name)) for index in indices]
            if any(value is not None for value in values):
                epochs = range(indices.start + 1, indices.stop + 1, stride)
                curves.setdefault(name, []).append(Curve(epochs, values))
    return curves
