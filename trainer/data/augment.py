"""New images from images: rotated, zoomed and mirrored. Labels are never interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trainer.classes import GreyImage, LabelImage


def affine_window(
    image: GreyImage, labels: LabelImage, *, centre: tuple[float, float], shape: tuple[int, int],
    angle: float, zoom: float, mirrored: bool,
) -> tuple[GreyImage, LabelImage]:  # fmt: skip
    """Cut a window out of an image and its labels: rotated, zoomed and perhaps mirrored.

    Beyond its edges the image is mirrored.

    Parameters
    ----------
    image, labels : ndarray, shape (rows, columns)
    centre : tuple of float
        Row and column of the image that become the middle of the window.
    shape : tuple of int
        Rows and columns of the window.
    angle : float
        In radians.
    zoom : float
        Above 1 objects become larger.
    mirrored : bool
        Exchange left and right.

    Returns
    -------
    ndarray of float32, ndarray of uint16, shape `shape`
        Grey values are interpolated linearly. Each label is that of the nearest pixel.
    """
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    if mirrored:
        matrix[:, 1] *= -1
    middle = (np.array(shape) - 1) / 2
    offset = np.array(centre) - matrix @ middle
    window: dict[str, Any] = {"matrix": matrix, "offset": offset, "output_shape": shape, "mode": "mirror"}
    return (
        ndimage.affine_transform(image, order=1, **window).astype(np.float32, copy=False),
        ndimage.affine_transform(labels, order=0, **window),
    )


def augmented_image(
    image: GreyImage, labels: LabelImage, random: np.random.Generator
) -> tuple[GreyImage, LabelImage]:
    """Make an image of the same size: rotated by any angle, zoomed in up to 1.5 times, mirrored or not."""
    rows, columns = image.shape
    zoom = random.uniform(1.0, 1.5)
    # Without a rotation the window stays inside the image.
    slack = (1 - 1 / zoom) / 2
    centre = (
        (rows - 1) / 2 + rows * random.uniform(-slack, slack),
        (columns - 1) / 2 + columns * random.uniform(-slack, slack),
    )
    return affine_window(
        image, labels, centre=centre, shape=(rows, columns), angle=random.uniform(-np.pi, np.pi), zoom=zoom,
        mirrored=bool(random.random() < 0.5),
    )  # fmt: skip


def augmented_patch(
    image: GreyImage,
    labels: LabelImage,
    corner: tuple[int, int],
    shape: tuple[int, int],
    random: np.random.Generator,
) -> tuple[GreyImage, LabelImage]:
    """Cut a patch anew: near `corner`, at any angle, zoomed 0.75 to 1.4 times, with other contrast and some noise.

    Parameters
    ----------
    image, labels : ndarray, shape (rows, columns)
        The whole image.
    corner : tuple of int
        First row and first column of the patch as it was cut before.
    shape : tuple of int
        Rows and columns of the patch.
    random : Generator
    """
    centre = tuple(
        float(np.clip(start + side * random.uniform(0.0, 1.0), 0, image_side - 1))
        for start, side, image_side in zip(corner, shape, image.shape, strict=True)
    )
    grey, window_labels = affine_window(
        image, labels, centre=(centre[0], centre[1]), shape=shape, angle=random.uniform(-np.pi, np.pi),
        zoom=float(np.exp(random.uniform(np.log(0.75), np.log(1.4)))), mirrored=bool(random.random() < 0.5),
    )  # fmt: skip
    gamma, gain = np.exp(random.uniform(-0.4, 0.4)), random.uniform(0.8, 1.1)
    grey = np.clip(grey, 0.0, 1.0) ** gamma * gain
    noise: NDArray[np.float64] = random.normal(0.0, random.uniform(0.0, 0.03), shape)
    return (grey + noise).astype(np.float32), window_labels
