"""Is the reading of a mask plausible? A mask that is read in another way than it is written still gives labels.

What tells it are the shapes. A nucleus is one piece, some pixels wide, and does not surround the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

from trainer.data.faults import Fault

#: So many nuclei, and more than this share of an image's, are nowhere three pixels wide where values are greys of
#: an edge. A nucleus that the edge of the image cuts off may be so, too.
MANY_THIN, THIN_SHARE = 5, 1 / 3

#: A value in so many pieces, of which the largest is less than half, is no nucleus.
MANY_PIECES = 4

#: So many nuclei in pieces, beside so many pieces a nucleus, are no slips of a pencil.
MANY_IN_PIECES, MEAN_PIECES = 3, 1.5

#: A smaller hole in a nucleus is a slip.
LEAST_HOLE_PX = 9

#: So many values are named.
NAMED = 3

A_NUMBER_EACH = "give each nucleus a number of its own"


@dataclass(frozen=True)
class Shapes:
    """The shapes of the objects in one mask; arrays have one entry for each object.

    Attributes
    ----------
    values : ndarray of int
        The labels.
    area_px : ndarray of int
    largest_px : ndarray of int
        Pixels of the largest piece. Pixels that share a side or a corner are one piece.
    pieces : ndarray of int
        The number of pieces.
    thin : ndarray of bool
        Nowhere three pixels wide.
    spans : ndarray of bool
        The object touches all four sides of the image.
    image_px : int
        Pixels of the image.
    """

    values: NDArray[np.int64]
    area_px: NDArray[np.int64]
    largest_px: NDArray[np.int64]
    pieces: NDArray[np.int64]
    thin: NDArray[np.bool_]
    spans: NDArray[np.bool_]
    image_px: int


def shapes_of(labels: NDArray[np.integer]) -> Shapes:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, columns)
        0 is background.

    Examples
    --------
    >>> shapes = shapes_of(np.array([[7, 0, 7], [0, 0, 0], [2, 2, 0]]))
    >>> shapes.values.tolist(), shapes.area_px.tolist(), shapes.pieces.tolist()
    ([2, 7], [2, 2], [1, 2])
    """
    values, numbers = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    numbered = numbers[:-1].reshape(labels.shape)
    count = len(values)
    pieces = label(numbered, connectivity=2)
    piece_px = np.bincount(pieces.ravel())[1:]
    owner = np.zeros(len(piece_px), np.int64)
    inside = numbered > 0
    owner[pieces[inside] - 1] = numbered[inside]
    largest_px = np.zeros(count, np.int64)
    np.maximum.at(largest_px, owner, piece_px)
    wide = ndimage.minimum_filter(numbered, 3, mode="nearest") == ndimage.maximum_filter(
        numbered, 3, mode="nearest"
    )
    thin = np.ones(count, bool)
    thin[np.unique(numbered[wide])] = False
    spans = np.ones(count, bool)
    for side in (numbered[0], numbered[-1], numbered[:, 0], numbered[:, -1]):
        spans &= np.isin(np.arange(count), side)
    return Shapes(
        values[1:].astype(np.int64),
        np.bincount(numbered.ravel(), minlength=count)[1:],
        largest_px[1:],
        np.bincount(owner, minlength=count)[1:],
        thin[1:],
        spans[1:],
        labels.size,
    )


def of_readings(labels: Mapping[Path, NDArray[np.integer]], form: str) -> list[Fault]:
    """Find masks whose reading is implausible.

    In 55 real label images (dsb512, u2os520, dense520, dsb360, mixed256, bsst265_sparse; 3,976 nuclei) each is one
    piece, none touches all four sides, and at most 5 % of those in an image are nowhere three pixels wide.

    Parameters
    ----------
    labels : mapping of Path to ndarray of int, each of shape (rows, columns)
        What each mask was read as; 0 is background.
    form : {'instances', 'binary', 'classes'}
        How the masks were read.
    """
    shapes = {path: shapes_of(image) for path, image in labels.items()}
    faults = []
    for path, image in labels.items():
        suspicion = _suspicion(image, shapes[path])
        if suspicion:
            number = len(shapes[path].values)
            what = f"was read as {form}, {number} nucle{'i' if number != 1 else 'us'}: {suspicion[0]}"
            faults.append(Fault(what, f"{suspicion[1]}; if it was read rightly, --masks {form} says so", path))
    in_pieces = [each for each in shapes.values() if _in_pieces(each)]
    number = sum(len(each.values) for each in shapes.values())
    pieces = sum(int(each.pieces.sum()) for each in shapes.values())
    if not faults and len(in_pieces) >= MANY_IN_PIECES and pieces >= MEAN_PIECES * number:
        faults.append(
            Fault(
                f"the masks were read as {form}, {number} nuclei, which are in {pieces} pieces: are the values "
                "classes, and not nuclei?",
                f"{A_NUMBER_EACH}; if they were read rightly, --masks {form} says so",
            )
        )
    return faults


def _in_pieces(shapes: Shapes) -> bool:
    return bool((shapes.pieces > 1).any())


def _suspicion(labels: NDArray[np.integer], shapes: Shapes) -> tuple[str, str] | None:
    """Say what is implausible in the reading of one mask, and what to do; None if nothing is."""
    thin, number = int(shapes.thin.sum()), len(shapes.values)
    whole = shapes.spans & (2 * shapes.largest_px >= shapes.area_px)
    around = next((index for index in np.flatnonzero(whole) if _surrounds(labels, shapes, int(index))), None)
    if around is not None:
        share = shapes.area_px[around] / shapes.image_px
        return (
            f"number {shapes.values[around]} covers {share:.0%} of the image and surrounds the rest. Is it the "
            "background, or 'not labelled', or is the mask inverted?",
            "background is 0 in a mask",
        )
    if thin >= MANY_THIN and thin > THIN_SHARE * number:
        return (
            f"{thin} of them are nowhere 3 pixels wide. Was the mask blurred, resized, or saved as JPEG?",
            "take the mask as it was before; or make its values 0 and 255 again by a threshold",
        )
    if number > 1 and int(shapes.area_px.sum()) == shapes.image_px:
        return "they leave no background", "background is 0 in a mask"
    return _suspicion_of_pieces(shapes)


def _surrounds(labels: NDArray[np.integer], shapes: Shapes, index: int) -> bool:
    """Say whether something lies inside an object: a hole, or another object."""
    rest = label(labels != shapes.values[index], connectivity=1)
    at_edge = np.concatenate([rest[0], rest[-1], rest[:, 0], rest[:, -1]])
    inside_px = np.bincount(rest.ravel())[np.setdiff1d(np.arange(1, rest.max() + 1), at_edge)]
    return bool((inside_px >= LEAST_HOLE_PX).any())


def _suspicion_of_pieces(shapes: Shapes) -> tuple[str, str] | None:
    number, pieces = len(shapes.values), int(shapes.pieces.sum())
    scattered = (shapes.pieces >= MANY_PIECES) & (2 * shapes.largest_px < shapes.area_px)
    if number == 1 and pieces > 1 and 5 * shapes.largest_px[0] < 4 * shapes.area_px[0]:
        return (
            f"its only value {shapes.values[0]} is in {pieces} pieces. Is it a binary mask among label masks?",
            A_NUMBER_EACH,
        )
    if scattered.all() and number:
        values = ", ".join(map(str, shapes.values[:NAMED])) + (" …" if number > NAMED else "")
        return f"its values {values} are in {pieces} pieces. Are they classes, or colours?", A_NUMBER_EACH
    if scattered.any():
        worst = int(np.argmax(np.where(scattered, shapes.pieces, 0)))
        return (
            f"the value {shapes.values[worst]} is in {shapes.pieces[worst]} pieces. Does it mean 'not labelled', "
            "or a class?",
            "make such pixels 0, and give each nucleus a number of its own",
        )
    if (shapes.pieces > 1).sum() >= MANY_IN_PIECES and pieces >= MEAN_PIECES * number:
        return f"they are in {pieces} pieces. Was the mask resized, or do numbers occur twice?", A_NUMBER_EACH
    return None
