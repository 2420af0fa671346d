"""Prepared pictures → patches → batches. Cutting is indexing: nothing is copied but the batch at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import augment, samples
from trainer.data.prepare import Picture
from trainer.errors import InputError

Batch = tuple[NDArray[np.float32], NDArray[np.uint8]]

#: What may be done to a patch each time it is trained on.
ON_THE_FLY = ("none", "flips", "full")


@dataclass(frozen=True)
class Patches:
    """What is trained on.

    Attributes
    ----------
    pictures : list of Picture
    at : list of (int, int, int)
        Of each patch: its picture's number, its first row and first column.
    rows, columns : int
        Of a patch, in pixels.
    contour_px : int
        Width of the contour class, for patches that are drawn anew.
    """

    pictures: list[Picture]
    at: list[tuple[int, int, int]]
    rows: int
    columns: int
    contour_px: int

    def patch(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Cut one patch and its classes; beyond the picture's edge both are mirrored."""
        picture, y, x = self.at[number]
        one = self.pictures[picture]
        window = (slice(y, y + self.rows), slice(x, x + self.columns))
        return self._filled(one.image[window]), self._filled(one.classes[window])

    def _filled(self, part: NDArray[Any]) -> NDArray[Any]:
        missing = ((0, self.rows - part.shape[0]), (0, self.columns - part.shape[1]))
        return np.pad(part, missing, mode="symmetric") if any(after for _, after in missing) else part


def cut(
    pictures: list[Picture], whole: tuple[int, int], division: int, *, blank: bool, contour_px: int
) -> Patches:
    """Cut pictures into patches.

    A picture of the size `whole` is cut into division × division; that sets the patch's size, and pictures of
    other sizes are cut into as many of these as cover them. What does not divide is mirrored at the far edges, and
    a patch that would be nothing but that is none.

    Parameters
    ----------
    pictures : list of Picture
    whole : tuple of int
        Rows and columns.
    division : int
        1 is the whole image.
    blank : bool
        Keep patches with no nucleus in them.
    contour_px : int
        Width of the contour class.

    Raises
    ------
    InputError
        The division does not fit, or a picture is smaller than a patch.
    """
    if not 1 <= division <= min(whole):
        raise InputError(
            f"--division is {division}; an image of {whole[0]}×{whole[1]} can be cut into 1 to {min(whole)}",
            "it is the number of patches along a side",
        )
    rows, columns = (-(-side // division) for side in whole)
    for one in pictures:
        if one.image.shape[0] < rows or one.image.shape[1] < columns:
            raise InputError(
                f"{one.name!r} is {one.image.shape[0]}×{one.image.shape[1]}, "
                f"less than a patch of {rows}×{columns}",
                "raise --division, or leave the image out",
            )
    at = [
        (number, y, x)
        for number, one in enumerate(pictures)
        for y in range(0, one.image.shape[0], rows)
        for x in range(0, one.image.shape[1], columns)
        if blank or one.labels[y : y + rows, x : x + columns].any()
    ]
    return Patches(pictures, at, rows, columns, contour_px)


def batches(
    patches: Patches, size: int, random: np.random.Generator, *, on_the_fly: str, skip: int = 0
) -> Iterator[Batch]:
    """Yield one epoch of batches in a random order.

    The last batch is filled up with patches of the beginning, so that all have one shape and one trace does.

    Parameters
    ----------
    patches : Patches
    size : int
        Patches a batch.
    random : Generator
        Draws the order, and a seed for each batch, so that batches can be skipped without being made.
    on_the_fly : {'none', 'flips', 'full'}
        ``flips`` mirrors; ``full`` draws the patch anew (see `augment.drawn`).
    skip : int
        Batches that were trained on before an interruption.

    Yields
    ------
    ndarray of float32, ndarray of uint8, shape (size, rows, columns)
    """
    order = random.permutation(len(patches.at))
    order = np.resize(order, -(-len(order) // size) * size)
    seeds = random.integers(2**63, size=len(order) // size)
    for batch in range(skip, len(seeds)):
        chosen = order[batch * size : (batch + 1) * size]
        yield _gathered(patches, chosen, np.random.default_rng(seeds[batch]), on_the_fly)


def _gathered(patches: Patches, chosen: NDArray[np.int64], random: np.random.Generator, on_the_fly: str) -> Batch:
    images = np.empty((len(chosen), patches.rows, patches.columns), np.float32)
    classes = np.empty(images.shape, np.uint8)
    for place, number in enumerate(chosen):
        if on_the_fly == "full":
            images[place], classes[place] = _drawn(patches, int(number), random)
        else:
            images[place], classes[place] = patches.patch(int(number))
    if on_the_fly == "flips":
        for axis in (1, 2):
            turn = random.random(len(chosen)) < 0.5
            images[turn] = np.flip(images[turn], axis)
            classes[turn] = np.flip(classes[turn], axis)
    return images, classes


def _drawn(patches: Patches, number: int, random: np.random.Generator) -> Batch:
    picture, y, x = patches.at[number]
    one = patches.pictures[picture]
    image, labels = augment.drawn(one.image, one.labels, (y, x), (patches.rows, patches.columns), random)
    return image, samples.classes_of(labels, patches.contour_px)
