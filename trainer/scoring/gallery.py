"""A folder with the pictures and predictions of the best trainings: a fixed number, however many there are."""

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
from trainer.files.atomic import whole_file
from trainer.files.images import write_indexed, write_png
from trainer.scoring.pictures import Picture, draw_extremes, draw_outlines, palette
from trainer.scoring.seg import AnyLabels

#: How long a training waits for others that write there, in seconds.
WAIT_S = 120.0

#: Holds the score of a training, and shows that its folder is complete.
SCORE = "score.json"


@dataclass(frozen=True)
class PredictedImage:
    """An image in [0, 1] with its true and its predicted nuclei, all of shape (rows, columns)."""

    image: NDArray[np.float32]
    truth: AnyLabels
    predicted: AnyLabels


def keep_pictures(
    folder: Path, most: int, out: Path, score: float, images: Mapping[str, PredictedImage]
) -> list[dict[str, str]]:
    """Keep the pictures of a training if it is among the best, and remove those of the one that it displaces.

    Writes ``FOLDER/ID/NAME-labels.png`` (16 bit), ``NAME.png`` (outlines) and ``NAME-objects.png``. Many trainings
    may do so at once.

    Parameters
    ----------
    folder : Path
        Shared by all trainings of a sweep.
    most : int
        Number of trainings that are kept.
    out : Path
        The path of the result, which tells one training from another.
    score : float
        Of the images that choices are made by. Of equal scores the earlier one stays.
    images : mapping
        By name.

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
        with FileLock(folder / ".lock", timeout=WAIT_S):
            others = [(other, path) for path, other in _kept_scores(folder).items() if path.name != own.name]
            better = sum(other >= score for other, _ in others)
            shutil.rmtree(own, ignore_errors=True)  # of an earlier training with the same result path
            if better >= most:
                return []
            pictures = _write(own, score, images)
            for _, path in sorted(others, key=lambda pair: -pair[0])[most - 1 :]:
                shutil.rmtree(path, ignore_errors=True)  # a file server keeps files that are open
            return pictures
    except (OSError, Timeout) as error:
        reason = getattr(error, "strerror", "") or str(error)
        raise InputError(f"cannot write in {str(folder)!r}: {reason}", "name another") from None


def _kept_scores(folder: Path) -> dict[Path, float]:
    """Read the scores of the trainings that are kept. A folder without a score is incomplete: it is the worst."""
    scores = {}
    for path in folder.iterdir():
        if path.is_dir() and len(path.name) == 12:
            try:
                scores[path] = float(json.loads((path / SCORE).read_text())["score"])
            except (OSError, ValueError, KeyError, TypeError):
                scores[path] = float("-inf")
    return scores


def _write(own: Path, score: float, images: Mapping[str, PredictedImage]) -> list[dict[str, str]]:
    written: list[dict[str, str]] = []

    def write(name: str, picture: Picture) -> None:
        path = own / f"{name}.png"
        write_indexed(path, picture.indices, palette())
        text = str(path).encode("utf-8", "backslashreplace").decode()
        written.append({"path": text, "caption": picture.caption})

    for name, image in images.items():
        stem = Path(name).stem
        write_png(own / f"{stem}-labels.png", image.predicted.astype(np.uint16))
        outlines = draw_outlines(name, image.image, image.truth, image.predicted)
        write(stem, outlines)
        extremes = draw_extremes(name, outlines, image.truth, image.predicted)
        if extremes:
            write(f"{stem}-objects", extremes)
    with whole_file(own / SCORE, "w", encoding="utf-8") as file:
        json.dump({"score": score}, file)
    return written
