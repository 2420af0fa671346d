"""The three classes of a pixel, and how nuclei are encoded as classes. All rooms share these names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BACKGROUND, NUCLEUS, CONTOUR = 0, 1, 2

#: The names of the classes, by their number.
CLASSES = ("background", "nucleus", "contour")

#: What the loss multiplies each class by.
ClassWeights = tuple[float, float, float]

#: Normalised grey values in [0, 1], shape (rows, columns).
GreyImage = NDArray[np.float32]

#: Nuclei by number, 0 is background, shape (rows, columns).
LabelImage = NDArray[np.uint16]

#: The class of each pixel, shape (rows, columns).
ClassImage = NDArray[np.uint8]


def encode(labels: NDArray[np.integer], contour_px: int) -> ClassImage:
    """Encode nuclei as classes.

    The contour lies inside the nucleus and is `contour_px` wide. A nucleus that is grown back from its core loses
    less than 2 % of its SEG. The edge of the image is no contour.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, columns)
        0 is background.
    contour_px : int
        Width of the contour in pixels.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
        0 background, 1 nucleus, 2 contour.

    Examples
    --------
    >>> encode(np.array([[0, 7, 7, 7, 7, 0]]), 1).tolist()
    [[0, 2, 1, 1, 2, 0]]
    """
    classes = (labels > 0).astype(np.uint8)
    core = labels.copy()
    for _ in range(contour_px):
        edge = np.zeros(core.shape, bool)
        down, right = core[1:] != core[:-1], core[:, 1:] != core[:, :-1]
        edge[1:] |= down
        edge[:-1] |= down
        edge[:, 1:] |= right
        edge[:, :-1] |= right
        edge &= core > 0
        classes[edge] = CONTOUR
        core[edge] = 0
    return classes
