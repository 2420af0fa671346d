"""The networks: their tables against Keras, their drawings, which fit, and prediction of any size."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.trainer.conftest import Trainer
from trainer.errors import InputError
from trainer.network import drawing, models


@pytest.fixture
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="TensorFlow is the extra [trainer]")


@pytest.mark.parametrize(
    ("side", "depth", "fits"), [(16, 2, True), (16, 3, False), (32, 3, True), (32, 4, False), (64, 4, True)]
)
def test_which_depths_fit_which_patches(side: int, depth: int, fits: bool) -> None:
    shape = models.shape_of("UNet", depth, 8)
    if fits:
        models.check_patch(shape, side, side + side // 4)
    else:
        with pytest.raises(InputError, match=f"too small for {depth} poolings"):
            models.check_patch(shape, side, side + side // 4)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        models.shape_of("Unet", None, None)
    assert "UNet" in caught.value.hint


@pytest.mark.parametrize("model", models.MODELS)
def test_the_table_is_the_network(tf: Any, model: str) -> None:
    shape = models.shape_of(model, None, 8)
    network = models.build(shape, 0.1, 0)
    assert sum(layer.parameters for layer in models.layers_of(shape)) == network.count_params()
    outputs = [
        layer.output.shape[-1] for layer in network.layers if "conv2d" in layer.name or "dense" in layer.name
    ]
    listed = [layer.channels for layer in models.layers_of(shape) if layer.kind in ("conv", "up", "dense")][:-1]
    assert outputs == listed  # the last one is called logits


def test_flops_by_hand() -> None:
    # 3×3 from 1 to 4 channels and from 4 to 4, then 4 to 3 at every pixel, on 10×10; 2 operations a product.
    shape = models.Shape(depth=0, width=4, dense=False)
    assert sum(layer.flops(10, 10) for layer in models.layers_of(shape)) == 2 * 100 * (9 * 4 + 9 * 16 + 12)


def test_flops_count_what_is_filled_up() -> None:
    shape = models.shape_of("smallUNet", None, None)
    assert models.flops(shape, 17, 22) == models.flops(shape, 20, 24)


def test_unet_is_ronnebergers(trainer: Trainer) -> None:
    layers = models.layers_of(models.MODELS["UNet"])
    assert [layer.channels for layer in layers if layer.kind == "conv"] == [
        64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024, 512, 512, 256, 256, 128, 128, 64, 64,
    ]  # fmt: skip
    out = trainer("models", "--rows", 32, "--columns", 40).out
    assert "31,048,387" in out
    assert "no: at most 3" in out
    assert "512×640×64" in trainer("models", "--model", "UNet", "--rows", 512, "--columns", 640).out


def test_the_drawings_are_the_models() -> None:
    folder = ROOT / "docs" / "models"
    if os.environ.get("SWEEP_UPDATE_GOLDEN"):
        drawing.draw_all(folder)
    for name, shape in models.MODELS.items():
        drawn = (folder / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn == drawing.svg(name, shape), "SWEEP_UPDATE_GOLDEN=1 draws it anew"


@pytest.mark.parametrize("model", models.MODELS)
def test_every_model_predicts_any_size(tf: Any, model: str) -> None:
    from trainer.network.predict import predict_probabilities

    shape = models.shape_of(model, None, 4)
    network = models.build(shape, dropout=0.1, seed=0)
    probabilities = predict_probabilities(network, shape.depth, np.zeros((37, 53), np.float32))
    assert probabilities.shape == (37, 53, 3)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(("depth", "size"), [(0, (150, 200)), (2, (131, 257)), (3, (150, 200)), (4, (331, 357))])
def test_tiles_put_together_are_the_whole(tf: Any, depth: int, size: tuple[int, int]) -> None:
    from trainer.network import predict

    network = models.build(models.Shape(depth, 4, dense=False), 0.0, 1)
    random = np.random.default_rng(0)
    for variable in network.trainable_variables:
        if len(variable.shape) == 4:  # kernels with a wide reach that keep the signal
            variable.assign(random.normal(0, 1.5 / np.sqrt(np.prod(variable.shape[:3])), variable.shape))
    image = random.random(size).astype(np.float32)
    whole = predict.predict_probabilities(network, depth, image)
    assert whole.std(axis=(0, 1)).min() > 0.01
    np.testing.assert_allclose(predict.predict_probabilities(network, depth, image, tile_px=64), whole, atol=2e-5)


def test_eight_views_are_predicted_alike_however_the_image_is_turned(tf: Any) -> None:
    from trainer.network import predict

    network = models.build(models.Shape(2, 4, dense=False), 0.0, 1)
    image = np.random.default_rng(0).random((24, 36)).astype(np.float32)
    mean = predict.predict_views(network, 2, image)
    np.testing.assert_allclose(mean.sum(axis=-1), 1.0, atol=1e-5)
    views: list[tuple[Any, Any]] = [(image[:, ::-1], mean[:, ::-1]), (np.rot90(image, 3), np.rot90(mean, 3))]
    for view, expected in views:
        view = np.ascontiguousarray(view)
        np.testing.assert_allclose(predict.predict_views(network, 2, view), expected, atol=1e-5)
        # As it is, the network sees the turned image otherwise: that is what the mean takes away.
        assert np.abs(predict.predict_probabilities(network, 2, view) - expected).max() > 1e-3


def test_with_less_overlap_there_are_seams(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.network import predict

    network = models.build(models.Shape(2, 4, dense=False), 0.0, 1)
    image = np.random.default_rng(0).random((150, 200)).astype(np.float32)
    whole = predict.predict_probabilities(network, 2, image)
    monkeypatch.setattr(predict, "receptive_field_px", lambda depth: 0)
    assert np.abs(predict.predict_probabilities(network, 2, image, tile_px=64) - whole).max() > 0.01


def test_large_images_are_tiled_by_themselves(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.network import predict

    seen: list[tuple[int, ...]] = []
    whole = predict._predict_whole

    def watched(network: Any, depth: int, image: Any) -> Any:
        seen.append(image.shape)
        return whole(network, depth, image)

    monkeypatch.setattr(predict, "_predict_whole", watched)
    monkeypatch.setattr(predict, "WHOLE_PX", 100 * 100)
    monkeypatch.setattr(predict, "TILE_PX", 64)
    network = models.build(models.Shape(0, 2, dense=False), 0.0, 0)
    predict.predict_probabilities(network, 0, np.zeros((130, 100), np.float32))
    assert len(seen) == 3 * 2
    assert max(rows for rows, _ in seen) < 130


def test_what_is_filled_up_is_cropped_before_the_loss(tf: Any) -> None:
    """Patches of 17×22 are filled up to 20×24 for two poolings; the loss is that of 17×22 pixels."""
    from trainer.network.kernels import make_optimizer
    from trainer.network.step import make_step

    network = models.build(models.Shape(2, 4, dense=False), 0.0, 3)
    random = np.random.default_rng(1)
    images = random.random((2, 17, 22)).astype(np.float32)
    classes = random.integers(0, 3, images.shape).astype(np.uint8)
    filled = np.pad(images, ((0, 0), (0, 3), (0, 2)), mode="symmetric")[..., None]
    chances = tf.nn.softmax(network(filled, training=True)).numpy()[:, :17, :22]
    true = np.take_along_axis(chances, classes[..., None].astype(int), axis=-1)[..., 0]
    weights = (0.01, 1.0, 0.95)
    expected = np.mean(-np.array(weights)[classes] * np.log(true))
    optimizer = make_optimizer("adam", 0.001, network.trainable_variables)
    loss = make_step(network, optimizer, weights, 4)(images, classes)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_a_model_file_gives_the_same_network_back(tf: Any, tmp_path: Path) -> None:
    from trainer.network.predict import predict_probabilities
    from trainer.scoring.instances import Decision
    from trainer.training import modelfile

    shape = models.Shape(2, 4, dense=True)
    network = models.build(shape, 0.3, 5)
    about = modelfile.ModelInfo(
        version=modelfile.VERSION, model="smallUNet", shape=shape, contour_px=2, weights=(0.01, 1.0, 0.95),
        decision=Decision(True, 0.3, 0.6, 4, 1.0, 3), normalisation=modelfile.NORMALISATION, versions={"x": "1"},
        trained_on="ab", segMeasure=0.5,
    )  # fmt: skip
    modelfile.save(tmp_path / "m.npz", network, about)
    again, loaded = modelfile.load(tmp_path / "m.npz")
    assert loaded == about
    image = np.random.default_rng(0).random((40, 48)).astype(np.float32)
    np.testing.assert_array_equal(predict_probabilities(network, 2, image), predict_probabilities(again, 2, image))
    wrong: list[tuple[str, Any, str]] = [
        ("version", 99, "is of version 99"),
        ("normalisation", "none", "normalised by none"),
    ]
    for field, value, message in wrong:
        modelfile.save(tmp_path / "other.npz", network, replace(about, **{field: value}))
        with pytest.raises(InputError, match=message):
            modelfile.load(tmp_path / "other.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"hello"])
def test_files_that_are_no_model(tmp_path: Path, content: bytes) -> None:
    from trainer.training import modelfile

    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(InputError, match="is no model file"):
        modelfile.load(tmp_path / "m.npz")
    with pytest.raises(InputError, match="there is no"):
        modelfile.load(tmp_path / "other.npz")
