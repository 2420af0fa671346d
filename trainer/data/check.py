"""Check a set of images and masks: what is in it, and what is wrong with it, by file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.classes import CLASSES, LabelImage, encode
from trainer.data import faults, splits
from trainer.data.recipe import MASK_FORMS, SplitRule
from trainer.data.samples import ImagePair, fingerprint, list_set, read_set, tags_of
from trainer.errors import InputError


def check_set(folder: Path, form: str = "auto", seed: int = 0) -> dict[str, Any]:
    """Count and check everything in a set. A bad file does not hide the next one.

    Parameters
    ----------
    folder : Path
        With ``images/`` and ``masks/``.
    form : str
        One of `recipe.MASK_FORMS`.
    seed : int
        Draws the images to validate on.

    Returns
    -------
    dict
        ``images``, ``objects``, ``touching_pairs``: counts. ``sizes``, ``bit_depths``: number of images of each.
        ``masks``: their form. ``class_fractions``: with a contour of 2 px. ``empty``: names of images without an
        object. ``split``: number of images by use. ``files``: one entry for each file. ``wrong``: what is wrong,
        with the file and what to do; a training refuses the set for it. ``notes``: what is worth a look.

    Raises
    ------
    InputError
        There is nothing to check.
    """
    if form not in MASK_FORMS:
        raise InputError(f"--masks is {form}", f"it should be {' or '.join(MASK_FORMS)}")
    images, masks = list_set(folder)
    wrong = faults.of_names(images, masks)
    pairs = {stem: ImagePair(images[stem].name, images[stem], masks[stem]) for stem in images if stem in masks}
    read = read_set(pairs, form)
    wrong += faults.of_labels(labels for _, labels in read.images.values())
    wrong += read.faults
    files = {stem: _count(pairs[stem].name, *image_and_labels) for stem, image_and_labels in read.images.items()}
    # Where a file could not be read, nothing is said of its nuclei.
    objects = {stem: stem not in files or files[stem]["objects"] > 0 for stem in images}
    digests = {path: fingerprint([path], names=False) for path in images.values()}
    faults_of_split, notes = faults.of_split(folder, images, objects, digests, seed)
    wrong += faults_of_split
    fractions = _class_fractions(list(files.values()))
    notes += read.notes
    notes += faults.of_background(fractions["background"]) if fractions else []
    notes += faults.of_tags(tags_of(pairs[stem] for stem in files))
    return {
        "folder": str(folder),
        "images": len(images),
        "masks": read.form,
        "objects": sum(file["objects"] for file in files.values()),
        "touching_pairs": sum(file["touching_pairs"] for file in files.values()),
        "sizes": dict(Counter(f"{file['rows']}×{file['columns']}" for file in files.values())),
        "bit_depths": dict(Counter(f"{file['bits']} bit" for file in files.values())),
        "class_fractions": fractions,
        "empty": [file["name"] for file in files.values() if not file["objects"]],
        "split": _split_counts(folder, list(images), seed),
        "files": list(files.values()),
        "wrong": [str(fault) for fault in wrong],
        "notes": notes,
    }


def _count(name: str, image: NDArray[np.generic], labels: LabelImage) -> dict[str, Any]:
    return {
        "name": name,
        "rows": image.shape[0],
        "columns": image.shape[1],
        "bits": 1 if image.dtype == bool else 8 * image.dtype.itemsize,
        "least": int(image.min()),
        "most": int(image.max()),
        "objects": int(np.count_nonzero(np.unique(labels))),
        "touching_pairs": len(touching_pairs(labels)),
        "class_px": np.bincount(encode(labels, 2).ravel(), minlength=3).tolist(),
    }


def touching_pairs(labels: NDArray[np.integer]) -> set[tuple[int, int]]:
    """Find the pairs of objects that share a side of a pixel or a corner.

    >>> sorted(touching_pairs(np.array([[1, 2, 0], [1, 0, 3]])))
    [(1, 2), (2, 3)]
    """
    pairs: set[tuple[int, int]] = set()
    all_of = slice(None)
    steps = [
        ((slice(1, None), all_of), (slice(None, -1), all_of)),
        ((all_of, slice(1, None)), (all_of, slice(None, -1))),
        ((slice(1, None), slice(1, None)), (slice(None, -1), slice(None, -1))),
        ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))),
    ]
    for here, there in steps:
        left, right = labels[here], labels[there]
        at = (left != right) & (left > 0) & (right > 0)
        neighbours = np.sort(np.stack([left[at], right[at]]).astype(np.int64), axis=0)
        pairs.update((int(a), int(b)) for a, b in np.unique(neighbours, axis=1).T)
    return pairs


def _class_fractions(files: list[dict[str, Any]]) -> dict[str, float]:
    if not files:
        return {}
    counts = np.sum([file["class_px"] for file in files], axis=0)
    return {name: round(float(count / counts.sum()), 5) for name, count in zip(CLASSES, counts, strict=True)}


def _split_counts(folder: Path, stems: list[str], seed: int) -> dict[str, int]:
    try:
        split = splits.split(folder, stems, seed, SplitRule())
    except InputError:  # it is among what is wrong
        return {}
    train = len(split.train) + len(split.validation)
    return {"train": train, "test": len(split.test), "unused": len(stems) - train - len(split.test)}


def as_text(checked: dict[str, Any]) -> str:
    """Set out what `check_set` returned for reading."""

    def list_counts(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} of {name}" for name, count in counts.items())

    lines = [
        f"{checked['folder']}: {checked['images']} images, masks as {checked['masks']}",
        f"sizes      {list_counts(checked['sizes'])}",
        f"depths     {list_counts(checked['bit_depths'])}",
        f"objects    {checked['objects']:,}, {checked['touching_pairs']:,} pairs touching",
        "classes    " + ", ".join(f"{name} {share:.1%}" for name, share in checked["class_fractions"].items()),
        "split      " + ", ".join(f"{part} {count}" for part, count in checked["split"].items()),
    ]
    if checked["empty"]:
        lines.append(f"no object  {', '.join(checked['empty'])}")
    name_width = max((len(file["name"]) for file in checked["files"]), default=0)
    lines += [
        f"  {file['name']:{name_width}}  {file['rows']:>5}×{file['columns']:<5} {file['bits']:>2} bit  "
        f"{file['least']:>5}–{file['most']:<5}  {file['objects']:>5} objects  {file['touching_pairs']:>4} touching"
        for file in checked["files"]
    ]
    lines += [f"note: {note}" for note in checked["notes"]]
    if checked["wrong"]:
        return "\n".join(
            [*lines, "", f"{len(checked['wrong'])} wrong:", *(f"  {why}" for why in checked["wrong"])]
        )
    return "\n".join([*lines, "nothing wrong"])
