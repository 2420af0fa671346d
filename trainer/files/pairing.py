"""Two folders of files → pairs: by the same name, or as the Cell Tracking Challenge names them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import InputError
from trainer.files.images import list_images

#: What the names of images end in, in sets whose masks end in something else.
IMAGE_ENDS = ("", "_img", "_image", "_im")

#: Names of the Cell Tracking Challenge, before the number of the frame: the truth of segmentation, markers for
#: tracking, which are no whole nuclei, and results. The challenge has the truth of some frames only.
#: https://celltrackingchallenge.net/datasets/
CHALLENGE_TRUTH, CHALLENGE_MARKERS, CHALLENGE_RESULT = "man_seg", "man_track", "mask"

#: So many masks without an image are tried for a common text in their names.
TRIED = 20


@dataclass(frozen=True)
class Naming:
    """How the masks of a set are named after their images, where they do not have the same names.

    Attributes
    ----------
    image_end : str
        What the images end in and the masks do not.
    text : str
        What the masks have in place of it.
    before : bool
        Whether `text` is before the rest of the name, and not after it.
    """

    image_end: str
    text: str
    before: bool

    def mask_of(self, image: str) -> str:
        """Name the mask of an image, both without their file suffix."""
        core = image.removesuffix(self.image_end)
        return self.text + core if self.before else core + self.text

    def command(self, folder: str) -> str:
        """Write the line of shell that gives the masks in a folder the names of their images; else ''."""
        if not re.fullmatch(r"[\w.-]+", self.text):
            return ""
        files, name = (f"{self.text}*", f"${{f#{self.text}}}")
        if not self.before:
            files, name = f"*{self.text}.*", f"${{f%{self.text}.*}}{self.image_end}.${{f##*.}}"
        elif self.image_end:
            return ""
        return f'cd {shlex.quote(folder)} && for f in {files}; do mv -- "$f" "{name}"; done'


def naming(images: Collection[str], masks: Collection[str]) -> Naming | None:
    """Find the rule by which masks are named after their images.

    Parameters
    ----------
    images, masks : collection of str
        Names without their file suffix, of images and masks that have no partner.

    Returns
    -------
    Naming or None
        None if there is no rule that at least half of the masks follow.

    Examples
    --------
    >>> naming(["a", "b"], ["a_masks", "b_masks"])
    Naming(image_end='', text='_masks', before=False)
    >>> naming(["a", "b"], ["c", "d"]) is None
    True
    """
    for end in IMAGE_ENDS:
        cores = sorted((image.removesuffix(end) for image in images if image.endswith(end)), key=len, reverse=True)
        for mask in sorted(masks)[:TRIED]:
            core = next((core for core in cores if core and core != mask and mask.startswith(core)), None)
            before = core is None
            if before:
                core = next((core for core in cores if core and core != mask and mask.endswith(core)), None)
            if core is None:
                continue
            text = mask.removesuffix(core) if before else mask.removeprefix(core)
            rule = Naming(end, text, before)
            followers = {rule.mask_of(image) for image in images if image.endswith(end)} & set(masks)
            if 2 * len(followers) >= len(masks):
                return rule
    return None


@dataclass(frozen=True)
class ResultPairs:
    """Results and what they are scored against.

    Attributes
    ----------
    pairs : dict of str to (Path, Path)
        Reference and result, by the name of the reference.
    without_truth : list of Path
        Results that have no reference.
    challenge : bool
        Whether the names are those of the Cell Tracking Challenge.
    """

    pairs: dict[str, tuple[Path, Path]]
    without_truth: list[Path]
    challenge: bool


def pair_results(truth: Path, prediction: Path, *, partial: bool = False) -> ResultPairs:
    """Pair references with results: ``man_seg007.tif`` with ``mask007.tif``, or by the same name.

    Parameters
    ----------
    truth, prediction : Path
        Folders of label images.
    partial : bool
        Whether results may lack a reference. In the layout of the Cell Tracking Challenge they always may.

    Raises
    ------
    InputError
        A file has no partner, or there are no references.
    """
    references, results = list_images(truth), list_images(prediction)
    _check_references(truth, references)
    result_of = {stem: stem for stem in references}
    challenge = all(_frame(stem, CHALLENGE_TRUTH) for stem in references) and any(
        _frame(stem, CHALLENGE_RESULT) for stem in results
    )
    if challenge:
        result_of = {stem: CHALLENGE_RESULT + _frame(stem, CHALLENGE_TRUTH) for stem in references}
    lonely = [stem for stem in references if result_of[stem] not in results]
    spare = [stem for stem in results if stem not in result_of.values()]
    rule = naming(lonely, spare)
    hint = "both folders need the same names" + (f": {rule.command(str(prediction))}" if rule else "")
    if lonely:
        wanted = (
            f"{result_of[lonely[0]]!r} in {str(prediction)!r}" if challenge else f"partner in {str(prediction)!r}"
        )
        raise InputError(
            f"{str(references[lonely[0]])!r} has no {wanted}",
            "each frame that has a truth needs a result" if challenge else hint,
        )
    if spare and not (partial or challenge):
        raise InputError(
            f"{str(results[spare[0]])!r} has no partner in {str(truth)!r}",
            "both folders need the same names; --partial leaves out results that have no reference",
        )
    return ResultPairs(
        {path.name: (path, results[result_of[stem]]) for stem, path in references.items()},
        [results[stem] for stem in spare],
        challenge,
    )


def _frame(stem: str, kind: str) -> str:
    """Return the digits of a frame's name in the Cell Tracking Challenge; '' if it is none of this kind."""
    number = stem.removeprefix(kind)
    return number if number != stem and re.fullmatch("[0-9]+", number) else ""


def _check_references(truth: Path, references: dict[str, Path]) -> None:
    if not references:
        inner = truth / "SEG"
        hint = f"is it {str(inner)!r}?" if inner.is_dir() else "PNG or TIFF files are expected there"
        raise InputError(f"there are no label images in {str(truth)!r}", hint)
    for stem, path in references.items():
        if _frame(stem, CHALLENGE_MARKERS):
            raise InputError(f"{str(path)!r} has markers for tracking, and no whole nuclei", "give the folder SEG")
        if re.fullmatch(f"{CHALLENGE_TRUTH}_[0-9]+_[0-9]+", stem):
            raise InputError(f"{str(path)!r} is a plane of a 3-D frame", "only images of one plane are scored")
