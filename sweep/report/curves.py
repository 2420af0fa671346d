"""Learning curves out of results: any program's list of objects, an epoch each, under ``history``."""

from __future__ import annotations

from typing import Any

from sweep.leaderboard.entries import number
from sweep.leaderboard.ranking import Configuration
from sweep.model import Objective

#: Of a longer history, so many points.
MOST_POINTS = 100

#: What is drawn beside the metric, where a history has it.
BESIDE = ("loss", "val_loss")


def curves(configuration: Configuration, objective: Objective) -> dict[str, list[dict[str, Any]]]:
    """Take a configuration's learning curves: of the runs that count, the one that stands for it first.

    Returns
    -------
    dict
        Name → a curve a replicate: its values ``y``, and, where not every epoch is there, which ones, ``x``.
    """
    metric = objective.metric.rpartition(".")[2]
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in configuration.counted or configuration.entries:
        epochs = history(entry.result)
        stride = max(1, -(-len(epochs) // MOST_POINTS))
        places = [
            place for place in range(len(epochs)) if (len(epochs) - 1 - place) % stride == 0
        ]  # the last, too
        at = {} if stride == 1 else {"x": [place + 1 for place in places]}
        for name in dict.fromkeys((objective.metric, metric, *BESIDE)):
            values = [number(epochs[place].get(name)) for place in places]
            if any(value is not None for value in values):
                found.setdefault(name, []).append({"y": [_short(value) for value in values], **at})
    return found


def history(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a result's epochs; empty if it has none, or something else of that name."""
    epochs = result.get("history")
    return [one for one in epochs if isinstance(one, dict)] if isinstance(epochs, list) else []


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
