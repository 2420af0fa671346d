"""Adam and SGD as one fused kernel a weight: Keras's own formulas, and a third of its time to trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

#: As in Keras.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
MOMENTUM = 0.9


class Optimizer:
    """Moves weights against their gradients.

    Parameters
    ----------
    name : {'adam', 'sgd'}
        ``sgd`` has a momentum of 0.9.
    rate : float
        Learning rate.
    weights : sequence of keras.Variable
        Those that are moved.

    Attributes
    ----------
    rate : tf.Variable
        To be set between steps.
    variables : list of tf.Variable
        The whole of its state.
    """

    def __init__(self, name: str, rate: float, weights: Sequence[Any]) -> None:
        import tensorflow as tf

        self.weights = [one.value for one in weights]
        self.rate = tf.Variable(rate, dtype=tf.float32)
        # Powers of the betas: Adam's correction for moments that start at nought.
        self._powers = [tf.Variable(beta) for beta in (BETA_1, BETA_2)] if name == "adam" else []
        self._slots = [[tf.Variable(tf.zeros_like(one)) for _ in self._powers or [None]] for one in self.weights]
        self._move: Callable[..., None] = self._adam if name == "adam" else self._sgd
        self.variables = [self.rate, *self._powers, *(slot for slots in self._slots for slot in slots)]

    def apply(self, gradients: Sequence[Any]) -> None:
        """Do one step; the gradients in the order of the weights."""
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
