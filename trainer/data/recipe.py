"""What a person may ask of the data: how masks are read, how images are split, multiplied and turned.

This file imports nothing heavy, so that the command line can show its help at once.
"""

from __future__ import annotations

from dataclasses import dataclass

#: How masks may be written. With ``auto`` the trainer looks at all masks of a set.
MASK_FORMS = ("auto", "instances", "binary", "classes")

#: What may happen to a patch each time it is trained on.
ON_THE_FLY = ("none", "flips", "full")


@dataclass(frozen=True)
class SplitRule:
    """How the validation images are found.

    Attributes
    ----------
    share : float
        Share of the training images, drawn by the seed. It counts where there are no folds.
    folds, fold : int
        If folds > 0, the training images are dealt into this many parts, and part `fold` (from 0) is validated on.
    on_test : bool
        Validate on the test images. Then no image is left that no choice has seen.
    """

    share: float = 0.2
    folds: int = 0
    fold: int = 0
    on_test: bool = False


@dataclass(frozen=True)
class Recipe:
    """What a prepared set is made of, beside the images themselves.

    Attributes
    ----------
    masks : str
        How the masks are written, one of `MASK_FORMS`.
    augmentation : int
        Number of training images in all; 0: the originals alone.
    blank : bool
        Add an image of background alone.
    contour_px : int
        Width of the contour class in pixels.
    seed : int
        Draws the augmented images.
    diameter : str
        ``auto`` resizes further sets so that their nuclei have the median diameter of the main set's. A number of
        pixels resizes all sets to it. ``none``: neither.
    scale : float
        All images are resized by this factor besides.
    """

    masks: str = "auto"
    augmentation: int = 0
    blank: bool = False
    contour_px: int = 2
    seed: int = 0
    diameter: str = "none"
    scale: float = 1.0
