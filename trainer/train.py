"""One training, from the options to the result."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import data, models
from trainer.errors import InputError, TrainerError
from trainer.instances import instances
from trainer.patches import Patches, batches, make_patches
from trainer.result import write_result
from trainer.score import seg_measure


@dataclass(frozen=True)
class Options:
    """What one training is to do; the command line's options, one for one."""

    data: Path
    out: Path
    model: str = "smallUNet"
    depth: int | None = None
    width: int | None = None
    optimizer: str = "adam"
    learning_rate: float = 0.001
    dropout: float = 0.3
    batch_size: int = 16
    epochs: int = 30
    augmentation: int = 0
    division: int = 4
    blank: bool = False
    flips: bool = True
    contour_px: int = 2
    weights: tuple[float, float, float] = (0.3, 1.0, 1.5)
    validation: float = 0.2
    seed: int = 0
    threads: int = 0


OPTIMIZERS = ("adam", "sgd")


def check(options: Options) -> None:
    """Refuse what cannot be trained.

    Raises
    ------
    InputError
        Which option, its value, and what it should be.
    """
    rules: list[tuple[bool, str, Any, str]] = [
        (options.optimizer in OPTIMIZERS, "optimizer", options.optimizer, " or ".join(OPTIMIZERS)),
        (0 < options.learning_rate < math.inf, "learning-rate", options.learning_rate, "above 0"),
        (0 <= options.dropout < 1, "dropout", options.dropout, "in [0, 1)"),
        (options.batch_size >= 1, "batch-size", options.batch_size, "1 or more"),
        (options.epochs >= 1, "epochs", options.epochs, "1 or more"),
        (options.augmentation >= 0, "augmentation", options.augmentation, "0 or more"),
        (options.contour_px in (1, 2), "contour", options.contour_px, "1 or 2 pixels"),
        (0 < options.validation < 1, "validation", options.validation, "between 0 and 1"),
        (
            all(0 <= weight < math.inf for weight in options.weights) and any(options.weights),
            "weights",
            options.weights,
            "three numbers, none negative, not all 0",
        ),
    ]
    for good, name, value, expected in rules:
        if not good:
            raise InputError(f"--{name} is {value}", f"it should be {expected}")
    models.shape_of(options.model, options.depth, options.width)


def train(options: Options) -> dict[str, Any]:
    """Train, predict, score, and write the result.

    Returns
    -------
    dict
        The result as written.

    Raises
    ------
    InputError
        The data or an option cannot be used.
    TrainerError
        The training diverged.
    """
    check(options)
    clock = _Clock()
    parts = data.split(options.data, data.read_set(options.data), options.seed, options.validation)
    patches = make_patches(
        parts.train,
        augmentation=options.augmentation,
        division=options.division,
        blank=options.blank,
        contour_px=options.contour_px,
        seed=options.seed,
    )
    shape = models.shape_of(options.model, options.depth, options.width)
    models.check_patch(shape, *patches.images.shape[1:])
    clock.lap("prepare")
    threads = _start_tensorflow(options.threads)
    clock.lap("import")
    network = models.build(shape, options.dropout, options.seed)
    history = _fit(network, shape, patches, options, clock)
    scores = {
        name: seg_measure(
            {one.name: (one.labels, instances(predict(network, shape, one.image))) for one in samples}
        )
        for name, samples in (("validation", parts.validation), ("test", parts.test))
    }
    clock.lap("predict and score")
    result = {
        "version": 1,
        "complete": True,
        "segMeasure": scores["validation"]["segMeasure"],
        "validation": scores["validation"],
        "test": scores["test"],
        "parameters": {**asdict(options), "data": str(options.data), "out": str(options.out), **asdict(shape)},
        "train_images": [one.name for one in parts.train],
        "patches": len(patches.images),
        "patch_px": list(patches.images.shape[1:]),
        "network_parameters": int(network.count_params()),
        "threads": threads,
        "history": history,
        "seconds": clock.laps,
    }
    write_result(options.out, result)
    return result


def _start_tensorflow(threads: int) -> int:
    """Import TensorFlow, on as many threads as there are CPUs for this job."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone says which CPUs are ours
    mine = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = threads or int(os.environ.get("SWEEP_CPUS", 0)) or mine
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return threads


def weighted_cross_entropy(logits: Any, classes: Any, weights: tuple[float, ...]) -> Any:
    """Weighted categorical cross-entropy, the mean over pixels of ``−w_c log P(c)`` at the true class *c*.

    Parameters
    ----------
    logits : tensor, shape (batch, rows, columns, 3)
    classes : tensor of int, shape (batch, rows, columns)
    weights : tuple of float
        Of background, nucleus, contour.

    Returns
    -------
    scalar tensor
    """
    import tensorflow as tf

    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(classes, tf.int32), logits)
    return tf.reduce_mean(tf.gather(tf.constant(weights, tf.float32), tf.cast(classes, tf.int32)) * entropy)


def _fit(
    network: Any, shape: models.Shape, patches: Patches, options: Options, clock: _Clock
) -> list[dict[str, float]]:
    """Train for all epochs; a line an epoch on stdout."""
    import keras
    import tensorflow as tf

    make = {"adam": keras.optimizers.Adam, "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9)}
    optimizer = make[options.optimizer](options.learning_rate)
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(images: Any, classes: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = weighted_cross_entropy(network(images[..., None], training=True), classes, options.weights)
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    patches = _multiples(patches, 1 << shape.depth)
    size = min(options.batch_size, len(patches.images))
    history = []
    for epoch in range(options.epochs):
        began = time.monotonic()
        # Drawn from (seed, epoch), so that an epoch is the same whatever went before.
        random = np.random.default_rng([options.seed, 2, epoch])
        losses = [
            float(step(tf.constant(images), tf.constant(classes)))
            for images, classes in batches(patches, size, random, flips=options.flips)
        ]
        if epoch == 0:
            clock.lap("first epoch")
        loss = float(np.mean(losses))
        if not math.isfinite(loss):
            raise TrainerError(f"the loss is {loss} in epoch {epoch + 1}: it diverged", "lower --learning-rate")
        took = time.monotonic() - began
        history.append({"epoch": epoch + 1, "loss": loss, "seconds": round(took, 3)})
        left = took * (options.epochs - epoch - 1)
        rate = len(losses) * size / took
        print(
            f"epoch {epoch + 1}/{options.epochs}  loss {loss:.4f}  {rate:.0f} patches/s  {left:.0f} s left",
            flush=True,
        )
    clock.lap("other epochs")
    return history


def _multiples(patches: Patches, multiple: int) -> Patches:
    """Pad patches by reflection to sides that the poolings can halve."""
    rows, columns = patches.images.shape[1:]
    pad = ((0, 0), (0, -rows % multiple), (0, -columns % multiple))
    return Patches(np.pad(patches.images, pad, mode="symmetric"), np.pad(patches.classes, pad, mode="symmetric"))


def predict(network: Any, shape: models.Shape, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict a whole image of any size.

    Returns
    -------
    ndarray of float32, shape (rows, columns, 3)
        Probabilities of background, nucleus, contour.
    """
    import tensorflow as tf

    rows, columns = image.shape
    multiple = 1 << shape.depth
    padded = np.pad(image, ((0, -rows % multiple), (0, -columns % multiple)), mode="symmetric")
    logits = network(padded[None, ..., None], training=False)
    return np.asarray(tf.nn.softmax(logits)[0, :rows, :columns])


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self.last, 3)
        self.last = now
