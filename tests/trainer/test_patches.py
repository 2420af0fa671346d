"""Cutting into patches, and batches of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.classes import encode
from trainer.data.patches import Patches, batches, cut_patches
from trainer.data.samples import PreparedImage
from trainer.errors import InputError


def picture(rows: int, columns: int, name: str = "p", objects: bool = True) -> PreparedImage:
    image = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    labels = np.full((rows, columns), int(objects), np.uint16)
    return PreparedImage(name, image, labels, encode(labels, 1))


def cut_first(pictures: list[PreparedImage], division: int, *, blank: bool) -> Patches:
    rows, columns = pictures[0].image.shape
    return cut_patches(pictures, (rows, columns), division, blank=blank, contour_px=1)


def all_of(patches: Patches) -> list[np.ndarray]:
    return [patches.patch(number)[0] for number in range(len(patches.corners))]


@given(st.integers(1, 9), st.integers(9, 30), st.integers(9, 30))
@settings(deadline=None)
def test_patches_put_together_are_the_image(division: int, rows: int, columns: int) -> None:
    patches = cut_first([picture(rows, columns)], division, blank=False)
    assembled = np.full((rows, columns), -1.0)
    for (_, y, x), patch in zip(patches.corners, all_of(patches), strict=True):
        assert patch.shape == (patches.rows, patches.columns)
        seen = assembled[y : y + patches.rows, x : x + patches.columns]
        seen[:] = patch[: seen.shape[0], : seen.shape[1]]
    np.testing.assert_array_equal(assembled, picture(rows, columns).image)


@pytest.mark.parametrize(("division", "size"), [(1, (512, 640)), (8, (64, 80)), (16, (32, 40)), (32, (16, 20))])
def test_the_patches_of_512_by_640(division: int, size: tuple[int, int]) -> None:
    patches = cut_first([picture(512, 640)], division, blank=True)
    assert (patches.rows, patches.columns) == size
    assert len(patches.corners) == division**2


def test_other_sizes_are_covered_by_patches_of_the_firsts() -> None:
    patches = cut_first([picture(64, 80), picture(40, 90)], 4, blank=True)
    assert (patches.rows, patches.columns) == (16, 20)
    assert sum(number == 1 for number, _, _ in patches.corners) == 3 * 5
    assert all(patch.shape == (16, 20) for patch in all_of(patches))


def test_patches_without_a_nucleus_are_left_out_unless_blanks_are_wanted() -> None:
    empty = picture(40, 40, objects=False)
    half = picture(40, 40)
    half.labels[:20] = 0
    assert len(cut_first([half, empty], 2, blank=False).corners) == 2
    assert len(cut_first([half, empty], 2, blank=True).corners) == 8


def test_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="--division is 41; an image of 40×90 can be cut into 1 to 40"):
        cut_first([picture(40, 90)], 41, blank=True)
    with pytest.raises(InputError, match="'small' is 20×20, less than a patch of 40×90"):
        cut_first([picture(40, 90), picture(20, 20, "small")], 1, blank=True)


def epoch(
    patches: Patches, size: int, mode: str, seed: int = 0, **more: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(batches(patches, size, np.random.default_rng(seed), on_the_fly=mode, **more))


def test_batches_have_one_size_and_cover_all() -> None:
    patches = cut_first([picture(40, 60), picture(40, 60)], 2, blank=True)
    epoch_batches = epoch(patches, 5, "none")
    assert [len(images) for images, _ in epoch_batches] == [5, 5]
    seen = {image.tobytes() for images, _ in epoch_batches for image in images}
    assert seen == {patch.tobytes() for patch in all_of(patches)}


def test_flips_turn_an_image_and_its_classes_together() -> None:
    patches = cut_first([picture(24, 24)], 1, blank=True)
    image, classes = patches.images[0].image, (patches.images[0].image > 300).astype(np.uint8)
    patches.images[0].classes[:] = classes
    seen = set()
    for seed in range(40):
        [(turned, target)] = epoch(patches, 1, "flips", seed)
        turn = next((v, h) for v in (1, -1) for h in (1, -1) if np.array_equal(turned[0], image[::v, ::h]))
        np.testing.assert_array_equal(target[0], classes[:: turn[0], :: turn[1]])
        seen.add(turn)
    assert len(seen) == 4


def test_patches_are_drawn_and_encoded_anew_each_time() -> None:
    original = picture(64, 64)
    original.labels[:] = 0
    original.labels[20:44, 20:44] = 7
    patches = cut_patches([original], (64, 64), 2, blank=True, contour_px=2)
    first, second = (epoch(patches, 4, "full", seed) for seed in (0, 1))
    assert first[0][0].tobytes() != second[0][0].tobytes()
    assert first[0][0].tobytes() == epoch(patches, 4, "full", 0)[0][0].tobytes()
    classes = first[0][1]
    assert set(np.unique(classes)) == {0, 1, 2}
    assert np.isfinite(first[0][0]).all()


@pytest.mark.parametrize("mode", ["none", "flips", "full"])
def test_skipping_gives_the_rest_of_the_same_epoch(mode: str) -> None:
    patches = cut_first([picture(40, 40)], 4, blank=True)
    whole, rest = epoch(patches, 3, mode), epoch(patches, 3, mode, skip=4)
    assert len(rest) == len(whole) - 4
    for (image, classes), (again, classes_again) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(classes, classes_again)
