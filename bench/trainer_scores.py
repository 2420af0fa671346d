"""Compare the scores with the fused kernels to those of the same trainings with the plain kernels of Keras.

    python -m bench.trainer_scores DATA [SEEDS]

Both sides train with the same seeds, in turn. They differ in rounding alone, so their scores may differ by as much
as those of two seeds, and by no more.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.harness import ROOT, Row, write

OPTIONS = ["--model", "smallUNet_less", "--division", "8", "--batch-size", "16", "--learning-rate", "0.003",
           "--epochs", "10", "--weights", "1", "1", "3", "--threads", "1"]  # fmt: skip


def score(data: str, folder: Path, seed: int, plain_keras: str) -> float:
    words = ["train", "--data", data, *OPTIONS, "--seed", str(seed), "--out", str(folder / "r.json")]
    env = {**os.environ, "TRAINER_CACHE": str(folder / "cache"), "TRAINER_PLAIN_KERAS": plain_keras}
    subprocess.run(
        [sys.executable, "-m", "trainer", *words], check=True, cwd=ROOT, env=env, stdout=subprocess.DEVNULL
    )
    return float(json.loads((folder / "r.json").read_text(encoding="utf-8"))["test"]["segMeasure"])


def main() -> None:
    data, seeds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    how = {"fused": "0", "plain": "1"}
    with tempfile.TemporaryDirectory() as folder:
        scores = {seed: {name: score(data, Path(folder), seed, plain_keras) for name, plain_keras in how.items()}
                  for seed in range(seeds)}  # fmt: skip
    fused, plainly = ([pair[name] for pair in scores.values()] for name in how)
    ratios = [pair["fused"] / pair["plain"] for pair in scores.values()]
    apart = abs(statistics.mean(fused) - statistics.mean(plainly))
    spread = max(max(side) - min(side) for side in (fused, plainly))
    write(
        "trainer_scores",
        [
            Row("SEG of the test images", "Keras's own layers", statistics.mean(fused), statistics.mean(plainly),
                "SEG", "means nearer than seeds lie apart", apart <= spread, statistics.median(ratios),
                min(ratios), max(ratios), seeds, f"10 epochs; seeds lie up to {spread:.3f} apart",
                {"by_seed": scores}),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
