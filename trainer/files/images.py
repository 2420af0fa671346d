"""Image files: PNG and TIFF, one grey channel. No other file decodes or encodes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from trainer.errors import InputError
from trainer.files.atomic import whole_file

SUFFIXES = (".png", ".tif", ".tiff")

#: The largest image. It is decoded as a whole; more would not fit into the memory of a job.
MAX_PX = 50_000_000


def list_images(folder: Path) -> dict[str, Path]:
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
    images: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith("."):
            continue
        _check_regular(path)
        if path.stem in images:
            raise InputError(f"{str(folder)!r} has {images[path.stem].name} and {path.name}", "remove one")
        images[path.stem] = path
    return images


def _check_regular(path: Path) -> None:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{str(path)!a} has a name that is not UTF-8", "rename it") from None
    if not path.exists():
        raise InputError(f"{str(path)!r} is a link to nothing", "remove it, or mend the link")
    if not path.is_file():
        raise InputError(f"{str(path)!r} is no regular file", "move it elsewhere")


def read_grey(path: Path) -> NDArray[np.generic]:
    """Read an image of one channel.

    Returns
    -------
    ndarray, shape (rows, columns)
        As it is in the file: 8 or 16 bit, or bool.

    Raises
    ------
    InputError
        The file is missing or damaged, or the image is not grayscale, of another depth or beyond 50 megapixels.
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
        As for `read_any`, or a value is not a whole number from 0.
    """
    array = read_any(path)
    if array.ndim != 2 or array.dtype.kind not in "biu":
        raise InputError(
            f"{str(path)!r} has the shape {array.shape} of {array.dtype}; labels are integers in one channel",
            "save it as an 8, 16 or 32 bit label image",
        )
    labels: NDArray[np.integer] = array.astype(np.uint8) if array.dtype == bool else array  # type: ignore[assignment]
    if labels.size and int(labels.min()) < 0:
        raise InputError(
            f"{str(path)!r} has the label {int(labels.min())}", "labels are 0 for background, then 1 and up"
        )
    return labels


def read_any(path: Path) -> NDArray[np.generic]:
    """Read any image file into an array.

    Raises
    ------
    InputError
        The file is missing or cannot be decoded, or the image is beyond 50 megapixels. The size is checked
        before decoding.
    """
    rows, columns = image_size(path)
    if rows * columns > MAX_PX:
        raise InputError(
            f"{str(path)!r} is {rows}×{columns}, more than {MAX_PX // 1_000_000} megapixels", "cut it into parts"
        )
    with _naming(path), path.open("rb") as file:
        if _is_tiff(path):
            return np.asarray(tifffile.imread(file))
        with Pillow.open(file) as image:
            return _png_array(image, _stretch_factor(path))


def image_size(path: Path) -> tuple[int, int]:
    """Rows and columns of an image. It is not decoded. Raises as `read_any` does."""
    with _naming(path):
        return _tiff_size(path) if _is_tiff(path) else _png_size(path)


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn any error of reading a file into one that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no {str(path)!r}") from None
    except PermissionError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}", "ask for the permission") from None
    except Exception as error:
        # Decoders raise many types on broken files: OSError, SyntaxError, struct.error, KeyError, …
        reason = str(error).strip() or type(error).__name__
        raise InputError(f"{str(path)!r} cannot be read as an image: {reason}", "is it whole?") from None


def _png_size(path: Path) -> tuple[int, int]:
    limit, Pillow.MAX_IMAGE_PIXELS = (
        Pillow.MAX_IMAGE_PIXELS,
        None,
    )  # MAX_PX is lower
    try:
        with Pillow.open(path) as image:
            return image.height, image.width
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def _png_array(image: Pillow.Image, stretch: int) -> NDArray[np.generic]:
    if image.mode == "P":
        image = image.convert("RGBA")  # the numbers of a palette mean nothing
    array = np.asarray(image)
    if image.mode == "I":  # 16 bit, in some versions of Pillow
        array = array.astype(np.uint16)
    return array // stretch if stretch > 1 else array


def _stretch_factor(path: Path) -> int:
    """Say by which factor Pillow stretches the values of a grey PNG: 85 for 2 bit, 17 for 4 bit, else 1.

    Pillow stretches them to 255. PNG optimisers write three-class masks in 2 bit.
    """
    with path.open("rb") as file:
        header = file.read(26)
    bits, grey = header[24], header[:8] == b"\x89PNG\r\n\x1a\n" and header[25] == 0
    return {2: 85, 4: 17}.get(bits, 1) if grey else 1


def _tiff_size(path: Path) -> tuple[int, int]:
    with tifffile.TiffFile(path) as file:
        if len(file.pages) > 1:
            raise InputError(f"{str(path)!r} has {len(file.pages)} pages", "save each plane as a file of its own")
        page = file.pages.first
        return int(page.imagelength), int(page.imagewidth)


def write_png(path: Path, array: NDArray[np.generic]) -> None:
    """Write a PNG of 8 or 16 bit, by the array's dtype, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with whole_file(path) as file:
        Pillow.fromarray(array).save(file, "PNG")


def write_indexed(path: Path, indices: NDArray[np.uint8], palette: list[int]) -> None:
    """Write a PNG of palette indices, whole or not at all. `palette` holds red, green and blue of each index.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    image = Pillow.fromarray(indices)
    image.putpalette(palette)
    with whole_file(path) as file:
        image.save(file, "PNG", optimize=True)
