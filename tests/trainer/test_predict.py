"""Using a trained network: labels, overlays, objects."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from skimage import io

from tests.conftest import Sandbox
from tests.trainer.conftest import Trainer
from trainer import folders


@pytest.fixture
def model(sandbox: Sandbox, trainer: Trainer, nuclei: Path) -> Path:
    trainer("train", "--data", nuclei, "--epochs", 20, "--batch-size", 8, "--width", 8, "--threads", 1, "--seed", 1,
            "--learning-rate", 0.01, "--save-model", "m.npz")  # fmt: skip
    return sandbox.path / "m.npz"


def test_predicting_a_folder(sandbox: Sandbox, trainer: Trainer, nuclei: Path, model: Path) -> None:
    ran = trainer("predict", model, nuclei / "images", "--out", "made", "--pixel-um", 0.5)
    predicted = sandbox.path / "made"
    assert len(list((predicted / "overlays").iterdir())) == 5
    with (predicted / "objects.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = sum(int(io.imread(path).max()) for path in (nuclei / "masks").iterdir())
    assert f"{len(rows)} objects in 5 images ({truth} true)" in ran.out
    assert ("nuclei are found, and the masks beside" in ran.err) == (5 * abs(len(rows) - truth) > truth)
    for path in sorted((predicted / "labels").iterdir()):
        labels = io.imread(path)
        assert (labels.dtype, labels.shape) == (np.uint16, (96, 120))
        mine = [row for row in rows if row["image"] == path.name]
        assert [int(row["label"]) for row in mine] == list(range(1, labels.max() + 1))
        grey = io.imread(nuclei / "images" / path.name)
        for row in mine:
            inside = labels == int(row["label"])
            assert int(row["area_px"]) == inside.sum()
            assert float(row["area_um2"]) == pytest.approx(inside.sum() * 0.25)
            assert float(row["centroid_row_px"]) == pytest.approx(np.nonzero(inside)[0].mean(), abs=0.01)
            assert float(row["centroid_column_px"]) == pytest.approx(np.nonzero(inside)[1].mean(), abs=0.01)
            assert float(row["centroid_row_um"]) == pytest.approx(np.nonzero(inside)[0].mean() / 2, abs=0.01)
            assert float(row["mean_intensity_grey"]) == pytest.approx(grey[inside].mean(), abs=0.01)
    # The training images are predicted: far from perfect after 20 epochs, far above 0.
    scored = trainer("score", nuclei / "masks", predicted / "labels", "--json").json
    assert scored["segMeasure"] > 0.3
    # An image that is stored on its side is predicted upright.
    upright, exif = io.imread(nuclei / "images/synth_001.png"), Pillow.Exif()
    exif[274] = 6
    Pillow.fromarray(np.ascontiguousarray(np.rot90(upright))).save(sandbox.path / "synth_001.png", exif=exif)
    ran = trainer("predict", model, sandbox.path / "synth_001.png", "--out", "turned")
    assert "note: 1 image has an Orientation, first synth_001.png" in ran.err
    turned = io.imread(sandbox.path / "turned/labels/synth_001.png")
    assert (turned == io.imread(predicted / "labels/synth_001.png")).all()
    # One plane of a stack is predicted as the image that it is; other programs get the same nuclei.
    tifffile.imwrite(
        sandbox.path / "stack.tif", np.stack([upright * 0, upright]), imagej=True, metadata={"axes": "ZYX"}
    )
    refused = trainer("predict", model, sandbox.path / "stack.tif", "--out", "planes", code=2)
    assert "--plane 0 to 1" in refused.err
    trainer("predict", model, sandbox.path / "stack.tif", "--out", "planes", "--plane", 1, "--also", "ome",
            "--also", "qupath")  # fmt: skip
    expected = io.imread(predicted / "labels/synth_001.png")
    assert (io.imread(sandbox.path / "planes/labels/stack.png") == expected).all()
    assert (tifffile.imread(sandbox.path / "planes/ome/stack.ome.tif") == expected).all()
    assert (sandbox.path / "planes/geojson/stack.geojson").is_file()
    # The prediction in tiles is the same, except for the last bit of a probability.
    trainer("predict", model, nuclei / "images", "--out", "tiled", "--tile", 32)
    tiled = trainer("score", predicted / "labels", sandbox.path / "tiled" / "labels", "--json").json
    assert tiled["segMeasure"] > 0.99
    ran_once = trainer("predict", model, nuclei / "images" / "synth_000.png", "--out", "one")
    assert f"in 1 image ({io.imread(nuclei / 'masks/synth_000.png').max()} true) →" in ran_once.out
    alone = sandbox.path / "alone.png"
    alone.write_bytes((nuclei / "images" / "synth_000.png").read_bytes())
    assert "in 1 image →" in trainer("predict", model, alone, "--out", "one").out


def test_an_overlay_draws_outlines_alone() -> None:
    labels = np.zeros((8, 8), int)
    labels[2:7, 2:7] = 4
    overlay = folders.draw_overlay(np.full((8, 8), 0.5, np.float32), labels)
    drawn = (overlay == folders.OUTLINE).all(axis=-1)
    assert drawn.sum() == 16
    assert not drawn[4, 4]
    assert (overlay[4, 4] == 127).all()


def test_what_cannot_be_predicted(sandbox: Sandbox, trainer: Trainer, nuclei: Path) -> None:
    (sandbox.path / "m.npz").write_bytes(b"")
    assert "is no model file" in trainer("predict", "m.npz", nuclei / "images", "--out", "o", code=2).err
    assert "cannot read" in trainer("predict", "m.npz", "nowhere", "--out", "o", code=2).err
    (sandbox.path / "empty").mkdir()
    assert "there are no images" in trainer("predict", "m.npz", "empty", "--out", "o", code=2).err
    # One image that is not whole: told before any other is predicted.
    (sandbox.path / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        (sandbox.path / "pictures" / name).write_bytes(
            (nuclei / "images/synth_000.png").read_bytes()[: 200 if name == "b.png" else None]
        )
    assert "b.png' cannot be read" in trainer("predict", "m.npz", "pictures", "--out", "o", code=2).err
    assert not (sandbox.path / "o").exists() or not list((sandbox.path / "o").rglob("*.png"))
    np.save(sandbox.path / "array.npy", np.zeros(3))
    assert "is no model file" in trainer("predict", "array.npy", nuclei / "images", "--out", "o", code=2).err
    (sandbox.path / "file").write_text("")
    assert "cannot make" in trainer("predict", "m.npz", nuclei / "images", "--out", "file", code=2).err
