"""The fused kernels against what they stand for: Keras's and TensorFlow's own, plainly written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.network import models
from trainer.network.kernels import batch_normalization, make_optimizer, weighted_cross_entropy
from trainer.network.step import make_step

WEIGHTS = (0.01, 1.0, 0.95)


@pytest.fixture
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="TensorFlow is the extra [trainer]")


def near(made: Any, expected: Any) -> None:
    """Within 1e-4 of the whole's length: single numbers next to nought may be off by more."""
    made, expected = np.asarray(made, np.float64), np.asarray(expected, np.float64)
    assert np.linalg.norm(made - expected) <= 1e-4 * np.linalg.norm(expected)


def test_the_losss_gradient_is_tensorflows(tf: Any) -> None:
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(0, 5, (3, 8, 10, 3)), tf.float32)
    classes = tf.constant(random.integers(0, 3, (3, 8, 10)).astype(np.uint8))
    upstream = tf.constant([1.0, -2.0, 0.5])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        made = weighted_cross_entropy(logits, classes, WEIGHTS)
        true = tf.cast(classes, tf.int32)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(true, logits)
        plain = tf.reduce_sum(tf.gather(tf.constant(WEIGHTS), true) * entropy, axis=(1, 2))
    near(made, plain)
    near(tape.gradient(made, logits, upstream), tape.gradient(plain, logits, upstream))


@pytest.mark.parametrize("training", [True, False])
def test_the_batch_normalisation_is_kerass(tf: Any, training: bool) -> None:
    import keras

    random = np.random.default_rng(1)
    images = tf.constant(random.normal(0.3, 2, (4, 6, 8, 16)), tf.float32)
    upstream = tf.constant(random.normal(size=images.shape), tf.float32)
    values = [np.abs(random.normal(1, 0.3, 16)) for _ in range(4)]
    found = []
    for kind in (batch_normalization(), keras.layers.BatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(images.shape)
        layer.set_weights(values)
        with tf.GradientTape() as tape:
            tape.watch(images)
            made = layer(images, training=training)
        slopes = tape.gradient(made, [images, *(one.value for one in layer.trainable_variables)], upstream)
        found.append([made, *slopes, *layer.get_weights()])
    for one, other in zip(*found, strict=True):
        near(one, other)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_optimizers_are_kerass(tf: Any, name: str) -> None:
    import keras

    random = np.random.default_rng(2)
    start = random.normal(size=(5, 7)).astype(np.float32)
    theirs = {"adam": lambda: keras.optimizers.Adam(0.01), "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9)}
    mine, plain = keras.Variable(start), keras.Variable(start)
    optimizer, peer = make_optimizer(name, 0.01, [mine]), theirs[name]()
    for _ in range(20):
        gradient = tf.constant(random.normal(size=start.shape), tf.float32)
        optimizer.apply([gradient])
        peer.apply([gradient], [plain])
    near(mine.numpy() - start, plain.numpy() - start)


def test_a_step_moves_the_weights_as_keras_would(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything together, by SGD, whose move is the gradient itself."""
    import keras

    random = np.random.default_rng(3)
    images = random.random((4, 32, 40)).astype(np.float32)
    classes = random.integers(0, 3, images.shape).astype(np.uint8)
    shape = models.Shape(2, 16, dense=True)
    network = models.build(shape, 0.0, 1)
    monkeypatch.setattr(models, "batch_normalization", lambda: keras.layers.BatchNormalization)
    plain = models.build(shape, 0.0, 1)
    before = [one.numpy() for one in network.trainable_variables]
    make_step(network, make_optimizer("sgd", 1.0, network.trainable_variables), WEIGHTS, 4)(images, classes)
    with tf.GradientTape() as tape:
        logits = plain(images[..., None], training=True)
        true = classes.astype(np.int32)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(true, logits)
        loss = tf.reduce_mean(tf.gather(tf.constant(WEIGHTS), true) * entropy)
    slopes = tape.gradient(loss, [one.value for one in plain.trainable_variables])
    moved = [was - one.numpy() for was, one in zip(before, network.trainable_variables, strict=True)]
    near(np.concatenate([one.ravel() for one in moved]), np.concatenate([one.numpy().ravel() for one in slopes]))
