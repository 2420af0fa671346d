"""Whether the fused kernels cost score: the same trainings with Keras's own batch normalisation and loss.

    python -m bench.trainer_scores DATA [SEEDS]

Both sides train with the same seeds, in turn; what differs is rounding alone, so scores may differ by as much as
two seeds' do, and by no more.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.harness import ROOT, Row, write

OPTIONS = ["--model", "smallUNet_less", "--division", "8", "--batch-size", "16", "--learning-rate", "0.003",
           "--epochs", "10", "--weights", "1", "1", "3", "--threads", "1"]  # fmt: skip


def plain() -> None:
    """Run the trainer's command line, the kernels replaced by what they stand for."""
    import keras
    import tensorflow as tf

    from trainer import cli
    from trainer.network import models, step

    def cross_entropy(logits: Any, classes: Any, weights: tuple[float, ...]) -> Any:
        true = tf.cast(classes, tf.int32)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(true, logits)
        return tf.reduce_sum(tf.gather(tf.constant(weights, tf.float32), true) * entropy, axis=(1, 2))

    models.batch_normalization = lambda: keras.layers.BatchNormalization
    step.weighted_cross_entropy = cross_entropy
    cli.main()


def score(data: str, folder: Path, seed: int, how: list[str]) -> float:
    words = ["train", "--data", data, *OPTIONS, "--seed", str(seed), "--out", str(folder / "r.json")]
    env = {**os.environ, "TRAINER_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, *how, *words], check=True, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    return float(json.loads((folder / "r.json").read_text(encoding="utf-8"))["test"]["segMeasure"])


def main() -> None:
    if sys.argv[1:2] == ["train"]:
        return plain()
    data, seeds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    how = {"fused": ["-m", "trainer"], "plain": ["-m", "bench.trainer_scores"]}
    with tempfile.TemporaryDirectory() as folder:
        scores = {seed: {name: score(data, Path(folder), seed, one) for name, one in how.items()}
                  for seed in range(seeds)}  # fmt: skip
    fused, plainly = ([one[name] for one in scores.values()] for name in how)
    ratios = [one["fused"] / one["plain"] for one in scores.values()]
    apart = abs(statistics.mean(fused) - statistics.mean(plainly))
    spread = max(max(one) - min(one) for one in (fused, plainly))
    write(
        "trainer_scores",
        [
            Row("SEG of the test images", "Keras's own layers", statistics.mean(fused), statistics.mean(plainly),
                "SEG", "means nearer than seeds lie apart", apart <= spread, statistics.median(ratios),
                min(ratios), max(ratios), seeds, f"10 epochs; seeds lie up to {spread:.3f} apart",
                {"by_seed": scores}),
        ],
    )  # fmt: skip
    return None


if __name__ == "__main__":
    main()
