"""Masks of every form → labels: one number for each nucleus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

from trainer.classes import BACKGROUND, CONTOUR, NUCLEUS, LabelImage
from trainer.errors import InputError

#: Labels are kept and written in 16 bit.
MAX_OBJECTS = 65_535


def mask_form(masks: list[NDArray[np.integer]]) -> str:
    """Find out how the masks of a set are written.

    Parameters
    ----------
    masks : list of ndarray of int, each of shape (rows, columns)

    Returns
    -------
    {'binary', 'classes', 'instances'}
        ``binary`` if no mask has more than one value beside 0. ``classes`` if all values are 0, 1 or 2, and 1
        hardly ever borders 0.
    """
    values = [np.unique(mask) for mask in masks]
    if all(np.count_nonzero(mask_values) <= 1 for mask_values in values):
        return "binary"
    if not set(np.concatenate(values).tolist()) <= {BACKGROUND, NUCLEUS, CONTOUR}:
        return "instances"
    # A nucleus borders its contour in a three-class image, and the background in a label image.
    rim_px = background_px = 0
    for mask in masks:
        nucleus = mask == NUCLEUS
        rim = ndimage.binary_dilation(nucleus) & ~nucleus
        background_px += int((mask[rim] == BACKGROUND).sum())
        rim_px += int(rim.sum())
    return "classes" if rim_px and background_px < 0.1 * rim_px else "instances"


def mask_to_labels(mask: NDArray[np.integer], form: str, path: str) -> LabelImage:
    """Turn a mask of a form into labels; 0 is background.

    The components of a binary mask become nuclei. In a three-class mask the components of the class nucleus do,
    each grown back into the contour around it.

    Parameters
    ----------
    mask : ndarray of int, shape (rows, columns)
    form : {'instances', 'binary', 'classes'}
    path : str
        Of the mask, for messages.

    Returns
    -------
    ndarray of uint16, shape (rows, columns)

    Raises
    ------
    InputError
        A value does not belong to the form, or there are more labels than 16 bit hold.
    """
    if form == "classes" and not set(np.unique(mask).tolist()) <= {BACKGROUND, NUCLEUS, CONTOUR}:
        raise InputError(
            f"{path!r} has the value {int(mask.max())}", "three-class masks have 0, 1 and 2: is --masks right?"
        )
    if form == "binary":
        mask = label(mask > 0, connectivity=1)
    elif form == "classes":
        cores = label(mask == NUCLEUS, connectivity=1)
        distance_px = ndimage.distance_transform_edt(cores == 0)
        mask = watershed(distance_px, cores, mask=mask > 0) if cores.any() else np.zeros(mask.shape, np.int32)
    if mask.size and int(mask.max()) > MAX_OBJECTS:
        raise InputError(
            f"{path!r} has the label {int(mask.max())}",
            f"at most {MAX_OBJECTS:,} objects an image: number them from 1, or cut the image into parts",
        )
    return mask.astype(np.uint16)
