"""The ways in which people keep images and masks in folders → pairs of files.

::

    ID/images/ID.png, ID/masks/*.png     DSB2018: a folder an image, a file a nucleus
    a.tif, a_seg.npy                     Cellpose, as its window saves
    a_img.png, a_masks.png               Cellpose; any two names that differ by a rule
    images/a.tif, masks/a.tif            StarDist and most others; the folders have many names
    train/…, test/…                      each of these, once for each part
    images/…, annotations.json           COCO
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.errors import InputError
from trainer.files.images import JPEG_SUFFIXES, SUFFIXES, list_images
from trainer.files.pairing import naming

#: What images may be. A mask that was saved as JPEG has other values than it had.
IMAGE_SUFFIXES = (*SUFFIXES, *JPEG_SUFFIXES)

#: What masks may be beside images: Cellpose's, Fiji's.
MASK_SUFFIXES = (*IMAGE_SUFFIXES, ".npy", ".zip", ".roi")

#: Names of folders, in lower case; the first that is there counts.
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "rawimages", "inputs", "input", "tifs", "x")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "gt", "ground_truth", "groundtruth", "annotations", "targets", "target"),
    *("segmentations", "segmentation", "rois", "outlines", "y"),
)

#: Folders of parts, and what becomes of them: the trainer draws its validation images from those to train on.
PART_FOLDERS = {"train": "train", "training": "train", "val": "train", "validation": "train", "test": "test"}

#: What Cellpose's window adds to an image's name, and Fiji's users.
SEG_END, ROI_ENDS = "_seg", ("_rois", "_roi", "_roiset", "roiset", "")


@dataclass(frozen=True)
class Source:
    """The files of one image.

    Attributes
    ----------
    name : str
        The image's name without suffix, NFC.
    image : Path
    masks : tuple of Path
        One file; several are one nucleus each.
    part : str
        ``train`` or ``test``; '' where the folders do not say.
    """

    name: str
    image: Path
    masks: tuple[Path, ...]
    part: str = ""


def find_sources(folder: Path, images: str = "", masks: str = "") -> list[Source]:
    """Find images with their masks.

    Parameters
    ----------
    folder : Path
    images, masks : str
        Names of folders in it that have other names than `IMAGE_FOLDERS` and `MASK_FOLDERS`.

    Raises
    ------
    InputError
        The folder is none of the kinds that are known, or an image has no mask, or a mask no image.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}", "name the folder with the images and masks")
    inner = _folders(folder)
    parts = [inner[name] for name in PART_FOLDERS if name in inner]
    if parts and not (images or masks):
        sources = [
            replace(source, part=PART_FOLDERS[part.name.lower()])
            for part in parts
            for source in find_sources(part)
        ]
    else:
        sources = _dsb2018(inner.values()) or _two_folders(folder, images, masks) or _one_folder(folder)
    if not sources:
        raise InputError(
            f"there are no images and masks in {str(folder)!r} that belong together",
            f"--images and --masks-in name the folders; by themselves {IMAGE_FOLDERS[0]} and {MASK_FOLDERS[0]} "
            "are found, and masks beside images that have _masks or _seg.npy in their names",
        )
    return _with_names_of_their_own(sources)


def _folders(folder: Path) -> dict[str, Path]:
    """List the folders in a folder, by their names in lower case, sorted."""
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name.lower(): path for path in paths}


def _dsb2018(folders: Iterable[Path]) -> list[Source]:
    sources = []
    for folder in folders:
        if not ((folder / "images").is_dir() and (folder / "masks").is_dir()):
            continue
        images = list_images(folder / "images", IMAGE_SUFFIXES)
        if len(images) != 1:
            raise InputError(
                f"{str(folder / 'images')!r} has {len(images)} images", "one is expected beside its masks"
            )
        [(name, image)] = images.items()
        masks = tuple(list_images(folder / "masks", IMAGE_SUFFIXES).values())
        sources.append(Source(normal(name), image, masks))
    return sources


def _two_folders(folder: Path, images: str, masks: str) -> list[Source]:
    inner = _folders(folder)
    image_folder = folder / images if images else _first_of(inner, IMAGE_FOLDERS)
    mask_folder = folder / masks if masks else _first_of(inner, MASK_FOLDERS)
    if image_folder is None or mask_folder is None:
        return []
    found_images = _by_name(list_images(image_folder, IMAGE_SUFFIXES))
    found_masks = _by_name(list_images(mask_folder, MASK_SUFFIXES))
    return _paired(found_images, found_masks)


def _first_of(folders: dict[str, Path], names: Iterable[str]) -> Path | None:
    return next((folders[name] for name in names if name in folders), None)


def _one_folder(folder: Path) -> list[Source]:
    """Pair images with the masks beside them: ``a.png`` with ``a_seg.npy``, ``a_masks.png`` or ``a.zip``."""
    images = _by_name(list_images(folder, IMAGE_SUFFIXES))
    others = {
        normal(path.stem): path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in (".npy", ".zip", ".roi") and not path.name.startswith(".")
    }
    if others:
        pairs = {image: _partner(image, others) for image in images}
        masks = {image: others[mask] for image, mask in pairs.items() if mask}
        # Cellpose also writes other pictures beside an image; what has no partner is one of them.
        return [Source(name, images[name], (path,)) for name, path in masks.items()]
    for end in ("_masks", "_cp_masks", "_mask", "_label", "_labels", ".label", "_gt", "_seg"):
        masks = {name: path for name, path in images.items() if name.lower().endswith(end)}
        rest = {name: path for name, path in images.items() if name not in masks}
        if masks and rest:
            return _paired(rest, masks)
    return []


def _partner(image: str, others: dict[str, Path]) -> str | None:
    by_lower = {name.lower(): name for name in others}
    candidates = (f"{image}{end}".lower() for end in (SEG_END, *ROI_ENDS))
    return next((by_lower[name] for name in candidates if name in by_lower), None)


def _paired(images: dict[str, Path], masks: dict[str, Path]) -> list[Source]:
    """Pair by the same name, or by the rule that the names of masks follow."""
    mask_of = {name: name for name in images if name in masks}
    left = [name for name in images if name not in mask_of]
    rule = naming(left, [name for name in masks if name not in images])
    if rule:
        mask_of |= {name: rule.mask_of(name) for name in left if rule.mask_of(name) in masks}
    by_partner = {name: partner for name in left if name not in mask_of and (partner := _partner(name, masks))}
    mask_of |= by_partner
    lonely = [images[name] for name in images if name not in mask_of]
    lonely += [path for name, path in masks.items() if name not in mask_of.values()]
    if lonely:
        more = f", and {len(lonely) - 1} more" if len(lonely) > 1 else ""
        raise InputError(
            f"{str(lonely[0])!r} has no partner{more}", "each image needs one mask, each mask an image"
        )
    return [Source(name, images[name], (masks[mask],)) for name, mask in mask_of.items()]


def _by_name(paths: dict[str, Path]) -> dict[str, Path]:
    return {normal(name): path for name, path in paths.items()}


def normal(name: str) -> str:
    """Write a name as NFC: macOS writes ``ä`` as two letters, and other systems as one."""
    return unicodedata.normalize("NFC", name)


def _with_names_of_their_own(sources: list[Source]) -> list[Source]:
    """Put the part before the names if two parts have the same; refuse the same name in one part."""
    names = [source.name for source in sources]
    if len(set(names)) == len(names):
        return sources
    named = [replace(source, name=f"{source.image.parents[1].name}_{source.name}") for source in sources]
    twice = sorted({each.name for each in named if [other.name for other in named].count(each.name) > 1})
    if twice:
        raise InputError(f"there are two images of the name {twice[0]!r}", "rename one")
    return named
