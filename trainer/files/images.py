"""Image files: PNG and TIFF, one grey channel. The one place that decodes and encodes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from trainer.errors import InputError
from trainer.files.atomic import whole

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
        _check_regular(path)
        if path.stem in found:
            raise InputError(f"{str(folder)!r} has {found[path.stem].name} and {path.name}", "remove one")
        found[path.stem] = path
    return found


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
        As `read_any`, or its values are not whole numbers from 0.
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
        It is not there, cannot be decoded, or is beyond 50 megapixels (found out before decoding it).
    """
    rows, columns = size_of(path)
    if rows * columns > MOST_PX:
        raise InputError(
            f"{str(path)!r} is {rows}×{columns}, more than {MOST_PX // 1_000_000} megapixels", "cut it into parts"
        )
    with _told(path), path.open("rb") as file:
        if _is_tiff(path):
            return np.asarray(tifffile.imread(file))
        with Pillow.open(file) as image:
            return _png_array(image, _stretch(path))


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
    except InputError:
        raise
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


def _png_array(image: Pillow.Image, stretch: int) -> NDArray[np.generic]:
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette's numbers mean nothing
    array = np.asarray(image)
    if image.mode == "I":  # 16 bit, as older versions open it
        array = array.astype(np.uint16)
    return array // stretch if stretch > 1 else array


def _stretch(path: Path) -> int:
    """How many times too large Pillow makes the values of a grey PNG of 2 or 4 bit: 85 or 17, else 1.

    It stretches them to 255. PNG optimisers write three-class masks in 2 bit.
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
    """Write a PNG, 8 bit or 16 bit by its dtype, whole or not at all.

    Raises
    ------
    InputError
        It cannot be written.
    """
    with whole(path) as file:
        Pillow.fromarray(array).save(file, "PNG")


def write_indexed(path: Path, indices: NDArray[np.uint8], palette: list[int]) -> None:
    """Write a PNG of palette indices, whole or not at all; `palette` has red, green, blue of each index.

    Raises
    ------
    InputError
        It cannot be written.
    """
    image = Pillow.fromarray(indices)
    image.putpalette(palette)
    with whole(path) as file:
        image.save(file, "PNG", optimize=True)
