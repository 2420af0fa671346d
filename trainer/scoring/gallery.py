"""A folder of the best trainings' pictures and predictions: never more than so many, however many trainings."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from trainer.errors import InputError
from trainer.files.atomic import whole
from trainer.files.images import write_indexed, write_png
from trainer.scoring.pictures import Drawing, extremes, outlined, palette

#: Of another training that keeps its own there, seconds.
PATIENCE_S = 120.0

#: Says a training's score, and that its folder is whole.
SCORE = "score.json"


@dataclass(frozen=True)
class Shown:
    """One image with its truth and what was found."""

    image: NDArray[np.float32]
    truth: NDArray[np.integer]
    found: NDArray[np.integer]


def keep(folder: Path, most: int, out: Path, score: float, shown: Mapping[str, Shown]) -> list[dict[str, str]]:
    """Keep a training's pictures if it is among the best, and take away those of the one it displaces.

    Leaves ``FOLDER/ID/NAME-labels.png`` (16 bit), ``NAME.png`` (outlines) and ``NAME-objects.png``. Many trainings
    may do so at once.

    Parameters
    ----------
    folder : Path
        Shared by all trainings of a sweep.
    most : int
        Trainings that are kept.
    out : Path
        The result's own path, which tells one training from another.
    score : float
        Of the images that choices are made by; ties go to who came first.
    shown : mapping
        Name → image, truth and prediction.

    Returns
    -------
    list of dict
        ``path`` (absolute) and ``caption`` of each picture; empty if others are better.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    own = folder.absolute() / hashlib.sha256(os.fsencode(out.absolute())).hexdigest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=PATIENCE_S):
            others = [(other, path) for path, other in _kept(folder).items() if path.name != own.name]
            better = sum(other >= score for other, _ in others)
            shutil.rmtree(own, ignore_errors=True)  # of an earlier training with this very result's path
            if better >= most:
                return []
            made = _write(own, score, shown)
            for _, path in sorted(others, key=lambda pair: -pair[0])[most - 1 :]:
                shutil.rmtree(path, ignore_errors=True)  # a file server keeps what someone has open
            return made
    except (OSError, Timeout) as error:
        why = getattr(error, "strerror", "") or str(error)
        raise InputError(f"cannot write in {str(folder)!r}: {why}", "name another") from None


def _kept(folder: Path) -> dict[Path, float]:
    """Read the scores of those that are there. A folder without one was cut off, and counts as the worst."""
    found = {}
    for path in folder.iterdir():
        if path.is_dir() and len(path.name) == 12:
            try:
                found[path] = float(json.loads((path / SCORE).read_text())["score"])
            except (OSError, ValueError, KeyError, TypeError):
                found[path] = float("-inf")
    return found


def _write(own: Path, score: float, shown: Mapping[str, Shown]) -> list[dict[str, str]]:
    made: list[dict[str, str]] = []

    def draw(name: str, drawing: Drawing) -> None:
        path = own / f"{name}.png"
        write_indexed(path, drawing.indices, palette())
        made.append({"path": str(path).encode("utf-8", "backslashreplace").decode(), "caption": drawing.caption})

    for name, one in shown.items():
        stem = Path(name).stem
        write_png(own / f"{stem}-labels.png", one.found.astype(np.uint16))
        drawing = outlined(name, one.image, one.truth, one.found)
        draw(stem, drawing)
        objects = extremes(name, drawing, one.truth, one.found)
        if objects:
            draw(f"{stem}-objects", objects)
    with whole(own / SCORE, "w", encoding="utf-8") as file:
        json.dump({"score": score}, file)
    return made
