"""Reading, encoding, splitting, cutting, and back to instances."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import io

from trainer import data, synth
from trainer.errors import InputError
from trainer.instances import instances
from trainer.patches import batches, divided, make_patches
from trainer.score import object_scores


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    synth.write_set(tmp_path / "set", count=5, rows=96, columns=120, seed=3)
    return tmp_path / "set"


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synth.write_set(tmp_path / name, 4, 64, 64, seed)
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))])
    assert contents[0] == contents[1] != contents[2]


def test_synthetic_nuclei_touch_and_some_are_dim(tmp_path: Path) -> None:
    synth.write_set(tmp_path / "s", 4, 256, 256, 0)
    samples = data.read_set(tmp_path / "s").values()
    touching = dim = 0
    for sample in samples:
        ids = np.unique(sample.labels)
        assert ids.tolist() == list(range(len(ids)))
        left, right = sample.labels[:, :-1], sample.labels[:, 1:]
        touching += int(((left != right) & (left > 0) & (right > 0)).sum())
        means = [sample.image[sample.labels == i].mean() for i in ids[1:]]
        dim += sum(mean < 0.6 * max(means) for mean in means)
    assert touching > 20
    assert dim >= 3


def test_encoding_and_growing_back_loses_next_to_nothing(tmp_path: Path) -> None:
    synth.write_set(tmp_path / "s", 4, 200, 200, 0)
    for contour_px in (1, 2):
        scores = []
        for sample in data.read_set(tmp_path / "s").values():
            classes = data.classes_of(sample.labels, contour_px)
            assert set(np.unique(classes)) == {data.BACKGROUND, data.NUCLEUS, data.CONTOUR}
            assert ((classes > 0) == (sample.labels > 0)).all()  # the contour is inside the object
            back = instances(np.eye(3, dtype=np.float32)[classes])
            scores.append(object_scores(sample.labels, back))
        assert np.concatenate(scores).mean() > 0.95


def test_real_masks_survive_the_encoding(real_data: Path) -> None:
    scores = []
    for sample in data.read_set(real_data / "dsb512").values():
        back = instances(np.eye(3, dtype=np.float32)[data.classes_of(sample.labels, 2)])
        scores.append(object_scores(sample.labels, back))
    assert np.concatenate(scores).mean() > 0.97


def test_normalising_is_per_image_whatever_the_bit_depth() -> None:
    random = np.random.default_rng(0)
    image = random.integers(10, 200, (50, 50)).astype(np.uint8)
    made = data.normalised(image)
    assert made.dtype == np.float32
    assert (made.min(), made.max()) == (0.0, 1.0)
    np.testing.assert_allclose(made, data.normalised(image.astype(np.uint16) * 100 + 7), atol=1e-6)
    assert not data.normalised(np.full((9, 9), 5)).any()


def test_splits_are_disjoint_given_and_drawn_by_seed(nuclei: Path) -> None:
    samples = data.read_set(nuclei)
    made = data.split(nuclei, samples, seed=1, validation=0.25)
    names = [[one.name for one in part] for part in (made.train, made.validation, made.test)]
    assert sorted(names[0] + names[1] + names[2]) == sorted(samples)
    assert names[2] == json.loads((nuclei / "split.json").read_text())["test"]
    assert [one.name for one in data.split(nuclei, samples, 1, 0.25).train] == names[0]
    (nuclei / "split.json").unlink()
    drawn = data.split(nuclei, samples, seed=1, validation=0.25)
    assert {len(drawn.train), len(drawn.validation), len(drawn.test)} == {3, 1}


def test_dividing_and_putting_back(nuclei: Path) -> None:
    image = np.arange(60).reshape(6, 10)
    patches = divided(image, 2)
    assert [patch.shape for patch in patches] == [(3, 5)] * 4
    np.testing.assert_array_equal(np.block([patches[:2], patches[2:]]), image)
    assert len(divided(np.zeros((7, 9)), 4)) == 16
    with pytest.raises(InputError, match="division is 7"):
        divided(image, 7)


def test_patches_augmentation_and_blank(nuclei: Path) -> None:
    train = data.split(nuclei, data.read_set(nuclei), 0, 0.25).train
    options = {"division": 2, "contour_px": 1, "seed": 5}
    plain = make_patches(train, augmentation=0, blank=False, **options)
    assert plain.images.shape[1:] == (48, 60)
    assert plain.classes.any(axis=(1, 2)).all()
    blank = make_patches(train, augmentation=0, blank=True, **options)
    assert len(blank.images) == 4 * (len(train) + 1)
    assert not blank.classes[-1].any()
    more = make_patches(train, augmentation=7, blank=True, **options)
    assert len(more.images) == 4 * 8
    again = make_patches(train, augmentation=7, blank=True, **options)
    np.testing.assert_array_equal(more.images, again.images)
    assert set(np.unique(more.classes)) <= {0, 1, 2}
    with pytest.raises(InputError, match="augmentation is 1"):
        make_patches(train, augmentation=1, blank=False, **options)


def test_batches_have_one_size_and_cover_all(nuclei: Path) -> None:
    train = data.split(nuclei, data.read_set(nuclei), 0, 0.25).train
    patches = make_patches(train, augmentation=0, division=2, blank=True, contour_px=1, seed=0)
    made = list(batches(patches, 5, np.random.default_rng(0), flips=False))
    assert {len(images) for images, _ in made} == {5}
    seen = {images.tobytes() for batch, _ in made for images in batch}
    assert seen == {image.tobytes() for image in patches.images}
    flipped, classes = next(batches(patches, 16, np.random.default_rng(0), flips=True))
    for image, target in zip(flipped, classes, strict=True):
        turns = [(1, 1), (-1, 1), (1, -1), (-1, -1)]
        assert any(
            (image[::v, ::h] == original).all() and (target[::v, ::h] == truth).all()
            for v, h in turns
            for original, truth in zip(patches.images, patches.classes, strict=True)
        )


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no images": (lambda folder: shutil.rmtree(folder / "images"), "there are no images"),
    "mask without image": (lambda folder: next((folder / "images").iterdir()).unlink(), "has no image"),
    "image without mask": (lambda folder: next((folder / "masks").iterdir()).unlink(), "there is no"),
    "sizes differ": (lambda folder: io.imsave(folder / "masks/synth_000.png", np.ones((9, 9), np.uint8), check_contrast=False), "synth_000.png: the image is"),
    "RGB": (lambda folder: io.imsave(folder / "images/synth_000.png", np.zeros((96, 120, 3), np.uint8), check_contrast=False), "not grayscale"),
    "zero bytes": (lambda folder: (folder / "images/synth_001.png").write_bytes(b""), "synth_001.png"),
    "truncated": (lambda folder: (folder / "images/synth_001.png").write_bytes((folder / "images/synth_001.png").read_bytes()[:200]), "synth_001.png"),
    "split of others": (lambda folder: (folder / "split.json").write_text('{"train": ["x"], "test": []}'), "names 'x'"),
    "split is no JSON": (lambda folder: (folder / "split.json").write_text("{"), "is no split"),
    "split overlaps": (lambda folder: (folder / "split.json").write_text('{"train": ["synth_000"], "test": ["synth_000"]}'), "in both parts"),
    "too few": (lambda folder: (folder / "split.json").write_text('{"train": ["synth_000"], "test": ["synth_001"]}'), "too few"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_data_is_named(nuclei: Path, what: str) -> None:
    spoil, said = BAD[what]
    spoil(nuclei)
    with pytest.raises(InputError) as caught:
        data.split(nuclei, data.read_set(nuclei), 0, 0.25)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2
