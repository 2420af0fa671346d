"""Nuclei as outlines: polygons ↔ labels. Coordinates are of corners of pixels: (0, 0) is the image's own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon
from skimage.measure import find_contours

#: Corners of an outline, shape (points, 2): column (x) and row (y) in pixels.
Outline = NDArray[np.float64]

#: From the corner of a pixel to its centre.
HALF_PX = 0.5


def fill_outlines(nuclei: Iterable[Iterable[Outline]], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Draw nuclei as labels. Pixels whose centre is inside are filled; an overlap is the first nucleus'.

    Parameters
    ----------
    nuclei : iterable of iterable of ndarray, each of shape (points, 2)
        The outlines of each nucleus; it may have several parts.
    size : (int, int)
        Rows and columns.

    Examples
    --------
    >>> fill_outlines([[np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]])]], (2, 4)).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    labels = np.zeros(size, np.uint16)
    for number, outlines in enumerate(nuclei, start=1):
        for outline in outlines:
            at = polygon(outline[:, 1] - HALF_PX, outline[:, 0] - HALF_PX, size)
            free = labels[at] == 0
            labels[at[0][free], at[1][free]] = number
    return labels


def trace_outlines(nucleus: NDArray[np.bool_], top: int = 0, left: int = 0) -> tuple[list[Outline], list[Outline]]:
    """Trace a nucleus, halfway between its pixels' centres and those outside.

    Parameters
    ----------
    nucleus : ndarray of bool, shape (rows, columns)
        Where it is, in its own frame.
    top, left : int
        Row and column of the frame in the image.

    Returns
    -------
    list of ndarray, list of ndarray
        Outlines around its parts, the largest first, and around the holes in them. The last point is the first.
    """
    contours = find_contours(np.pad(nucleus, 1).astype(np.uint8), 0.5, fully_connected="high")
    contours.sort(key=lambda contour: abs(_area_px(contour)), reverse=True)
    outer: list[Outline] = []
    holes: list[Outline] = []
    for contour in contours:
        same_turn = _area_px(contour) * _area_px(contours[0]) > 0  # a hole goes round the other way
        (outer if same_turn else holes).append(contour[:, ::-1] - 1 + HALF_PX + (left, top))
    return outer, holes


def _area_px(contour: NDArray[np.float64]) -> float:
    """Return the area within a contour, negative if it turns the other way: the shoelace formula."""
    y, x = contour[:, 0], contour[:, 1]
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2
