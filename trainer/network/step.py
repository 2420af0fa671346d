"""One step of a training: forward, loss, backward, and the move of the weights, as one traced function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.network.kernels import Optimizer, weighted_cross_entropy


def make_step(
    network: Any, optimizer: Optimizer, weights: tuple[float, ...], stride: int
) -> Callable[[Any, Any], Any]:
    """Make the function of one training step. Its loss is the mean over the pixels of the batch.

    Sides are filled up by mirroring to what the poolings can halve. The logits are cropped again.

    The formula of the loss is a sum over the pixels of a patch. It is divided by their number, so that a learning
    rate means the same at every division.

    Parameters
    ----------
    network : keras.Model
    optimizer : Optimizer
    weights : tuple of float
        Of background, nucleus, contour in the loss.
    stride : int
        The sides must be multiples of this.

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
            logits = network(_fill(images, stride)[..., None], training=True)
            if logits.shape[1:3] != classes.shape[1:]:
                logits = logits[:, :rows, :columns]
            loss = tf.reduce_mean(weighted_cross_entropy(logits, classes, weights)) / (rows * columns)
        optimizer.apply(tape.gradient(loss, optimizer.weights))
        return loss

    return lambda images, classes: step(tf.constant(images), tf.constant(classes))


def _fill(images: Any, stride: int) -> Any:
    import tensorflow as tf

    rows, columns = images.shape[1:]
    fill = [[0, 0], [0, -rows % stride], [0, -columns % stride]]
    return tf.pad(images, fill, "SYMMETRIC") if fill[1][1] or fill[2][1] else images
