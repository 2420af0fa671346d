"""Masks that are read otherwise than they were meant are told by file, and real ones never are."""

from __future__ import annotations

import io as streams
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import io

from tests.trainer.conftest import Trainer
from trainer.classes import encode
from trainer.data import synth
from trainer.data.check import check_set
from trainer.data.faults import Fault
from trainer.data.masks import mask_form, mask_to_labels
from trainer.data.plausible import of_readings, shapes_of
from trainer.data.samples import image_pairs, read_samples
from trainer.errors import InputError
from trainer.files.images import read_labels

Mask = NDArray[np.integer]

SETS = ("dsb512", "u2os520", "dense520", "dsb360", "mixed256", "bsst265_sparse")


def binary(mask: Mask) -> NDArray[np.uint8]:
    return ((mask > 0) * 255).astype(np.uint8)


def jpeg(mask: NDArray[np.uint8]) -> Mask:
    file = streams.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file))


def resized(mask: NDArray[np.uint8]) -> Mask:
    return np.asarray(
        Image.fromarray(mask).resize((mask.shape[1] // 2, mask.shape[0] // 2), Image.Resampling.BILINEAR)
    )


def blurred(mask: NDArray[np.uint8]) -> Any:
    return np.rint(ndimage.gaussian_filter(mask.astype(float), 1.0)).astype(np.uint8)


def labels_resized(mask: Mask) -> Any:
    return np.rint(ndimage.zoom(mask.astype(float), 1.7, order=1)).astype(np.uint16)


def with_rims(mask: Mask) -> Mask:
    rim = ndimage.binary_dilation(mask > 0) & (mask == 0)
    return np.where(rim, 255, mask.astype(np.uint16) % 200)


#: What people's masks are like, and a part of what is said of the first of them.
SPOILT: dict[str, tuple[Callable[[Mask], Any], str]] = {
    "blurred": (lambda mask: blurred(binary(mask)), "nowhere 3 pixels wide"),
    "resized": (lambda mask: resized(binary(mask)), "nowhere 3 pixels wide"),
    "JPEG": (lambda mask: jpeg(binary(mask)), "nowhere 3 pixels wide"),
    "labels resized": (labels_resized, "pieces"),
    "background 255": (lambda mask: np.where(mask, mask % 200, 255).astype(np.uint8), "surrounds the rest"),
    "background 65535": (lambda mask: np.where(mask, mask, 65535).astype(np.uint16), "surrounds the rest"),
    "inverted": (lambda mask: 255 - binary(mask), "surrounds the rest"),
    "inverted labels": (lambda mask: 65535 - mask.astype(np.uint16), "surrounds the rest"),
    "255 is void": (with_rims, "'not labelled'"),
    "two classes": (lambda mask: np.where(mask, 1 + mask % 2, 0).astype(np.uint8), "classes"),
    "two classes in grey": (lambda mask: np.where(mask, 128 + 127 * (mask % 2), 0).astype(np.uint8), "classes"),
}


def told(masks: list[Mask]) -> list[Fault]:
    form = mask_form(masks)
    return of_readings({Path(str(i)): mask_to_labels(mask, form, "") for i, mask in enumerate(masks)}, form)


def synthetic() -> list[Mask]:
    random = np.random.default_rng(5)
    return [synth.make_image(random, 256, 256)[1] for _ in range(3)]


def real(folder: Path) -> list[Mask]:
    """Read the masks with enough nuclei that a person could tell, too."""
    masks = [read_labels(path) for path in sorted((folder / "masks").iterdir())]
    return [mask for mask in masks if len(np.unique(mask)) > 8]


@pytest.mark.parametrize("how", SPOILT)
def test_a_synthetic_mask_that_is_read_wrongly_is_told(how: str) -> None:
    spoil, message = SPOILT[how]
    masks = synthetic()
    faults = told([spoil(mask) for mask in masks])
    assert [fault.path for fault in faults] == [Path(str(i)) for i in range(len(masks))]
    assert message in faults[0].what
    assert "--masks" in faults[0].hint


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", SETS)
def test_a_real_mask_that_is_read_wrongly_is_told(real_data: Path, name: str, how: str) -> None:
    spoil, _ = SPOILT[how]
    masks = real(real_data / name)[:2]
    faults = told([spoil(mask) for mask in masks])
    assert [fault.path for fault in faults] == [Path(str(i)) for i in range(len(masks))]


@pytest.mark.parametrize("name", ["synthetic", *SETS])
def test_sets_whose_files_disagree_are_told_by_file(name: str, request: pytest.FixtureRequest) -> None:
    """A binary mask among label masks, and the other way round."""
    masks = synthetic() if name == "synthetic" else real(request.getfixturevalue("real_data") / name)
    labels = synthetic()[0]
    [fault] = told([labels, binary(masks[0])])
    assert fault.path == Path("1")
    assert "Is it a binary mask among label masks?" in fault.what


@pytest.mark.parametrize("form", ["instances", "binary", "classes"])
@pytest.mark.parametrize("name", SETS)
def test_real_masks_of_every_form_give_no_alarm(real_data: Path, name: str, form: str) -> None:
    masks = [read_labels(path) for path in sorted((real_data / name / "masks").iterdir())]
    if form != "instances":
        masks = [binary(mask) if form == "binary" else encode(mask, 2) for mask in masks]
    assert told(masks) == []


@pytest.mark.parametrize("name", SETS)
def test_check_finds_no_suspicion_in_real_sets(real_data: Path, name: str) -> None:
    report = check_set(real_data / name)
    assert report["masks"] == "instances"
    assert [why for why in report["wrong"] if "was read as" in why] == []
    assert report["notes"] == []


@pytest.mark.parametrize(
    "labels",
    [
        [[1, 1, 0], [0, 0, 0], [0, 2, 2]],
        np.pad(np.ones((14, 14), int), 1),  # one nucleus that nearly fills its crop
        np.where(np.hypot(*np.mgrid[-8:9, -8:9]) < 10, 1, 0),  # one that is larger than its crop
        np.where(np.hypot(*np.mgrid[-9:10, -9:10]) < 3, 0, np.hypot(*np.mgrid[-9:10, -9:10]) < 8),  # a ring
        np.eye(9, dtype=int),
        np.zeros((9, 9), int),
        np.ones((9, 9), int),  # which is another fault
    ],
)
def test_small_masks_give_no_alarm(labels: Mask) -> None:
    assert of_readings({Path("a"): np.asarray(labels)}, "instances") == []


def test_classes_in_images_of_few_nuclei_are_told_of_the_set() -> None:
    mask = np.zeros((40, 40), int)
    mask[2:10, 2:10] = mask[20:30, 20:30] = 1
    mask[2:10, 20:30] = 2
    [fault] = told([mask, mask.T, mask])
    assert fault.path is None
    assert "6 nuclei, which are in 9 pieces" in fault.what


def test_the_shapes_of_objects() -> None:
    labels = np.zeros((9, 9), np.uint16)
    labels[0:3, 0:3] = 5
    labels[8, 8] = 5
    labels[:, 4] = 9
    shapes = shapes_of(labels)
    assert shapes.values.tolist() == [5, 9]
    assert shapes.area_px.tolist() == [10, 9]
    assert shapes.largest_px.tolist() == [9, 9]
    assert shapes.pieces.tolist() == [2, 1]
    assert shapes.thin.tolist() == [False, True]
    assert shapes.spans.tolist() == [True, False]


def test_check_and_train_refuse_it_and_a_named_form_is_believed(nuclei: Path, trainer: Trainer) -> None:
    for path in (nuclei / "masks").iterdir():
        mask = jpeg(binary(io.imread(path)))
        io.imsave(path, mask, check_contrast=False)
    report = json.loads(trainer("data", "check", nuclei, "--json", code=2).out)
    assert len(report["wrong"]) == 5
    assert "masks/synth_000.png: was read as instances, " in report["wrong"][0]
    refused = trainer("train", "--data", nuclei, "--batch-size", 2, "--dry-run", code=2).err
    assert "was read as instances" in refused
    believed = check_set(nuclei, "instances")
    assert believed["wrong"] == []
    assert any("was read as instances" in note for note in believed["notes"])
    with pytest.raises(InputError):
        read_samples(image_pairs(nuclei))
    assert len(read_samples(image_pairs(nuclei), "instances")) == 5
