"""Samples → what is trained, validated and tested on: made images, a blank one, classes. Cached.

A prepared set is whole images; cutting them into patches is indexing, so that trials which differ in it share one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import augment, samples, splits
from trainer.data.samples import Image, Labels
from trainer.errors import InputError
from trainer.files.cache import Cache
from trainer.files.images import size_of

#: Goes up whenever the same options would prepare other bytes.
VERSION = 1

#: Of a picture: float32 grey values, uint16 labels, uint8 classes.
BYTES_A_PIXEL = 7


@dataclass(frozen=True)
class Recipe:
    """What one prepared set is made of, beside the images themselves.

    Attributes
    ----------
    masks : str
        How the masks are written, one of `samples.MASK_FORMS`.
    augmentation : int
        Training images in all; 0: the originals alone.
    blank : bool
        Add an image of background only.
    contour_px : int
        Width of the contour class.
    seed : int
        Draws the made images.
    """

    masks: str = "auto"
    augmentation: int = 0
    blank: bool = False
    contour_px: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Picture:
    """One image, ready: `image` float32 in [0, 1], `labels` uint16, `classes` uint8; all (rows, columns)."""

    name: str
    image: Image
    labels: Labels
    classes: NDArray[np.uint8]


@dataclass(frozen=True)
class Prepared:
    """A set, ready.

    Attributes
    ----------
    train, validation, test : list of Picture
    originals : list of str
        Names of the training images that were there; `train` may hold made ones besides.
    fingerprint : str
        Of the files' names and bytes.
    key : str
        Of the set in the cache.
    size : tuple of int
        Rows and columns of the main set's images: the most common, and of equally common ones the smallest.
    """

    train: list[Picture]
    validation: list[Picture]
    test: list[Picture]
    originals: list[str]
    fingerprint: str
    key: str
    size: tuple[int, int]

    @cached_property
    def class_fractions(self) -> dict[str, float]:
        """Share of each class among the training pixels."""
        counts = np.sum([np.bincount(one.classes.ravel(), minlength=3) for one in self.train], axis=0)
        return {name: float(count / np.sum(counts)) for name, count in zip(samples.CLASSES, counts, strict=True)}


def prepare(
    folder: Path, extra: list[Path], rule: splits.Rule, recipe: Recipe, seed: int, cache: Cache
) -> Prepared:
    """Read, split and prepare a set, or take it from the cache.

    Parameters
    ----------
    folder : Path
        The main set; validation and test images are its own alone.
    extra : list of Path
        Further sets: of each, the images that are not for testing are trained on.
    rule : Rule
        How validation images are found.
    recipe : Recipe
    seed : int
        Draws the split.
    cache : Cache

    Raises
    ------
    InputError
        The data cannot be used; the file is named.
    """
    main = samples.entries(folder)
    parts = splits.split(folder, main, seed, rule)
    others = [_trained_on(one) for one in extra]
    trained = [main[stem] for stem in parts.train] + [one for found in others for one in found.values()]
    validated = [] if rule.on_test else [main[stem] for stem in parts.validation]
    _check_apart(trained, validated, [main[stem] for stem in parts.test])
    sets = [
        samples.fingerprint([path for one in found.values() for path in (one.image, one.mask)])
        for found in (main, *others)
    ]
    originals = len(trained)
    if recipe.augmentation and recipe.augmentation < originals:
        raise InputError(
            f"--augmentation is {recipe.augmentation}, and there are {originals} training images already",
            "it is the number of images in all: give at least as many, or 0 for the originals alone",
        )
    sizes = Counter(size_of(one.image) for one in main.values())
    size = min(sizes, key=lambda one: (-sizes[one], one))
    _check_memory(size, max(originals, recipe.augmentation))
    drawing = {"seed": recipe.seed if recipe.augmentation > originals else None}
    key_of = {"version": VERSION, "data": sets, "split": asdict(parts), **asdict(recipe), **drawing}
    key = hashlib.sha256(json.dumps(key_of, sort_keys=True).encode()).hexdigest()[:16]
    pictures = _unflat(cache.held(key, lambda: _flat(_pictures(main, others, parts, recipe, size))))
    names = [one.name for one in trained]
    return Prepared(pictures["train"], pictures["validation"], pictures["test"], names, "+".join(sets), key, size)


def _check_memory(size: tuple[int, int], images: int) -> None:
    """Refuse what would not fit, before hours of making it."""
    rows, columns = size
    wanted = images * rows * columns * BYTES_A_PIXEL
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > memory / 2:
        raise InputError(
            f"{images:,} training images of {rows}×{columns} take {wanted / 2**30:,.0f} GiB once prepared, "
            f"and this machine has {memory / 2**30:,.0f}",
            "lower --augmentation, or crop the images",
        )


def _check_apart(train: list[samples.Entry], validation: list[samples.Entry], test: list[samples.Entry]) -> None:
    """Refuse an image, under whatever name, that is both trained on and validated on, or either and tested on."""
    digest = {one.image: samples.fingerprint([one.image], names=False) for one in (*train, *validation, *test)}
    for held, part in ((test, [*train, *validation]), (validation, train)):
        seen = {digest[one.image]: one for one in held}
        for one in part:
            twin = seen.get(digest[one.image])
            if twin is not None:
                raise InputError(
                    f"{str(one.image)!r} is the same as {str(twin.image)!r}, which is held back from it",
                    "leave one of them out",
                )


def _trained_on(folder: Path) -> dict[str, samples.Entry]:
    found = samples.entries(folder)
    return {stem: found[stem] for stem in splits.trained_on(folder, found)}


def _pictures(
    main: dict[str, samples.Entry],
    others: list[dict[str, samples.Entry]],
    parts: splits.Split,
    recipe: Recipe,
    size: tuple[int, int],
) -> dict[str, list[Picture]]:
    read = samples.read_samples(main, recipe.masks)
    train = [read[stem] for stem in parts.train]
    for found in others:
        train += samples.read_samples(found, recipe.masks).values()
    if not any(one.labels.any() for one in train):
        raise InputError("there is no nucleus in any mask of the training images", "are the masks empty?")

    def picture(name: str, image: Image, labels: Labels) -> Picture:
        return Picture(name, image, labels, samples.classes_of(labels, recipe.contour_px))

    ready = [picture(one.name, one.image, one.labels) for one in train]
    random = np.random.default_rng([recipe.seed, 1])
    for number in range(max(0, recipe.augmentation - len(train))):
        one = train[random.integers(len(train))]
        ready.append(picture(f"{one.name} made {number + 1}", *augment.made(one.image, one.labels, random)))
    if recipe.blank:
        ready.append(picture("blank", np.zeros(size, np.float32), np.zeros(size, np.uint16)))

    def held(stems: list[str]) -> list[Picture]:
        return [picture(read[stem].name, read[stem].image, read[stem].labels) for stem in stems]

    return {"train": ready, "validation": held(parts.validation), "test": held(parts.test)}


def _flat(parts: dict[str, list[Picture]]) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """Lay all pictures end to end: sizes may differ, and three files do for any number of them."""
    index = [(part, one.name, *one.image.shape) for part, pictures in parts.items() for one in pictures]
    everything = [one for pictures in parts.values() for one in pictures]
    return index, {
        kind: np.concatenate([getattr(one, kind).ravel() for one in everything])
        for kind in ("image", "labels", "classes")
    }


def _unflat(held: tuple[list[Any], dict[str, NDArray[Any]]]) -> dict[str, list[Picture]]:
    index, arrays = held
    parts: dict[str, list[Picture]] = {"train": [], "validation": [], "test": []}
    start = 0
    for part, name, rows, columns in index:
        end = start + rows * columns
        views = {kind: flat[start:end].reshape(rows, columns) for kind, flat in arrays.items()}
        parts[part].append(Picture(name, **views))
        start = end
    return parts
