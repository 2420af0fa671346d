"""SEG, the segmentation accuracy of the Cell Tracking Challenge; F1 and AP at IoU 0.5 beside it.

SEG does not punish objects that are not there; the other two do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.errors import InputError

AnyLabels = NDArray[np.integer]

#: Ids up to here are used as they are; others are numbered first, which means sorting the pixels.
_DENSE_IDS = 1 << 20


@dataclass(frozen=True)
class Overlaps:
    """How the objects of two label images lie over each other.

    Attributes
    ----------
    truth, found : ndarray of int, shape (pairs,)
        Row and column of each pair that shares pixels, background left out.
    both_px : ndarray of int, shape (pairs,)
        Pixels that the pair shares.
    truth_px, found_px : ndarray of int
        Size of each object, by row and by column; 0 where there is no such object.
    """

    truth: NDArray[np.int64]
    found: NDArray[np.int64]
    both_px: NDArray[np.int64]
    truth_px: NDArray[np.int64]
    found_px: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Jaccard index of each pair."""
        union = self.truth_px[self.truth] + self.found_px[self.found] - self.both_px
        return np.asarray(self.both_px / union, dtype=np.float64)


def overlaps(reference: AnyLabels, result: AnyLabels) -> Overlaps:
    """Count shared pixels. Any integer labels; objects need not be connected, nor ids follow each other.

    Raises
    ------
    InputError
        The images differ in size.
    """
    if reference.shape != result.shape:
        raise InputError(f"the label images differ in size: {reference.shape} and {result.shape}")
    rows, columns = _numbered(reference), _numbered(result)
    truth_px, found_px = np.bincount(rows, minlength=1), np.bincount(columns, minlength=1)
    both = (rows > 0) & (columns > 0)
    pairs, both_px = np.unique(rows[both] * len(found_px) + columns[both], return_counts=True)
    truth, found = np.divmod(pairs, len(found_px))
    truth_px[0] = found_px[0] = 0
    return Overlaps(truth, found, both_px, truth_px, found_px)


def _numbered(labels: AnyLabels) -> NDArray[np.int64]:
    """Flatten labels to numbers from 0, which stays the background, in the order of the ids."""
    flat = labels.ravel()
    if flat.size and int(flat.min()) >= 0 and int(flat.max()) < _DENSE_IDS:
        return flat.astype(np.int64)
    ids, numbers = np.unique(np.append(flat, flat.dtype.type(0)), return_inverse=True)
    place = np.empty(len(ids), np.int64)
    background = int(np.flatnonzero(ids == 0)[0])
    place[np.arange(len(ids)) != background] = np.arange(1, len(ids))
    place[background] = 0
    return np.asarray(place[numbers[:-1]])


def object_scores(reference: AnyLabels, result: AnyLabels) -> NDArray[np.float64]:
    """Score each reference object of one image.

    A result object *S* matches a reference object *R* if it covers more than half of it,
    ``|R ∩ S| > 0.5 |R|`` (so at most one does); the score of *R* is then its Jaccard index
    ``|R ∩ S| / |R ∪ S|``, and 0 where nothing matches. Objects need not be connected, nor their ids follow
    each other.

    Parameters
    ----------
    reference, result : ndarray of int, shape (rows, columns)
        Label images; 0 is background.

    Returns
    -------
    ndarray of float, shape (number of reference objects,)
        In [0, 1], by ascending id.

    References
    ----------
    Maška et al., "A benchmark for comparison of cell tracking algorithms", Bioinformatics 30(11), 2014.

    Examples
    --------
    >>> object_scores(np.array([[1, 1, 1, 1, 2]]), np.array([[7, 7, 7, 0, 0]])).tolist()
    [0.75, 0.0]
    """
    return _seg(overlaps(reference, result))


def _seg(pairs: Overlaps) -> NDArray[np.float64]:
    scores = np.zeros(len(pairs.truth_px))
    matched = 2 * pairs.both_px > pairs.truth_px[pairs.truth]
    scores[pairs.truth[matched]] = pairs.iou[matched]
    return scores[pairs.truth_px > 0]


def detections(pairs: Overlaps) -> NDArray[np.int64]:
    """Count true positives, false positives and false negatives at IoU 0.5.

    A pair is a true positive where its Jaccard index is above 0.5, which no object shares with two others.

    Returns
    -------
    ndarray of int, shape (3,)
    """
    hits = int((pairs.iou > 0.5).sum())
    truth, found = np.count_nonzero(pairs.truth_px), np.count_nonzero(pairs.found_px)
    return np.array([hits, found - hits, truth - hits])


def score(images: Mapping[str, tuple[AnyLabels, AnyLabels]]) -> dict[str, Any]:
    """Score several images together.

    Parameters
    ----------
    images : mapping of str to (reference, result)
        Label images by name.

    Returns
    -------
    dict
        ``segMeasure`` in [0, 1], the mean over all reference objects of all images; ``f1`` = 2TP/(2TP+FP+FN) and
        ``ap50`` = TP/(TP+FP+FN) at IoU 0.5, over all images together; ``objects``, the number of reference
        objects, and ``found``, of result objects; ``images``, SEG of each, None for one that has no reference
        object.

    Raises
    ------
    InputError
        There is no reference object at all: then SEG is not defined.

    References
    ----------
    Maška et al., Bioinformatics 30(11), 2014 (SEG); Caicedo et al., Nature Methods 16, 2019 (AP and F1).
    """
    pairs = {name: _overlaps_of(name, *pair) for name, pair in images.items()}
    scores = {name: _seg(one) for name, one in pairs.items()}
    everything = np.concatenate([*scores.values(), np.zeros(0)])
    if not everything.size:
        raise InputError("no reference object in any image; SEG is not defined", "use images with nuclei in them")
    hits, false, missed = sum((detections(one) for one in pairs.values()), np.zeros(3, np.int64)).tolist()
    return {
        "segMeasure": float(everything.mean()),
        "f1": 2 * hits / (2 * hits + false + missed),
        "ap50": hits / (hits + false + missed),
        "objects": int(everything.size),
        "found": hits + false,
        "images": {name: float(one.mean()) if one.size else None for name, one in scores.items()},
    }


class Judged(NamedTuple):
    """What a decision comes to on some images together.

    Attributes
    ----------
    objects : ndarray of float, shape (number of reference objects,)
        Of `object_scores`, image by image: SEG is their mean.
    f1 : float
        At IoU 0.5.
    """

    objects: NDArray[np.float64]
    f1: float

    @property
    def seg(self) -> float:
        """The mean over the objects."""
        return float(self.objects.mean())


def judge(images: Iterable[tuple[AnyLabels, AnyLabels]]) -> Judged:
    """Score results object by object. The images are pairs of reference and result, see `score`."""
    pairs = [overlaps(reference, result) for reference, result in images]
    hits, false, missed = sum((detections(one) for one in pairs), np.zeros(3, np.int64)).tolist()
    return Judged(np.concatenate([_seg(one) for one in pairs]), 2 * hits / max(1, 2 * hits + false + missed))


def miscount(objects: int, found: int) -> bool:
    """Whether more than a fifth too many or too few objects were found: SEG does not see those that are not there.

    Examples
    --------
    >>> miscount(50, 60), miscount(50, 61), miscount(50, 39)
    (False, True, True)
    """
    return 5 * abs(found - objects) > objects


def foreground_overlap(images: Iterable[tuple[AnyLabels, AnyLabels]]) -> float:
    """Return the Jaccard index of the pixels of all objects, over all images together: in [0, 1].

    It does not see how the objects are separated.

    Parameters
    ----------
    images : iterable of (reference, result)
        Label images of the same size.

    Examples
    --------
    >>> foreground_overlap([(np.array([[1, 2, 0]]), np.array([[3, 3, 3]]))])
    0.6666666666666666
    """
    both = either = 0
    for reference, result in images:
        both += int(((reference > 0) & (result > 0)).sum())
        either += int(((reference > 0) | (result > 0)).sum())
    return both / either if either else 0.0


def _overlaps_of(name: str, reference: AnyLabels, result: AnyLabels) -> Overlaps:
    try:
        return overlaps(reference, result)
    except InputError as error:
        raise InputError(f"{name}: {error}", "both need the same size") from None
