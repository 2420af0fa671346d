"""The checkpoint of a training: one npz beside the result, from which an interrupted training goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trainer.files.atomic import temporary_path
from trainer.files.npz import load_npz, save_npz

#: The version of the format.
VERSION = 1

Arrays = list[NDArray[Any]]


@dataclass
class Progress:
    """How far a training has come, beside its weights.

    Attributes
    ----------
    rate : float
        The learning rate after all reductions so far.
    epoch : int
        Number of complete epochs.
    batch : int
        Number of batches done of the next epoch.
    losses : list of float
        Of these batches.
    history : list of dict
        One entry for each complete epoch.
    best_epoch, best_score
        The epoch with the best validation score so far, and this score.
    reduced_at : int
        Epoch of the last reduction of the learning rate.
    seconds : dict
        By phase, over all runs before this one.
    spent_s : float
        Seconds that the steps of the unfinished epoch took.
    resumed : int
        How often the training was resumed.
    """

    rate: float
    epoch: int = 0
    batch: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -1.0
    reduced_at: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    spent_s: float = 0.0
    resumed: int = 0


def path_for(out: Path) -> Path:
    """Name the checkpoint that belongs to a result."""
    return out.with_name(f"{out.name}.checkpoint.npz")


def remove(out: Path) -> None:
    """Remove the checkpoint of a result, and what a writer that was killed has left."""
    for path in (path_for(out), temporary_path(path_for(out)), temporary_path(out)):
        path.unlink(missing_ok=True)


def save(path: Path, identity: str, progress: Progress, arrays: dict[str, Arrays]) -> None:
    """Save a checkpoint, whole or not at all.

    Raises
    ------
    InputError
        It cannot be written; the disk may be full.
    """
    about = json.dumps({"identity": f"{VERSION} {identity}", "progress": progress.__dict__})
    flat = {f"{kind}.{number}": array for kind, of_kind in arrays.items() for number, array in enumerate(of_kind)}
    save_npz(path, about, flat)


def is_damaged(path: Path) -> bool:
    """Whether a checkpoint cannot be read, whosever it is."""
    return load_npz(path) is None


def load(path: Path, identity: str) -> tuple[Progress, dict[str, Arrays]] | None:
    """Load a checkpoint; None if there is none of this identity that can be read."""
    loaded = load_npz(path)
    if loaded is None or loaded[0].get("identity") != f"{VERSION} {identity}":
        return None
    about, flat = loaded
    arrays: dict[str, Arrays] = {}
    for name in sorted(flat, key=lambda name: int(name.rpartition(".")[2])):
        arrays.setdefault(name.rpartition(".")[0], []).append(flat[name])
    return Progress(**about["progress"]), arrays
