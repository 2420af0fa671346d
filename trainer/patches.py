"""Training images → patches: augmented, divided, filtered. The same seed gives the same arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize, rotate

from trainer.data import Image, Labels, Sample, classes_of
from trainer.errors import InputError


@dataclass(frozen=True)
class Patches:
    """What is trained on: `images` float32 (n, rows, columns), `classes` uint8 of the same shape."""

    images: NDArray[np.float32]
    classes: NDArray[np.uint8]


def make_patches(
    samples: list[Sample], *, augmentation: int, division: int, blank: bool, contour_px: int, seed: int
) -> Patches:
    """Cut the training images into patches.

    Parameters
    ----------
    samples : list of Sample
        Training images; sizes may differ if the patches' do not.
    augmentation : int
        Images in all: the originals and, above their number, ones made from them by rotation, zoom and
        mirroring; 0 is the originals alone.
    division : int
        Each image is cut into division × division patches; what does not divide is padded by reflection.
    blank : bool
        Add an image of background only. Without it, patches with no nucleus are left out.
    contour_px : int
        Width of the contour class, in pixels.
    seed : int
        Draws the made images.

    Raises
    ------
    InputError
        The numbers do not fit the images.
    """
    if augmentation and augmentation < len(samples):
        raise InputError(
            f"augmentation is {augmentation}, and there are {len(samples)} training images already",
            "it is the number of images in all: give at least as many, or 0 for the originals alone",
        )
    pairs = [(sample.image, sample.labels) for sample in samples]
    random = np.random.default_rng([seed, 1])
    for _ in range(max(0, augmentation - len(pairs))):
        pairs.append(_varied(*pairs[random.integers(len(samples))], random))
    if blank:
        shape = pairs[0][0].shape
        pairs.append((np.zeros(shape, np.float32), np.zeros(shape, np.int32)))
    cut = [
        (patch, classes)
        for image, labels in pairs
        for patch, classes in zip(
            divided(image, division), divided(classes_of(labels, contour_px), division), strict=True
        )
        if blank or classes.any()
    ]
    if not cut:
        raise InputError("no patch has a nucleus in it", "are the masks empty?")
    sizes = sorted({patch.shape for patch, _ in cut})
    if len(sizes) > 1:
        raise InputError(
            f"the images make patches of different sizes: {sizes[0]} and {sizes[-1]}", "crop them alike"
        )
    return Patches(np.stack([patch for patch, _ in cut]), np.stack([classes for _, classes in cut]))


def divided(image: NDArray[np.generic], division: int) -> list[NDArray[np.generic]]:
    """Cut an image into division × division patches, row by row.

    >>> [patch.shape for patch in divided(np.zeros((5, 8)), 2)]
    [(3, 4), (3, 4), (3, 4), (3, 4)]
    """
    rows, columns = image.shape
    if not 1 <= division <= min(rows, columns):
        raise InputError(
            f"division is {division}; an image of {rows}×{columns} can be cut into 1 to {min(rows, columns)}"
        )
    height, width = -(-rows // division), -(-columns // division)
    padded = np.pad(image, ((0, height * division - rows), (0, width * division - columns)), mode="symmetric")
    return [
        padded[y : y + height, x : x + width]
        for y in range(0, height * division, height)
        for x in range(0, width * division, width)
    ]


def _varied(image: Image, labels: Labels, random: np.random.Generator) -> tuple[Image, Labels]:
    """Rotate, zoom in and mirror an image. Labels are never interpolated into new ones."""
    angle, zoom, mirrored = random.uniform(-180, 180), random.uniform(1.0, 1.5), random.random() < 0.5
    rows, columns = image.shape
    height, width = round(rows / zoom), round(columns / zoom)
    y, x = random.integers(rows - height + 1), random.integers(columns - width + 1)

    def vary(array: NDArray[np.generic], order: int) -> NDArray[np.generic]:
        turned = rotate(array, angle, order=order, mode="symmetric", preserve_range=True)
        part = turned[y : y + height, x : x + width]
        part = resize(part, (rows, columns), order=order, preserve_range=True, anti_aliasing=False)
        return np.ascontiguousarray(part[:, ::-1] if mirrored else part)

    return vary(image, 1).astype(np.float32), vary(labels.astype(np.float64), 0).astype(np.int32)


def batches(
    patches: Patches, size: int, random: np.random.Generator, *, flips: bool
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield one epoch of batches in a random order, each patch mirrored at random if `flips`.

    The last batch is filled up with patches of the beginning, so that all have one shape and one trace does.
    """
    order = random.permutation(len(patches.images))
    order = np.resize(order, -(-len(order) // size) * size)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        images, classes = patches.images[chosen], patches.classes[chosen]
        if flips:
            for axis in (1, 2):
                turn = random.random(size) < 0.5
                images[turn] = np.flip(images[turn], axis)
                classes[turn] = np.flip(classes[turn], axis)
        yield images, classes
