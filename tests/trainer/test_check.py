"""``trainer data check``: the content of a set, and its faults by file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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
