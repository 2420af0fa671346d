"""The fused kernels against the plain ones of Keras and TensorFlow: alone, in one step, and over some epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.network import kernels, models
from trainer.network.predict import predict_probabilities
from trainer.network.step import make_step

WEIGHTS = (0.01, 1.0, 0.95)


@pytest.fixture
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="TensorFlow is the extra [trainer]")


@pytest.fixture(params=["fused", "plain"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with either kind of kernels."""
    switch(monkeypatch, str(request.param))
    return str(request.param)


def switch(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv(kernels.SWITCH, {"plain": "1", "fused": "0"}[kind])


def assert_near(ours: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Compare by the length of the difference: single numbers next to 0 may differ by more."""
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    assert np.linalg.norm(ours - expected) <= tolerance * np.linalg.norm(expected)


def test_the_switch_selects_keras(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    switch(monkeypatch, "plain")
    assert kernels.batch_normalization() is keras.layers.BatchNormalization
    optimizer = kernels.make_optimizer("adam", 0.01, [keras.Variable(np.ones(2, np.float32))])
    assert len(optimizer.variables) == 4  # the iteration, the rate, two moments
    for value in ("0", ""):
        monkeypatch.setenv(kernels.SWITCH, value)
        assert not kernels.plain_keras()
        assert kernels.batch_normalization() is not keras.layers.BatchNormalization
    monkeypatch.delenv(kernels.SWITCH)
    assert not kernels.plain_keras()


def test_the_gradients_of_the_losses_agree(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(0, 5, (3, 8, 10, 3)), tf.float32)
    classes = tf.constant(random.integers(0, 3, (3, 8, 10)).astype(np.uint8))
    upstream = tf.constant([1.0, -2.0, 0.5])
    results = []
    for kind in ("fused", "plain"):
        switch(monkeypatch, kind)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = kernels.weighted_cross_entropy(logits, classes, WEIGHTS)
        results.append((loss, tape.gradient(loss, logits, upstream)))
    for fused, plain in zip(*results, strict=True):
        assert_near(fused, plain)


def test_both_losses_are_the_formula(tf: Any, both: str) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 4, 5, 3))
    classes = random.integers(0, 3, (2, 4, 5)).astype(np.uint8)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    delta = np.eye(3)[classes]
    expected = -(np.array(WEIGHTS) * delta * np.log(probabilities)).sum(axis=(1, 2, 3))
    loss = kernels.weighted_cross_entropy(tf.constant(logits, tf.float32), tf.constant(classes), WEIGHTS)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_batch_normalisations_agree(tf: Any, monkeypatch: pytest.MonkeyPatch, training: bool) -> None:
    random = np.random.default_rng(1)
    images = tf.constant(random.normal(0.3, 2, (4, 6, 8, 16)), tf.float32)
    upstream = tf.constant(random.normal(size=images.shape), tf.float32)
    values = [np.abs(random.normal(1, 0.3, 16)) for _ in range(4)]
    results = []
    for kind in ("fused", "plain"):
        switch(monkeypatch, kind)
        layer = kernels.batch_normalization()(momentum=0.9)
        layer.build(images.shape)
        layer.set_weights(values)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=training)
        slopes = tape.gradient(outputs, [images, *(w.value for w in layer.trainable_variables)], upstream)
        results.append([outputs, *slopes, *layer.get_weights()])
    for fused, plain in zip(*results, strict=True):
        assert_near(fused, plain)


@pytest.mark.parametrize("name", kernels.OPTIMIZERS)
def test_the_optimizers_agree(tf: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import keras

    random = np.random.default_rng(2)
    start = random.normal(size=(5, 7)).astype(np.float32)
    gradients = [tf.constant(random.normal(size=start.shape), tf.float32) for _ in range(20)]
    moves = []
    for kind in ("fused", "plain"):
        switch(monkeypatch, kind)
        weight = keras.Variable(start)
        optimizer = kernels.make_optimizer(name, 0.01, [weight])
        for number, gradient in enumerate(gradients):
            optimizer.rate.assign(0.01 if number < 10 else 0.003)  # as the schedules do
            optimizer.apply([gradient])
        moves.append(weight.numpy() - start)
    assert_near(*moves)


def batch(random: np.random.Generator) -> tuple[Any, Any]:
    """Make a batch whose classes follow from the grey values: 30 rows are filled up to 32."""
    images = random.random((4, 30, 40)).astype(np.float32)
    return images, (images > 0.4).astype(np.uint8) + (images > 0.7)


def trained(name: str, rate: float, steps: int, width: int = 8) -> tuple[Any, list[float]]:
    """Train a network without dropout: always the same first weights and the same batches."""
    network = models.build(models.Shape(2, width, dense=True), 0.0, 1)
    optimizer = kernels.make_optimizer(name, rate, network.trainable_variables)
    step = make_step(network, optimizer, WEIGHTS, 4)
    random = np.random.default_rng(3)
    return network, [float(step(*batch(random))) for _ in range(steps)]


def moves(name: str, rate: float, steps: int, width: int = 8) -> tuple[Any, Any, list[float], Any]:
    """Train. Return the network before and after, the losses, and how far each weight moved."""
    start, _ = trained(name, rate, 0, width)
    network, losses = trained(name, rate, steps, width)
    pairs = zip(start.trainable_variables, network.trainable_variables, strict=True)
    moved = [(after.numpy() - before.numpy()).ravel() for before, after in pairs]
    return start, network, losses, np.concatenate(moved)


def test_one_step_moves_the_weights_alike(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test all kernels together, with SGD, whose first move is the gradient itself."""
    results = []
    for kind in ("fused", "plain"):
        switch(monkeypatch, kind)
        results.append(moves("sgd", 1.0, 1, width=16)[-1])
    assert_near(*results)


@pytest.mark.parametrize(("name", "rate", "tolerance"), [("sgd", 0.01, 0.02), ("adam", 0.001, 0.25)])
def test_some_steps_give_the_same_network(
    tf: Any, monkeypatch: pytest.MonkeyPatch, name: str, rate: float, tolerance: float
) -> None:
    """Five steps: losses within 0.1 %, predictions within 1 %, the moves of the weights within the tolerance.

    Each step adds to the rounding of those before it. Adam divides by the size of a gradient, so a weight whose
    gradient is next to 0 may move either way: hence its wide tolerance. Measured: 0.002 and 0.06.
    """
    image = np.random.default_rng(4).random((37, 53)).astype(np.float32)
    results = []
    for kind in ("fused", "plain"):
        switch(monkeypatch, kind)
        start, network, losses, moved = moves(name, rate, 5)
        predicted = [predict_probabilities(model, 2, image) for model in (start, network)]
        results.append([*predicted, losses, moved])
    for allowed, fused, plain in zip((1e-5, 1e-2, 1e-3, tolerance), *results, strict=True):
        assert_near(fused, plain, allowed)
    assert np.linalg.norm(results[0][3]) > 0.01  # the weights did move
