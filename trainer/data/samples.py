"""A folder of images and masks → samples: normalised images, nuclei as labels, classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

from trainer.errors import InputError
from trainer.files.images import listed, read_grey, read_labels

BACKGROUND, NUCLEUS, CONTOUR = 0, 1, 2
CLASSES = ("background", "nucleus", "contour")

#: How masks may be written; auto looks at all of a set's.
MASK_FORMS = ("auto", "instances", "binary", "classes")

#: Labels are kept and written in 16 bit.
MOST_OBJECTS = 65_535

#: Smaller images hold no nucleus with its surroundings.
LEAST_SIDE_PX = 16

Image = NDArray[np.float32]
Labels = NDArray[np.uint16]


@dataclass(frozen=True)
class Sample:
    """One image: its name, its normalised grey values and its nuclei as labels (0 is background)."""

    name: str
    image: Image
    labels: Labels


@dataclass(frozen=True)
class Entry:
    """The two files of one image, not yet read. Its name is the image's file name."""

    name: str
    image: Path
    mask: Path


def both(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """List the files in ``images/`` and in ``masks/``, by stem.

    Raises
    ------
    InputError
        A folder is missing, or there are no images.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}", "it should have images/ and masks/ in it")
    images, masks = listed(folder / "images"), listed(folder / "masks")
    if not images:
        raise InputError(
            f"there are no images in {str(folder / 'images')!r}", "PNG or TIFF files are expected there"
        )
    return images, masks


def entries(folder: Path) -> dict[str, Entry]:
    """Pair ``images/`` with ``masks/`` by their names without suffix.

    Returns
    -------
    dict of str to Entry
        By stem, sorted.

    Raises
    ------
    InputError
        A folder is missing or empty, or a file has no partner; it is named.
    """
    images, masks = both(folder)
    lonely = [str(images[stem]) for stem in images if stem not in masks]
    if lonely:
        raise InputError(f"the image {lonely[0]!r} has no mask", "each needs one of the same name in masks/")
    lonely = [str(masks[stem]) for stem in masks if stem not in images]
    if lonely:
        raise InputError(f"the mask {lonely[0]!r} has no image", "remove it, or add the image")
    return {stem: Entry(images[stem].name, images[stem], masks[stem]) for stem in images}


def fingerprint(paths: list[Path], *, names: bool = True) -> str:
    """Hash the bytes of files, and their names: 16 hex digits that change with any of them."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read {str(path)!r}: {error.strerror}", "is it there, and yours to read?"
            ) from None
        digest.update(f"{path.name if names else ''}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def read_samples(found: dict[str, Entry], form: str = "auto") -> dict[str, Sample]:
    """Read and normalise images, and read their masks as labels.

    Parameters
    ----------
    found : dict of str to Entry
    form : {'auto', 'instances', 'binary', 'classes'}
        How the masks are written. ``auto`` decides for all of them together: binary if none has more than one
        value beside 0; classes if 0, 1 and 2 are all their values and 1 hardly ever borders 0.

    Raises
    ------
    InputError
        A file is unreadable, of the wrong form, too small, or the sizes of a pair differ; the file is named.
    """
    masks = {stem: read_labels(entry.mask) for stem, entry in found.items()}
    form = mask_form(list(masks.values())) if form == "auto" else form
    return {stem: _sample(entry, masks[stem], form) for stem, entry in found.items()}


def _sample(entry: Entry, mask: NDArray[np.integer], form: str) -> Sample:
    image = read_grey(entry.image)
    if mask.shape != image.shape:
        raise InputError(
            f"{str(entry.image)!r} is {_size(image)} and its mask {_size(mask)}", "they need the same size"
        )
    if min(image.shape) < LEAST_SIDE_PX:
        raise InputError(
            f"{str(entry.image)!r} is {_size(image)}", f"at least {LEAST_SIDE_PX} pixels a side are needed"
        )
    return Sample(entry.name, normalised(image), as_labels(mask, form, str(entry.mask)))


def _size(array: NDArray[np.generic]) -> str:
    return "×".join(str(side) for side in array.shape)


def mask_form(masks: list[NDArray[np.integer]]) -> str:
    """Say how a set's masks are written: ``binary``, ``classes`` or ``instances``."""
    values = [np.unique(mask) for mask in masks]
    if all(np.count_nonzero(one) <= 1 for one in values):
        return "binary"
    if not set(np.concatenate(values).tolist()) <= {BACKGROUND, NUCLEUS, CONTOUR}:
        return "instances"
    # A nucleus borders its contour in a three-class image, and the background in a label image.
    bare = around = 0
    for mask in masks:
        nucleus = mask == NUCLEUS
        rim = ndimage.binary_dilation(nucleus) & ~nucleus
        bare += int((mask[rim] == BACKGROUND).sum())
        around += int(rim.sum())
    return "classes" if around and bare < 0.1 * around else "instances"


def as_labels(mask: NDArray[np.integer], form: str, path: str) -> Labels:
    """Turn a mask of a form into labels 1..N; 0 is background.

    A binary mask is taken apart into its connected components, a three-class one into its nuclei, each grown
    back into the contour around it.

    Raises
    ------
    InputError
        There are more labels than 16 bit hold.
    """
    if form == "classes" and not set(np.unique(mask).tolist()) <= {BACKGROUND, NUCLEUS, CONTOUR}:
        raise InputError(
            f"{path!r} has the value {int(mask.max())}", "three-class masks have 0, 1 and 2: is --masks right?"
        )
    if form == "binary":
        mask = label(mask > 0, connectivity=1)
    elif form == "classes":
        cores = label(mask == NUCLEUS, connectivity=1)
        distance = ndimage.distance_transform_edt(cores == 0)
        mask = watershed(distance, cores, mask=mask > 0) if cores.any() else np.zeros(mask.shape, np.int32)
    if mask.size and int(mask.max()) > MOST_OBJECTS:
        raise InputError(
            f"{path!r} has the label {int(mask.max())}",
            f"at most {MOST_OBJECTS:,} objects an image: number them from 1, or cut the image into parts",
        )
    return mask.astype(np.uint16)


def normalised(image: NDArray[np.generic]) -> Image:
    """Stretch grey values to [0, 1] between the 1st and the 99.8th percentile, and take the square root.

    The root lifts dim nuclei: in one image there are some ten times dimmer than others.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Grey values of any type and range.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        In [0, 1]. An image of one value is all 0.
    """
    grey = image.astype(np.float64)
    low, high = np.percentile(grey, (1.0, 99.8))
    stretched = np.clip((grey - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(grey)
    return np.sqrt(stretched).astype(np.float32)


def classes_of(labels: NDArray[np.integer], contour_px: int) -> NDArray[np.uint8]:
    """Encode nuclei as three classes.

    The contour lies inside the object, `contour_px` wide: grown back from its core, an object loses
    less than 2 % of its SEG. The image's own edge is no contour.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
        0 background, 1 nucleus, 2 contour.
    """
    classes = (labels > 0).astype(np.uint8)
    core = labels.copy()
    for _ in range(contour_px):
        edge = np.zeros(core.shape, bool)
        down, right = core[1:] != core[:-1], core[:, 1:] != core[:, :-1]
        edge[1:] |= down
        edge[:-1] |= down
        edge[:, 1:] |= right
        edge[:, :-1] |= right
        edge &= core > 0
        classes[edge] = CONTOUR
        core[edge] = 0
    return classes
