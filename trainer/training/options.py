"""The options of ``trainer train``, each declared once: its default, its help, its bounds, its variable.

The command line is made from these declarations. This file imports nothing heavy, so that the help comes at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from trainer.data.recipe import MASK_FORMS, ON_THE_FLY, Recipe, SplitRule
from trainer.errors import InputError
from trainer.network import models
from trainer.network.kernels import OPTIMIZERS

#: The values of `Decision.undo_weights` that each word allows.
UNDO = {"auto": (False, True), "yes": (True,), "no": (False,)}

#: Goes up whenever the same options would train other weights. A checkpoint of another number is not used.
ARITHMETIC = 4

#: Options that do not decide the weights, or whose effect is in the key of the prepared set.
_NOT_IN_IDENTITY = (
    "data",
    "extra_data",
    "out",
    "save_model",
    "keep_predictions",
    "keep_best",
    "keep_checkpoint",
    "threads",
    "tta",
)


@dataclass(frozen=True)
class Bound:
    """What a value must fulfil: in words, and as a test."""

    expected: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Declaration:
    """What an option is beside its name, type and default.

    Attributes
    ----------
    help : str
    bound : Bound or None
    variable : str or None
        The environment variable that replaces the default.
    """

    help: str
    bound: Bound | None = None
    variable: str | None = None


#: The key of the declaration in the metadata of a field.
_DECLARATION = "declaration"


def _option(default: Any, text: str, bound: Bound | None = None, *, variable: str | None = None) -> Any:
    return field(default=default, metadata={_DECLARATION: Declaration(text, bound, variable)})


def declaration_of(declared: Field[Any]) -> Declaration:
    """Give the declaration of a field of `Options`."""
    declaration: Declaration = declared.metadata[_DECLARATION]
    return declaration


def _one_of(*values: str) -> Bound:
    return Bound(" or ".join(values), lambda value: value in values)


def _at_least(least: int, unit: str = "") -> Bound:
    return Bound(f"{least} or more{unit}", lambda value: value >= least)


_WEIGHTS = Bound(
    "three numbers, none negative, not all 0",
    lambda weights: all(0 <= weight < 1e30 for weight in weights) and any(weights),
)


@dataclass(frozen=True)
class Options:
    """What one training is to do. Each field is an option of the command line (docs/trainer.md)."""

    data: Path = field(metadata={_DECLARATION: Declaration("A folder with images/ and masks/ of the same names.")})
    extra_data: tuple[Path, ...] = _option((), "A further set to train on. Repeat the option for more sets.")
    masks: str = _option(
        "auto",
        "How masks are written: instances, binary, classes, or auto (the trainer finds out).",
        _one_of(*MASK_FORMS),
    )
    out: Path = _option(Path("segMeasure.json"), "The file for the result.", variable="SWEEP_RESULT")
    save_model: Path | None = _option(None, "Write the network into this file, for trainer predict.")
    keep_predictions: Path | None = _option(
        None, "A folder for the predictions of the test images. Only the best trainings keep theirs."
    )
    keep_best: int = _option(5, "The number of trainings that keep their predictions.", _at_least(1))
    keep_checkpoint: bool = _option(
        False, "1: keep the checkpoint after the end, so that a training of more epochs goes on from it."
    )
    model: str = _option("smallUNet", f"The network: {', '.join(models.MODELS)}.")
    depth: int | None = _option(None, "Number of poolings. Without it, the model's own.")
    width: int | None = _option(None, "Channels at the first level. Without it, the model's own.")
    optimizer: str = _option("adam", "adam, or sgd with momentum 0.9.", _one_of(*OPTIMIZERS))
    learning_rate: float = _option(
        0.001, "The learning rate.", Bound("above 0 and below 1e30", lambda rate: 1e-30 < rate < 1e30)
    )
    schedule: str = _option(
        "constant",
        "How the learning rate changes: constant, plateau (halved when the score stands still), cosine (to 0).",
        _one_of("constant", "plateau", "cosine"),
    )
    dropout: float = _option(
        0.3, "The share of values dropped after the deepest level.", Bound("in [0, 1)", lambda x: 0 <= x < 1)
    )
    batch_size: int = _option(16, "Patches a step.", _at_least(1))
    epochs: int = _option(30, "The number of epochs.", _at_least(1))
    early_stopping: int = _option(
        0, "End after this many epochs without a better score; 0: never.", _at_least(0, " epochs")
    )
    keep: str = _option(
        "last",
        "Which weights are kept: of the last epoch, or of the best epoch by its score.",
        _one_of("last", "best"),
    )
    ema: float = _option(
        0.0,
        "Keep the moving average of the weights over the steps, with this decay (0.99 or so); 0: the weights.",
        Bound("in [0, 1)", lambda decay: 0 <= decay < 1),
    )
    augmentation: int = _option(
        0, "The number of training images with augmented ones; 0: the originals alone.", _at_least(0)
    )
    division: int = _option(4, "Each image is cut into division × division patches.")
    blank: bool = _option(False, "1: add an image of background alone, and keep patches without a nucleus.")
    on_the_fly: str = _option(
        "none",
        "What happens to a patch each time: none, flips, or full (rotated, zoomed, other contrast, noise).",
        _one_of(*ON_THE_FLY),
    )
    contour: int = _option(
        2, "The width of the contour in pixels, 1 or 2.", Bound("1 or 2 pixels", lambda px: px in (1, 2))
    )
    weights: tuple[float, float, float] = _option(
        (0.01, 1.0, 0.95), "The weights of background, nucleus and contour in the loss.", _WEIGHTS
    )
    undo_weights: str = _option(
        "auto",
        "Divide the probabilities by the weights before deciding: yes, no, or auto (what validates better).",
        _one_of(*UNDO),
    )
    tta: bool = _option(
        False,
        "1: at the end, predict the eight views of each (turned, mirrored) and take their mean: 8 times as long.",
    )
    validation: float = _option(
        0.2,
        "The share of the training images to validate on.",
        Bound("between 0 and 1", lambda share: 0 < share < 1),
    )
    folds: int = _option(
        0,
        "Deal the training images into this many parts, and validate on one of them; 0: do not.",
        Bound("0, or 2 and more", lambda folds: folds == 0 or folds >= 2),
    )
    fold: int = _option(0, "The part to validate on, from 0.", _at_least(0))
    validate_on: str = _option(
        "validation",
        "The images that decide: validation, or test. With test, no images are left that no choice has seen.",
        _one_of("validation", "test"),
    )
    seed: int = _option(
        0,
        "The seed of all random choices.",
        Bound("from 0 to 4294967295", lambda seed: 0 <= seed < 2**32),
        variable="SWEEP_SEED",
    )
    threads: int = _option(
        0,
        "The number of threads; 0: one for each CPU of this job.",
        Bound("0 to 4096", lambda threads: 0 <= threads <= 4096),
    )

    @property
    def shape(self) -> models.Shape:
        """The shape of the network."""
        return models.shape_of(self.model, self.depth, self.width)

    @property
    def split_rule(self) -> SplitRule:
        """How the validation images are found."""
        return SplitRule(self.validation, self.folds, self.fold, self.validate_on == "test")

    @property
    def recipe(self) -> Recipe:
        """What the prepared set is made of."""
        return Recipe(self.masks, self.augmentation, self.blank, self.contour, self.seed)

    def identity(self, prepared: str, threads: int, *, plain_keras: bool = False) -> str:
        """Hash everything that decides the weights. A training resumes only from a checkpoint of its own identity.

        The number of epochs is no part of it, unless the schedule hangs on it: so a training goes on for longer
        than was planned.

        Parameters
        ----------
        prepared : str
            Key of the prepared set, which covers the data and its split.
        threads : int
        plain_keras : bool
            Whether the plain kernels are used.
        """
        deciding = {name: value for name, value in asdict(self).items() if name not in _NOT_IN_IDENTITY}
        if self.schedule != "cosine":
            del deciding["epochs"]
        kernels = ["plain"] if plain_keras else []
        text = json.dumps([deciding, prepared, threads, ARITHMETIC, *kernels], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(options: Options) -> None:
    """Refuse what cannot be trained.

    Raises
    ------
    InputError
        The message names the option and its value, the hint says what it should be.
    """
    for declared in fields(Options):
        bound = declaration_of(declared).bound
        value = getattr(options, declared.name)
        if bound and not bound.holds(value):
            raise _out_of_bounds(declared.name, value, bound.expected)
    if options.fold >= max(1, options.folds):
        raise _out_of_bounds("fold", options.fold, "from 0 to --folds less one")
    if options.folds and options.validate_on == "test":
        raise InputError("--folds and --validate-on test exclude each other", "leave one out")
    models.shape_of(options.model, options.depth, options.width)


def _out_of_bounds(name: str, value: Any, expected: str) -> InputError:
    text = " ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else value
    return InputError(f"--{name.replace('_', '-')} is {text}", f"it should be {expected}")
