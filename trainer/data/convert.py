"""What people have → a set: images/, masks/ and split.json, as a training reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.classes import LabelImage
from trainer.data import foreign, plausible
from trainer.data.bbbc039 import labels_of
from trainer.data.layouts import Source, find_sources
from trainer.data.masks import MAX_OBJECTS, mask_form, mask_to_labels
from trainer.data.recipe import MASK_FORMS
from trainer.errors import InputError
from trainer.files.atomic import whole_file
from trainer.files.images import JPEG_SUFFIXES, read_plane, read_stored, warn_of_jpeg, write_png
from trainer.files.planes import Choice, to_plane
from trainer.files.tags import label_values, upright

#: ``colours``: each colour's components are nuclei, as in BBBC039.
FORMS = (*MASK_FORMS, "colours")


@dataclass(frozen=True)
class MaskReading:
    """How a person says that masks are to be read.

    Attributes
    ----------
    form : str
        One of `FORMS`.
    threshold : float, optional
        Pixels above it are nuclei; the mask is then binary.
    background : int, optional
        The value of the background, where it is not 0.
    void : int, optional
        The value of pixels that are not labelled. They become background.
    """

    form: str = "auto"
    threshold: float | None = None
    background: int | None = None
    void: int | None = None


def import_set(
    source: Path, to: Path, choice: Choice, reading: MaskReading, images: str = "", masks: str = ""
) -> str:
    """Convert a folder of images and masks, or a file of COCO.

    Nothing is written before all masks are read. Images keep their values where they have 8 or 16 bit; others are
    stretched to 16 bit, image by image.

    Parameters
    ----------
    source, to : Path
    choice : Choice
        Which plane of an image is read.
    reading : MaskReading
    images, masks : str
        See `layouts.find_sources`.

    Returns
    -------
    str
        What was made, in one line.

    Raises
    ------
    InputError
        Something cannot be read as it is, the reading of a mask is implausible, or `to` holds a set already.
    """
    choice.check()
    if reading.form not in FORMS:
        raise InputError(f"--masks is {reading.form}", f"it should be {' or '.join(FORMS)}")
    if any((to / name).exists() for name in ("images", "masks", "split.json")):
        raise InputError(f"there is a set in {str(to)!r} already", "remove it, or choose another folder")
    labels = (
        _read_coco(source, choice)
        if source.suffix.lower() == ".json"
        else _read_folder(find_sources(source, images, masks), choice, reading)
    )
    for each, mask in labels.items():
        image = read_plane(each.image, choice)
        if image.shape != mask.shape:
            sizes = ["×".join(map(str, array.shape)) for array in (image, mask)]
            raise InputError(
                f"{str(each.image)!r} is {sizes[0]} and its mask {sizes[1]}", "they need the same size"
            )
        write_png(to / "images" / f"{each.name}.png", to_16_bit(image))
        write_png(to / "masks" / f"{each.name}.png", mask)
    _write_split(to, list(labels))
    warn_of_jpeg(each.image for each in labels)
    number = sum(int(np.count_nonzero(np.unique(mask))) for mask in labels.values())
    return f"{len(labels)} images, {number:,} nuclei in {to}"


def _read_folder(sources: list[Source], choice: Choice, reading: MaskReading) -> dict[Source, LabelImage]:
    masks = {source: read_mask(source, choice, reading) for source in sources}
    form = reading.form
    if reading.threshold is not None:
        form = "binary"
    elif form == "auto":
        form = mask_form(list(masks.values()))
    elif form == "colours":
        form = "instances"  # the colours are numbers now
    labels = {source: mask_to_labels(mask, form, str(_mask_path(source))) for source, mask in masks.items()}
    if reading.form == "auto":
        suspicions = plausible.of_readings({_mask_path(source): mask for source, mask in labels.items()}, form)
        if suspicions:
            more = f" ({len(suspicions) - 1} more like it)" if len(suspicions) > 1 else ""
            raise InputError(
                f"{suspicions[0].message}{more}",
                f"{suspicions[0].hint}; --background, --void, --threshold and --masks colours read other masks",
            )
    return labels


def _mask_path(source: Source) -> Path:
    """Name a source's mask in messages; of an image without any nucleus, the image."""
    return (source.masks or (source.image,))[0]


def read_mask(source: Source, choice: Choice, reading: MaskReading) -> Any:
    """Read the mask of an image from whatever file it is in; several files are one nucleus each.

    Returns
    -------
    ndarray of int, shape (rows, columns)
    """
    if len(source.masks) != 1:
        return _merged(source, choice)
    path = source.masks[0]
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return foreign.read_seg(path)
    if suffix in (".zip", ".roi"):
        return foreign.read_rois(path, _size_of(source.image, choice))
    numbers_mean_something = (reading.threshold, reading.background, reading.void) != (None, None, None)
    if reading.form == "colours" and not numbers_mean_something:
        return _read_colouring(path)
    mask: Any = _read_picture(path, choice, reading.threshold)
    if reading.threshold is not None:
        return (mask > reading.threshold).astype(np.uint8)
    if reading.void is not None:
        mask = np.where(mask == reading.void, reading.background or 0, mask)
    if reading.background is not None:
        # A nucleus of the number 0 gets one that is free.
        numbers = mask[mask != reading.background]
        free = int(numbers.max()) + 1 if numbers.size else 1
        mask = np.where(mask == reading.background, 0, np.where(mask == 0, free, mask.astype(np.int64)))
    return labels_of(mask) if reading.form == "colours" else mask


def _merged(source: Source, choice: Choice) -> LabelImage:
    """Merge files of one nucleus each; an overlap is the first one's."""
    labels = np.zeros(_size_of(source.image, choice), np.uint16)
    if len(source.masks) > MAX_OBJECTS:
        raise InputError(
            f"{str(source.image)!r} has {len(source.masks)} masks", f"at most {MAX_OBJECTS:,} are read"
        )
    for number, path in enumerate(source.masks, start=1):
        nucleus = _read_picture(path, choice, None) > 0
        if nucleus.shape != labels.shape:
            raise InputError(
                f"{str(path)!r} has another size than {str(source.image)!r}", "are they of one image?"
            )
        labels[nucleus & (labels == 0)] = number
    return labels


def _size_of(image: Path, choice: Choice) -> tuple[int, int]:
    rows, columns = read_plane(image, choice).shape
    return rows, columns


def _read_picture(path: Path, choice: Choice, threshold: float | None) -> Any:
    """Read whole numbers from a picture; with a threshold any numbers."""
    if path.suffix.lower() in JPEG_SUFFIXES and threshold is None:
        raise InputError(
            f"{str(path)!r} is a JPEG, which changes the numbers of a mask",
            "--threshold 127 reads 0 and 255 again",
        )
    array, axes, tags = read_stored(path, numbers=True)
    plane = to_plane(array, axes, choice, str(path))
    if threshold is None and plane.dtype.kind == "f":
        whole = np.rint(plane)
        if not np.isfinite(plane).all() or (whole != plane).any():
            raise InputError(f"{str(path)!r} has numbers that are not whole", "--threshold says what a nucleus is")
        plane = whole.astype(np.int64)
    if "S" not in axes and plane.dtype.kind in "biu":
        plane = label_values(plane, tags, str(path))  # type: ignore[arg-type]
    plane = upright(plane.astype(np.uint8) if plane.dtype == bool else plane, tags, str(path))
    if threshold is None and plane.size and plane.min() < 0:
        raise InputError(
            f"{str(path)!r} has the label {plane.min()}", "labels are 0 for background, then 1 and up"
        )
    return plane


def _read_colouring(path: Path) -> NDArray[np.int64]:
    array, _, tags = read_stored(path)
    return labels_of(upright(array, tags, str(path)))


def _read_coco(path: Path, choice: Choice) -> dict[Source, LabelImage]:
    segmentations = foreign.coco_sources(path)
    return {
        source: foreign.draw_coco(parts, _size_of(source.image, choice), path)
        for source, parts in segmentations.items()
    }


def to_16_bit(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Bring grey values into 8 or 16 bit. Those that fit stay as they are; others are stretched to 0…65535.

    >>> to_16_bit(np.array([[0.0, 0.5, 1.0]])).tolist()
    [[0, 32768, 65535]]
    """
    if image.dtype in (np.uint8, np.uint16):
        return image
    if image.dtype == bool:
        return image.astype(np.uint8)
    if image.dtype.kind in "iu" and image.min() >= 0 and image.max() <= MAX_OBJECTS:
        return image.astype(np.uint16)
    grey = image.astype(np.float64)
    low, high = float(grey.min()), float(grey.max())
    return np.rint((grey - low) * (65535 / (high - low) if high > low else 0)).astype(np.uint16)


def _write_split(to: Path, sources: list[Source]) -> None:
    """Write the parts that the folders name; without a part to test there is no split."""
    parts = {part: [f"{each.name}.png" for each in sources if each.part == part] for part in ("train", "test")}
    if not all(parts.values()):
        return
    with whole_file(to / "split.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(parts, indent=1) + "\n")
