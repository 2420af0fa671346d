"""The kernels of a training: batch normalisation, loss and optimizer. Each exists twice, fused and plain.

The fused kernels call TensorFlow's raw operations and need fewer passes over memory. The plain ones are the
layers, losses and optimizers of Keras and TensorFlow. Both compute the same formulas and differ in rounding alone;
a test compares them. ``TRAINER_PLAIN_KERAS=1`` in the environment selects the plain ones. They are for people who
doubt a result, and for a TensorFlow without these raw operations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

OPTIMIZERS = ("adam", "sgd")

#: The constants of Keras.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
MOMENTUM = 0.9

#: The environment variable of the switch.
SWITCH = "TRAINER_PLAIN_KERAS"


def plain_keras() -> bool:
    """Say whether the environment asks for the plain kernels."""
    return os.environ.get(SWITCH, "0") not in ("", "0")


class Optimizer(Protocol):
    """Moves weights against their gradients.

    Attributes
    ----------
    weights : list of tf.Variable
        The weights that are moved.
    rate : variable
        The learning rate, to be assigned between steps.
    variables : list of variables
        The whole state.
    """

    weights: list[Any]
    rate: Any
    variables: list[Any]

    def apply(self, gradients: Sequence[Any]) -> None:
        """Do one step. The gradients have the order of the weights."""


# --- the switch -----------------------------------------------------------------------------------------------


def batch_normalization() -> Any:
    """Give the class of the batch normalisation layer, ``keras.layers.BatchNormalization`` or a subclass of it."""
    if plain_keras():
        import keras

        return keras.layers.BatchNormalization
    return _fused_batch_normalization()


def weighted_cross_entropy(logits: Any, classes: Any, weights: tuple[float, ...]) -> Any:
    """Weighted categorical cross-entropy of each patch, ``L = −Σ_x Σ_y Σ_c w_c δ(c, G(x,y)) log P(x,y,c)``.

    Parameters
    ----------
    logits : tensor of float32, shape (batch, rows, columns, 3)
        P is their softmax.
    classes : tensor of uint8, shape (batch, rows, columns)
        The true classes G.
    weights : tuple of float
        Of background, nucleus, contour.

    Returns
    -------
    tensor of float32, shape (batch,)
        In nats, times the weights.
    """
    return (_plain_cross_entropy if plain_keras() else _fused_cross_entropy)(logits, classes, weights)


def make_optimizer(name: str, rate: float, weights: Sequence[Any]) -> Optimizer:
    """Make an optimizer.

    Parameters
    ----------
    name : {'adam', 'sgd'}
        ``sgd`` has a momentum of 0.9.
    rate : float
        Learning rate.
    weights : sequence of keras.Variable
    """
    return (_PlainOptimizer if plain_keras() else _FusedOptimizer)(name, rate, weights)


# --- plain ----------------------------------------------------------------------------------------------------


def _plain_cross_entropy(logits: Any, classes: Any, weights: tuple[float, ...]) -> Any:
    import tensorflow as tf

    true = tf.cast(classes, tf.int32)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(true, logits)
    return tf.reduce_sum(tf.gather(tf.constant(weights, tf.float32), true) * entropy, axis=(1, 2))


class _PlainOptimizer:
    """An optimizer of Keras."""

    def __init__(self, name: str, rate: float, weights: Sequence[Any]) -> None:
        import keras

        self._keras = (
            keras.optimizers.Adam(rate, BETA_1, BETA_2, EPSILON)
            if name == "adam"
            else keras.optimizers.SGD(rate, MOMENTUM)
        )
        self._trained = list(weights)
        self._keras.build(self._trained)
        self.weights = [weight.value for weight in weights]
        self.rate = self._keras.learning_rate
        self.variables = list(self._keras.variables)

    def apply(self, gradients: Sequence[Any]) -> None:
        self._keras.apply(list(gradients), self._trained)


# --- fused ----------------------------------------------------------------------------------------------------


@cache
def _fused_batch_normalization() -> Any:
    """Make the layer class whose arithmetic is one kernel each way; its weights and names are those of Keras.

    Keras 3 computes means, differences and products one after the other: at 16 channels these take a quarter of a
    training step, this kernel takes a twelfth. The class is made when called, because TensorFlow is imported late.
    """
    import keras
    import tensorflow as tf

    class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            shared = {"x": inputs, "scale": self.gamma, "offset": self.beta, "epsilon": self.epsilon}
            if not training:
                return tf.raw_ops.FusedBatchNormV3(
                    **shared, mean=self.moving_mean, variance=self.moving_variance, is_training=False
                ).y
            none = tf.zeros([0])
            outputs = tf.raw_ops.FusedBatchNormV3(**shared, mean=none, variance=none, is_training=True)
            pixels = tf.cast(tf.size(inputs) / inputs.shape[-1], tf.float32)
            # The kernel divides the sum of squares by one less than Keras does.
            self._follow(self.moving_mean, outputs.batch_mean)
            self._follow(self.moving_variance, outputs.batch_variance * (pixels - 1) / pixels)
            return outputs.y

        def _follow(self, moving: Any, batch: Any) -> None:
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))

    return FusedBatchNormalization


def _fused_cross_entropy(logits: Any, classes: Any, weights: tuple[float, ...]) -> Any:
    """Compute the loss with each class as a plane.

    TensorFlow's own function reads the three logits of a pixel one by one and takes four times as long.
    """
    import tensorflow as tf

    patches = classes.shape[0]
    true = tf.reshape(classes, [-1])
    # In the plane of a pixel's true class its weight; 0 in the other planes.
    true_weights = tf.stack(
        [tf.cast(tf.equal(true, number), tf.float32) * weight for number, weight in enumerate(weights)]
    )
    pixel_weights = tf.reduce_sum(true_weights, axis=0)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(planes: Any) -> Any:
        top = tf.reduce_max(planes, axis=0)
        powers = tf.exp(planes - top)
        total = tf.reduce_sum(powers, axis=0)
        entropy = pixel_weights * (tf.math.log(total) + top) - tf.reduce_sum(true_weights * planes, axis=0)

        def gradient(upstream: Any) -> Any:
            slope = tf.reshape(powers * (pixel_weights / total) - true_weights, [len(weights), patches, -1])
            return tf.reshape(slope * upstream[:, None], [len(weights), -1])

        return tf.reduce_sum(tf.reshape(entropy, [patches, -1]), axis=1), gradient

    return loss(tf.transpose(tf.reshape(logits, [-1, len(weights)])))


class _FusedOptimizer:
    """Adam or SGD as one kernel for each weight. TensorFlow traces it three times as fast as that of Keras."""

    def __init__(self, name: str, rate: float, weights: Sequence[Any]) -> None:
        import tensorflow as tf

        self.weights = [weight.value for weight in weights]
        self.rate = tf.Variable(rate, dtype=tf.float32)
        # Powers of the betas: Adam corrects its moments by them, which start at 0.
        self._powers = [tf.Variable(beta) for beta in (BETA_1, BETA_2)] if name == "adam" else []
        self._slots = [
            [tf.Variable(tf.zeros_like(weight)) for _ in self._powers or [None]] for weight in self.weights
        ]
        self._move: Callable[..., None] = self._adam if name == "adam" else self._sgd
        self.variables = [self.rate, *self._powers, *(slot for slots in self._slots for slot in slots)]

    def apply(self, gradients: Sequence[Any]) -> None:
        for weight, slots, gradient in zip(self.weights, self._slots, gradients, strict=True):
            self._move(weight.handle, [slot.handle for slot in slots], gradient)
        for power, beta in zip(self._powers, (BETA_1, BETA_2), strict=False):
            power.assign(power * beta)

    def _adam(self, weight: Any, slots: list[Any], gradient: Any) -> None:
        import tensorflow as tf

        tf.raw_ops.ResourceApplyAdam(
            var=weight, m=slots[0], v=slots[1], beta1_power=self._powers[0], beta2_power=self._powers[1],
            lr=self.rate, beta1=BETA_1, beta2=BETA_2, epsilon=EPSILON, grad=gradient,
        )  # fmt: skip

    def _sgd(self, weight: Any, slots: list[Any], gradient: Any) -> None:
        import tensorflow as tf

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=weight, accum=slots[0], lr=self.rate, grad=gradient, momentum=MOMENTUM
        )
