"""Masks that are no pictures: Cellpose's ``_seg.npy``, Fiji's ROIs, COCO's annotations → labels."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainer.data.layouts import IMAGE_SUFFIXES, Source, normal
from trainer.data.outlines import Outline, fill_outlines
from trainer.errors import InputError

#: The size of an image: rows and columns.
Size = tuple[int, int]


class _Dtype:
    """Stands for a dtype while unpickling: NumPy's own would believe whatever flags a pickle gives it."""

    def __init__(self, spelled: str, _align: bool = False, _copy: bool = False) -> None:
        self.dtype = np.dtype(str(spelled))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *compound = state[1:5]
        if any(part is not None for part in compound):
            raise pickle.UnpicklingError("it has numbers with parts")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array while unpickling. Its `value` is made here, of plain bytes; of objects it is a list."""

    value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, of, is_fortran, content = state
        if of.dtype.hasobject:
            self.value = [*content]
        else:
            self.value = _from_bytes(content, of, shape, "F" if is_fortran else "C").value


def _reconstruct(_kind: type, _shape: tuple[int, ...], _code: bytes) -> _Array:
    return _Array()


def _from_bytes(content: bytes, of: _Dtype, shape: tuple[int, ...], order: Any) -> _Array:
    array = _Array()
    array.value = np.frombuffer(content, of.dtype).reshape(shape, order=order)  # ValueError for objects
    return array


def _scalar(of: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, of.dtype)[0]


class _ArraysAlone(pickle.Unpickler):
    """Unpickles plain arrays and numbers. Anything else in a pickle may be a program, and is refused."""

    #: What NumPy pickles arrays by, in modules that have had several names, and what is called in its place.
    STANDS_FOR: ClassVar[dict[str, Any]] = {
        "_reconstruct": _reconstruct,
        "_frombuffer": _from_bytes,
        "ndarray": _Array,
        "dtype": _Dtype,
        "scalar": _scalar,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] != "numpy" or name not in self.STANDS_FOR:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self.STANDS_FOR[name]


def read_seg(path: Path) -> NDArray[np.integer]:
    """Read the masks in a ``_seg.npy`` of Cellpose, or a plain array of labels. No code in it is run.

    Raises
    ------
    InputError
        It is neither, or holds more than arrays and numbers.
    """
    hint = "save the masks from Cellpose as PNG or TIFF"
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
            if header[2].hasobject:
                content = _ArraysAlone(file).load()
                [saved] = content.value
                masks = saved["masks"].value
            else:
                file.seek(0)
                masks = np.load(file, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}", hint) from None
    except Exception as error:
        # A damaged pickle raises whatever its broken lines come to.
        raise InputError(f"{str(path)!r} has no masks that can be read: {error!r}", hint) from None
    labels = np.squeeze(np.asarray(masks))
    if labels.ndim != 2 or labels.dtype.kind not in "biu" or (labels.size and int(labels.min()) < 0):
        raise InputError(f"{str(path)!r} has masks of {labels.dtype}, shape {labels.shape}", hint)
    return labels


def read_rois(path: Path, size: Size) -> NDArray[np.uint16]:
    """Read the outlines of nuclei that Fiji saved, one ROI a nucleus: a ``.zip`` or one ``.roi``.

    Raises
    ------
    InputError
        The file is damaged, or an ROI is no area.
    """
    import roifile

    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".roi")]
                rois = [roifile.ImagejRoi.frombytes(archive.read(name)) for name in names]
        else:
            rois = [roifile.ImagejRoi.frombytes(path.read_bytes())]
        nuclei = [[np.asarray(part, np.float64) for part in roi.coordinates(multi=True)] for roi in rois]
    except Exception as error:
        raise InputError(
            f"{str(path)!r} cannot be read as ROIs: {error!r}", "is it of Fiji's ROI manager?"
        ) from None
    if not nuclei or any(len(part) < 3 for parts in nuclei for part in parts):
        raise InputError(f"{str(path)!r} has ROIs that are no areas", "keep one area a nucleus")
    return fill_outlines(nuclei, size)


def coco_sources(path: Path) -> dict[Source, list[Any]]:
    """Read a file of COCO: the images, and what is annotated in each.

    Parameters
    ----------
    path : Path
        The images are beside it, or in a folder beside it.

    Raises
    ------
    InputError
        It is no such file, or an image is missing.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        annotations: dict[Any, list[Any]] = defaultdict(list)
        for each in document["annotations"]:
            if not each.get("iscrowd"):
                annotations[each["image_id"]].append(each["segmentation"])
        names = {each["id"]: Path(str(each["file_name"])) for each in document["images"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{str(path)!r} is no file of COCO: {error!r}", "images and annotations are expected"
        ) from None
    files = {file.name: file for file in sorted(path.parent.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES}
    missing = [name for name in names.values() if name.name not in files]
    if missing:
        raise InputError(f"{str(path)!r} names {str(missing[0])!r}, which is not beside it", "add the image")
    return {
        Source(normal(name.stem), files[name.name], (path,)): annotations[number] for number, name in names.items()
    }


def draw_coco(segmentations: list[Any], size: Size, path: Path) -> NDArray[np.uint16]:
    """Draw the nuclei of one image of COCO: polygons, or runs of pixels that are not compressed.

    Raises
    ------
    InputError
        A segmentation is something else.
    """
    labels = np.zeros(size, np.uint16)
    for number, segmentation in enumerate(segmentations, start=1):
        try:
            if isinstance(segmentation, dict):
                nucleus = _from_runs(segmentation, size)
            else:
                outlines: list[Outline] = [np.asarray(part, np.float64).reshape(-1, 2) for part in segmentation]
                nucleus = fill_outlines([outlines], size) > 0
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InputError(
                f"{str(path)!r} has a segmentation that cannot be drawn: {error!r}",
                "polygons, and runs (counts as a list of numbers) are read; pycocotools converts the others",
            ) from None
        labels[nucleus & (labels == 0)] = number
    return labels


def _from_runs(segmentation: dict[str, Any], size: Size) -> NDArray[np.bool_]:
    """Draw runs of pixels, column after column, background first."""
    counts = segmentation["counts"]
    if not isinstance(counts, list):
        raise TypeError("its runs are compressed")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")
