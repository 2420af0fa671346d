"""A table with learning curves: 8192 configurations of a small network, three seeds, 27 epochs, trained here.

``python -m bench.curves_table FILE.npz`` writes it, in some minutes of one core. The network has one hidden layer
and learns scikit-learn's digits (1,797 images of 8×8) from 300 of them; the score is the share that it gets right
of 600 others. Models that differ only in learning rate, momentum, weight decay and seed are trained side by side.

The file has ``curves``, (configurations, seeds, epochs), ``core_s``, (configurations,): what one training takes
when it is counted by its arithmetic, and ``configurations``, JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EPOCHS = 27
SEEDS = 3
AXES: dict[str, list[Any]] = {
    "width": [4, 8, 16, 32],
    "batch": [10, 20, 50, 100],
    "activation": ["relu", "tanh"],
    "schedule": ["constant", "cosine"],
    "dropout": [0.0, 0.3],
    "learning_rate": [0.003, 0.01, 0.05, 0.2],
    "momentum": [0.0, 0.5, 0.9, 0.97],
    "decay": [0.0, 1e-4, 1e-3, 1e-2],
}
#: The axes along which models are trained side by side.
TOGETHER = ("learning_rate", "momentum", "decay")


def configurations() -> list[dict[str, Any]]:
    """Return all 8192, in the grid's order."""
    return [dict(zip(AXES, values, strict=True)) for values in itertools.product(*AXES.values())]


def data() -> tuple[Floats, NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Return the images and digits to train on, and those to score by."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    images = (images / 8 - 1).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:300], order[300:900]
    return images[train], digits[train], images[test], digits[test]


class Models:
    """Models of one width, batch, activation, schedule and dropout: one for each of the rest and each seed."""

    def __init__(self, shape: dict[str, Any], models: list[dict[str, Any]]) -> None:
        self.shape, count = shape, len(models) * SEEDS
        width = shape["width"]
        self.rate, self.momentum, self.decay = (
            np.repeat(np.array([model[name] for model in models], np.float32), SEEDS)[:, None, None]
            for name in TOGETHER
        )
        self.randoms = [np.random.default_rng([seed, *map(ord, json.dumps(shape))]) for seed in range(SEEDS)]
        first = np.stack([random.normal(0, 0.18, (64, width)) for random in self.randoms])
        second = np.stack([random.normal(0, 1 / np.sqrt(width), (width, 10)) for random in self.randoms])
        repeated = [np.tile(values, (count // SEEDS, 1, 1)).astype(np.float32) for values in (first, second)]
        biases = [np.zeros((count, 1, size), np.float32) for size in (width, 10)]
        self.weights = [repeated[0], biases[0], repeated[1], biases[1]]
        self.speeds = [np.zeros_like(values) for values in self.weights]

    def hidden(self, images: Floats) -> Floats:
        """Return the hidden layer's values."""
        values = images @ self.weights[0] + self.weights[1]
        return np.maximum(values, 0) if self.shape["activation"] == "relu" else np.tanh(values)

    def epoch(self, images: Floats, digits: NDArray[np.intp], number: int) -> None:
        """Train one epoch."""
        batch, steps = self.shape["batch"], len(images) // self.shape["batch"]
        orders = np.stack([random.permutation(len(images)) for random in self.randoms])
        repeats = len(self.rate) // SEEDS
        for step in range(steps):
            chosen = orders[:, step * batch : (step + 1) * batch]
            done = (number + step / steps) / EPOCHS
            factor = 0.5 * (1 + np.cos(np.pi * done)) if self.shape["schedule"] == "cosine" else 1.0
            masks = None
            if self.shape["dropout"]:
                kept = 1 - self.shape["dropout"]
                drawn = np.stack([random.random((batch, self.shape["width"])) < kept for random in self.randoms])
                masks = np.tile(drawn, (repeats, 1, 1)).astype(np.float32) / np.float32(kept)
            self._step(
                np.tile(images[chosen], (repeats, 1, 1)), np.tile(digits[chosen], (repeats, 1)), masks, factor
            )

    def _step(self, images: Floats, digits: NDArray[np.intp], masks: Floats | None, factor: float) -> None:
        hidden = self.hidden(images)
        seen = hidden if masks is None else hidden * masks
        outputs = seen @ self.weights[2] + self.weights[3]
        outputs -= outputs.max(axis=2, keepdims=True)
        errors = np.exp(outputs)
        errors /= errors.sum(axis=2, keepdims=True)
        np.put_along_axis(errors, digits[:, :, None], np.take_along_axis(errors, digits[:, :, None], 2) - 1, 2)
        errors /= images.shape[1]
        back = errors @ self.weights[2].transpose(0, 2, 1)
        back = back if masks is None else back * masks
        back *= (hidden > 0) if self.shape["activation"] == "relu" else 1 - hidden**2
        slopes = [
            images.transpose(0, 2, 1) @ back, back.sum(axis=1, keepdims=True),
            seen.transpose(0, 2, 1) @ errors, errors.sum(axis=1, keepdims=True),
        ]  # fmt: skip
        for values, speed, slope in zip(self.weights, self.speeds, slopes, strict=True):
            speed *= self.momentum
            speed -= np.float32(factor) * self.rate * (slope + self.decay * values)
            values += speed

    def score(self, images: Floats, digits: NDArray[np.intp]) -> Floats:
        """Return the share of digits that each model gets right; 0 where it diverged."""
        outputs = self.hidden(images[None]) @ self.weights[2] + self.weights[3]
        right = (outputs.argmax(axis=2) == digits).mean(axis=1)
        return np.where(np.isfinite(outputs).all(axis=(1, 2)), right, 0.0).astype(np.float32)


def core_s(configuration: dict[str, Any]) -> float:
    """Count what a training costs, in units of a second of some core: its arithmetic, and a part for each step."""
    steps = 300 / configuration["batch"] * EPOCHS
    return 1e-6 * 300 * EPOCHS * configuration["width"] * 74 * 6 / 100 + 2e-4 * steps


def main() -> None:
    """Train all and write the table."""
    np.seterr(all="ignore")  # some of them diverge
    images, digits, test_images, test_digits = data()
    everything = configurations()
    place = {json.dumps(configuration): index for index, configuration in enumerate(everything)}
    curves = np.zeros((len(everything), SEEDS, EPOCHS), np.float32)
    shapes = [name for name in AXES if name not in TOGETHER]
    began = time.monotonic()
    for values in itertools.product(*(AXES[name] for name in shapes)):
        shape = dict(zip(shapes, values, strict=True))
        together = itertools.product(*(AXES[name] for name in TOGETHER))
        members = [dict(zip(TOGETHER, rest, strict=True)) for rest in together]
        models = Models(shape, members)
        rows = [place[json.dumps({**shape, **member})] for member in members]
        for epoch in range(EPOCHS):
            models.epoch(images, digits, epoch)
            curves[rows, :, epoch] = models.score(test_images, test_digits).reshape(len(members), SEEDS)
        print(f"{shape}: {time.monotonic() - began:.0f} s", flush=True)
    costs = np.array([core_s(configuration) for configuration in everything])
    np.savez_compressed(Path(sys.argv[1]), curves=curves, core_s=costs, configurations=json.dumps(everything))


if __name__ == "__main__":
    main()
