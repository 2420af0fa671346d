"""Images made from images: by rotation, zoom and mirroring. Masks are never interpolated into new labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trainer.data.samples import Image, Labels


def turned(
    image: Image, labels: Labels, *, centre: tuple[float, float], shape: tuple[int, int],
    angle: float, zoom: float, mirrored: bool,
) -> tuple[Image, Labels]:  # fmt: skip
    """Cut a turned, zoomed, perhaps mirrored window out of an image; beyond its edges it is mirrored.

    Parameters
    ----------
    image, labels : ndarray, shape (rows, columns)
    centre : tuple of float
        Row and column that come to lie in the window's middle.
    shape : tuple of int
        The window, in pixels.
    angle : float
        In radians.
    zoom : float
        Above 1 things get larger.
    mirrored : bool
        Left for right.

    Returns
    -------
    ndarray of float32, ndarray of uint16, shape `shape`
        Grey values interpolated linearly; each label the nearest pixel's.
    """
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    if mirrored:
        matrix[:, 1] *= -1
    middle = (np.array(shape) - 1) / 2
    offset = np.array(centre) - matrix @ middle
    where: dict[str, Any] = {"matrix": matrix, "offset": offset, "output_shape": shape, "mode": "mirror"}
    return (
        ndimage.affine_transform(image, order=1, **where).astype(np.float32, copy=False),
        ndimage.affine_transform(labels, order=0, **where),
    )


def made(image: Image, labels: Labels, random: np.random.Generator) -> tuple[Image, Labels]:
    """Make an image of the same size: rotated by any angle, zoomed in up to 1.5 times, mirrored or not."""
    rows, columns = image.shape
    zoom = random.uniform(1.0, 1.5)
    # The window stays inside the image where it is not rotated.
    slack = (1 - 1 / zoom) / 2
    centre = (
        (rows - 1) / 2 + rows * random.uniform(-slack, slack),
        (columns - 1) / 2 + columns * random.uniform(-slack, slack),
    )
    return turned(
        image, labels, centre=centre, shape=(rows, columns), angle=random.uniform(-np.pi, np.pi), zoom=zoom,
        mirrored=bool(random.random() < 0.5),
    )  # fmt: skip


def drawn(
    image: Image, labels: Labels, corner: tuple[int, int], shape: tuple[int, int], random: np.random.Generator
) -> tuple[Image, Labels]:
    """Draw a patch anew: near where it was, at any angle, zoomed 0.75 to 1.4 times, other contrast, some noise."""
    centre = tuple(
        float(np.clip(start + side * random.uniform(0.0, 1.0), 0, whole - 1))
        for start, side, whole in zip(corner, shape, image.shape, strict=True)
    )
    grey, ids = turned(
        image, labels, centre=(centre[0], centre[1]), shape=shape, angle=random.uniform(-np.pi, np.pi),
        zoom=float(np.exp(random.uniform(np.log(0.75), np.log(1.4)))), mirrored=bool(random.random() < 0.5),
    )  # fmt: skip
    gamma, gain = np.exp(random.uniform(-0.4, 0.4)), random.uniform(0.8, 1.1)
    grey = np.clip(grey, 0.0, 1.0) ** gamma * gain
    noise: NDArray[np.float64] = random.normal(0.0, random.uniform(0.0, 0.03), shape)
    return (grey + noise).astype(np.float32), ids
