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


def curves(configuration: Configuration, objective: Objective) -> dict[str, list[list[float | None]]]:
    """Take a configuration's learning curves: name → a list of values a replicate."""
    metric = objective.metric.rpartition(".")[2]
    found: dict[str, list[list[float | None]]] = {}
    for entry in configuration.entries:
        epochs = history(entry.result)
        if not epochs:
            continue
        stride = -(-len(epochs) // MOST_POINTS)
        for name in (objective.metric, metric, *BESIDE):
            values = [number(one.get(name)) for one in epochs[::stride]]
            if any(value is not None for value in values):
                found.setdefault(name, []).append([_short(value) for value in values])
    return found


def history(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a result's epochs; empty if it has none, or something else of that name."""
    epochs = result.get("history")
    return [one for one in epochs if isinstance(one, dict)] if isinstance(epochs, list) else []


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
