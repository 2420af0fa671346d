"""Image files: PNG and TIFF, one grey channel. No other file decodes or encodes them.

Pixels come as their file says they are to be read, see `tags`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from trainer.errors import InputError
from trainer.files.atomic import whole_file
from trainer.files.planes import Choice, to_plane
from trainer.files.tags import Photometric, PixelTags, grey_values, label_values, upright

SUFFIXES = (".png", ".tif", ".tiff")

#: JPEG changes grey values. It is read where it is asked for, and never as a mask.
JPEG_SUFFIXES = (".jpg", ".jpeg")

#: How TIFF and BigTIFF files begin, in either order of bytes. Some files are named otherwise than they are.
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

#: How a PNG names what may hold EXIF. Pillow decodes all of a PNG before it can say that there is none.
PNG_EXIF_MARKS = (b"eXIf", b"Raw profile type ", b"XML:com.adobe.xmp")

#: Tags of TIFF.
PHOTOMETRIC, ORIENTATION, SOFTWARE = 262, 274, 305

#: The largest image. It is decoded as a whole; more would not fit into the memory of a job.
MAX_PX = 50_000_000

#: So many of the largest planes may be in one file.
MAX_PLANES = 10


def list_images(folder: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """List the images in a folder by stem, sorted.

    Parameters
    ----------
    folder : Path
    suffixes : collection of str
        Those that count, in lower case.

    Raises
    ------
    InputError
        The folder cannot be read, or has two images that differ in their suffix alone.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
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
    """Read an image of one channel: the higher a value, the brighter, and the first row is the top.

    Returns
    -------
    ndarray, shape (rows, columns)
        8 or 16 bit as in the file, or bool.

    Raises
    ------
    InputError
        The file is missing or damaged, or the image is not grayscale, of another depth or beyond 50 megapixels, or
        its tags are not plain.
    """
    array, tags = _read(path)
    if array.ndim != 2:
        raise InputError(
            f"{str(path)!r} has the shape {array.shape}, not grayscale",
            "convert it to one channel, one plane: trainer data import",
        )
    if array.dtype not in (np.bool_, np.uint8, np.uint16):
        raise InputError(
            f"{str(path)!r} has pixels of {array.dtype}",
            "convert it to unsigned 8 or 16 bit: trainer data import",
        )
    return grey_values(array, tags, str(path))


def read_labels(path: Path) -> NDArray[np.integer]:
    """Read a label image: one channel of integers of any width, the first row is the top.

    Raises
    ------
    InputError
        As for `read_any`, or a value is not a whole number from 0, or its tags are not plain.
    """
    array, tags = _read(path)
    if array.ndim != 2 or array.dtype.kind not in "biu":
        raise InputError(
            f"{str(path)!r} has the shape {array.shape} of {array.dtype}; labels are integers in one channel",
            "save it as an unsigned 8, 16 or 32 bit label image",
        )
    labels = label_values(array, tags, str(path))  # type: ignore[arg-type]
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.size and int(labels.min()) < 0:
        raise InputError(
            f"{str(path)!r} has the label {int(labels.min())}",
            "labels are 0 for background, then 1 and up: save it as an unsigned 8, 16 or 32 bit label image",
        )
    return labels


def read_any(path: Path) -> NDArray[np.generic]:
    """Read any image file into an array, the first row is the top.

    Raises
    ------
    InputError
        The file is missing or cannot be decoded, or the image is beyond 50 megapixels. The size is checked
        before decoding.
    """
    return _read(path)[0]


def read_stored(path: Path, *, numbers: bool = False) -> tuple[NDArray[np.generic], str, PixelTags]:
    """Read all that a file has: channels and planes, too, and JPEG. It is not turned upright.

    Parameters
    ----------
    path : Path
    numbers : bool
        Read the numbers of a palette, and not its colours.

    Returns
    -------
    ndarray, str, PixelTags
        The values as stored, a letter for each axis as `planes.to_plane` takes them, and what the file says.

    Raises
    ------
    InputError
        The file is missing or damaged, or one plane has more than 50 megapixels, or all more than ten times that.
    """
    with _naming(path), path.open("rb") as file:
        if _is_tiff(file):
            with tifffile.TiffFile(file) as tiff:
                series = tiff.series[0]
                sides = [size for name, size in zip(series.axes, series.shape, strict=True) if name in "YX"]
                if math.prod(sides) > MAX_PX or math.prod(series.shape) > MAX_PLANES * MAX_PX:
                    shape = "×".join(map(str, series.shape))
                    raise InputError(f"{str(path)!r} is {shape}, and too large", "cut it into parts")
                return np.asarray(series.asarray()), str(series.axes), _tiff_tags(tiff.pages.first)
        _stored_size(path, file)
        tags = _tags_of(file)
        with Pillow.open(file) as image:
            as_stored = numbers and image.mode == "P"
            array = np.asarray(image) if as_stored else _pillow_array(image, _stretch_factor(file))
        return array, "YX" if array.ndim == 2 else "YXS", tags


def read_plane(path: Path, choice: Choice) -> NDArray[np.generic]:
    """Read one plane of an image: the higher a value, the brighter, and the first row is the top.

    Returns
    -------
    ndarray, shape (rows, columns)
        Of the file's own type: integers, bool or float.

    Raises
    ------
    InputError
        As `read_stored`, `planes.to_plane` and `tags.grey_values` do, or a value is not finite.
    """
    array, axes, tags = read_stored(path)
    plane = to_plane(array, axes, choice, str(path))
    if plane.dtype.kind not in "biuf" or not np.isfinite(plane).all():
        raise InputError(f"{str(path)!r} has values of {plane.dtype} that are no finite numbers", "replace them")
    if "S" not in axes:  # red, green and blue are grey values of their own
        plane = grey_values(plane, tags, str(path))
    return upright(plane, tags, str(path))


def warn_of_jpeg(paths: Iterable[Path]) -> None:
    """Print a warning on stderr if some images are JPEG."""
    jpeg = [path.name for path in paths if path.suffix.lower() in JPEG_SUFFIXES]
    if jpeg:
        print(
            f"warning: {len(jpeg)} of the images are JPEG, first {jpeg[0]}: their grey values are not those of "
            "the microscope, and edges have rings",
            file=sys.stderr,
        )


def image_size(path: Path) -> tuple[int, int]:
    """Rows and columns of an image, as `read_any` gives it. It is not decoded. Raises as `read_any` does."""
    with _naming(path), path.open("rb") as file:
        rows, columns = _stored_size(path, file)
        return (columns, rows) if _tags_of(file).on_its_side else (rows, columns)


def read_tags(path: Path) -> PixelTags:
    """Read what a file says of its pixels, in its first plane. Raises as `read_any` does."""
    with _naming(path), path.open("rb") as file:
        if not _is_tiff(file):
            _stored_size(path, file)
        return _tags_of(file)


def _read(path: Path) -> tuple[NDArray[np.generic], PixelTags]:
    """Read the values as stored, but turned upright, and what the file says of them."""
    with _naming(path), path.open("rb") as file:
        _stored_size(path, file)
        tags = _tags_of(file)
        if _is_tiff(file):
            array = np.asarray(tifffile.imread(file))
        else:
            with Pillow.open(file) as image:
                array = _pillow_array(image, _stretch_factor(file))
        return upright(array, tags, str(path)), tags


def _is_tiff(file: BinaryIO) -> bool:
    file.seek(0)
    signature = file.read(4)
    file.seek(0)
    return signature in TIFF_SIGNATURES


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


def _stored_size(path: Path, file: BinaryIO) -> tuple[int, int]:
    """Rows and columns as stored. It is an error if they are too many, or if there are several pages."""
    rows, columns = _tiff_size(path, file) if _is_tiff(file) else _pillow_size(file)
    if rows * columns > MAX_PX:
        raise InputError(
            f"{str(path)!r} is {rows}×{columns}, more than {MAX_PX // 1_000_000} megapixels", "cut it into parts"
        )
    return rows, columns


def _pillow_size(file: BinaryIO) -> tuple[int, int]:
    limit, Pillow.MAX_IMAGE_PIXELS = (
        Pillow.MAX_IMAGE_PIXELS,
        None,
    )  # MAX_PX is lower
    try:
        with Pillow.open(file) as image:
            return image.height, image.width
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def _pillow_array(image: Pillow.Image, stretch: int) -> NDArray[np.generic]:
    if image.mode == "P":
        image = image.convert("RGBA")  # the numbers of a palette mean nothing
    array = np.asarray(image)
    if image.mode == "I":  # 16 bit, in some versions of Pillow
        array = array.astype(np.uint16)
    return array // stretch if stretch > 1 else array


def _stretch_factor(file: BinaryIO) -> int:
    """Say by which factor Pillow stretches the values of a grey PNG: 85 for 2 bit, 17 for 4 bit, else 1.

    Pillow stretches them to 255. PNG optimisers write three-class masks in 2 bit.
    """
    position = file.tell()
    file.seek(0)
    header = file.read(26)
    file.seek(position)
    bits, grey = header[24], header[:8] == b"\x89PNG\r\n\x1a\n" and header[25] == 0
    return {2: 85, 4: 17}.get(bits, 1) if grey else 1


def _tiff_size(path: Path, file: BinaryIO) -> tuple[int, int]:
    with tifffile.TiffFile(file) as tiff:
        if len(tiff.pages) > 1:
            raise InputError(
                f"{str(path)!r} has {len(tiff.pages)} pages",
                "save each plane as a file of its own; trainer data import does it by --plane or --project",
            )
        page = tiff.pages.first
        return int(page.imagelength), int(page.imagewidth)


def _tags_of(file: BinaryIO) -> PixelTags:
    if _is_tiff(file):
        with tifffile.TiffFile(file) as tiff:
            return _tiff_tags(tiff.pages.first)
    content = file.read()
    file.seek(0)
    with Pillow.open(file) as image:
        if image.format == "PNG" and not any(mark in content for mark in PNG_EXIF_MARKS):
            return PixelTags()
        return PixelTags(orientation=int(image.getexif().get(ORIENTATION, 1)))


def _tiff_tags(page: Any) -> PixelTags:
    photometric = int(page.tags.valueof(PHOTOMETRIC, default=Photometric.MIN_IS_BLACK))
    bits = int(page.bitspersample)
    # tifffile marks every array of bool as MinIsWhite, and writes it as it is.
    by_tifffile = str(page.tags.valueof(SOFTWARE, default="")).startswith("tifffile") or page.is_shaped
    return PixelTags(
        photometric=photometric,
        orientation=int(page.tags.valueof(ORIENTATION, default=1)),
        bits=bits,
        for_display=bool(page.is_imagej or (bits == 1 and by_tifffile)),
        greys=photometric == Photometric.PALETTE and _is_grey_ramp(page.colormap),
    )


def _is_grey_ramp(palette: NDArray[np.uint16]) -> bool:
    """Say whether a palette, of shape (3, colours), is of greys from dark to bright."""
    red, green, blue = palette.astype(np.int64)
    return bool((red == green).all() and (green == blue).all() and (np.diff(red) > 0).all())


def write_png(path: Path, array: NDArray[np.generic]) -> None:
    """Write a PNG of 8 or 16 bit, by the array's dtype, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with whole_file(path) as file:
        Pillow.fromarray(array).save(file, "PNG")


def write_ome_labels(path: Path, labels: NDArray[np.uint16], pixel_um: float = 0.0) -> None:
    """Write labels as an OME-TIFF, whole or not at all. `pixel_um` is the side of a pixel in µm; 0: unknown.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    metadata: dict[str, Any] = {"axes": "YX"}
    if pixel_um:
        sides = {f"PhysicalSize{axis}": pixel_um for axis in "XY"}
        metadata |= sides | {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    with whole_file(path) as file:
        tifffile.imwrite(file, labels, ome=True, metadata=metadata, compression="zlib")


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
