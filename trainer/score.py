"""SEG, the segmentation accuracy of the Cell Tracking Challenge."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainer.errors import InputError

Labels = NDArray[np.integer]


def object_scores(reference: Labels, result: Labels) -> NDArray[np.float64]:
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
    if reference.shape != result.shape:
        raise InputError(f"the label images differ in size: {reference.shape} and {result.shape}")
    ids, truth = np.unique(reference, return_inverse=True)
    found_ids, found = np.unique(result, return_inverse=True)
    overlap = np.bincount(
        truth.ravel() * len(found_ids) + found.ravel(), minlength=len(ids) * len(found_ids)
    ).reshape(len(ids), len(found_ids))
    truth_px, found_px = overlap.sum(axis=1), overlap.sum(axis=0)
    union = truth_px[:, None] + found_px[None, :] - overlap
    matched = (2 * overlap > truth_px[:, None]) & (found_ids != 0)[None, :]
    scores = np.where(matched, overlap / union, 0.0).max(axis=1)
    return np.asarray(scores[ids != 0], dtype=np.float64)


def seg_measure(pairs: Mapping[str, tuple[Labels, Labels]]) -> dict[str, object]:
    """SEG over several images: the mean over all reference objects of all images.

    Parameters
    ----------
    pairs : mapping of str to (reference, result)
        Label images by name.

    Returns
    -------
    dict
        ``segMeasure`` in [0, 1]; ``objects``, their number; ``images``, SEG of each image that has any.

    Raises
    ------
    InputError
        There is no reference object at all: then SEG is not defined.
    """
    scores = {name: object_scores(*pair) for name, pair in pairs.items()}
    everything = np.concatenate([*scores.values(), np.zeros(0)])
    if not everything.size:
        raise InputError("no reference object in any image; SEG is not defined", "use images with nuclei in them")
    return {
        "segMeasure": float(everything.mean()),
        "objects": int(everything.size),
        "images": {name: float(values.mean()) for name, values in scores.items() if values.size},
    }
