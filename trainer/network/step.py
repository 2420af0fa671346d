"""One step of a training: forwards, the loss, backwards, and the weights moved, as one traced function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.network.optimizers import Optimizer


def weighted_cross_entropy(logits: Any, classes: Any, weights: tuple[float, ...]) -> Any:
    """Weighted categorical cross-entropy of each patch, ``L = −Σ_x Σ_y Σ_c w_c δ(c, G(x,y)) log P(x,y,c)``.

    Each class is a plane here. TensorFlow's own function goes through a pixel's three logits one by one, and takes
    four times as long as all this.

    Parameters
    ----------
    logits : tensor, shape (batch, rows, columns, 3)
        Whose softmax is P.
    classes : tensor of int, shape (batch, rows, columns)
        The true classes G.
    weights : tuple of float
        Of background, nucleus, contour.

    Returns
    -------
    tensor, shape (batch,)
        In nats, times the weights.
    """
    import tensorflow as tf

    patches = classes.shape[0]
    true = tf.reshape(classes, [-1])
    # What the pixel's true class weighs, in that class's plane; nought in the others.
    wanted = tf.stack([tf.cast(tf.equal(true, number), tf.float32) * one for number, one in enumerate(weights)])
    weight = tf.reduce_sum(wanted, axis=0)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(planes: Any) -> Any:
        top = tf.reduce_max(planes, axis=0)
        powers = tf.exp(planes - top)
        whole = tf.reduce_sum(powers, axis=0)
        entropy = weight * (tf.math.log(whole) + top) - tf.reduce_sum(wanted * planes, axis=0)

        def gradient(upstream: Any) -> Any:
            slope = tf.reshape(powers * (weight / whole) - wanted, [len(weights), patches, -1])
            return tf.reshape(slope * upstream[:, None], [len(weights), -1])

        return tf.reduce_sum(tf.reshape(entropy, [patches, -1]), axis=1), gradient

    return loss(tf.transpose(tf.reshape(logits, [-1, len(weights)])))


def step_of(
    network: Any, optimizer: Optimizer, weights: tuple[float, float, float], stride: int
) -> Callable[[Any, Any], Any]:
    """Make the function of one training step; its loss is the mean over the batch's pixels.

    Sides are filled up by mirroring to what the poolings can halve, and what comes out is cropped again.

    The formula is a sum over a patch's pixels. Divided by their number, the same learning rate means the same
    at every division.

    Parameters
    ----------
    network : keras.Model
    optimizer : Optimizer
    weights : tuple of float
        Of background, nucleus, contour in the loss.
    stride : int
        What the sides have to be multiples of.

    Returns
    -------
    callable
        (images, classes), ndarrays of shape (batch, rows, columns) → the loss before the step, a tensor.
    """
    import tensorflow as tf

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(images: Any, classes: Any) -> Any:
        rows, columns = classes.shape[1:]
        with tf.GradientTape() as tape:
            logits = network(_filled(images, stride)[..., None], training=True)
            if logits.shape[1:3] != classes.shape[1:]:
                logits = logits[:, :rows, :columns]
            loss = tf.reduce_mean(weighted_cross_entropy(logits, classes, weights)) / (rows * columns)
        optimizer.apply(tape.gradient(loss, optimizer.weights))
        return loss

    return lambda images, classes: step(tf.constant(images), tf.constant(classes))


def _filled(images: Any, stride: int) -> Any:
    import tensorflow as tf

    rows, columns = images.shape[1:]
    fill = [[0, 0], [0, -rows % stride], [0, -columns % stride]]
    return tf.pad(images, fill, "SYMMETRIC") if fill[1][1] or fill[2][1] else images
