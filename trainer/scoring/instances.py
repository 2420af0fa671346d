"""Class probabilities → instances; and which thresholds to do it by, chosen on validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from trainer.data.samples import BACKGROUND, CONTOUR, NUCLEUS

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """How probabilities become objects.

    Attributes
    ----------
    undo_weights : bool
        Divide the probabilities by the loss's class weights first. A network trained with a background weight
        of 0.01 is a hundred times too ready to see foreground; this takes it back.
    foreground : float
        A pixel whose probability of nucleus and contour together is above it belongs to an object.
    core : float
        So does its core, where nucleus / (nucleus + contour) is above this.
    least_core_px : int
        Smaller cores are dropped.
    split_px : float
        A core is split where it has a waist: between two maxima of the distance to its edge (smoothed by 1 px)
        that stand out by more than this. Nuclei that touch often leave no contour between them. 0: never.
    reach_px : int
        A core is grown back no farther than this; 0 is as far as the foreground goes.
    """

    undo_weights: bool = False
    foreground: float = 0.5
    core: float = 0.5
    least_core_px: int = 12
    split_px: float = 0.0
    reach_px: int = 0


def instances(
    probabilities: Probabilities, decision: Decision, weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> NDArray[np.int32]:
    """Make label images of predicted classes.

    The cores are the components of the class nucleus; each is grown back into the contour around it by a
    watershed on the distance from the cores.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (rows, columns, 3)
        Of background, nucleus, contour.
    decision : Decision
    weights : tuple of float
        The loss's class weights, to be undone if the decision says so.

    Returns
    -------
    ndarray of int32, shape (rows, columns)
        Labels; 0 is background.
    """
    if decision.undo_weights:
        probabilities = _undone(probabilities, weights)
    inside = probabilities[..., NUCLEUS] + probabilities[..., CONTOUR]
    foreground = inside > decision.foreground * (inside + probabilities[..., BACKGROUND])
    cores = label(foreground & (probabilities[..., NUCLEUS] > decision.core * inside), connectivity=1)
    small = np.bincount(cores.ravel()) < decision.least_core_px
    small[0] = False
    cores[small[cores]] = 0
    if not cores.any():
        return np.zeros(cores.shape, np.int32)
    if decision.split_px:
        cores = _split(cores, decision.split_px)
    if decision.reach_px:
        foreground &= ndimage.distance_transform_edt(cores == 0) <= decision.reach_px
    return _grown(cores, foreground | (cores > 0))


def _grown(cores: NDArray[np.integer], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Grow cores into the mask's parts that they lie in.

    Most parts hold one core, and are its; flooding is for the others, each in its own window.
    """
    parts = label(mask, connectivity=1)
    place = np.zeros(int(cores.max()) + 1, np.int64)
    held = cores > 0
    place[cores[held]] = parts[held]  # a core is connected: it lies in one part
    owner = np.zeros(int(parts.max()) + 1, np.int32)
    owner[place] = np.arange(len(place))
    owner[0] = 0
    made: NDArray[np.int32] = owner[parts]
    windows = ndimage.find_objects(parts)
    for part in np.flatnonzero(np.bincount(place[place > 0]) > 1):
        window = windows[part - 1]
        inside = parts[window] == part
        seeds = np.where(inside, cores[window], 0)
        made[window][inside] = watershed(ndimage.distance_transform_edt(seeds == 0), seeds, mask=inside)[inside]
    return made


def _split(cores: NDArray[np.integer], height_px: float) -> NDArray[np.int32]:
    """Split cores at their waists by a watershed on the distance from their edge, each in its own window.

    Most have but one maximum: no height need be found for these, which takes longest.
    """
    inside = cores > 0
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.0) * inside
    tops, count = ndimage.label(inside & (ndimage.maximum_filter(distance, 3) == distance), np.ones((3, 3)))
    place = np.zeros(count + 1, np.int64)
    place[tops[tops > 0]] = cores[tops > 0]
    made = cores.astype(np.int32)
    last = int(cores.max())
    windows = ndimage.find_objects(cores)
    for number in np.flatnonzero(np.bincount(place[1:]) > 1):
        window = windows[number - 1]
        mine = np.pad(cores[window] == number, 1)
        height = np.pad(distance[window], 1) * mine
        seeds = label(h_maxima(height, height_px))
        if seeds.max() > 1:
            halves = watershed(-height, seeds, mask=mine)[mine]
            made[window][mine[1:-1, 1:-1]] = np.where(halves == 1, number, last + halves - 1)
            last += int(seeds.max()) - 1
    return made


def _undone(probabilities: Probabilities, weights: tuple[float, float, float]) -> Probabilities:
    # A class of weight 0 was never asked for: there is nothing to take back.
    divisor = np.array([weight or 1.0 for weight in weights], np.float32)
    return probabilities / divisor


#: What is tried, one after the other, each with the best of those before it; what is nearer to the default first.
_FOREGROUND = ("foreground", (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8))
_STEPS: list[tuple[str, tuple[Any, ...]]] = [
    ("split_px", (0.0, 0.5, 1.0, 2.0)),
    _FOREGROUND,
    ("core", (0.5, 0.4, 0.6, 0.3, 0.7)),
    _FOREGROUND,
    ("split_px", (0.0, 0.5, 1.0, 2.0)),
    ("least_core_px", (12, 4, 30, 0, 60)),
    ("reach_px", (0, 5, 3)),
]


def choose(scored: Callable[[Decision], float], undo: Iterable[bool], *, thresholds: bool) -> Decision:
    """Choose the decision that scores best, by coordinate search.

    Parameters
    ----------
    scored : callable
        Decision → score on the validation images; asked again of the same decision.
    undo : iterable of bool
        Which of undoing the weights and not are allowed.
    thresholds : bool
        Search the thresholds too; else only between the two.

    Returns
    -------
    Decision
        Among equals the one nearer to the defaults.
    """
    best = max((Decision(undo_weights=undone) for undone in undo), key=scored)
    for name, values in _STEPS if thresholds else []:
        # max() keeps the first of equals; so what is there already stays.
        best = max((best, *(replace(best, **{name: value}) for value in values)), key=scored)
    return best
