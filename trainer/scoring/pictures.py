"""Pictures of what a network got right and wrong: outlines over the image, the worst and the best objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from trainer.scoring.seg import AnyLabels, object_scores, overlaps

#: Grey values in a picture: enough for the eye, and a small file.
GREYS = 64

#: Colours of the outlines; their indices follow the greys. People with any colour vision tell them apart (Okabe
#: and Ito).
COLOURS = {
    "truth": (240, 228, 66),
    "found": (0, 158, 115),
    "false": (213, 94, 0),
    "missed": (86, 180, 233),
    "gap": (255, 255, 255),
}
LEGEND = "yellow: truth, green: found, orange: found but not in the truth, blue: missed"

#: Objects in a row of the worst or the best; the side of the square around each, in pixels; its enlargement.
SHOWN, SIDE_PX, ZOOM = 5, 80, 2


@dataclass(frozen=True)
class Picture:
    """A picture: palette indices of shape (rows, columns), and what it shows."""

    indices: NDArray[np.uint8]
    caption: str


def palette() -> list[int]:
    """Give the palette of all pictures: red, green and blue of each index, one after the other."""
    greys = [value for level in range(GREYS) for value in [round(255 * level / (GREYS - 1))] * 3]
    return greys + [value for colour in COLOURS.values() for value in colour]


def _index(name: str) -> int:
    return GREYS + list(COLOURS).index(name)


def draw_outlines(name: str, image: NDArray[np.float32], truth: AnyLabels, predicted: AnyLabels) -> Picture:
    """Draw truth and prediction as outlines over an image.

    An object is found where the Jaccard index of a pair is above 0.5. The others are missed or false.

    Parameters
    ----------
    name : str
        Of the image, for the caption.
    image : ndarray of float32, shape (rows, columns)
        In [0, 1].
    truth, predicted : ndarray of int, shape (rows, columns)
        Label images; 0 is background. Ids from 0 to a million: the table of overlaps holds these unchanged.

    Returns
    -------
    Picture
    """
    pairs = overlaps(truth, predicted)
    hits = pairs.iou > 0.5
    false = np.where(np.isin(predicted, pairs.found[hits]), 0, predicted)
    missed = np.where(np.isin(truth, pairs.truth[hits]), 0, truth)
    indices = (np.clip(image, 0, 1) * (GREYS - 1)).astype(np.uint8)
    for colour, labels in (("truth", truth), ("found", predicted), ("false", false), ("missed", missed)):
        indices[find_boundaries(labels, mode="inner")] = _index(colour)
    counts = [len(np.unique(labels[labels > 0])) for labels in (truth, missed, false)]
    caption = f"{name}: {counts[0]} objects, {counts[1]} missed, {counts[2]} false; {LEGEND}"
    return Picture(indices, caption)


def draw_extremes(name: str, picture: Picture, truth: AnyLabels, predicted: AnyLabels) -> Picture | None:
    """Enlarge the worst and the best objects of a picture: a row of each, by their Jaccard indices.

    Returns
    -------
    Picture or None
        None where there is no object at all.
    """
    ids = np.unique(truth[truth != 0])
    if not len(ids):
        return None
    scores = object_scores(truth, predicted)
    order = np.argsort(scores, kind="stable")
    half = -(-len(order) // 2)
    worst, best = order[: min(SHOWN, half)], order[::-1][: min(SHOWN, len(order) - half)]
    rows = [_draw_row(picture.indices, truth, ids[places]) for places in (worst, best)]
    gap = np.full((4, rows[0].shape[1]), _index("gap"), np.uint8)
    numbers = [", ".join(f"{scores[place]:.2f}" for place in places) for places in (worst, best)]
    caption = f"{name}: first row, the worst objects (Jaccard index {numbers[0]}); second, the best ({numbers[1]})"
    return Picture(np.vstack([rows[0], gap, rows[1]]), caption)


def _draw_row(indices: NDArray[np.uint8], truth: AnyLabels, ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Cut a square around each object, padded with white where there are fewer."""
    blank = np.full((SIDE_PX * ZOOM, SIDE_PX * ZOOM), _index("gap"), np.uint8)
    tiles = [_cut_tile(indices, truth == number) for number in ids] + [blank] * (SHOWN - len(ids))
    gap = np.full((SIDE_PX * ZOOM, 4), _index("gap"), np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, gap)][:-1])


def _cut_tile(indices: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    ys, xs = np.nonzero(inside)
    tile = np.full((SIDE_PX, SIDE_PX), _index("gap"), np.uint8)
    starts = []
    for values, size in ((ys, indices.shape[0]), (xs, indices.shape[1])):
        middle = int(values.min() + values.max()) // 2
        starts.append(max(0, min(middle - SIDE_PX // 2, size - SIDE_PX)))
    part = indices[starts[0] : starts[0] + SIDE_PX, starts[1] : starts[1] + SIDE_PX]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
