"""The whole of a training, as the job that is swept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Sandbox
from trainer import models
from trainer.errors import InputError, TrainerError
from trainer.result import write_result


def train(sandbox: Sandbox, *options: str, code: int = 0, out: str = "r.json") -> str:
    ran = sandbox.run(sys.executable, "-m", "trainer", "train", "--out", out, *options, timeout_s=290)
    assert ran.code == code, ran.err
    return ran.err if code else ran.out


@pytest.fixture
def nuclei(sandbox: Sandbox) -> Path:
    ran = sandbox.run(
        sys.executable,
        "-m",
        "trainer",
        "data",
        "synth",
        "set",
        "--count",
        "8",
        "--rows",
        "128",
        "--columns",
        "128",
    )
    assert ran.code == 0, ran.err
    return sandbox.path / "set"


def test_it_learns_scores_and_says_what_it_did(sandbox: Sandbox, nuclei: Path) -> None:
    options = [
        "--data",
        str(nuclei),
        "--epochs",
        "25",
        "--batch-size",
        "8",
        "--width",
        "8",
        "--learning-rate",
        "0.01",
        "--threads",
        "1",
        "--seed",
        "4",
    ]
    out = train(sandbox, *options)
    result = json.loads((sandbox.path / "r.json").read_text())
    assert result["complete"] is True
    assert result["segMeasure"] == result["validation"]["segMeasure"]
    # Untrained it is 0; the bound is far below what it reaches (0.4 to 0.6), and far above chance.
    assert result["test"]["segMeasure"] > 0.2
    losses = [epoch["loss"] for epoch in result["history"]]
    assert len(losses) == 25
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    assert not set(result["train_images"]) & set(result["test"]["images"])
    assert (result["threads"], result["parameters"]["width"], result["parameters"]["seed"]) == (1, 8, 4)
    assert out.count("epoch ") == 25
    # The same seed and threads in another process: the same result, bit for bit.
    train(sandbox, *options, out="again.json")
    again = json.loads((sandbox.path / "again.json").read_text())
    assert [epoch["loss"] for epoch in again["history"]] == losses
    assert again["test"] == result["test"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "smalUNet"], "did you mean 'smallUNet'?"),
        (["--learning-rate", "0"], "--learning-rate is 0"),
        (["--learning-rate", "nan"], "--learning-rate is nan"),
        (["--learning-rate=-1"], "--learning-rate is -1"),
        (["--optimizer", "adm"], "--optimizer is adm"),
        (["--weights", "0", "0", "0"], "--weights"),
        (["--dropout", "1"], "--dropout is 1"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--contour", "3"], "--contour is 3"),
        (["--division", "500"], "division is 500"),
        (["--division", "8", "--depth", "4"], "too small for 4 poolings"),
        (["--augmentation", "2"], "augmentation is 2"),
        (["--data", "nowhere"], "there are no images"),
    ],
)
def test_what_cannot_be_trained(sandbox: Sandbox, options: list[str], said: str) -> None:
    sandbox.run(
        sys.executable, "-m", "trainer", "data", "synth", "set", "--count", "8", "--rows", "64", "--columns", "64"
    )
    told = train(sandbox, "--data", "set", *options, code=2)
    assert said in told
    assert "Traceback" not in told
    assert not (sandbox.path / "r.json").exists()


def test_a_training_that_diverges_is_a_failure_with_its_reason(sandbox: Sandbox, nuclei: Path) -> None:
    told = train(
        sandbox,
        "--data",
        str(nuclei),
        "--optimizer",
        "sgd",
        "--learning-rate",
        "1e30",
        "--epochs",
        "3",
        "--width",
        "4",
        code=1,
    )
    assert "diverged" in told
    assert not (sandbox.path / "r.json").exists()


def test_nan_never_appears_in_a_result(tmp_path: Path) -> None:
    with pytest.raises(TrainerError):
        write_result(tmp_path / "r.json", {"segMeasure": float("nan")})
    assert list(tmp_path.iterdir()) == []


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


def test_every_model_predicts_any_size_and_the_loss_is_the_formula() -> None:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is the extra [trainer]")
    from trainer.train import predict, weighted_cross_entropy

    for name in models.MODELS:
        shape = models.shape_of(name, None, 4)
        network = models.build(shape, dropout=0.1, seed=0)
        probabilities = predict(network, shape, np.zeros((37, 53), np.float32))
        assert probabilities.shape == (37, 53, 3)
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, atol=1e-5)
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 4, 5, 3))
    classes = random.integers(0, 3, (2, 4, 5)).astype(np.uint8)
    weights = (0.01, 1.0, 0.95)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = np.mean([-weights[c] * np.log(p[i][c]) for i, c in np.ndenumerate(classes)])
    made = weighted_cross_entropy(tf.constant(logits, tf.float32), tf.constant(classes), weights)
    assert float(made) == pytest.approx(expected, rel=1e-5)
