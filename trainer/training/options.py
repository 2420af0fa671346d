"""What one training is to do, and what of it cannot be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainer.data import splits
from trainer.data.patches import ON_THE_FLY
from trainer.data.prepare import Recipe
from trainer.data.samples import MASK_FORMS
from trainer.errors import InputError
from trainer.network import models

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("constant", "plateau", "cosine")
UNDO = {"auto": (False, True), "yes": (True,), "no": (False,)}
KEEP = ("last", "best")

#: Goes up whenever the same options would train other weights: a checkpoint of another one is not taken up.
ARITHMETIC = 2


@dataclass(frozen=True)
class Options:
    """What one training is to do; the command line's options, one for one (docs/trainer.md)."""

    data: Path
    extra_data: list[Path] = field(default_factory=list)
    masks: str = "auto"
    out: Path = Path("segMeasure.json")
    save_model: Path | None = None
    keep_predictions: Path | None = None
    keep_best: int = 5
    model: str = "smallUNet"
    depth: int | None = None
    width: int | None = None
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    dropout: float = 0.3
    batch_size: int = 16
    epochs: int = 30
    early_stopping: int = 0
    keep: str = "last"
    augmentation: int = 0
    division: int = 4
    blank: bool = False
    on_the_fly: str = "none"
    contour: int = 2
    weights: tuple[float, float, float] = (0.01, 1.0, 0.95)
    undo_weights: str = "auto"
    validation: float = 0.2
    folds: int = 0
    fold: int = 0
    validate_on: str = "validation"
    seed: int = 0
    threads: int = 0

    @property
    def shape(self) -> models.Shape:
        """The network asked for."""
        return models.shape_of(self.model, self.depth, self.width)

    @property
    def rule(self) -> splits.Rule:
        """How validation images are found."""
        return splits.Rule(self.validation, self.folds, self.fold, self.validate_on == "test")

    @property
    def recipe(self) -> Recipe:
        """What the prepared set is made of."""
        return Recipe(self.masks, self.augmentation, self.blank, self.contour, self.seed)

    def identity(self, prepared: str, threads: int) -> str:
        """Hash what decides the weights: a checkpoint of one identity is never resumed by another.

        Parameters
        ----------
        prepared : str
            Key of the prepared set, which holds the data and its split.
        threads : int
        """
        deciding = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("data", "extra_data", "out", "save_model", "keep_predictions", "keep_best", "threads")
        }
        text = json.dumps([deciding, prepared, threads, ARITHMETIC], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(options: Options) -> None:
    """Refuse what cannot be trained.

    Raises
    ------
    InputError
        Which option, its value, and what it should be.
    """
    choices: list[tuple[str, str, tuple[str, ...]]] = [
        ("optimizer", options.optimizer, OPTIMIZERS),
        ("schedule", options.schedule, SCHEDULES),
        ("masks", options.masks, MASK_FORMS),
        ("on-the-fly", options.on_the_fly, ON_THE_FLY),
        ("undo-weights", options.undo_weights, tuple(UNDO)),
        ("keep", options.keep, KEEP),
        ("validate-on", options.validate_on, ("validation", "test")),
    ]
    rules: list[tuple[bool, str, Any, str]] = [
        (value in allowed, name, value, " or ".join(allowed)) for name, value, allowed in choices
    ]
    rules += [
        (1e-30 < options.learning_rate < 1e30, "learning-rate", options.learning_rate, "above 0 and below 1e30"),
        (0 <= options.dropout < 1, "dropout", options.dropout, "in [0, 1)"),
        (options.batch_size >= 1, "batch-size", options.batch_size, "1 or more"),
        (options.epochs >= 1, "epochs", options.epochs, "1 or more"),
        (options.early_stopping >= 0, "early-stopping", options.early_stopping, "0 or more epochs"),
        (options.augmentation >= 0, "augmentation", options.augmentation, "0 or more"),
        (options.contour in (1, 2), "contour", options.contour, "1 or 2 pixels"),
        (0 < options.validation < 1, "validation", options.validation, "between 0 and 1"),
        (options.folds == 0 or options.folds >= 2, "folds", options.folds, "0, or 2 and more"),
        (0 <= options.fold < max(1, options.folds), "fold", options.fold, "from 0 to --folds less one"),
        (options.keep_best >= 1, "keep-best", options.keep_best, "1 or more"),
        (0 <= options.seed < 2**32, "seed", options.seed, "from 0 to 4294967295"),
        (0 <= options.threads <= 4096, "threads", options.threads, "0 to 4096"),
        (
            all(0 <= weight < 1e30 for weight in options.weights) and any(options.weights),
            "weights",
            " ".join(f"{weight:g}" for weight in options.weights),
            "three numbers, none negative, not all 0",
        ),
    ]
    for good, name, value, expected in rules:
        if not good:
            raise InputError(f"--{name} is {value}", f"it should be {expected}")
    if options.folds and options.validate_on == "test":
        raise InputError("--folds and --validate-on test exclude each other", "leave one out")
    models.shape_of(options.model, options.depth, options.width)
