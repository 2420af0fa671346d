"""What a trial costs beside its training steps: phases of a training of one epoch, medians of several runs.

    python bench/trainer_fixed_cost.py data/nuclei [RUNS]

Each run is a process of its own, on one thread. The first one fills the cache of prepared sets and is told apart.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def once(data: str, folder: Path) -> dict[str, float]:
    out = folder / "r.json"
    command = [
        sys.executable,
        "-m",
        "trainer",
        "train",
        "--data",
        data,
        "--epochs",
        "1",
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    before, began = os.times(), time.monotonic()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "TRAINER_CACHE": str(folder / "cache")},
    )  # fmt: skip
    wall, after = time.monotonic() - began, os.times()
    phases = dict(json.loads(out.read_text())["seconds"])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    phases["interpreter, libraries, exit"] = wall - sum(phases.values())
    return {**phases, "all, wall": wall, "all, CPU": cpu}


def main() -> None:
    data, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        first = once(data, Path(folder))
        others = [once(data, Path(folder)) for _ in range(runs)]
    print(f"{'phase':30} {'median s':>9} {'least':>7} {'most':>7}   (cold cache)")
    for name in first:
        values = [one[name] for one in others]
        print(
            f"{name:30} {statistics.median(values):9.2f} {min(values):7.2f} {max(values):7.2f}   {first[name]:.2f}"
        )


if __name__ == "__main__":
    main()
