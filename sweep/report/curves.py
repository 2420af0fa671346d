"""Learning curves out of results. A result may have a ``history``: a list of objects, one for each epoch."""

from __future__ import annotations

from typing import Any

from sweep.leaderboard.entries import number
from sweep.leaderboard.ranking import Configuration
from sweep.model import Objective

#: The largest number of points of a curve. A longer history loses epochs at equal distances.
MAX_POINTS = 100

#: These are drawn beside the metric where a history has them.
LOSSES = ("loss", "val_loss")


def learning_curves(configuration: Configuration, objective: Objective) -> dict[str, list[dict[str, Any]]]:
    """Return the learning curves of a configuration's trials whose scores count, or of all where none counts.

    Returns
    -------
    dict
        Name → one curve for each trial. The first is the trial that stands for the configuration. ``y`` holds
        the values. ``x`` holds their epochs, from 1, and is there only where epochs were left out.
    """
    metric = objective.metric.rpartition(".")[2]
    curves: dict[str, list[dict[str, Any]]] = {}
    for entry in configuration.counted or configuration.entries:
        epochs = epochs_of(entry.result)
        stride = max(1, -(-len(epochs) // MAX_POINTS))
        last = len(epochs) - 1
        indices = range(last % stride, len(epochs), stride)  # the last epoch is one of them
        x = {} if stride == 1 else {"x": [index + 1 for index in indices]}
        for name in dict.fromkeys((objective.metric, metric, *LOSSES)):
            values = [number(epochs[index].get(name)) for index in indices]
            if any(value is not None for value in values):
                curves.setdefault(name, []).append({"y": [_three_digits(value) for value in values], **x})
    return curves


def epochs_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the epochs in a result's ``history``. Empty where it has none, or something else under this name."""
    epochs = result.get("history")
    return [epoch for epoch in epochs if isinstance(epoch, dict)] if isinstance(epochs, list) else []


def _three_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
