"""A folder of images and masks → samples: normalised images with their nuclei as labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.classes import ClassImage, GreyImage, LabelImage
from trainer.data.masks import mask_form, mask_to_labels
from trainer.errors import InputError
from trainer.files.images import list_images, read_grey, read_labels

#: A smaller image cannot hold a nucleus and what surrounds it.
MIN_SIDE_PX = 16


@dataclass(frozen=True)
class ImagePair:
    """The two files of one image, not yet read. Its name is the image's file name."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Sample:
    """One image: its name, its normalised grey values, and its nuclei as labels (0 is background)."""

    name: str
    image: GreyImage
    labels: LabelImage


@dataclass(frozen=True)
class PreparedImage:
    """A sample with its classes, ready for training; all arrays have the shape (rows, columns)."""

    name: str
    image: GreyImage
    labels: LabelImage
    classes: ClassImage


def list_set(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """List the files in ``images/`` and in ``masks/``, by stem.

    Raises
    ------
    InputError
        A folder is missing, or there are no images.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}", "it should have images/ and masks/ in it")
    images, masks = list_images(folder / "images"), list_images(folder / "masks")
    if not images:
        raise InputError(
            f"there are no images in {str(folder / 'images')!r}", "PNG or TIFF files are expected there"
        )
    return images, masks


def image_pairs(folder: Path) -> dict[str, ImagePair]:
    """Pair ``images/`` with ``masks/`` by their names without suffix.

    Returns
    -------
    dict of str to ImagePair
        By stem, sorted.

    Raises
    ------
    InputError
        A folder is missing or empty, or a file has no partner. The message names it.
    """
    images, masks = list_set(folder)
    lonely = [str(images[stem]) for stem in images if stem not in masks]
    if lonely:
        raise InputError(f"the image {lonely[0]!r} has no mask", "each needs one of the same name in masks/")
    lonely = [str(masks[stem]) for stem in masks if stem not in images]
    if lonely:
        raise InputError(f"the mask {lonely[0]!r} has no image", "remove it, or add the image")
    return {stem: ImagePair(images[stem].name, images[stem], masks[stem]) for stem in images}


def fingerprint(paths: list[Path], *, names: bool = True) -> str:
    """Hash the bytes of files, and their names: 16 hex digits that change with any of them."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read {str(path)!r}: {error.strerror}", "does it exist, and may you read it?"
            ) from None
        digest.update(f"{path.name if names else ''}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def read_samples(pairs: dict[str, ImagePair], form: str = "auto") -> dict[str, Sample]:
    """Read and normalise images, and read their masks as labels.

    Parameters
    ----------
    pairs : dict of str to ImagePair
    form : {'auto', 'instances', 'binary', 'classes'}
        How the masks are written. ``auto`` decides for all of them together, see `masks.mask_form`.

    Raises
    ------
    InputError
        A file is unreadable, of the wrong form or too small, or the two sizes of a pair differ. The message names
        the file.
    """
    masks = {stem: read_labels(pair.mask) for stem, pair in pairs.items()}
    form = mask_form(list(masks.values())) if form == "auto" else form
    return {stem: _sample(pair, masks[stem], form) for stem, pair in pairs.items()}


def _sample(pair: ImagePair, mask: NDArray[np.integer], form: str) -> Sample:
    image = read_grey(pair.image)
    if mask.shape != image.shape:
        raise InputError(
            f"{str(pair.image)!r} is {_size(image)} and its mask {_size(mask)}", "they need the same size"
        )
    if min(image.shape) < MIN_SIDE_PX:
        raise InputError(
            f"{str(pair.image)!r} is {_size(image)}", f"at least {MIN_SIDE_PX} pixels a side are needed"
        )
    return Sample(pair.name, normalise(image), mask_to_labels(mask, form, str(pair.mask)))


def _size(array: NDArray[np.generic]) -> str:
    return "×".join(str(side) for side in array.shape)


def normalise(image: NDArray[np.generic]) -> GreyImage:
    """Stretch grey values to [0, 1] between the 1st and the 99.8th percentile, and take the square root.

    The root lifts dim nuclei: in one image some are ten times dimmer than others.

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
