"""Class probabilities → instances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

from trainer.data import BACKGROUND, NUCLEUS

#: Smaller cores are noise.
LEAST_CORE_PX = 12


def instances(probabilities: NDArray[np.float32], least_core_px: int = LEAST_CORE_PX) -> NDArray[np.int32]:
    """Make label images of predicted classes.

    The cores are the components of the class nucleus; each is grown back into the contour around it by a
    watershed on the distance from the cores, as far as the foreground goes.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (rows, columns, 3)
        Of background, nucleus, contour.
    least_core_px : int
        Cores of fewer pixels are dropped.

    Returns
    -------
    ndarray of int32, shape (rows, columns)
        Labels; 0 is background.
    """
    classes = probabilities.argmax(axis=-1)
    cores = label(classes == NUCLEUS, connectivity=1)
    small = np.flatnonzero(np.bincount(cores.ravel()) < least_core_px)
    cores[np.isin(cores, small)] = 0
    if not cores.any():
        return np.zeros(classes.shape, np.int32)
    distance = ndimage.distance_transform_edt(cores == 0)
    return np.asarray(watershed(distance, cores, mask=classes != BACKGROUND), dtype=np.int32)
