"""Which images are trained on, validated on, tested on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.errors import InputError

#: What is kept for testing where nobody said so, and the folds, are the same in every trial and replicate,
#: whatever its seed: else one trial's test images would be another's training images.
FIXED_SEED = 20_190_712


@dataclass(frozen=True)
class Split:
    """Stems by their use. With ``validate_on='test'`` the last two are the same."""

    train: list[str]
    validation: list[str]
    test: list[str]


@dataclass(frozen=True)
class Rule:
    """How validation images are found.

    Attributes
    ----------
    share : float
        Of the training images, drawn by seed, where there are no folds.
    folds, fold : int
        If folds > 0, the training images are dealt into so many, and number `fold` (from 0) is validated on.
    on_test : bool
        The report's own protocol: no validation images, the objective is the test images' score.
    """

    share: float = 0.2
    folds: int = 0
    fold: int = 0
    on_test: bool = False


def split(folder: Path, stems: Iterable[str], seed: int, rule: Rule) -> Split:
    """Split a set by its ``split.json``, the seed and the rule.

    ``split.json`` beside the images (``{"train": […], "test": […]}``) decides what is for testing; without it,
    a quarter is drawn, the same whatever the seed. The seed draws the validation images.

    Raises
    ------
    InputError
        split.json names what is not there, or there are too few images.
    """
    train, test = _train_and_test(folder, sorted(stems))
    if rule.on_test:
        if not train or not test:
            raise InputError(f"{len(train)} images to train on and {len(test)} to test", "each needs one at least")
        return Split(train, test, test)
    if rule.folds:
        validation = _fold(train, rule)
    else:
        order = np.random.default_rng(seed).permutation(len(train))
        validation = sorted(train[i] for i in order[: max(1, round(len(train) * rule.share))])
    kept = [stem for stem in train if stem not in set(validation)]
    if not kept:
        raise InputError(
            f"{len(train)} images are too few to train and to validate",
            "at least 2 beside those for testing",
        )
    return Split(kept, validation, test)


def trained_on(folder: Path, stems: Iterable[str]) -> list[str]:
    """Take from a further set what its ``split.json`` gives for training; without one, all of it.

    Raises
    ------
    InputError
        split.json names what is not there.
    """
    if not os.path.lexists(folder / "split.json"):
        return sorted(stems)
    return _given(folder / "split.json", set(stems))[0]


def _fold(train: list[str], rule: Rule) -> list[str]:
    if len(train) < rule.folds:
        raise InputError(f"--folds is {rule.folds}, and there are {len(train)} training images", "ask for fewer")
    order = np.random.default_rng(FIXED_SEED).permutation(len(train))
    return sorted(train[i] for i in order[rule.fold :: rule.folds])


def _train_and_test(folder: Path, stems: list[str]) -> tuple[list[str], list[str]]:
    if os.path.lexists(folder / "split.json"):
        return _given(folder / "split.json", set(stems))
    if len(stems) < 3:
        raise InputError(
            f"{len(stems)} images in {str(folder)!r} are too few to train, validate and test",
            "at least 3 are needed, or a split.json",
        )
    order = np.random.default_rng(FIXED_SEED).permutation(len(stems))
    held = max(1, round(len(stems) / 4))
    return sorted(stems[i] for i in order[held:]), sorted(stems[i] for i in order[:held])


def _given(path: Path, stems: set[str]) -> tuple[list[str], list[str]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        parts = [[str(name) for name in document[part]] for part in ("train", "test")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no split: {error}", '{"train": [names], "test": [names]}') from None
    train, test = ([_known(name, stems, path) for name in part] for part in parts)
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(f"{str(path)!r} has {both[0]!r} in both parts", "a test image must never be trained on")
    return sorted(set(train)), sorted(set(test))


def _known(name: str, stems: set[str], path: Path) -> str:
    for candidate in (name, Path(name).stem):
        if candidate in stems:
            return candidate
    raise InputError(f"{str(path)!r} names {name!r}, which is not among the images", "mend the split")
