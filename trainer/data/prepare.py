"""Samples → the set that is trained, validated and tested on: with augmented images, a blank one, and classes.

A prepared set holds whole images and is cached. Patches are cut from it by indexing, so trials that differ in
their division share one set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.classes import CLASSES, GreyImage, LabelImage, encode
from trainer.data import faults, samples, splits
from trainer.data.augment import augmented_image
from trainer.data.recipe import Recipe, SplitRule
from trainer.data.samples import ImagePair, PreparedImage, Sample
from trainer.errors import InputError
from trainer.files.cache import Cache, IndexedArrays
from trainer.files.images import image_size

#: Goes up whenever the same options would prepare other bytes, or none.
VERSION = 3

#: Of a prepared image: float32 grey values, uint16 labels, uint8 classes.
BYTES_A_PIXEL = 7

#: The images of one part of a set: train, validation, test.
Parts = dict[str, list[PreparedImage]]


@dataclass(frozen=True)
class PreparedSet:
    """All images of a training, ready.

    Attributes
    ----------
    train, validation, test : list of PreparedImage
    originals : list of str
        Names of the original training images. `train` may hold augmented ones besides.
    fingerprint : str
        Hash of the names and bytes of the files.
    key : str
        Of the set in the cache.
    notes : list of str
        What is worth a look in the files.
    size : tuple of int
        Rows and columns of the main set's images: the most common size, of equally common ones the smallest.
    """

    train: list[PreparedImage]
    validation: list[PreparedImage]
    test: list[PreparedImage]
    originals: list[str]
    fingerprint: str
    key: str
    size: tuple[int, int]
    notes: list[str]

    @cached_property
    def smallest_nucleus_px(self) -> int:
        """Pixels of the smallest nucleus in the masks to train and to validate on, without augmented images."""
        images = [*self.train[: len(self.originals)], *self.validation]
        sizes = np.concatenate([np.bincount(image.labels.ravel(), minlength=2)[1:] for image in images])
        return int(sizes[sizes > 0].min())

    @cached_property
    def class_fractions(self) -> dict[str, float]:
        """Share of each class among the training pixels."""
        counts = np.sum([np.bincount(image.classes.ravel(), minlength=3) for image in self.train], axis=0)
        return {name: float(count / np.sum(counts)) for name, count in zip(CLASSES, counts, strict=True)}


@dataclass(frozen=True)
class _Sources:
    """The files that a set is made of: the main set, what further sets give for training, and the split."""

    main: dict[str, ImagePair]
    further: list[dict[str, ImagePair]]
    split: splits.Split

    @property
    def train(self) -> list[ImagePair]:
        own = [self.main[stem] for stem in self.split.train]
        return own + [pair for pairs in self.further for pair in pairs.values()]

    def fingerprints(self) -> list[str]:
        return [
            samples.fingerprint([path for pair in pairs.values() for path in (pair.image, pair.mask)])
            for pairs in (self.main, *self.further)
        ]


def prepare(
    folder: Path, further: Iterable[Path], rule: SplitRule, recipe: Recipe, seed: int, cache: Cache
) -> PreparedSet:
    """Read, split and prepare a set, or take it from the cache.

    Parameters
    ----------
    folder : Path
        The main set. All validation and test images are from it.
    further : iterable of Path
        Further sets. Their images are trained on, except those that their own split.json keeps for testing.
    rule : SplitRule
    recipe : Recipe
    seed : int
        Draws the split.
    cache : Cache

    Raises
    ------
    InputError
        The data cannot be used. The message names the file.
    """
    main = samples.image_pairs(folder)
    sources = _Sources(main, [_training_pairs(path) for path in further], splits.split(folder, main, seed, rule))
    _check_disjoint(sources, on_test=rule.on_test)
    originals = sources.train
    _check_augmentation(recipe, len(originals))
    sizes = Counter(image_size(pair.image) for pair in main.values())
    size = min(sizes, key=lambda candidate: (-sizes[candidate], candidate))
    _check_memory(size, max(len(originals), recipe.augmentation))
    fingerprints = sources.fingerprints()
    key = _key(fingerprints, sources.split, recipe, len(originals))
    parts = _unflatten(cache.get_or_make(key, lambda: _flatten(_prepare_images(sources, recipe, size))))
    names = [pair.name for pair in originals]
    everything = [*main.values(), *(pair for further_set in sources.further for pair in further_set.values())]
    notes = faults.of_tags(samples.tags_of(everything))
    return PreparedSet(
        parts["train"], parts["validation"], parts["test"], names, "+".join(fingerprints), key, size, notes
    )


def _key(fingerprints: list[str], split: splits.Split, recipe: Recipe, originals: int) -> str:
    # Where no image is augmented, the seed decides nothing.
    seed = recipe.seed if recipe.augmentation > originals else None
    key_of = {"version": VERSION, "data": fingerprints, "split": asdict(split), **asdict(recipe), "seed": seed}
    return hashlib.sha256(json.dumps(key_of, sort_keys=True).encode()).hexdigest()[:16]


def _check_augmentation(recipe: Recipe, originals: int) -> None:
    if recipe.augmentation and recipe.augmentation < originals:
        raise InputError(
            f"--augmentation is {recipe.augmentation}, and there are {originals} training images already",
            "it is the number of images in all: give at least this many, or 0 for the originals alone",
        )


def _check_memory(size: tuple[int, int], images: int) -> None:
    """Refuse a set that would not fit, before hours of preparing it."""
    rows, columns = size
    needed_bytes = images * rows * columns * BYTES_A_PIXEL
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed_bytes > memory_bytes / 2:
        raise InputError(
            f"{images:,} training images of {rows}×{columns} take {needed_bytes / 2**30:,.0f} GiB once prepared, "
            f"and this machine has {memory_bytes / 2**30:,.0f}",
            "lower --augmentation, or crop the images",
        )


def _check_disjoint(sources: _Sources, *, on_test: bool) -> None:
    """Refuse an image that is in two parts, whatever its names are."""
    split, main = sources.split, sources.main
    train, test = sources.train, [main[stem] for stem in split.test]
    validation = [] if on_test else [main[stem] for stem in split.validation]
    paths = [[pair.image for pair in part] for part in (train, validation, test)]
    digests = {path: samples.fingerprint([path], names=False) for part in paths for path in part}
    faults.refuse(faults.of_twins(digests, *paths), samples.folder_of(main))


def _training_pairs(folder: Path) -> dict[str, ImagePair]:
    pairs = samples.image_pairs(folder)
    return {stem: pairs[stem] for stem in splits.training_stems(folder, pairs)}


def _prepare_images(sources: _Sources, recipe: Recipe, size: tuple[int, int]) -> Parts:
    main = samples.read_samples(sources.main, recipe.masks)
    train = [main[stem] for stem in sources.split.train]
    for pairs in sources.further:
        train += samples.read_samples(pairs, recipe.masks).values()
    wrong = faults.of_labels(sample.labels for sample in main.values()) or faults.of_parts(
        (bool(sample.labels.any()) for sample in train),
        {main[stem].name: bool(main[stem].labels.any()) for stem in sources.split.validation},
    )
    faults.refuse(wrong, samples.folder_of(sources.main))

    def with_classes(name: str, image: GreyImage, labels: LabelImage) -> PreparedImage:
        return PreparedImage(name, image, labels, encode(labels, recipe.contour_px))

    def held_back(stems: list[str]) -> list[PreparedImage]:
        return [with_classes(main[stem].name, main[stem].image, main[stem].labels) for stem in stems]

    images = [with_classes(sample.name, sample.image, sample.labels) for sample in train]
    images += [with_classes(*augmented) for augmented in _augmented(train, recipe)]
    if recipe.blank:
        images.append(with_classes("blank", np.zeros(size, np.float32), np.zeros(size, np.uint16)))
    split = sources.split
    return {"train": images, "validation": held_back(split.validation), "test": held_back(split.test)}


def _augmented(train: list[Sample], recipe: Recipe) -> Iterable[tuple[str, GreyImage, LabelImage]]:
    """Yield augmented images until there are as many in all as the recipe asks for."""
    random = np.random.default_rng([recipe.seed, 1])
    for number in range(max(0, recipe.augmentation - len(train))):
        sample = train[random.integers(len(train))]
        yield f"{sample.name} augmented {number + 1}", *augmented_image(sample.image, sample.labels, random)


def _flatten(parts: Parts) -> IndexedArrays:
    """Lay all images end to end: their sizes may differ, and three files hold any number of them."""
    index = [(part, image.name, *image.image.shape) for part, images in parts.items() for image in images]
    all_images = [image for images in parts.values() for image in images]
    return index, {
        kind: np.concatenate([getattr(image, kind).ravel() for image in all_images])
        for kind in ("image", "labels", "classes")
    }


def _unflatten(indexed: IndexedArrays) -> Parts:
    index, arrays = indexed
    parts: Parts = {"train": [], "validation": [], "test": []}
    start = 0
    for part, name, rows, columns in index:
        end = start + rows * columns
        views: dict[str, NDArray[Any]] = {
            kind: flat[start:end].reshape(rows, columns) for kind, flat in arrays.items()
        }
        parts[part].append(PreparedImage(name, **views))
        start = end
    return parts
