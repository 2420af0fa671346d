"""What is in a set of images and masks, and what is wrong with it, by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import samples, splits
from trainer.errors import InputError
from trainer.files.images import read_grey, read_labels


def check_set(folder: Path, form: str = "auto") -> dict[str, Any]:
    """Count and check everything in a set; one bad file does not hide the next.

    Parameters
    ----------
    folder : Path
        With ``images/`` and ``masks/``.
    form : str
        One of `samples.MASK_FORMS`.

    Returns
    -------
    dict
        ``images``, ``objects``, ``touching_pairs``: counts; ``sizes``, ``bit_depths``: how many images of each;
        ``masks``: their form; ``class_fractions`` with a contour of 2 px; ``empty``: names of images without an
        object; ``split``: images by use; ``files``: a line a file; ``wrong``: what is wrong, with the file and
        what to do.

    Raises
    ------
    InputError
        There is nothing to look at.
    """
    if form not in samples.MASK_FORMS:
        raise InputError(f"--masks is {form}", f"it should be {' or '.join(samples.MASK_FORMS)}")
    images, masks = samples.both(folder)
    wrong = [f"{images[stem]}: has no mask; add one, or remove it" for stem in images if stem not in masks]
    wrong += [f"{masks[stem]}: has no image; add it, or remove the mask" for stem in masks if stem not in images]
    read: dict[str, NDArray[np.integer]] = {}
    for stem in images:
        if stem in masks:
            _kept(wrong, read, stem, masks[stem])
    form = samples.mask_form(list(read.values())) if form == "auto" and read else form
    files = [
        line
        for stem, mask in read.items()
        if (line := _file(wrong, images[stem], masks[stem], mask, form)) is not None
    ]
    return {
        "folder": str(folder),
        "images": len(images),
        "masks": form,
        "objects": sum(one["objects"] for one in files),
        "touching_pairs": sum(one["touching_pairs"] for one in files),
        "sizes": _counts(f"{one['rows']}×{one['columns']}" for one in files),
        "bit_depths": _counts(f"{one['bits']} bit" for one in files),
        "class_fractions": _fractions(files),
        "empty": [one["name"] for one in files if not one["objects"]],
        "split": _split(wrong, folder, list(images)),
        "files": files,
        "wrong": wrong,
    }


def _kept(wrong: list[str], read: dict[str, NDArray[np.integer]], stem: str, path: Path) -> None:
    try:
        read[stem] = read_labels(path)
    except InputError as error:
        wrong.append(f"{error}; {error.hint}")


def _file(
    wrong: list[str], image_path: Path, mask_path: Path, mask: NDArray[np.integer], form: str
) -> dict[str, Any] | None:
    try:
        image = read_grey(image_path)
        labels = samples.as_labels(mask, form, str(mask_path))
    except InputError as error:
        wrong.append(f"{error}; {error.hint}")
        return None
    if image.shape != mask.shape:
        sizes = " and its mask ".join("×".join(map(str, one.shape)) for one in (image, mask))
        wrong.append(f"{image_path}: is {sizes}; they need the same size")
        return None
    if min(image.shape) < samples.LEAST_SIDE_PX:
        wrong.append(f"{image_path}: is smaller than {samples.LEAST_SIDE_PX} pixels a side; leave it out")
    if image.min() == image.max():
        wrong.append(f"{image_path}: all its pixels are {image.min()}; there is nothing to see")
    return {
        "name": image_path.name,
        "rows": image.shape[0],
        "columns": image.shape[1],
        "bits": 1 if image.dtype == bool else 8 * image.dtype.itemsize,
        "least": int(image.min()),
        "most": int(image.max()),
        "objects": int(np.count_nonzero(np.unique(labels))),
        "touching_pairs": len(touching(labels)),
        "class_px": np.bincount(samples.classes_of(labels, 2).ravel(), minlength=3).tolist(),
    }


def touching(labels: NDArray[np.integer]) -> set[tuple[int, int]]:
    """Find the pairs of objects that share a side of a pixel or a corner.

    >>> sorted(touching(np.array([[1, 2, 0], [1, 0, 3]])))
    [(1, 2), (2, 3)]
    """
    pairs: set[tuple[int, int]] = set()
    whole = slice(None)
    steps = [
        ((slice(1, None), whole), (slice(None, -1), whole)),
        ((whole, slice(1, None)), (whole, slice(None, -1))),
        ((slice(1, None), slice(1, None)), (slice(None, -1), slice(None, -1))),
        ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))),
    ]
    for here, there in steps:
        one, other = labels[here], labels[there]
        at = (one != other) & (one > 0) & (other > 0)
        both = np.sort(np.stack([one[at], other[at]]).astype(np.int64), axis=0)
        pairs.update((int(a), int(b)) for a, b in np.unique(both, axis=1).T)
    return pairs


def _counts(values: Any) -> dict[str, int]:
    made: dict[str, int] = {}
    for value in values:
        made[value] = made.get(value, 0) + 1
    return made


def _fractions(files: list[dict[str, Any]]) -> dict[str, float]:
    if not files:
        return {}
    counts = np.sum([one["class_px"] for one in files], axis=0)
    return {
        name: round(float(count / counts.sum()), 5) for name, count in zip(samples.CLASSES, counts, strict=True)
    }


def _split(wrong: list[str], folder: Path, stems: list[str]) -> dict[str, int]:
    try:
        made = splits.split(folder, stems, 0, splits.Rule())
    except InputError as error:
        wrong.append(f"{error}; {error.hint}")
        return {}
    unused = len(stems) - len(made.train) - len(made.validation) - len(made.test)
    return {"train": len(made.train) + len(made.validation), "test": len(made.test), "unused": unused}


def as_text(made: dict[str, Any]) -> str:
    """Set a census out for reading."""

    def listed_(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} of {name}" for name, count in counts.items())

    lines = [
        f"{made['folder']}: {made['images']} images, masks as {made['masks']}",
        f"sizes      {listed_(made['sizes'])}",
        f"depths     {listed_(made['bit_depths'])}",
        f"objects    {made['objects']:,}, {made['touching_pairs']:,} pairs touching",
        "classes    " + ", ".join(f"{name} {share:.1%}" for name, share in made["class_fractions"].items()),
        "split      " + ", ".join(f"{part} {count}" for part, count in made["split"].items()),
    ]
    if made["empty"]:
        lines.append(f"no object  {', '.join(made['empty'])}")
    name_width = max((len(one["name"]) for one in made["files"]), default=0)
    lines += [
        f"  {one['name']:{name_width}}  {one['rows']:>5}×{one['columns']:<5} {one['bits']:>2} bit  "
        f"{one['least']:>5}–{one['most']:<5}  {one['objects']:>5} objects  {one['touching_pairs']:>4} touching"
        for one in made["files"]
    ]
    lines += (
        ["", f"{len(made['wrong'])} wrong:", *(f"  {one}" for one in made["wrong"])]
        if made["wrong"]
        else ["nothing wrong"]
    )
    return "\n".join(lines)
