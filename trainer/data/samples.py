"""A folder of images and masks → samples: normalised images with their nuclei as labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.classes import ClassImage, GreyImage, LabelImage
from trainer.data import faults, plausible
from trainer.data.faults import Fault
from trainer.data.masks import mask_form, mask_to_labels
from trainer.errors import InputError
from trainer.files.images import list_images, read_grey, read_labels, read_tags
from trainer.files.tags import PixelTags, turn, undone

#: A smaller image cannot hold a nucleus and what surrounds it.
MIN_SIDE_PX = 16

#: An Orientation is refused where image and mask fit by so much better without it: in the correlation of grey
#: values and nuclei. On 55 real images it is 0.14 to 0.91, and each loses 0.10 or more if the image is turned.
MISFIT = 0.05


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


@dataclass(frozen=True)
class ReadSet:
    """A set as it was read.

    Attributes
    ----------
    form : str
        How the masks were read; ``auto`` if none could be.
    images : dict of str to (ndarray, ndarray of uint16)
        By stem, grey values as in the file and labels, of shape (rows, columns). Bad files are left out.
    faults : list of Fault
        What is wrong with the files.
    notes : list of str
        What is worth a look.
    """

    form: str
    images: dict[str, tuple[NDArray[np.generic], LabelImage]]
    faults: list[Fault]
    notes: list[str]


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
    faults.refuse(faults.of_names(images, masks), folder)
    return {stem: ImagePair(images[stem].name, images[stem], masks[stem]) for stem in images}


def tags_of(pairs: Iterable[ImagePair]) -> list[tuple[tuple[Path, PixelTags], tuple[Path, PixelTags]]]:
    """Read what the files of a set say of their pixels. Raises as `read_grey` does."""
    return [((pair.image, read_tags(pair.image)), (pair.mask, read_tags(pair.mask))) for pair in pairs]


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
        A file is unreadable, of the wrong form or too small, an image is constant, the two sizes of a pair differ,
        or the reading of a mask is implausible, see `plausible`. The message names the file.
    """
    read = read_set(pairs, form)
    faults.refuse(read.faults, folder_of(pairs))
    return {
        stem: Sample(pairs[stem].name, normalise(image), labels) for stem, (image, labels) in read.images.items()
    }


def read_set(pairs: dict[str, ImagePair], form: str = "auto") -> ReadSet:
    """Read all images and masks, and find out what is wrong. A bad file does not hide the next one.

    ``trainer data check`` and a training both read a set by this.

    Parameters
    ----------
    pairs : dict of str to ImagePair
    form : str
        One of `recipe.MASK_FORMS`. A form that is named is believed: an implausible reading is then a note.
    """
    wrong: list[Fault] = []
    masks, found_form = read_masks(pairs, form, wrong)
    images = {}
    for stem, mask in masks.items():
        image_and_labels = read_pair(pairs[stem], mask, found_form, wrong)
        if image_and_labels:
            images[stem] = image_and_labels
    suspicions = plausible.of_readings(
        {pairs[stem].mask: labels for stem, (_, labels) in images.items()}, found_form
    )
    if form == "auto":
        return ReadSet(found_form, images, [*wrong, *suspicions], [])
    return ReadSet(found_form, images, wrong, [str(suspicion) for suspicion in suspicions])


def folder_of(pairs: dict[str, ImagePair]) -> str:
    """Name the folder of a set by its files."""
    return str(next((pair.image.parent.parent for pair in pairs.values()), ""))


def read_masks(
    pairs: dict[str, ImagePair], form: str, wrong: list[Fault]
) -> tuple[dict[str, NDArray[np.integer]], str]:
    """Read all masks of a set, and find out how they are written. A bad file does not hide the next one.

    Parameters
    ----------
    pairs : dict of str to ImagePair
    form : str
        One of `recipe.MASK_FORMS`.
    wrong : list of Fault
        Faults are added to it.

    Returns
    -------
    dict of str to ndarray of int, str
        The masks that could be read, by stem, and their form; it stays ``auto`` if there is none.
    """
    masks: dict[str, NDArray[np.integer]] = {}
    for stem, pair in pairs.items():
        try:
            masks[stem] = read_labels(pair.mask)
        except InputError as error:
            wrong.append(Fault.of(error))
    return masks, mask_form(list(masks.values())) if form == "auto" and masks else form


def read_pair(
    pair: ImagePair, mask: NDArray[np.integer], form: str, wrong: list[Fault]
) -> tuple[NDArray[np.generic], LabelImage] | None:
    """Read an image, and check it with its mask.

    Parameters
    ----------
    pair : ImagePair
    mask : ndarray of int, shape (rows, columns)
        As `read_masks` read it.
    form : str
        Of the masks of the set.
    wrong : list of Fault
        Faults are added to it.

    Returns
    -------
    (ndarray, ndarray of uint16) or None
        Grey values as in the file, and labels. None if there are no two arrays that belong together.
    """
    try:
        image = read_grey(pair.image)
        labels = mask_to_labels(mask, form, str(pair.mask))
        tags = read_tags(pair.image), read_tags(pair.mask)
    except InputError as error:
        wrong.append(Fault.of(error))
        return None
    if image.shape != mask.shape:
        turned = "".join(
            f"; the {kind} has Orientation {tag.orientation}"
            for kind, tag in zip(("image", "mask"), tags, strict=True)
            if tag.orientation != 1
        )
        wrong.append(
            Fault(f"is {_size(image)} and its mask {_size(mask)}", f"they need the same size{turned}", pair.image)
        )
        return None
    if min(image.shape) < MIN_SIDE_PX:
        what = f"is {_size(image)}, smaller than {MIN_SIDE_PX} pixels a side"
        wrong.append(Fault(what, "leave it out", pair.image))
    if image.min() == image.max():
        what = f"all its pixels are {int(image.min())}"
        wrong.append(Fault(what, "there is nothing to see: leave it out", pair.image))
    if tags[0].orientation != tags[1].orientation and _fits_unturned(image, labels, *tags):
        orientations = f"has Orientation {tags[0].orientation} and its mask {tags[1].orientation}"
        wrong.append(
            Fault(
                f"{orientations}, and they fit only if that is ignored",
                "turn the pixels as they should be, and remove the tag from both",
                pair.image,
            )
        )
    return image, labels


def _fits_unturned(
    image: NDArray[np.generic], labels: LabelImage, image_tags: PixelTags, mask_tags: PixelTags
) -> bool:
    """Say whether a mask fits its image clearly better if both are as they are stored."""
    stored_image = turn(image, undone(image_tags.orientation))
    stored_labels = turn(labels, undone(mask_tags.orientation))
    if stored_image.shape != stored_labels.shape:
        return False
    return _fit(stored_image, stored_labels) > _fit(image, labels) + MISFIT


def _fit(image: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Return how strongly the nuclei stand out, bright or dark: a correlation, in [0, 1]."""
    grey, nuclei = normalise(image).ravel(), labels.astype(bool).ravel()
    if not (grey.any() and nuclei.any()) or nuclei.all():
        return 0.0
    return abs(float(np.corrcoef(grey, nuclei)[0, 1]))


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
