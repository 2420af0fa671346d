"""``trainer data check``: the content of a set, and its faults by file."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from skimage import io

from tests.trainer.conftest import Trainer
from trainer.data.check import check_set, touching_pairs


def test_it_counts_what_is_there(nuclei: Path, trainer: Trainer) -> None:
    report = trainer("data", "check", nuclei, "--json").json
    assert (report["images"], report["masks"], report["wrong"]) == (5, "instances", [])
    assert report["sizes"] == {"96×120": 5}
    assert report["bit_depths"] == {"8 bit": 5}
    assert report["split"] == {"train": 4, "test": 1, "unused": 0}
    labels = [io.imread(path) for path in sorted((nuclei / "masks").iterdir())]
    assert report["objects"] == sum(int(mask.max()) for mask in labels)
    assert sum(report["class_fractions"].values()) == pytest.approx(1, abs=1e-4)
    assert report["class_fractions"]["background"] == pytest.approx(
        np.mean([mask == 0 for mask in labels]), abs=1e-4
    )
    shown = trainer("data", "check", nuclei).out
    assert "nothing wrong" in shown
    assert "synth_004.png" in shown


def test_touching_pairs_are_found_at_sides_and_corners() -> None:
    labels = np.array([[1, 1, 0, 4], [0, 2, 0, 0], [3, 0, 0, 5]])
    assert touching_pairs(labels) == {(1, 2), (2, 3)}
    assert touching_pairs(np.zeros((3, 3), int)) == set()


def test_the_known_counts_of_the_real_set(real_data: Path) -> None:
    report = check_set(real_data / "dsb512")
    assert (report["images"], report["objects"], report["touching_pairs"]) == (15, 358, 59)
    assert report["class_fractions"] == pytest.approx(
        {"background": 0.90, "nucleus": 0.08, "contour": 0.016}, abs=0.01
    )
    assert report["wrong"] == []


def test_everything_wrong_is_reported_at_once_with_its_file(nuclei: Path, trainer: Trainer) -> None:
    (nuclei / "masks/synth_000.png").unlink()
    (nuclei / "images/synth_001.png").write_bytes(b"")
    io.imsave(nuclei / "masks/synth_002.png", np.ones((5, 5), np.uint8), check_contrast=False)
    io.imsave(nuclei / "images/synth_003.png", np.zeros((96, 120), np.uint8), check_contrast=False)
    io.imsave(nuclei / "masks/extra.png", np.ones((5, 5), np.uint8), check_contrast=False)
    (nuclei / "split.json").write_text('{"train": ["nobody"], "test": []}')
    ran = trainer("data", "check", nuclei, code=2)
    for message in (
        "synth_000.png: has no mask", "extra.png: has no image", "synth_001.png' cannot be read",
        "synth_002.png: is 96×120 and its mask 5×5", "synth_003.png: all its pixels are 0", "names 'nobody'", "6 wrong:",
    ):  # fmt: skip
        assert message in ran.out, message


def test_empty_fields_are_real_and_named(nuclei: Path) -> None:
    io.imsave(nuclei / "masks/synth_002.png", np.zeros((96, 120), np.uint8), check_contrast=False)
    report = check_set(nuclei)
    assert report["empty"] == ["synth_002.png"]
    assert report["wrong"] == []


def test_nothing_to_look_at(tmp_path: Path, trainer: Trainer) -> None:
    assert "there is no folder" in trainer("data", "check", tmp_path / "x", code=2).err
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    assert "there are no images" in trainer("data", "check", tmp_path, code=2).err
    assert "--masks is rgb" in trainer("data", "check", tmp_path, "--masks", "rgb", code=2).err


# --- one list of what is wrong: whatever `data check` finds, `train` refuses -----------------------------------


def save(path: Path, array: NDArray[np.generic]) -> Path:
    io.imsave(path, array, check_contrast=False)
    return path


def masks_of(value: int) -> Callable[[Path], object]:
    return lambda folder: [
        save(path, np.full((96, 120), value, np.uint8)) for path in (folder / "masks").iterdir()
    ]


def constant_image(folder: Path) -> None:
    save(folder / "images/synth_000.png", np.full((96, 120), 7, np.uint8))


def tiny_image(folder: Path) -> None:
    for kind in ("images", "masks"):
        save(folder / kind / "synth_000.png", np.eye(9, dtype=np.uint8))


def signed_image(folder: Path) -> None:
    image = io.imread(folder / "images/synth_000.png")
    (folder / "images/synth_000.png").unlink()
    tifffile.imwrite(folder / "images/synth_000.tif", image.astype(np.int16))


def signed_mask(folder: Path) -> None:
    (folder / "masks/synth_000.png").unlink()
    tifffile.imwrite(folder / "masks/synth_000.tif", np.full((96, 120), -1, np.int16))


def twins(folder: Path) -> None:
    """The test image is also to be trained on."""
    split = json.loads((folder / "split.json").read_text())
    train, test = split["train"][0], split["test"][0]
    for kind in ("images", "masks"):
        shutil.copy(
            folder / kind / Path(test).with_suffix(".png"), folder / kind / Path(train).with_suffix(".png")
        )


def empty_to_validate(folder: Path) -> None:
    """All images that seed 0 draws are empty."""
    from trainer.data import splits
    from trainer.data.recipe import SplitRule

    stems = [path.stem for path in (folder / "images").iterdir()]
    for stem in splits.split(folder, stems, 0, SplitRule()).validation:
        save(folder / "masks" / f"{stem}.png", np.zeros((96, 120), np.uint8))


def only_test_images_have_nuclei(folder: Path) -> None:
    for name in json.loads((folder / "split.json").read_text())["train"]:
        save(folder / "masks" / Path(name).with_suffix(".png"), np.zeros((96, 120), np.uint8))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "all masks are empty": (masks_of(0), "no nucleus in any mask; are these the masks"),
    "one nucleus covers each image": (masks_of(1), "in each mask one nucleus covers the whole image"),
    "the same, in 255": (masks_of(255), "in each mask one nucleus covers the whole image"),
    "a seed draws an empty image to validate": (empty_to_validate, "no nucleus in the images to validate on"),
    "nothing to train on": (only_test_images_have_nuclei, "no nucleus in any mask of the training images"),
    "a constant image": (constant_image, "all its pixels are 7"),
    "a tiny image": (tiny_image, "is 9×9, smaller than 16 pixels a side"),
    "a signed image": (signed_image, "pixels of int16; convert it to unsigned 8 or 16 bit"),
    "a signed mask": (signed_mask, "save it as an unsigned 8, 16 or 32 bit label image"),
    "the same image twice": (twins, "which is held back from it"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_check_finds_wrong_train_refuses(nuclei: Path, trainer: Trainer, what: str) -> None:
    spoil, message = WRONG[what]
    assert check_set(nuclei)["wrong"] == []
    spoil(nuclei)
    checked = trainer("data", "check", nuclei, code=2).out
    assert message in checked
    assert "nothing wrong" not in checked
    refused = trainer("train", "--data", nuclei, "--batch-size", 2, "--dry-run", code=2).err
    assert message in refused.replace("\nhint: ", "; ").replace("'", "")


def test_several_faults_are_counted_by_train(nuclei: Path, trainer: Trainer) -> None:
    constant_image(nuclei)
    signed_mask(nuclei)
    (nuclei / "masks/synth_001.png").write_bytes(b"")
    ran = trainer("train", "--data", nuclei, "--dry-run", code=2)
    assert f"1 more: trainer data check {nuclei}" in ran.err
    assert "2 wrong" in trainer("data", "check", nuclei, code=2).out


def test_a_seed_that_draws_nothing_to_validate_on_is_named(nuclei: Path, trainer: Trainer) -> None:
    empty_to_validate(nuclei)
    other = next(seed for seed in range(1, 100) if not check_set(nuclei, seed=seed)["wrong"])
    report = trainer("data", "check", nuclei, "--seed", other, "--json").json
    [note] = report["notes"]
    assert "draw no nucleus to validate on, and are refused: 0, " in note
    trainer("train", "--data", nuclei, "--seed", other, "--batch-size", 2, "--dry-run")
    trainer("train", "--data", nuclei, "--seed", 0, "--batch-size", 2, "--dry-run", code=2)


def test_masks_without_much_background_are_told(nuclei: Path, trainer: Trainer) -> None:
    """Stripes: nothing is inside another."""
    for path in (nuclei / "masks").iterdir():
        save(
            path, np.repeat((np.arange(120) // 10 * (np.arange(120) % 10 > 0)).astype(np.uint8)[None], 96, axis=0)
        )
    for command in (("data", "check", nuclei), ("train", "--data", nuclei, "--batch-size", 2, "--dry-run")):
        assert "of all pixels: background is 0 in a mask" in trainer(*command).out


def test_a_test_image_without_a_nucleus_is_told(nuclei: Path) -> None:
    [test] = json.loads((nuclei / "split.json").read_text())["test"]
    save(nuclei / "masks" / Path(test).with_suffix(".png"), np.zeros((96, 120), np.uint8))
    report = check_set(nuclei)
    assert report["wrong"] == []
    assert any("there will be no test score" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("image", "mask", "told"),
    [
        ("{}", "{}_masks", "5 masks have '_masks' in their names, as Cellpose names them"),
        ("{}", "{}_cp_masks", "5 masks have '_cp_masks' in their names, as Cellpose names them"),
        ("{}_img", "{}_masks", "5 masks have '_masks' in their names, as Cellpose names them"),
        ("{}", "{}.label", "5 masks have '.label' in their names"),
        ("{}", "mask-{}", "5 masks have 'mask-' in their names"),
    ],
)
def test_masks_that_are_named_by_another_rule_are_told_once(
    nuclei: Path, trainer: Trainer, image: str, mask: str, told: str
) -> None:
    (nuclei / "split.json").unlink()
    for kind, name in (("images", image), ("masks", mask)):
        for path in (nuclei / kind).iterdir():
            path.rename(path.with_name(name.format(path.stem) + path.suffix))
    [wrong] = check_set(nuclei)["wrong"]
    assert told in wrong
    refused = trainer("train", "--data", nuclei, "--dry-run", code=2).err
    assert told in refused
    # The hint is a command that mends it.
    command = wrong[wrong.index("cd ") :]
    subprocess.run(["bash", "-c", command], check=True)
    assert check_set(nuclei)["wrong"] == []


def test_a_rule_that_some_masks_follow_leaves_the_others_named(nuclei: Path) -> None:
    for path in sorted((nuclei / "masks").iterdir())[1:]:
        path.rename(path.with_stem(f"{path.stem}_masks"))
    (nuclei / "masks/synth_004_masks.png").unlink()
    wrong = check_set(nuclei)["wrong"]
    assert len(wrong) == 2
    assert "3 masks have '_masks' in their names" in wrong[0]
    assert "synth_004.png: has no mask" in wrong[1]
