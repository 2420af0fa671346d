"""Training steps against PyTorch's and against the core's own sgemm; two trainings side by side against one.

    python -m bench.trainer_steps [ROUNDS]

Each side is a process on one thread that stays, and does some steps when asked to: so they alternate within a
second, and start-up counts for neither. PyTorch runs in both of its layouts, and the faster one is told.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.harness import ROOT, Absent, Row, Taken, missing, row, step_servers, venv, write
from trainer.network import models

BATCH = 44
SIDE = 1024  # of the matrices that are multiplied

#: For PyTorch: without these glibc hands memory back and gets it anew each step, a fifth of its time. TensorFlow's
#: steps cause no such page faults.
KEEP_MEMORY = ["MALLOC_MMAP_THRESHOLD_=1000000000", "MALLOC_TRIM_THRESHOLD_=2000000000"]

#: The share of sgemm that is asked for at each width.
SHARE = {16: 0.35, 32: 0.45}


def work_steps(width: int, rows: int, columns: int) -> Any:
    """Make our step, on a batch that stays the same."""
    import numpy as np

    from trainer.network.kernels import make_optimizer
    from trainer.network.step import make_step
    from trainer.training import environment

    environment.start_tensorflow(1)
    network = models.build(models.Shape(2, width, dense=False), 0.3, 0)
    optimizer = make_optimizer("adam", 0.001, network.trainable_variables)
    step = make_step(network, optimizer, (0.01, 1.0, 0.95), 4)
    random = np.random.default_rng(0)
    images = random.random((BATCH, rows, columns), np.float32)
    classes = random.integers(0, 3, images.shape).astype(np.uint8)
    return lambda: float(step(images, classes))


def work_product(library: str) -> Any:
    """Make the core's own speed: a product of two matrices that fit its caches, by NumPy or TensorFlow."""
    import numpy as np

    left, right = (np.random.default_rng(0).random((SIDE, SIDE), np.float32) for _ in range(2))
    if library == "sgemm":
        return lambda: left @ right
    from trainer.training import environment

    environment.start_tensorflow(1)
    import tensorflow as tf

    one, other = tf.constant(left), tf.constant(right)
    return lambda: tf.matmul(one, other).numpy()[0, 0]


def serve(words: list[str]) -> None:
    """Do as many steps as each line asks for; answer with the wall and CPU seconds that they took."""
    step = work_product(words[0]) if len(words) == 1 else work_steps(*map(int, words))
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


def ours(*words: object) -> list[str]:
    return [sys.executable, "-m", "bench.trainer_steps", "--serve", *map(str, words)]


def compared(width: int, rows: int, columns: int, rounds: int, torch: Path | None) -> list[Row]:
    """Measure one size of network and patch."""
    commands: dict[str, Sequence[str | Path]] = {"ours": ours(width, rows, columns), "sgemm": ours("sgemm")}
    script = ROOT / "bench" / "trainer_torch.py"
    for layout in ("nchw", "channels_last") if torch else ():
        commands[layout] = [
            "env",
            *KEEP_MEMORY,
            str(torch),
            script,
            layout,
            *map(str, (width, rows, columns, BATCH)),
        ]
    flop = 3 * BATCH * models.flops(models.Shape(2, width, dense=False), rows, columns)
    steps = {name: max(2, round(150e9 / flop)) for name in commands} | {"sgemm": 50}
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    with step_servers(commands) as started:
        for number in range(-1, rounds):
            for name, server in started.items():
                spent = server.do(steps[name])
                if number >= 0:
                    taken[name].append(spent)
    what = f"a step, base {width}, {BATCH} patches of {rows}×{columns}"
    made = [share(what, width, taken, flop * steps["ours"], 2 * SIDE**3 * steps["sgemm"])]
    if not torch:
        return [missing(what, "PyTorch", "cannot be installed here"), *made]
    faster = min(("nchw", "channels_last"), key=lambda name: statistics.median(one.cpu_s for one in taken[name]))
    against = row(
        what, taken, "ours", faster, measure="cpu_s", each=steps["ours"], note=f"PyTorch, {faster}",
        goal="≤ 1.11 × (0.9 of PyTorch's speed)", met=lambda one: (one.ratio or 9) <= 1 / 0.9,
    )  # fmt: skip
    return [against, *made]


def share(what: str, width: int, taken: dict[str, list[Taken]], flop: float, sgemm_flop: float) -> Row:
    """Make the row of the share of sgemm that our steps reach."""
    mine = [flop / one.cpu_s / 1e9 for one in taken["ours"]]
    core = [sgemm_flop / one.cpu_s / 1e9 for one in taken["sgemm"]]
    ratios = [a / b for a, b in zip(mine, core, strict=True)]
    ratio = statistics.median(ratios)
    return Row(
        what.replace("a step", "speed"), "NumPy's sgemm", statistics.median(mine), statistics.median(core),
        "GFLOP/s", f"≥ {SHARE[width]}", ratio >= SHARE[width], ratio, min(ratios), max(ratios), len(ratios),
        "three times the forward pass, as trainer/network/models.py counts it",
    )  # fmt: skip


def ceiling(rounds: int) -> Row:
    """Compare the two libraries' products of matrices: a share of NumPy's may be above 1."""
    with step_servers({"TensorFlow": ours("matmul"), "NumPy": ours("sgemm")}) as started:
        taken = [{name: one.do(50).cpu_s for name, one in started.items()} for _ in range(rounds + 1)][1:]
    speeds = {name: [50 * 2 * SIDE**3 / one[name] / 1e9 for one in taken] for name in started}
    ratios = [a / b for a, b in zip(speeds["TensorFlow"], speeds["NumPy"], strict=True)]
    middle = [statistics.median(one) for one in speeds.values()]
    return Row("TensorFlow's sgemm", "NumPy's sgemm", *middle, "GFLOP/s", ratio=statistics.median(ratios),
               ratio_low=min(ratios), ratio_high=max(ratios), rounds=rounds)  # fmt: skip


def side_by_side(rounds: int) -> list[Row]:
    """Two trainings on two cores against one, and the wall time of a step over its CPU time."""
    steps, rates, idle = 30, [], []
    with step_servers({"one": ours(16, 32, 40), "other": ours(16, 32, 40)}) as started:
        for one in started.values():
            one.do(3)
        for _ in range(rounds):
            alone = started["one"].do(steps)
            for one in started.values():
                one.ask(steps)
            both = [one.answer() for one in started.values()]
            rates.append((alone.wall_s, sum(steps / one.wall_s for one in both) * alone.wall_s / steps))
            idle.append(alone.wall_s / alone.cpu_s)
    gains = [gain for _, gain in rates]
    gain, wait = statistics.median(gains), statistics.median(idle)
    note = "as the machine's load lets it: see the load above"
    return [
        Row("two trainings side by side", "one", gain, 1.0, "× its steps", "≥ 1.7", gain >= 1.7, gain, min(gains),
            max(gains), rounds, note),
        Row("wall time of the steps", "their CPU time", wait, 1.0, "s a CPU-s", "≤ 1.05", wait <= 1.05, wait,
            min(idle), max(idle), rounds, note),
    ]  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2:])
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    try:
        torch: Path | None = venv("torch", "torch", "numpy")
    except Absent as absent:
        print(absent, file=sys.stderr)
        torch = None
    rows = [
        made
        for width in (16, 32)
        for rows, columns in ((64, 80), (32, 40))
        for made in compared(width, rows, columns, rounds, torch)
    ]
    write("trainer_steps", [*rows, ceiling(rounds), *side_by_side(rounds)])
    return None


if __name__ == "__main__":
    main()
