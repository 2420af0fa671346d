"""What a network got right and wrong, drawn over the image: outlines, the worst and the best objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from trainer.scoring.seg import object_scores, overlaps

Labels = NDArray[np.integer]
Image = NDArray[np.float32]

#: Grey values in a drawing: enough for the eye, and a small file.
GREYS = 64

#: Outlines, by their places behind the greys; told apart by all kinds of colour vision (Okabe and Ito).
COLOURS = {
    "truth": (240, 228, 66),
    "found": (0, 158, 115),
    "false": (213, 94, 0),
    "missed": (86, 180, 233),
    "gap": (255, 255, 255),
}
LEGEND = "yellow: truth, green: found, orange: found and not there, blue: missed"

#: Objects in a row of the worst or the best, pixels shown around each one's middle, and their enlargement.
SHOWN, SIDE, TIMES = 5, 80, 2


@dataclass(frozen=True)
class Drawing:
    """A drawing: palette indices, shape (rows, columns), and what it shows."""

    indices: NDArray[np.uint8]
    caption: str


def palette() -> list[int]:
    """Give the drawings' palette: red, green and blue of each index, one after the other."""
    greys = [value for level in range(GREYS) for value in [round(255 * level / (GREYS - 1))] * 3]
    return greys + [value for colour in COLOURS.values() for value in colour]


def _index(name: str) -> int:
    return GREYS + list(COLOURS).index(name)


def outlined(name: str, image: Image, truth: Labels, found: Labels) -> Drawing:
    """Draw truth and prediction as outlines over an image.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        In [0, 1].
    truth, found : ndarray of int, shape (rows, columns)
        Label images; 0 is background. Ids from 0 to a million: the table of overlaps has them as they are.

    Returns
    -------
    Drawing
        An object is found where the Jaccard index of a pair is above 0.5; the others are missed, or false.
    """
    pairs = overlaps(truth, found)
    hits = pairs.iou > 0.5
    false = np.where(np.isin(found, pairs.found[hits]), 0, found)
    missed = np.where(np.isin(truth, pairs.truth[hits]), 0, truth)
    drawn = (np.clip(image, 0, 1) * (GREYS - 1)).astype(np.uint8)
    layers = (("truth", truth), ("found", found), ("false", false), ("missed", missed))
    for what, labels in layers:
        drawn[find_boundaries(labels, mode="inner")] = _index(what)
    counts = [len(np.unique(labels[labels > 0])) for labels in (truth, missed, false)]
    caption = f"{name}: {counts[0]} objects, {counts[1]} missed, {counts[2]} found that are not there; {LEGEND}"
    return Drawing(drawn, caption)


def extremes(name: str, drawing: Drawing, truth: Labels, found: Labels) -> Drawing | None:
    """Enlarge the worst and the best objects out of a drawing: a row of each, by their Jaccard indices.

    Returns
    -------
    Drawing or None
        None where there is no object at all.
    """
    ids = np.unique(truth[truth != 0])
    if not len(ids):
        return None
    scores = object_scores(truth, found)
    order = np.argsort(scores, kind="stable")
    half = -(-len(order) // 2)
    worst, best = order[: min(SHOWN, half)], order[::-1][: min(SHOWN, len(order) - half)]
    rows = [_row(drawing.indices, truth, ids[some]) for some in (worst, best)]
    gap = np.full((4, rows[0].shape[1]), _index("gap"), np.uint8)
    told = [", ".join(f"{scores[place]:.2f}" for place in some) for some in (worst, best)]
    caption = f"{name}: first row, the worst objects (Jaccard index {told[0]}); second, the best ({told[1]})"
    return Drawing(np.vstack([rows[0], gap, rows[1]]), caption)


def _row(drawn: NDArray[np.uint8], truth: Labels, ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Cut a square around each object, padded with white where there are fewer."""
    blank = np.full((SIDE * TIMES, SIDE * TIMES), _index("gap"), np.uint8)
    tiles = [_tile(drawn, truth == one) for one in ids] + [blank] * (SHOWN - len(ids))
    gap = np.full((SIDE * TIMES, 4), _index("gap"), np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, gap)][:-1])


def _tile(drawn: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    ys, xs = np.nonzero(inside)
    tile = np.full((SIDE, SIDE), _index("gap"), np.uint8)
    starts = []
    for values, size in ((ys, drawn.shape[0]), (xs, drawn.shape[1])):
        middle = int(values.min() + values.max()) // 2
        starts.append(max(0, min(middle - SIDE // 2, size - SIDE)))
    part = drawn[starts[0] : starts[0] + SIDE, starts[1] : starts[1] + SIDE]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile.repeat(TIMES, axis=0).repeat(TIMES, axis=1)
