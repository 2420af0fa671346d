"""Class probabilities → nuclei, and the choice of the thresholds on validation images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from trainer.classes import BACKGROUND, CONTOUR, NUCLEUS, ClassWeights

#: Of background, nucleus, contour: shape (rows, columns, 3).
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """How probabilities become nuclei.

    Attributes
    ----------
    undo_weights : bool
        Divide the probabilities by the class weights of the loss first. A network that was trained with a
        background weight of 0.01 finds foreground far too often; the division corrects that.
    foreground : float
        A pixel belongs to a nucleus if its probability of nucleus and contour together is above this.
    core : float
        Such a pixel belongs to a core if nucleus / (nucleus + contour) is above this.
    least_core_px : int
        Smaller cores are dropped.
    split_px : float
        A core is split at its waists: between two maxima of the distance to its edge (smoothed by 1 px) that
        stand out by more than this. Nuclei that touch often leave no contour between them. 0: never.
    reach_px : int
        A core is grown back no farther than this; 0 is as far as the foreground goes.
    least_px : int
        Smaller nuclei are dropped, once they are grown. SEG does not see what is found and is not there, so no
        choice by it would drop them.
    """

    undo_weights: bool = False
    foreground: float = 0.5
    core: float = 0.5
    least_core_px: int = 12
    split_px: float = 2.0
    reach_px: int = 0
    least_px: int = 0


def find_nuclei(
    probabilities: Probabilities, decision: Decision, weights: ClassWeights = (1.0, 1.0, 1.0)
) -> NDArray[np.int32]:
    """Make a label image from class probabilities.

    The cores are the components of the class nucleus. Each is grown back into the contour around it by a
    watershed on the distance from the cores.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (rows, columns, 3)
        Of background, nucleus, contour.
    decision : Decision
    weights : tuple of float
        Class weights of the loss, for a decision that undoes them.

    Returns
    -------
    ndarray of int32, shape (rows, columns)
        Labels; 0 is background.
    """
    if decision.undo_weights:
        probabilities = _undo_weights(probabilities, weights)
    inside = probabilities[..., NUCLEUS] + probabilities[..., CONTOUR]
    foreground = inside > decision.foreground * (inside + probabilities[..., BACKGROUND])
    cores = label(foreground & (probabilities[..., NUCLEUS] > decision.core * inside), connectivity=1)
    _drop_small(cores, decision.least_core_px)
    if not cores.any():
        return np.zeros(cores.shape, np.int32)
    if decision.split_px:
        cores = _split_at_waists(cores, decision.split_px)
    if decision.reach_px:
        foreground &= ndimage.distance_transform_edt(cores == 0) <= decision.reach_px
    labels = _grow(cores, foreground | (cores > 0))
    _drop_small(labels, decision.least_px)
    return labels


def _drop_small(labels: NDArray[np.integer], least_px: int) -> None:
    """Drop what has fewer pixels than that, in place."""
    small = np.bincount(labels.ravel()) < least_px
    small[0] = False
    labels[small[labels]] = 0


def _grow(cores: NDArray[np.integer], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Grow each core into the part of the mask that it lies in.

    Most parts hold one core, which takes the whole part. The others are flooded, each in its own window.
    """
    parts = label(mask, connectivity=1)
    part_of_core = np.zeros(int(cores.max()) + 1, np.int64)
    in_core = cores > 0
    part_of_core[cores[in_core]] = parts[in_core]  # a core is connected: it lies in one part
    core_of_part = np.zeros(int(parts.max()) + 1, np.int32)
    core_of_part[part_of_core] = np.arange(len(part_of_core))
    core_of_part[0] = 0
    labels: NDArray[np.int32] = core_of_part[parts]
    windows = ndimage.find_objects(parts)
    for part in np.flatnonzero(np.bincount(part_of_core[part_of_core > 0]) > 1):
        window = windows[part - 1]
        inside = parts[window] == part
        seeds = np.where(inside, cores[window], 0)
        labels[window][inside] = watershed(ndimage.distance_transform_edt(seeds == 0), seeds, mask=inside)[inside]
    return labels


def _split_at_waists(cores: NDArray[np.integer], height_px: float) -> NDArray[np.int32]:
    """Split cores by a watershed on the distance from their edge, each in its own window.

    Most cores have one maximum. For these no height is computed, which is the slowest part.
    """
    inside = cores > 0
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.0) * inside
    maxima, count = ndimage.label(inside & (ndimage.maximum_filter(distance, 3) == distance), np.ones((3, 3)))
    core_of_maximum = np.zeros(count + 1, np.int64)
    core_of_maximum[maxima[maxima > 0]] = cores[maxima > 0]
    labels = cores.astype(np.int32)
    last = int(cores.max())
    windows = ndimage.find_objects(cores)
    for number in np.flatnonzero(np.bincount(core_of_maximum[1:]) > 1):
        window = windows[number - 1]
        core = np.pad(cores[window] == number, 1)
        height = np.pad(distance[window], 1) * core
        seeds = label(h_maxima(height, height_px))
        if seeds.max() > 1:
            pieces = watershed(-height, seeds, mask=core)[core]
            labels[window][core[1:-1, 1:-1]] = np.where(pieces == 1, number, last + pieces - 1)
            last += int(seeds.max()) - 1
    return labels


def _undo_weights(probabilities: Probabilities, weights: ClassWeights) -> Probabilities:
    # A class of weight 0 was not trained: there is nothing to undo.
    divisor = np.array([weight or 1.0 for weight in weights], np.float32)
    return probabilities / divisor


#: The values of each threshold that are tried, in this order. The default comes first, then those nearer to it.
_FOREGROUND = ("foreground", (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8))
_STEPS: list[tuple[str, tuple[Any, ...]]] = [
    ("split_px", (2.0, 1.0, 0.5, 0.0)),
    _FOREGROUND,
    ("core", (0.5, 0.4, 0.6, 0.3, 0.7)),
    _FOREGROUND,
    ("split_px", (2.0, 1.0, 0.5, 0.0)),
    ("least_core_px", (12, 4, 30, 0, 60)),
    ("reach_px", (0, 5, 3)),
]


#: Decisions whose SEG is lower than the best by no more than this are as good: some dozen objects do not tell them
#: apart.
TIE = 0.005


def choose_decision(
    scores_of: Callable[[Decision], Mapping[str, Any]], first: Sequence[Decision], *, thresholds: bool
) -> Decision:
    """Choose a decision by coordinate search for the best SEG; of those as good, the one with the best F1.

    SEG does not see what is found and is not there. So the search alone takes thresholds that find thousands of
    specks, where these gain it 0.0002.

    Parameters
    ----------
    scores_of : callable
        Decision → its ``segMeasure`` and ``f1`` on the validation images. It is called once for each decision.
    first : sequence of Decision
        Where the search begins: with the best of these.
    thresholds : bool
        Search the thresholds too; else only choose from `first`.

    Returns
    -------
    Decision
        Of decisions with equal scores, the one that was tried first, which is the nearer one to the defaults.
    """
    tried: dict[Decision, tuple[float, float]] = {}

    def seg_of(decision: Decision) -> float:
        if decision not in tried:
            scores = scores_of(decision)
            tried[decision] = float(scores["segMeasure"]), float(scores["f1"])
        return tried[decision][0]

    best = max(first, key=seg_of)
    for name, values in _STEPS if thresholds else []:
        # max() keeps the first of equals, which is the best decision so far.
        best = max((best, *(replace(best, **{name: value}) for value in values)), key=seg_of)
    as_good = [decision for decision, (seg, _) in tried.items() if seg >= seg_of(best) - TIE]
    return max(as_good, key=lambda decision: tried[decision][::-1])
