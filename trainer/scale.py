"""Sizes of nuclei, and images at another size, so that magnifications are trained on together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from trainer.classes import LabelImage


def median_diameter_px(images: Iterable[LabelImage]) -> float | None:
    """Return the median diameter of the nuclei of some label images; None if there is no nucleus.

    The diameter of a nucleus is that of a disk of the same area, 2 √(area / π).

    Examples
    --------
    >>> round(median_diameter_px([np.array([[1, 1, 2, 0], [1, 1, 0, 3]])]), 2)
    1.13
    """
    areas = np.concatenate([np.bincount(image.ravel(), minlength=2)[1:] for image in images])
    return float(np.median(2 * np.sqrt(areas[areas > 0] / np.pi))) if areas.any() else None


def scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Return rows and columns of an image once it is resized by that factor, rounded.

    >>> scaled_shape((521, 696), 0.5)
    (260, 348)
    """
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize_grey(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize grey values or probabilities: linearly, and smoothed first where that makes them smaller.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns) or (rows, columns, channels)
    shape : tuple of int
        Rows and columns of the result.
    """
    smaller = shape[0] < image.shape[0] or shape[1] < image.shape[1]
    resized = resize(image, (*shape, *image.shape[2:]), order=1, anti_aliasing=smaller, preserve_range=True)
    return np.asarray(resized, dtype=np.float32)


def resize_labels(labels: LabelImage, shape: tuple[int, int]) -> LabelImage:
    """Resize labels: each pixel takes the label of the nearest one.

    >>> resize_labels(np.array([[1, 2], [0, 3]], np.uint16), (2, 4)).tolist()
    [[1, 1, 2, 2], [0, 0, 3, 3]]
    """
    rows, columns = (
        ((np.arange(side) + 0.5) * whole / side).astype(int)
        for side, whole in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]
