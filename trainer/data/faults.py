"""What is wrong with a set. ``trainer data check`` prints all of it, and a training refuses the set by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.data import splits
from trainer.data.recipe import SplitRule
from trainer.errors import InputError
from trainer.files.pairing import naming
from trainer.files.tags import PixelTags

#: Fewer background pixels than this share are told: the masks may be inverted.
LITTLE_BACKGROUND = 0.2

#: So many seeds are tried for one that draws no nucleus to validate on.
SEEDS = 100

#: So many files are named where many have the same.
NAMED = 3


@dataclass(frozen=True)
class Fault:
    """One thing that keeps a set from being used.

    Attributes
    ----------
    what : str
        What is wrong; it goes on after the path, if there is one.
    hint : str
        What to do.
    path : Path, optional
        The file.
    """

    what: str
    hint: str
    path: Path | None = None

    @classmethod
    def of(cls, error: InputError) -> Fault:
        """Make a fault of an error that was raised."""
        return cls(str(error), error.hint)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; {self.hint}" if self.path else f"{self.what}; {self.hint}"

    @property
    def message(self) -> str:
        """What is wrong, as an error says it."""
        return f"{str(self.path)!r} {self.what}" if self.path else self.what


def refuse(faults: Sequence[Fault], folder: Path | str) -> None:
    """Raise the first of some faults; it says how many more there are.

    Raises
    ------
    InputError
        There is a fault.
    """
    if not faults:
        return
    more = f"; {len(faults) - 1} more: trainer data check {folder}" if len(faults) > 1 else ""
    raise InputError(faults[0].message, f"{faults[0].hint}{more}")


def of_names(images: Mapping[str, Path], masks: Mapping[str, Path]) -> list[Fault]:
    """Find files without a partner. Where all masks are named by another rule, that is one fault."""
    lonely_images = [stem for stem in images if stem not in masks]
    lonely_masks = [stem for stem in masks if stem not in images]
    faults = []
    rule = naming(lonely_images, lonely_masks)
    if rule:
        pairs = {stem: rule.mask_of(stem) for stem in lonely_images if rule.mask_of(stem) in lonely_masks}
        image, mask = next(iter(pairs.items()))
        folder = masks[mask].parent
        cellpose = ", as Cellpose names them" if rule.text.endswith("_masks") else ""
        faults.append(
            Fault(
                f"{len(pairs)} masks have {rule.text!r} in their names{cellpose}: {masks[mask].name} "
                f"for {images[image].name}",
                f"a mask needs the name of its image. {rule.command(str(folder)) or 'Rename them'}",
                folder,
            )
        )
        lonely_images = [stem for stem in lonely_images if stem not in pairs]
        lonely_masks = [stem for stem in lonely_masks if stem not in pairs.values()]
    faults += [
        Fault("has no mask", "add one of the same name in masks/, or remove it", images[stem])
        for stem in lonely_images
    ]
    return faults + [Fault("has no image", "add it, or remove the mask", masks[stem]) for stem in lonely_masks]


def of_labels(labels: Iterable[NDArray[np.integer]]) -> list[Fault]:
    """Find what is wrong with all masks of a set together.

    Parameters
    ----------
    labels : iterable of ndarray of int, each of shape (rows, columns)
        0 is background.
    """
    number = covered = 0
    objects = False
    for image in labels:
        number += 1
        objects = objects or bool(image.any())
        covered += bool(image.size and image.flat[0] and (image == image.flat[0]).all())
    if number and not objects:
        return [Fault("there is no nucleus in any mask", "are these the masks, and not other images?")]
    if number and covered == number:
        return [
            Fault(
                "in each mask one nucleus covers the whole image",
                "are the masks inverted, or cropped to one nucleus? Background is 0",
            )
        ]
    return []


def of_parts(train: Iterable[bool], validation: Mapping[str, bool]) -> list[Fault]:
    """Find what is wrong with how a set is split.

    Parameters
    ----------
    train : iterable of bool
        Whether each image to train on has a nucleus.
    validation : mapping of str to bool
        The same of the images to validate on, by name.
    """
    faults = []
    if not any(train):
        faults.append(Fault("there is no nucleus in any mask of the training images", "are the masks empty?"))
    if not any(validation.values()):
        faults.append(
            Fault(
                f"there is no nucleus in the images to validate on: {', '.join(validation)}",
                "choose another seed, more images (--validation), or --folds",
            )
        )
    return faults


def of_twins(
    digests: Mapping[Path, str], train: Collection[Path], validation: Collection[Path], test: Collection[Path]
) -> list[Fault]:
    """Find images to train on that are held back as well, whatever their names are.

    Parameters
    ----------
    digests : mapping of Path to str
        A hash of the bytes of each image.
    train, validation, test : collection of Path
        The images by their use.
    """
    faults = []
    for held_back, others in ((test, [*train, *validation]), (validation, train)):
        by_digest = {digests[path]: path for path in held_back}
        for path in others:
            twin = by_digest.get(digests[path])
            if twin is not None:
                what = f"is the same as {str(twin)!r}, which is held back from it"
                faults.append(Fault(what, "leave one of them out", path))
    return faults


def of_split(
    folder: Path, images: Mapping[str, Path], objects: Mapping[str, bool], digests: Mapping[Path, str], seed: int
) -> tuple[list[Fault], list[str]]:
    """Find what is wrong with the split by a seed, and what would be with the split by another.

    Parameters
    ----------
    folder : Path
    images : mapping of str to Path
        All images, by stem.
    objects : mapping of str to bool
        Whether they have a nucleus, by stem.
    digests : mapping of Path to str
        A hash of the bytes of each image.
    seed : int
        Draws the images to validate on.

    Returns
    -------
    list of Fault, list of str
        What is wrong, and what is worth knowing.
    """

    def split_by(number: int) -> splits.Split:
        return splits.split(folder, objects, number, SplitRule())

    def twins_of(split: splits.Split) -> list[Fault]:
        parts = ([images[stem] for stem in part] for part in (split.train, split.validation, split.test))
        return of_twins(digests, *parts)

    try:
        split = split_by(seed)
    except InputError as error:
        return [Fault.of(error)], []
    if not any(objects.values()):  # that is another fault
        return [], []
    faults = of_parts(
        (objects[stem] for stem in split.train), {images[stem].name: objects[stem] for stem in split.validation}
    )
    faults += twins_of(split)
    others = {number: split_by(number) for number in range(SEEDS) if number != seed}
    empty = [number for number, other in others.items() if not any(objects[stem] for stem in other.validation)]
    notes = []
    if empty:
        notes.append(
            f"{len(empty)} of the seeds 0 to {SEEDS - 1} draw no nucleus to validate on, and are refused: "
            f"{_some(map(str, empty))}; validate on more images (--validation), or by --folds"
        )
    apart = [number for number, other in others.items() if twins_of(other)] if not faults else []
    if apart:
        twins = twins_of(others[apart[0]])[0]
        notes.append(
            f"{len(apart)} of the seeds 0 to {SEEDS - 1} hold an image back that is trained on as well, and are "
            f"refused: {_some(map(str, apart))}; by the first, {twins.message}: {twins.hint}"
        )
    if split.test and not any(objects[stem] for stem in split.test):
        notes.append("no test image has a nucleus: there will be no test score; write another split.json")
    return faults, notes


def of_background(share: float) -> list[str]:
    """Tell if next to no pixel is background.

    Parameters
    ----------
    share : float
        Of the background among all pixels.
    """
    if share >= LITTLE_BACKGROUND:
        return []
    return [
        f"nuclei cover {1 - share:.0%} of all pixels: background is 0 in a mask; is it another number here, "
        "or are the masks inverted?"
    ]


def of_tags(pairs: Iterable[tuple[tuple[Path, PixelTags], tuple[Path, PixelTags]]]) -> list[str]:
    """Tell where the files of a set are to be read in different ways.

    Parameters
    ----------
    pairs : iterable of ((Path, PixelTags), (Path, PixelTags))
        Each image and its mask.
    """
    images: dict[str, list[str]] = defaultdict(list)
    masks: dict[str, list[str]] = defaultdict(list)
    turned = []
    for (image, image_tags), (mask, mask_tags) in pairs:
        images[str(image_tags)].append(image.name)
        masks[str(mask_tags)].append(mask.name)
        if image_tags.orientation != mask_tags.orientation:
            turned.append(f"{image.name} ({image_tags.orientation}, its mask {mask_tags.orientation})")
    notes = [
        f"the {kind} are stored in different ways, and each was read as it says: "
        + "; ".join(f"{len(names)} {tags} ({_some(names)})" for tags, names in groups.items())
        for kind, groups in (("images", images), ("masks", masks))
        if len(groups) > 1
    ]
    if turned:
        notes.append(
            f"{len(turned)} of the images have another Orientation than their masks, and each was turned as it "
            f"says: {_some(turned)}; do the masks lie on the nuclei?"
        )
    return notes


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:NAMED]) + (" …" if len(listed) > NAMED else "")
