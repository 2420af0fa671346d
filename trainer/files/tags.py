"""What a file says of how its pixels are to be read: which end is white, and which corner comes first.

PhotometricInterpretation and Orientation are tags of TIFF 6.0 (Adobe, 1992). PNG and JPEG have the same
Orientation in their EXIF.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import InputError


class Photometric(IntEnum):
    """Values of PhotometricInterpretation that one channel may have here."""

    MIN_IS_WHITE = 0
    MIN_IS_BLACK = 1
    PALETTE = 3
    MASK = 4


#: What each Orientation does to the stored pixels, so that the first row is the top and the first column the left.
TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(np.swapaxes(pixels, 0, 1), 2),
    8: np.rot90,
}

#: The first Orientation whose rows are stored as columns.
FIRST_ON_ITS_SIDE = 5


@dataclass(frozen=True)
class PixelTags:
    """What a file says of its pixels.

    Attributes
    ----------
    photometric : int
        PhotometricInterpretation. Files that have no such tag are MinIsBlack.
    orientation : int
        1: as stored. 2 to 8: see `TURNS`.
    bits : int
        Of a sample, as stored.
    for_display : bool
        MinIsWhite says how the values are shown, and not what they mean. ImageJ writes it for an inverting look-up
        table and keeps the values. tifffile writes it for every array of bool and keeps the values.
    greys : bool
        A palette of greys, each of its own number: the numbers are the grey values.
    """

    photometric: int = Photometric.MIN_IS_BLACK
    orientation: int = 1
    bits: int = 8
    for_display: bool = False
    greys: bool = False

    @property
    def inverted(self) -> bool:
        """Whether the stored values are the brighter the lower they are."""
        return self.photometric == Photometric.MIN_IS_WHITE and not self.for_display

    @property
    def on_its_side(self) -> bool:
        """Whether rows are stored as columns."""
        return self.orientation >= FIRST_ON_ITS_SIDE

    def __str__(self) -> str:
        ends = "MinIsWhite" if self.inverted else "MinIsBlack"
        return ends if self.orientation == 1 else f"{ends} with Orientation {self.orientation}"


def upright(pixels: NDArray[np.generic], tags: PixelTags, path: str) -> NDArray[np.generic]:
    """Turn stored pixels as their Orientation says.

    Raises
    ------
    InputError
        There is no such Orientation.

    Examples
    --------
    >>> upright(np.array([[1, 2], [3, 4]]), PixelTags(orientation=6), "a.tif").tolist()
    [[3, 1], [4, 2]]
    """
    if tags.orientation not in TURNS:
        raise InputError(
            f"{path!r} has the Orientation {tags.orientation}, which is not one of 1 to 8",
            "remove the tag, and turn the image as it should be",
        )
    return turn(pixels, tags.orientation)


def turn(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn stored pixels by an orientation of 1 to 8."""
    return np.asarray(TURNS[orientation](pixels))


def undone(orientation: int) -> int:
    """Return the orientation that turns back what another has turned."""
    return {6: 8, 8: 6}.get(orientation, orientation)


def grey_values(pixels: NDArray[np.generic], tags: PixelTags, path: str) -> NDArray[np.generic]:
    """Read stored values of one channel as grey values: the higher, the brighter.

    Raises
    ------
    InputError
        They are no grey values: numbers of a palette, or of another kind.
    """
    if tags.photometric == Photometric.PALETTE and not (tags.for_display or tags.greys):
        raise InputError(f"{path!r} has a palette, so its pixels are no grey values", "convert it to grayscale")
    if tags.photometric not in list(Photometric):
        raise InputError(
            f"{path!r} has the PhotometricInterpretation {tags.photometric}, which is not grayscale",
            "convert it to grayscale, MinIsBlack",
        )
    return _inverted(pixels, tags, path) if tags.inverted else pixels


def label_values(pixels: NDArray[np.integer], tags: PixelTags, path: str) -> NDArray[np.integer]:
    """Read stored values of one channel as labels, of which 0 is background.

    The numbers of a palette are labels. Values that are MinIsWhite are inverted: a white object on black is stored
    as 0 on the highest value.

    Raises
    ------
    InputError
        They are no labels, or would leave no background once they are inverted.
    """
    if tags.photometric not in list(Photometric):
        raise InputError(
            f"{path!r} has the PhotometricInterpretation {tags.photometric}, which no label image has",
            "save it as MinIsBlack, with 0 for the background",
        )
    if not tags.inverted:
        return pixels
    labels: NDArray[np.integer] = _inverted(pixels, tags, path)  # type: ignore[assignment]
    if labels.size and labels.all():
        raise InputError(
            f"{path!r} is MinIsWhite: by that, its values {pixels.min()} to {pixels.max()} are all nuclei",
            "save it as MinIsBlack, with 0 for the background",
        )
    return labels


def _inverted(pixels: NDArray[np.generic], tags: PixelTags, path: str) -> NDArray[np.generic]:
    if pixels.dtype == bool:
        return np.asarray(np.logical_not(pixels))
    if pixels.dtype.kind != "u":
        raise InputError(
            f"{path!r} is MinIsWhite with pixels of {pixels.dtype}, whose white has no known value",
            "save it as MinIsBlack",
        )
    return np.asarray((2**tags.bits - 1 - pixels.astype(np.uint64)).astype(pixels.dtype))
