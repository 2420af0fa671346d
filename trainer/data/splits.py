"""Which images are trained on, validated on, tested on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.data.recipe import SplitRule
from trainer.errors import InputError

#: Draws the test images where no split.json names them, and the folds. They are the same in every trial and
#: replicate, whatever its seed: else the test images of one trial would be training images of another.
FIXED_SEED = 20_190_712


@dataclass(frozen=True)
class Split:
    """The stems of the images by their use. Where the test images are validated on, the last two are the same."""

    train: list[str]
    validation: list[str]
    test: list[str]


def split(folder: Path, stems: Iterable[str], seed: int, rule: SplitRule) -> Split:
    """Split a set by its ``split.json``, the seed and the rule.

    ``split.json`` beside the images (``{"train": […], "test": […]}``) decides which images are for testing.
    Without it a quarter is drawn, the same for every seed. The seed draws the validation images.

    Raises
    ------
    InputError
        split.json names an image that is missing, or there are too few images.
    """
    train, test = _train_and_test(folder, sorted(stems))
    if rule.on_test:
        if not train or not test:
            raise InputError(f"{len(train)} images to train on and {len(test)} to test", "each needs at least one")
        return Split(train, test, test)
    if rule.folds:
        validation = _fold_stems(train, rule)
    else:
        order = np.random.default_rng(seed).permutation(len(train))
        validation = sorted(train[i] for i in order[: max(1, round(len(train) * rule.share))])
    remaining = [stem for stem in train if stem not in set(validation)]
    if not remaining:
        raise InputError(
            f"{len(train)} images are too few to train and to validate",
            "at least 2 are needed beside the test images",
        )
    return Split(remaining, validation, test)


def training_stems(folder: Path, stems: Iterable[str]) -> list[str]:
    """Name the images of a further set to train on: those that its ``split.json`` gives, without one all.

    Raises
    ------
    InputError
        split.json names an image that is missing.
    """
    if not os.path.lexists(folder / "split.json"):
        return sorted(stems)
    return _read_split(folder / "split.json", set(stems))[0]


def _fold_stems(train: list[str], rule: SplitRule) -> list[str]:
    if len(train) < rule.folds:
        raise InputError(f"--folds is {rule.folds}, and there are {len(train)} training images", "ask for fewer")
    order = np.random.default_rng(FIXED_SEED).permutation(len(train))
    return sorted(train[i] for i in order[rule.fold :: rule.folds])


def _train_and_test(folder: Path, stems: list[str]) -> tuple[list[str], list[str]]:
    if os.path.lexists(folder / "split.json"):
        return _read_split(folder / "split.json", set(stems))
    if len(stems) < 3:
        raise InputError(
            f"{len(stems)} images in {str(folder)!r} are too few to train, validate and test",
            "at least 3 are needed, or a split.json",
        )
    order = np.random.default_rng(FIXED_SEED).permutation(len(stems))
    test_count = max(1, round(len(stems) / 4))
    return sorted(stems[i] for i in order[test_count:]), sorted(stems[i] for i in order[:test_count])


def _read_split(path: Path, stems: set[str]) -> tuple[list[str], list[str]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        parts = [[str(name) for name in document[part]] for part in ("train", "test")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no split: {error}", '{"train": [names], "test": [names]}') from None
    train, test = ([_stem_of(name, stems, path) for name in part] for part in parts)
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(f"{str(path)!r} has {both[0]!r} in both parts", "a test image must never be trained on")
    return sorted(set(train)), sorted(set(test))


def _stem_of(name: str, stems: set[str], path: Path) -> str:
    for candidate in (name, Path(name).stem):
        if candidate in stems:
            return candidate
    raise InputError(f"{str(path)!r} names {name!r}, which is not among the images", "correct the split")
