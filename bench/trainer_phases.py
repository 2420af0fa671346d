"""The time of a trial by phase, for each network at two divisions, and the share that is not training steps.

    python -m bench.trainer_phases DATA [ROUNDS]

Each trial is a process of its own on one thread, on data prepared before. `smallUNet_less` does 30 epochs; the
others do 2, and the time of 30 epochs is computed from these. UNet has a quarter of its width, as an epoch at its
full width takes minutes. At division 16 it has three poolings, as its patches are too small for more.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.harness import Row, Taken, alternately, row, run, write

EPOCHS = 30
BATCH = 44
STEPS, EACH_EPOCH = "steps", ("steps", "validate", "save")
START = "interpreter, exit"

#: The name in the table, the division, the model and further options.
NETWORKS: list[tuple[str, int, list[str]]] = [
    *((name, division, [name]) for name in ("simpleConv", "smallUNet_less", "smallUNet") for division in (8, 16)),
    ("UNet, width 16", 8, ["UNet", "--width", "16"]),
    ("UNet, width 16, depth 3", 16, ["UNet", "--width", "16", "--depth", "3"]),
]


def trial(data: str, folder: Path, model: Sequence[str], division: int, epochs: int) -> dict[str, Any]:
    """Train once. Returns the seconds by phase, and what the whole process took."""
    out = folder / "r.json"
    words = ["train", "--data", data, "--model", *model, "--division", division, "--batch-size", BATCH,
             "--epochs", epochs, "--threads", 1, "--out", out]  # fmt: skip
    taken = run(
        [sys.executable, "-m", "trainer", *map(str, words)],
        env={**os.environ, "TRAINER_CACHE": str(folder / "cache")},
    )
    result = json.loads(out.read_text(encoding="utf-8"))
    phases = dict(result["seconds"])
    phases[START] = taken.wall_s - sum(phases.values())
    return {"phases": phases, "taken": taken}


def of_thirty(phases: dict[str, float], epochs: int) -> dict[str, float]:
    """Compute the phases of 30 epochs from those of fewer."""
    return {name: s * EPOCHS / epochs if name in EACH_EPOCH else s for name, s in phases.items()}


def not_steps(phases: dict[str, float]) -> float:
    return 1 - phases[STEPS] / sum(phases.values())


def measured(data: str, folder: Path, network: tuple[str, int, list[str]], rounds: int) -> Row:
    """Make the row of one network: the share that is not steps, and the phases in `more`."""
    name, division, model = network
    whole = name == "smallUNet_less"
    epochs = EPOCHS if whole else 2
    ran = [trial(data, folder, model, division, epochs) for _ in range(1 if whole else rounds)]
    thirty = [of_thirty(training["phases"], epochs) for training in ran]
    shares = [not_steps(seconds) for seconds in thirty]
    share = statistics.median(shares)
    phases = {phase: statistics.median(seconds[phase] for seconds in thirty) for phase in thirty[0]}
    all_s = sum(phases.values())
    table = {phase: {"s": round(s, 2), "share": round(s / all_s, 3)} for phase, s in phases.items()}
    note = "measured" if whole else f"computed from {epochs} epochs"
    for phase, cell in table.items():
        print(f"  {name:16} ÷{division:<3} {phase:20} {cell['s']:9.2f} s {cell['share']:7.1%}", file=sys.stderr)
    busy = [training["taken"].wall_s / training["taken"].cpu_s for training in ran]
    return Row(
        f"not steps, of {EPOCHS} epochs: {name}, division {division}", "all", all_s * share, all_s, "s", "≤ 0.10",
        share <= 0.1, share, min(shares), max(shares), len(ran), note,
        {"phases": table, "wall_over_cpu": round(statistics.median(busy), 3)},
    )  # fmt: skip


def start_up(rounds: int) -> list[Row]:
    """Compare import, build and first step, cold, with an interpreter and with a bare import of TensorFlow."""
    python = sys.executable
    first = (
        "from trainer.network import models; from trainer.training import environment;"
        "environment.start_tensorflow(1);"
        "import numpy as np, trainer.training.train; from trainer.network.step import make_step;"
        "from trainer.network.kernels import make_optimizer;"
        "network = models.build(models.Shape(2, 16, False), 0.3, 0);"
        "optimizer = make_optimizer('adam', 0.001, network.trainable_variables);"
        "step = make_step(network, optimizer, (0.01, 1.0, 0.95), 4);"
        "step(np.zeros((44, 32, 40), np.float32), np.zeros((44, 32, 40), np.uint8))"
    )
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    sides = {
        "ours": lambda: run([python, "-c", first], env=quiet),
        "import tensorflow, keras": lambda: run([python, "-c", "import tensorflow, keras"], env=quiet),
        "python -c pass": lambda: run([python, "-c", "pass"]),
    }
    taken: dict[str, list[Taken]] = alternately(sides, rounds)
    return [
        row("import, build and first step, cold", taken, "ours", "import tensorflow, keras", measure="cpu_s",
            goal="≤ 6 s", met=lambda r: (r.ours or 9) <= 6),
        row("the same", taken, "ours", "python -c pass", measure="cpu_s"),
    ]  # fmt: skip


def main() -> None:
    data, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trial(data, folder, ["simpleConv"], 8, 1)  # fills the cache of prepared sets
        rows = start_up(rounds)
        rows += [measured(data, folder, network, rounds) for network in NETWORKS]
    write("trainer_phases", rows)


if __name__ == "__main__":
    main()
