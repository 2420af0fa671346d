"""What an interrupted training goes on from: one npz beside the result, written by rename."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.files.atomic import aside, whole

#: Of this format; goes up with it.
VERSION = 1

Arrays = list[NDArray[Any]]


@dataclass
class Progress:
    """Where a training stands, beside its weights.

    Attributes
    ----------
    epoch : int
        Epochs that are complete.
    batch : int
        Batches done of the one that is not.
    losses : list of float
        Of these batches.
    history : list of dict
        One entry an epoch.
    rate : float
        The learning rate as it has been reduced so far.
    best_epoch, best_score
        The epoch of the best validation score so far, and that score.
    reduced_at : int
        Epoch of the last reduction of the learning rate.
    seconds : dict
        By phase, of all runs before this one.
    spent_s : float
        Seconds that the steps of the unfinished epoch took.
    resumed : int
        Times that the training was taken up again.
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
    """Remove the checkpoint of a result, and what a writer that was killed has left of it."""
    for path in (path_for(out), aside(path_for(out)), aside(out)):
        path.unlink(missing_ok=True)


def save(path: Path, identity: str, progress: Progress, arrays: dict[str, Arrays]) -> None:
    """Save whole or not at all.

    Raises
    ------
    InputError
        It cannot be written: the disk is full, say.
    """
    about = json.dumps({"identity": f"{VERSION} {identity}", "progress": progress.__dict__})
    flat = {f"{kind}.{number}": array for kind, some in arrays.items() for number, array in enumerate(some)}
    save_npz(path, about, flat)


def load(path: Path, identity: str) -> tuple[Progress, dict[str, Arrays]] | None:
    """Load a checkpoint; None if there is none of this identity that can be read."""
    read = load_npz(path)
    if read is None or read[0].get("identity") != f"{VERSION} {identity}":
        return None
    about, flat = read
    arrays: dict[str, Arrays] = {}
    for name in sorted(flat, key=lambda name: int(name.rpartition(".")[2])):
        arrays.setdefault(name.rpartition(".")[0], []).append(flat[name])
    return Progress(**about["progress"]), arrays


def save_npz(path: Path, about: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays and a JSON text into one npz, by rename.

    Raises
    ------
    InputError
        It cannot be written.
    """
    with whole(path) as file:
        np.savez(file, **{**arrays, "about": np.frombuffer(about.encode(), np.uint8)})  # type: ignore[arg-type]


def load_npz(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """Read what `save_npz` wrote; None if it is not there or not whole."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes())
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return (about, arrays) if isinstance(about, dict) else None
