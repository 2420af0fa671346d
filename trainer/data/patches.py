"""Prepared images → patches → batches. A patch is cut by indexing: only the batch at hand is copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.classes import ClassImage, GreyImage, encode
from trainer.data.augment import augmented_patch
from trainer.data.samples import PreparedImage
from trainer.errors import InputError

#: Images and classes, each of shape (batch, rows, columns).
Batch = tuple[NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True)
class Patches:
    """The patches that are trained on.

    Attributes
    ----------
    images : list of PreparedImage
    corners : list of (int, int, int)
        Of each patch: the number of its image, its first row and its first column.
    rows, columns : int
        Of a patch, in pixels.
    contour_px : int
        Width of the contour class, for patches that are augmented.
    """

    images: list[PreparedImage]
    corners: list[tuple[int, int, int]]
    rows: int
    columns: int
    contour_px: int

    def patch(self, number: int) -> tuple[GreyImage, ClassImage]:
        """Cut one patch and its classes. Beyond the edge of the image both are mirrored."""
        image_number, y, x = self.corners[number]
        image = self.images[image_number]
        window = (slice(y, y + self.rows), slice(x, x + self.columns))
        return self._fill(image.image[window]), self._fill(image.classes[window])

    def augmented_patch(self, number: int, random: np.random.Generator) -> tuple[GreyImage, ClassImage]:
        """Cut one patch anew, see `augment.augmented_patch`."""
        image_number, y, x = self.corners[number]
        image = self.images[image_number]
        grey, labels = augmented_patch(image.image, image.labels, (y, x), (self.rows, self.columns), random)
        return grey, encode(labels, self.contour_px)

    def _fill(self, part: NDArray[Any]) -> NDArray[Any]:
        missing = ((0, self.rows - part.shape[0]), (0, self.columns - part.shape[1]))
        return np.pad(part, missing, mode="symmetric") if any(after for _, after in missing) else part


def cut_patches(
    images: list[PreparedImage], size: tuple[int, int], division: int, *, blank: bool, contour_px: int
) -> Patches:
    """Cut images into patches.

    An image of `size` is cut into division × division patches, which decides the size of a patch. Images of other
    sizes are cut into as many patches as cover them. At the far edges a patch is filled up by mirroring. There is
    no patch that would be filling alone.

    Parameters
    ----------
    images : list of PreparedImage
    size : tuple of int
        Rows and columns.
    division : int
        1 is the whole image.
    blank : bool
        Keep the patches without a nucleus.
    contour_px : int
        Width of the contour class.

    Raises
    ------
    InputError
        The division does not fit, or an image is smaller than a patch.
    """
    if not 1 <= division <= min(size):
        raise InputError(
            f"--division is {division}; an image of {size[0]}×{size[1]} can be cut into 1 to {min(size)}",
            "it is the number of patches along a side",
        )
    rows, columns = (-(-side // division) for side in size)
    for image in images:
        if image.image.shape[0] < rows or image.image.shape[1] < columns:
            raise InputError(
                f"{image.name!r} is {image.image.shape[0]}×{image.image.shape[1]}, "
                f"less than a patch of {rows}×{columns}",
                "raise --division, or leave the image out",
            )
    corners = [
        (number, y, x)
        for number, image in enumerate(images)
        for y in range(0, image.image.shape[0], rows)
        for x in range(0, image.image.shape[1], columns)
        if blank or image.labels[y : y + rows, x : x + columns].any()
    ]
    return Patches(images, corners, rows, columns, contour_px)


def batches(
    patches: Patches, size: int, random: np.random.Generator, *, on_the_fly: str, skip: int = 0
) -> Iterator[Batch]:
    """Yield one epoch of batches in a random order.

    The last batch is filled up with patches from the beginning. So all batches have one shape, and TensorFlow
    traces the step once.

    Parameters
    ----------
    patches : Patches
    size : int
        Patches a batch.
    random : Generator
        Draws the order, and a seed for each batch, so that a batch can be skipped without making it.
    on_the_fly : {'none', 'flips', 'full'}
        ``flips`` mirrors at random. ``full`` cuts the patch anew, see `augment.augmented_patch`.
    skip : int
        Batches that were trained on before an interruption.

    Yields
    ------
    ndarray of float32, ndarray of uint8, shape (size, rows, columns)
    """
    order = random.permutation(len(patches.corners))
    order = np.resize(order, -(-len(order) // size) * size)
    seeds = random.integers(2**63, size=len(order) // size)
    for batch in range(skip, len(seeds)):
        numbers = order[batch * size : (batch + 1) * size]
        yield _make_batch(patches, numbers, np.random.default_rng(seeds[batch]), on_the_fly)


def _make_batch(
    patches: Patches, numbers: NDArray[np.int64], random: np.random.Generator, on_the_fly: str
) -> Batch:
    images = np.empty((len(numbers), patches.rows, patches.columns), np.float32)
    classes = np.empty(images.shape, np.uint8)
    for place, number in enumerate(numbers):
        if on_the_fly == "full":
            images[place], classes[place] = patches.augmented_patch(int(number), random)
        else:
            images[place], classes[place] = patches.patch(int(number))
    if on_the_fly == "flips":
        for axis in (1, 2):
            flipped = random.random(len(numbers)) < 0.5
            images[flipped] = np.flip(images[flipped], axis)
            classes[flipped] = np.flip(classes[flipped], axis)
    return images, classes
