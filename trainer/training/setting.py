"""A training before its first step: the data, and everything that can be checked without TensorFlow."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

from trainer.classes import CLASSES, ClassWeights
from trainer.data import faults
from trainer.data.patches import Patches, cut_patches
from trainer.data.prepare import PreparedSet, prepare
from trainer.errors import InputError
from trainer.files.cache import Cache
from trainer.network import models
from trainer.training import checkpoint
from trainer.training.options import Options, check

#: A class with a smaller share of the loss is hardly learnt.
STARVED_SHARE = 0.02


@dataclass
class Setting:
    """Everything that a training starts from."""

    options: Options
    prepared: PreparedSet
    patches: Patches
    shape: models.Shape
    warnings: list[str] = field(default_factory=list)

    def warn(self, warning: str) -> None:
        """Add a warning to the result, and print it."""
        self.warnings.append(warning)
        print(f"warning: {warning}", file=sys.stderr)

    def summary(self) -> str:
        """Say in a few lines what would be trained."""
        prepared, patches, shape = self.prepared, self.patches, self.shape
        parameters = sum(layer.parameters for layer in models.layers_of(shape))
        lines = [
            f"{len(prepared.originals)} training images ({len(prepared.train)} with augmented ones), "
            f"{len(prepared.validation)} for the objective, {len(prepared.test)} for testing",
            f"{len(patches.corners)} patches of {patches.rows}×{patches.columns}, "
            f"{-(-len(patches.corners) // self.options.batch_size)} steps an epoch",
            f"nuclei of {prepared.diameter_px:.1f} pixels (median diameter), resized by {prepared.scale:.3g}",
            f"{self.options.model}: depth {shape.depth}, width {shape.width}, {parameters:,} parameters",
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def make_setting(options: Options, cache: Cache) -> Setting:
    """Check everything that can be checked without TensorFlow, and prepare the data.

    Raises
    ------
    InputError
        The data or an option cannot be used.
    """
    check(options)
    _check_outputs(options)
    prepared = prepare(options.data, options.extra_data, options.split_rule, options.recipe, options.seed, cache)
    patches = cut_patches(
        prepared.train, prepared.size, options.division, blank=options.blank, contour_px=options.contour
    )
    models.check_patch(options.shape, patches.rows, patches.columns)
    if options.batch_size > len(patches.corners):
        raise InputError(
            f"--batch-size is {options.batch_size}, and there are {len(patches.corners)} patches",
            "lower it, or raise --division or --augmentation",
        )
    fractions = prepared.class_fractions
    warnings = [*prepared.notes, *faults.of_background(fractions["background"])]
    warnings += starved_classes(fractions, options.weights)
    return Setting(options, prepared, patches, options.shape, warnings)


def _check_outputs(options: Options) -> None:
    """Find out before the training that a file cannot be written, not after it."""
    outputs = {"--out": options.out, "checkpoint": checkpoint.path_for(options.out)}
    if options.save_model:
        twin = next((name for name, path in outputs.items() if path.resolve() == options.save_model.resolve()), "")
        if twin:
            raise InputError(f"--save-model is {str(options.save_model)!r}, the {twin}'s own file", "name another")
        outputs["--save-model"] = options.save_model
    if options.keep_predictions and options.keep_predictions.exists() and not options.keep_predictions.is_dir():
        raise InputError(f"--keep-predictions is the file {str(options.keep_predictions)!r}", "name a folder")
    for name, path in outputs.items():
        if path.is_dir():
            raise InputError(f"{name} is the folder {str(path)!r}", "give a file's name")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make {str(path.parent)!r}: {error.strerror}", f"choose another {name}"
            ) from None
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"cannot write in {str(path.parent)!r}: no permission", f"choose another {name}")


def starved_classes(fractions: dict[str, float], weights: ClassWeights) -> list[str]:
    """Warn about classes that the weights leave next to nothing of the loss.

    Parameters
    ----------
    fractions : dict of str to float
        Share of each class among the training pixels.
    weights : tuple of float
        Of background, nucleus, contour in the loss.

    Returns
    -------
    list of str
        One warning for each such class.
    """
    parts = {name: fractions[name] * weight for name, weight in zip(CLASSES, weights, strict=True)}
    total = sum(parts.values())
    if not total:
        return ["the weights leave no loss at all: the classes that have a weight do not occur"]
    return [
        f"the weights leave the class {name} {part / total:.1%} of the loss "
        f"({fractions[name]:.1%} of the pixels): it will hardly be learnt"
        for name, part in parts.items()
        if part < STARVED_SHARE * total and fractions[name]
    ]
