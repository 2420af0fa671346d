"""A folder of images and masks → normalised images, classes, splits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label
from skimage.segmentation import find_boundaries

from trainer.errors import InputError

BACKGROUND, NUCLEUS, CONTOUR = 0, 1, 2
CLASSES = ("background", "nucleus", "contour")

Image = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Sample:
    """One image: its name, its normalised grey values and its nuclei as labels 1..N (0 is background)."""

    name: str
    image: Image
    labels: Labels


@dataclass(frozen=True)
class Split:
    """The samples by their use."""

    train: list[Sample]
    validation: list[Sample]
    test: list[Sample]


def read_set(folder: Path) -> dict[str, Sample]:
    """Read ``images/*.png`` and ``masks/`` of the same names.

    Raises
    ------
    InputError
        A folder or file is missing, unreadable, of the wrong form, or sizes differ; the file is named.
    """
    names = sorted(path.name for path in (folder / "images").glob("*.png"))
    if not names:
        raise InputError(f"there are no images in {str(folder / 'images')!r}", "PNG files are expected there")
    extra = {path.name for path in (folder / "masks").glob("*.png")} - set(names)
    if extra:
        raise InputError(
            f"the mask {sorted(extra)[0]!r} in {str(folder / 'masks')!r} has no image", "remove or add"
        )
    return {name: _sample(folder, name) for name in names}


def _sample(folder: Path, name: str) -> Sample:
    image = _read(folder / "images" / name)
    labels = _read(folder / "masks" / name)
    if labels.shape != image.shape:
        raise InputError(
            f"{name}: the image is {image.shape} and its mask {labels.shape}", "they need the same size"
        )
    if labels.dtype == bool or len(np.unique(labels)) <= 2:
        # A binary mask: touching nuclei cannot be told apart, connected ones can.
        labels = label(labels.astype(bool))
    return Sample(name, normalised(image), labels.astype(np.int32))


def _read(path: Path) -> NDArray[np.generic]:
    try:
        with path.open("rb") as file:
            array = np.asarray(iio.imread(file, plugin="pillow"))
    except FileNotFoundError:
        raise InputError(f"there is no {str(path)!r}", "each image needs a mask of the same name") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{str(path)!r} cannot be read as an image: {error}", "is it whole?") from None
    if array.ndim != 2:
        raise InputError(f"{str(path)!r} has the shape {array.shape}, not grayscale", "convert it to one channel")
    return array


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


def classes_of(labels: Labels, contour_px: int) -> NDArray[np.uint8]:
    """Encode nuclei as three classes.

    The contour lies inside the object, `contour_px` wide: grown back from its core, an object loses
    less than 2 % of its SEG.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
        0 background, 1 nucleus, 2 contour.
    """
    classes = (labels > 0).astype(np.uint8)
    core = labels.copy()
    for _ in range(contour_px):
        edge = find_boundaries(core, mode="inner", background=0) & (core > 0)
        classes[edge] = CONTOUR
        core[edge] = 0
    return classes


def split(folder: Path, samples: dict[str, Sample], seed: int, validation: float) -> Split:
    """Split a set into training, validation and test images.

    ``split.json`` beside the images (``{"train": […], "test": […]}``) decides what is for testing; without it,
    a quarter is drawn. The validation images are drawn from the training images. All by `seed`.

    Raises
    ------
    InputError
        split.json names what is not there, or too few images are left to train.
    """
    random = np.random.default_rng(seed)
    names = list(samples)
    given = folder / "split.json"
    if given.is_file():
        train, test = _given(given, names)
    else:
        order = [names[i] for i in random.permutation(len(names))]
        held = max(1, round(len(names) / 4))
        train, test = sorted(order[held:]), sorted(order[:held])
    held = max(1, round(len(train) * validation))
    if len(train) - held < 1:
        raise InputError(f"{len(names)} images are too few to train, validate and test", "at least 3 are needed")
    order = [train[i] for i in random.permutation(len(train))]
    return Split(
        train=[samples[name] for name in sorted(order[held:])],
        validation=[samples[name] for name in sorted(order[:held])],
        test=[samples[name] for name in test],
    )


def _given(path: Path, names: list[str]) -> tuple[list[str], list[str]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        parts = [[str(name) for name in document[part]] for part in ("train", "test")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no split: {error}", '{"train": [names], "test": [names]}') from None
    train, test = ([_known(name, names, path) for name in part] for part in parts)
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(f"{str(path)!r} has {both[0]!r} in both parts", "a test image must never be trained on")
    return train, test


def _known(name: str, names: list[str], path: Path) -> str:
    for candidate in (name, f"{name}.png"):
        if candidate in names:
            return candidate
    raise InputError(f"{str(path)!r} names {name!r}, which is not among the images", "mend the split")
