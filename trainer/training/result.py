"""The result: one JSON, written by rename after each epoch. Its schema is docs/segmeasure.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trainer.errors import TrainerError
from trainer.files.atomic import whole_file

VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Scores(_Strict):
    """Scores of some images together."""

    segMeasure: float = Field(ge=0, le=1, description="SEG: mean Jaccard index over all reference objects")  # noqa: N815
    f1: float = Field(ge=0, le=1, description="2TP/(2TP+FP+FN) at IoU 0.5")
    ap50: float = Field(ge=0, le=1, description="TP/(TP+FP+FN) at IoU 0.5")
    objects: int = Field(ge=1, description="reference objects")
    found: int = Field(ge=0, description="objects that were found")
    images: dict[str, float | None] = Field(description="SEG of each image; null where it has no reference object")


class Epoch(_Strict):
    """One epoch."""

    epoch: int = Field(ge=1)
    loss: float = Field(description="weighted cross-entropy, mean over the epoch's pixels, nats")
    segMeasure: float = Field(ge=0, le=1, description="of the images that decide, at the default thresholds")  # noqa: N815
    f1: float
    ap50: float
    learning_rate: float
    seconds: float = Field(description="of the training steps")
    images_per_s: float = Field(description="patches a second, counted as whole images of the set's size")


class Image(_Strict):
    """A picture for people to look at."""

    path: str = Field(description="of a PNG, absolute; a better training may have displaced it since")
    caption: str


class Data(_Strict):
    """The data of the training."""

    fingerprint: str = Field(description="SHA-256 of the files' names and bytes, 16 hex digits")
    train: list[str]
    validation: list[str]
    test: list[str]
    images: int = Field(description="training images, with augmented ones and the blank one")
    patches: int
    patch_px: tuple[int, int] = Field(description="rows, columns")
    class_fractions: dict[str, float] = Field(description="share of the training pixels")
    scale: float = Field(1.0, description="the factor by which the images of the main set were resized")
    diameter_px: float = Field(0.0, description="median diameter of the nuclei to train on, as they were resized")


class Network(_Strict):
    """The network."""

    model: str
    depth: int
    width: int
    parameters: int
    flops_a_patch: int = Field(description="of one forward pass; a multiplication and an addition are two")


class Result(_Strict):
    """The result of one training; sweep reads ``segMeasure``.

    While it is not complete, ``segMeasure`` is that of the last epoch, and what comes at the end is null.
    """

    version: int = VERSION
    complete: bool
    failed: str | None = Field(None, description="why it ended without a score")
    segMeasure: float | None = Field(ge=0, le=1, description="of the images that decide")  # noqa: N815
    f1: float | None = None
    ap50: float | None = None
    objective_on: str = Field(
        description="the images that decide: 'validation', or 'test': then no unseen images are left"
    )
    validation: Scores | None = None
    test: Scores | None = Field(
        None, description="no choice has seen these images, unless objective_on is 'test'; null if there are none"
    )
    decision: dict[str, bool | int | float] | None = Field(
        None, description="thresholds, chosen on the images that decide"
    )
    parameters: dict[str, Any] = Field(description="all options as used")
    seed: int
    folds: int
    fold: int
    epochs_done: int
    kept_epoch: int | None = Field(None, description="the epoch whose weights were scored")
    history: list[Epoch]
    network: Network
    data: Data
    seconds: dict[str, float] = Field(description="wall time by phase, over all runs of an interrupted training")
    resumed: int = Field(0, description="how often it was resumed after an interruption")
    images_per_s: float | None = Field(None, description="over all epochs but the first, which traces the network")
    peak_memory_bytes: int
    threads: int
    cpus: int
    host: str
    versions: dict[str, str]
    git_commit: str | None
    git_dirty: bool | None
    warnings: list[str] = []
    images: list[Image] = Field(
        [], description="with --keep-predictions, of the best trainings: truth and prediction"
    )


def write_result(path: Path, result: Result) -> None:
    """Write the result, whole or not at all.

    Raises
    ------
    TrainerError
        A number in it is not finite: NaN is a failure, never a score.
    InputError
        It cannot be written.
    """
    try:
        text = json.dumps(result.model_dump(mode="json"), indent=1, allow_nan=False)
    except ValueError:
        raise TrainerError("the result holds a number that is not finite", "the training diverged") from None
    with whole_file(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def schema() -> dict[str, Any]:
    """JSON Schema of the result."""
    return Result.model_json_schema()
