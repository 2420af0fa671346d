"""Arrays with channels or planes → one plane, as a person asks for. What nobody asked for is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import InputError

#: How much of red, green and blue is in the luminance: ITU-R BT.601.
LUMINANCE = (0.299, 0.587, 0.114)

#: Ways to make one plane of several.
PROJECTIONS = ("none", "max")


@dataclass(frozen=True)
class Choice:
    """Which plane of a file is its image. What a file does not have, need not be chosen.

    Attributes
    ----------
    channel : int, optional
        From 0.
    luminance : bool
        The sum of red, green and blue by `LUMINANCE`.
    plane : int, optional
        From 0.
    project : {'none', 'max'}
        ``max``: of each pixel the highest value in all planes.
    """

    channel: int | None = None
    luminance: bool = False
    plane: int | None = None
    project: str = "none"

    def check(self) -> None:
        """Refuse choices that exclude each other, or that there are not.

        Raises
        ------
        InputError
        """
        if self.project not in PROJECTIONS:
            raise InputError(f"--project is {self.project}", f"it should be {' or '.join(PROJECTIONS)}")
        if self.channel is not None and self.luminance:
            raise InputError("--channel and --luminance were both given", "give one of them")
        if self.plane is not None and self.project != "none":
            raise InputError("--plane and --project were both given", "give one of them")


#: Nothing is chosen: a file has one plane of one channel.
WHOLE = Choice()


def to_plane(array: NDArray[np.generic], axes: str, choice: Choice, path: str) -> NDArray[np.generic]:
    """Take one plane of an array.

    Parameters
    ----------
    array : ndarray
    axes : str
        A letter for each axis, as tifffile names them: Y rows, X columns, S samples of a pixel (red, green, blue,
        opacity), C channels, any other one planes.
    choice : Choice
    path : str
        For messages.

    Returns
    -------
    ndarray, shape (rows, columns)

    Raises
    ------
    InputError
        There are several, and `choice` does not say which one.

    Examples
    --------
    >>> to_plane(np.array([[[1, 2]], [[3, 1]]]), "ZYX", Choice(project="max"), "a.tif").tolist()
    [[3, 2]]
    """
    single = tuple(index for index, name in enumerate(axes) if name not in "YX" and array.shape[index] == 1)
    array = np.squeeze(array, single)
    axes = "".join(name for index, name in enumerate(axes) if index not in single)
    for name in "SC":
        if name in axes:
            channels = np.moveaxis(array, axes.index(name), 0)
            array, axes = _one_channel(channels, name == "S", choice, path), axes.replace(name, "", 1)
    planes = [name for name in axes if name not in "YX"]
    if len(planes) > 1 or "Y" not in axes or "X" not in axes:
        raise InputError(
            f"{path!r} has the axes {axes} of {'×'.join(map(str, array.shape))}",
            "save one plane as a file of its own",
        )
    if planes:
        array = _one_plane(np.moveaxis(array, axes.index(planes[0]), 0), choice, path)
        axes = axes.replace(planes[0], "", 1)
    return array if axes == "YX" else array.T


def _one_channel(channels: NDArray[np.generic], colour: bool, choice: Choice, path: str) -> NDArray[np.generic]:
    """Take one of several channels, of which an opacity is none. Equal ones are one."""
    if colour and len(channels) in (2, 4):
        channels = channels[:-1]
    if all((channels[0] == channel).all() for channel in channels[1:]):
        return np.asarray(channels[0])
    if choice.luminance and colour and len(channels) == 3:
        grey = np.tensordot(np.array(LUMINANCE), channels.astype(np.float64), 1)
        return np.rint(grey).astype(channels.dtype) if channels.dtype.kind in "ui" else grey
    luminance = f", --luminance the sum {' + '.join(map(str, LUMINANCE))}" if colour and len(channels) == 3 else ""
    if choice.channel is None:
        raise InputError(
            f"{path!r} has {len(channels)} channels that differ",
            f"--channel 0 to {len(channels) - 1} takes one of them{luminance}",
        )
    if not 0 <= choice.channel < len(channels):
        raise InputError(f"--channel is {choice.channel}, and {path!r} has {len(channels)}", "they count from 0")
    return np.asarray(channels[choice.channel])


def _one_plane(planes: NDArray[np.generic], choice: Choice, path: str) -> NDArray[np.generic]:
    if choice.project == "max":
        return np.asarray(planes.max(axis=0))
    if choice.plane is None:
        raise InputError(
            f"{path!r} has {len(planes)} planes",
            f"--plane 0 to {len(planes) - 1} takes one, --project max the highest values",
        )
    if not 0 <= choice.plane < len(planes):
        raise InputError(f"--plane is {choice.plane}, and {path!r} has {len(planes)}", "they count from 0")
    return np.asarray(planes[choice.plane])
