"""Two folders of files → pairs: by the same name, or as the Cell Tracking Challenge names them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass

#: What the names of images end in, in sets whose masks end in something else.
IMAGE_ENDS = ("", "_img", "_image", "_im")

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
