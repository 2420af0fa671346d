"""Compare training steps with PyTorch's and with the core's own sgemm, and two trainings side by side with one.

    python -m bench.trainer_steps [ROUNDS]

Each side is a process on one thread that stays and does steps on request. So the sides alternate within a second,
and start-up does not count. PyTorch runs in both of its layouts, and the faster one is reported.
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

#: For PyTorch. Without these, glibc returns memory and requests it again each step: a fifth of the time.
#: TensorFlow's steps cause no such page faults.
KEEP_MEMORY = ["MALLOC_MMAP_THRESHOLD_=1000000000", "MALLOC_TRIM_THRESHOLD_=2000000000"]

#: The goal at each width, as a share of the speed of sgemm.
SHARE = {16: 0.35, 32: 0.45}


def work_steps(width: int, rows: int, columns: int) -> Any:
    """Make a function that does one of our steps, always on the same batch."""
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
    """Make a function that multiplies two matrices that fit the core's caches, by NumPy or TensorFlow."""
    import numpy as np

    left, right = (np.random.default_rng(0).random((SIDE, SIDE), np.float32) for _ in range(2))
    if library == "sgemm":
        return lambda: left @ right
    from trainer.training import environment

    environment.start_tensorflow(1)
    import tensorflow as tf

    first, second = tf.constant(left), tf.constant(right)
    return lambda: tf.matmul(first, second).numpy()[0, 0]


def serve(words: list[str]) -> None:
    """Read a number of steps from each line, do them, and print the wall and CPU seconds that they took."""
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
    table_rows = [share(what, width, taken, flop * steps["ours"], 2 * SIDE**3 * steps["sgemm"])]
    if not torch:
        return [missing(what, "PyTorch", "cannot be installed here"), *table_rows]
    faster = min(
        ("nchw", "channels_last"), key=lambda name: statistics.median(spent.cpu_s for spent in taken[name])
    )
    against = row(
        what, taken, "ours", faster, measure="cpu_s", each=steps["ours"], note=f"PyTorch, {faster}",
        goal="≤ 1.11 × (0.9 of PyTorch's speed)", met=lambda r: (r.ratio or 9) <= 1 / 0.9,
    )  # fmt: skip
    return [against, *table_rows]


def share(what: str, width: int, taken: dict[str, list[Taken]], flop: float, sgemm_flop: float) -> Row:
    """Make the row of the speed of our steps, as a share of that of sgemm."""
    mine = [flop / spent.cpu_s / 1e9 for spent in taken["ours"]]
    core = [sgemm_flop / spent.cpu_s / 1e9 for spent in taken["sgemm"]]
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
        taken = [{name: server.do(50).cpu_s for name, server in started.items()} for _ in range(rounds + 1)][1:]
    speeds = {name: [50 * 2 * SIDE**3 / seconds[name] / 1e9 for seconds in taken] for name in started}
    ratios = [a / b for a, b in zip(speeds["TensorFlow"], speeds["NumPy"], strict=True)]
    middle = [statistics.median(rates) for rates in speeds.values()]
    return Row("TensorFlow's sgemm", "NumPy's sgemm", *middle, "GFLOP/s", ratio=statistics.median(ratios),
               ratio_low=min(ratios), ratio_high=max(ratios), rounds=rounds)  # fmt: skip


def side_by_side(rounds: int) -> list[Row]:
    """Compare two trainings on two cores with one, and the wall time of a step with its CPU time."""
    steps, rates, idle = 30, [], []
    with step_servers({"first": ours(16, 32, 40), "second": ours(16, 32, 40)}) as started:
        for server in started.values():
            server.do(3)
        for _ in range(rounds):
            alone = started["first"].do(steps)
            for server in started.values():
                server.ask(steps)
            both = [server.answer() for server in started.values()]
            rates.append((alone.wall_s, sum(steps / spent.wall_s for spent in both) * alone.wall_s / steps))
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
        table_row
        for width in (16, 32)
        for rows, columns in ((64, 80), (32, 40))
        for table_row in compared(width, rows, columns, rounds, torch)
    ]
    write("trainer_steps", [*rows, ceiling(rounds), *side_by_side(rounds)])
    return None


if __name__ == "__main__":
    main()
