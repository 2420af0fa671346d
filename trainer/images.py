"""Image files: PNG and TIFF, one grey channel. The one place that decodes and encodes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from trainer.errors import InputError

SUFFIXES = (".png", ".tif", ".tiff")

#: An image is decoded and predicted as a whole; more would not fit into the memory of a job.
MOST_PX = 50_000_000


def listed(folder: Path) -> dict[str, Path]:
    """List the images in a folder by stem, sorted.

    Raises
    ------
    InputError
        The folder cannot be read, or has two images that differ in their suffix alone.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise InputError(f"cannot read {str(folder)!r}: {error.strerror}", "it should be a folder") from None
    found: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.stem in found:
            raise InputError(f"{str(folder)!r} has {found[path.stem].name} and {path.name}", "remove one")
        found[path.stem] = path
    return found


def read_grey(path: Path) -> NDArray[np.generic]:
    """Read an image of one channel.

    Returns
    -------
    ndarray, shape (rows, columns)
        As it is in the file: 8 or 16 bit, or bool.

    Raises
    ------
    InputError
        It is not there, not whole, not grayscale, of another depth, or beyond 50 megapixels.
    """
    array = read_any(path)
    if array.ndim != 2:
        raise InputError(
            f"{str(path)!r} has the shape {array.shape}, not grayscale", "convert it to one channel, one plane"
        )
    if array.dtype not in (np.bool_, np.uint8, np.uint16):
        raise InputError(f"{str(path)!r} has pixels of {array.dtype}", "convert it to 8 or 16 bit")
    return array


def read_labels(path: Path) -> NDArray[np.integer]:
    """Read a label image: one channel of integers of any width.

    Raises
    ------
    InputError
        As `read_grey`, or its values are not whole numbers.
    """
    array = read_any(path)
    if array.ndim != 2 or array.dtype.kind not in "biu":
        raise InputError(
            f"{str(path)!r} has the shape {array.shape} of {array.dtype}; labels are integers in one channel",
            "save it as an 8, 16 or 32 bit label image",
        )
    labels: NDArray[np.integer] = array.astype(np.uint8) if array.dtype == bool else array  # type: ignore[assignment]
    return labels


def read_any(path: Path) -> NDArray[np.generic]:
    """Read any image file into an array.

    Raises
    ------
    InputError
        It is not there, cannot be decoded, or is beyond 50 megapixels (found out before decoding it).
    """
    rows, columns = size_of(path)
    if rows * columns > MOST_PX:
        raise InputError(
            f"{str(path)!r} is {rows}×{columns}, more than {MOST_PX // 1_000_000} megapixels", "cut it into parts"
        )
    with _told(path), path.open("rb") as file:
        return np.asarray(tifffile.imread(file) if _is_tiff(path) else iio.imread(file, plugin="pillow"))


def size_of(path: Path) -> tuple[int, int]:
    """Rows and columns of an image, without decoding it; raises as `read_any` does."""
    with _told(path):
        return _tiff_size(path) if _is_tiff(path) else _png_size(path)


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong in reading a file into an error that names it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"there is no {str(path)!r}") from None
    except PermissionError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}", "ask for the permission") from None
    except Exception as error:
        # Decoders raise whatever they like on broken files: OSError, SyntaxError, struct.error, KeyError, …
        said = str(error).strip() or type(error).__name__
        raise InputError(f"{str(path)!r} cannot be read as an image: {said}", "is it whole?") from None


def _png_size(path: Path) -> tuple[int, int]:
    limit, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None  # ours is below, and says which file
    try:
        with Pillow.open(path) as image:
            return image.height, image.width
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def _tiff_size(path: Path) -> tuple[int, int]:
    with tifffile.TiffFile(path) as file:
        shape = file.pages[0].shape
        return int(shape[0]), int(shape[1])


def write_png(path: Path, array: NDArray[np.generic]) -> None:
    """Write a PNG, 8 bit or 16 bit by its dtype, whole or not at all.

    Raises
    ------
    InputError
        It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            iio.imwrite(file, array, extension=".png", plugin="pillow")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {str(path)!r}: {error.strerror}", "is there room and permission?"
        ) from None
