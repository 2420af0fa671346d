"""Sets of other magnifications: nuclei are resized to one diameter, and the prediction is resized back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from tests.conftest import Sandbox
from tests.trainer.conftest import Trainer
from trainer.classes import encode
from trainer.data import synth
from trainer.data.prepare import PreparedSet, prepare
from trainer.data.recipe import Recipe, SplitRule
from trainer.errors import InputError
from trainer.files.cache import Cache
from trainer.files.npz import load_npz, save_npz
from trainer.network import models
from trainer.scale import median_diameter_px, resize_grey, resize_labels
from trainer.scoring.instances import Decision, find_nuclei
from trainer.scoring.seg import foreground_overlap, object_scores


def magnified(folder: Path, to: Path, times: int) -> Path:
    """Copy a set at so many times the magnification: each pixel becomes a square of pixels."""
    for kind in ("images", "masks"):
        (to / kind).mkdir(parents=True)
        for path in (folder / kind).iterdir():
            pixels = io.imread(path).repeat(times, axis=0).repeat(times, axis=1)
            # Another image, not the same one again: that would be refused as a twin.
            io.imsave(to / kind / f"large_{path.name}", pixels, check_contrast=False)
    return to


def prepared(folder: Path, recipe: Recipe, extra: list[Path], cache: Cache) -> PreparedSet:
    return prepare(folder, extra, SplitRule(), recipe, 0, cache)


def test_a_set_of_another_magnification_gets_the_main_sets_diameter(nuclei: Path, tmp_path: Path) -> None:
    synth.write_set(tmp_path / "further", count=4, rows=64, columns=80, seed=8)
    large = magnified(tmp_path / "further", tmp_path / "large", 3)
    cache = Cache(tmp_path / "cache", 1 << 30)
    plain = prepared(nuclei, Recipe(), [large], cache)
    alike = prepared(nuclei, Recipe(diameter="auto"), [large], cache)
    again = prepared(nuclei, Recipe(diameter="auto"), [large], cache)  # out of the cache
    own = len(plain.originals) - 4
    assert (plain.train[own].image.shape, plain.scale) == ((192, 240), 1.0)
    for with_auto in (alike, again):
        # The main set is as it was, bit for bit.
        assert with_auto.scale == 1.0
        for before, after in zip(plain.train[:own], with_auto.train[:own], strict=True):
            np.testing.assert_array_equal(after.image, before.image)
            np.testing.assert_array_equal(after.classes, before.classes)
        diameters = [
            median_diameter_px(image.labels for image in images)
            for images in (with_auto.train[:own], with_auto.train[own:])
        ]
        assert diameters[1] == pytest.approx(diameters[0], rel=0.03)
    assert alike.train[own].scale == pytest.approx(1.0)  # what is held back is the main set's: one factor
    numbered = prepared(nuclei, Recipe(diameter="16", scale=0.5), [large], cache)
    assert numbered.diameter_px == pytest.approx(8.0, rel=0.1)
    assert numbered.validation[0].image.shape == (96, 120)  # scored at its own size
    assert (
        numbered.train[0].image.shape == numbered.size == tuple(round(side * numbered.scale) for side in (96, 120))
    )
    # The smallest nucleus is said in pixels of the images that are scored.
    assert numbered.smallest_nucleus_px == pytest.approx(plain.smallest_nucleus_px, rel=0.7)
    with pytest.raises(InputError, match=r"×12 once it is resized by 0.1"):
        prepared(nuclei, Recipe(scale=0.1), [], cache)


def test_resizing_adds_no_label_and_keeps_grey_values() -> None:
    random = np.random.default_rng(0)
    grey, labels = synth.make_image(random, 96, 120)
    larger, smaller = resize_labels(labels, (211, 240)), resize_labels(labels, (48, 60))
    for resized in (larger, smaller):
        assert resized.dtype == np.uint16
        assert set(np.unique(resized)) <= set(np.unique(labels))
    np.testing.assert_array_equal(resize_labels(labels.repeat(3, 0).repeat(3, 1), labels.shape), labels)
    halved = resize_grey((grey / 255).astype(np.float32), (48, 60))
    assert halved.dtype == np.float32
    assert halved.shape == (48, 60)
    assert halved.mean() == pytest.approx((grey / 255).mean(), rel=0.02)
    chances = resize_grey(random.dirichlet([1, 1, 1], (9, 7)).astype(np.float32), (20, 15))
    np.testing.assert_allclose(chances.sum(axis=-1), 1.0, atol=1e-5)


def test_a_decision_is_scaled_with_its_images() -> None:
    decision = Decision(least_core_px=12, split_px=2.0, reach_px=3, least_px=20)
    assert decision.scaled(2.0) == Decision(least_core_px=48, split_px=4.0, reach_px=6, least_px=80)
    assert decision.scaled(1.0) == decision
    assert decision.scaled(0.1).reach_px == 1  # 0 would be without end
    assert Decision(reach_px=0).scaled(0.5).reach_px == 0


def test_training_at_half_size_predicts_at_the_images_own(
    sandbox: Sandbox, trainer: Trainer, nuclei: Path
) -> None:
    options = ["--data", nuclei, "--division", 2, "--epochs", 2, "--batch-size", 4, "--width", 4, "--threads", 1]
    trainer("train", *options, "--scale", 0.5, "--tta", 1, "--out", "r.json", "--save-model", "m.npz")
    result = json.loads((sandbox.path / "r.json").read_text())
    assert result["data"]["patch_px"] == [24, 30]
    assert result["data"]["scale"] == 0.5
    loaded = load_npz(sandbox.path / "m.npz")
    assert loaded
    about, arrays = loaded
    assert (about["scale"], about["tta"]) == (0.5, True)
    assert about["diameter_px"] == pytest.approx(result["data"]["diameter_px"], abs=0.01)
    # Two epochs find nothing: the network is replaced by one whose answer is the grey value.
    network_of_grey(sandbox.path / "grey.npz", about | {"model": "simpleConv"})
    trainer("predict", "grey.npz", nuclei / "images", "--out", "p", "--no-tta")
    large = magnified(nuclei, sandbox.path / "large", 2)
    diameter = 2 * about["diameter_px"] / about["scale"]
    trainer("predict", "grey.npz", large / "images", "--out", "q", "--no-tta", "--diameter", diameter)
    pairs = []
    for path in (sandbox.path / "p/labels").iterdir():
        small, twice = io.imread(path), io.imread(sandbox.path / f"q/labels/large_{path.name}")
        assert (small.shape, twice.shape) == ((96, 120), (192, 240))
        pairs.append((small.repeat(2, axis=0).repeat(2, axis=1), twice))
    assert sum(small.max() for small, _ in pairs) > 10
    assert foreground_overlap(pairs) > 0.9
    # A model of an earlier version says nothing of all this.
    for name in ("scale", "tta", "diameter_px"):
        del about[name]
    save_npz(sandbox.path / "old.npz", json.dumps(about), arrays)
    trainer("predict", "old.npz", nuclei / "images/synth_000.png", "--out", "o")
    refused = trainer("predict", "old.npz", nuclei / "images", "--out", "o", "--diameter", 9, code=2)
    assert "--diameter is 9, and" in refused.err


def network_of_grey(path: Path, about: dict[str, object]) -> None:
    """Write a model file whose network calls a pixel a nucleus as it is brighter than 0.6, and never a contour."""
    shape = models.Shape(0, 1, dense=False)
    network = models.build(shape, 0.0, 0)
    weights = {number: np.zeros(variable.shape, np.float32) for number, variable in enumerate(network.weights)}
    for number, variable in enumerate(network.weights):
        if len(variable.shape) == 4:
            weights[number][1, 1] = 1.0
        elif len(variable.shape) == 2:
            weights[number][0] = [-20.0, 20.0, -20.0]
        elif variable.name in ("gamma", "moving_variance"):
            weights[number][:] = 1.0
        elif variable.shape == (3,):
            weights[number][:] = [12.0, -12.0, -20.0]
    about = about | {
        "shape": {"depth": 0, "width": 1, "dense": False},
        "decision": {"undo_weights": False, "least_core_px": 4},
    }
    save_npz(path, json.dumps(about), {str(number): values for number, values in weights.items()})


def test_find_nuclei_survives_halving() -> None:
    """What the encoding alone loses at half size, on nuclei of known outlines."""
    _, labels = synth.make_image(np.random.default_rng(3), 192, 240)
    half = resize_labels(labels, (96, 120))
    chances = np.eye(3, dtype=np.float32)[encode(half, 1)]
    found = find_nuclei(resize_grey(chances, (192, 240)), Decision(split_px=0.0, least_core_px=4))
    assert object_scores(labels, found).mean() > 0.85
