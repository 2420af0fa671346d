"""The makespan of unequal trials on the `local` scheduler's k slots, beside that of a list schedule.

    python -m bench.local_makespan [--trials N] [--rounds K] [--slots K …]

Trials sleep for 0.2 to 3 s. From the call of `sweep submit` to the end of the last trial, by the trials' own
records; beside it the list schedule in the order given, computed from the same sleeps, the bound max(longest,
sum / k), and `xargs -P k`, which keeps no record and has no queue. Array and packed placements.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.harness import ROOT, Row, Taken, alternately, row, run, write

GRID = """\
name: bench
command: [sh, -c, 'sleep "$1"', _, '{{{{ x }}}}']
parameters: {{x: {sleeps}}}
resources: {{walltime: 5min, memory: 10MiB}}
scheduler: {{kind: local}}
submit: {{placement: {placement}}}
"""

GOAL = 1.03
PATIENCE_S = 300.0


def sleeps_of(trials: int) -> list[float]:
    """Draw the trials' lengths, the same in each run. All differ, as the values of a grid must."""
    drawn = random.Random(1).sample(range(200, 3000), trials)
    return [milliseconds / 1000 for milliseconds in drawn]


def list_schedule_s(sleeps: Sequence[float], slots: int) -> float:
    """Put each trial, in the given order, on the slot that is free first. Returns the seconds until all end.

    >>> list_schedule_s([3.0, 1.0, 1.0, 2.0], 2)
    4.0
    """
    free = [0.0] * slots
    for sleep_s in sleeps:
        heapq.heapreplace(free, free[0] + sleep_s)
    return max(free)


def records(folder: Path) -> list[dict[str, float]]:
    """Read the records of the attempts that have ended."""
    attempts = [json.loads(path.read_text()) for path in folder.glob("results/bench/trials/*/*/attempt-1.json")]
    return [attempt for attempt in attempts if attempt["ended"]]


def ours(
    base: Path, sleeps: Sequence[float], slots: int, placement: str, inner: list[Taken]
) -> Callable[[], Taken]:
    """Make our side. Each call adds to `inner` the time from the first trial's start to the last one's end."""

    def side() -> Taken:
        with tempfile.TemporaryDirectory(dir=base) as name:
            folder = Path(name)
            (folder / "grid.yaml").write_text(GRID.format(sleeps=list(sleeps), placement=placement))
            settings = {"SWEEP_LOCAL_SPOOL": str(folder / "spool"), "SWEEP_LOCAL_CPUS": str(slots)}
            how = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(ROOT), **settings}}
            sweep = [sys.executable, "-m", "sweep"]
            subprocess.run([*sweep, "plan"], check=True, stdout=subprocess.DEVNULL, **how)
            began = time.time()
            cpu_s = run([*sweep, "submit"], **how).cpu_s
            while len(ended := records(folder)) < len(sleeps):
                if time.time() - began > PATIENCE_S:
                    raise RuntimeError(f"{len(ended)} of {len(sleeps)} trials ended")
                time.sleep(0.5)
            last = max(attempt["ended_at"] for attempt in ended)
            inner.append(Taken(last - min(attempt["started_at"] for attempt in ended), cpu_s))
            time.sleep(1.0)  # the manager sees the last job's end, and leaves
            return Taken(last - began, cpu_s)

    return side


def by_xargs(sleeps: Sequence[float], slots: int) -> Callable[[], Taken]:
    """Make the side of xargs."""
    lines = " ".join(map(str, sleeps))
    return lambda: run(["bash", "-c", f"printf '%s\\n' {lines} | xargs -P {slots} -n 1 sleep"])


def rows_of(base: Path, sleeps: Sequence[float], slots: int, rounds: int) -> list[Row]:
    """Measure with `slots` slots."""
    ideal, bound = list_schedule_s(sleeps, slots), max(*sleeps, sum(sleeps) / slots)
    inner: dict[str, list[Taken]] = {"array": [], "packed": []}
    packed = f"packed, workers: 1, per_worker: {slots}"
    sides = {
        "array": ours(base, sleeps, slots, "array", inner["array"]),
        "packed": ours(base, sleeps, slots, packed, inner["packed"]),
        "xargs -P": by_xargs(sleeps, slots),
    }
    taken = alternately(sides, rounds, warm_up=False)
    computed: Mapping[str, Sequence[Taken]] = {"list schedule": [Taken(ideal, 0.0)] * rounds}
    note = f"list schedule {ideal:.2f} s; max(longest, sum / k) {bound:.2f} s"
    rows = []
    for placement in ("array", "packed"):
        what = f"{len(sleeps)} unequal trials on {slots} slots, local, {placement}"
        rows += [
            row(f"{what}: submit to last end", {**taken, **computed}, placement, "list schedule", note=note,
                goal=f"≤ {GOAL} ×", met=lambda r: (r.ratio or 9) <= GOAL),
            row(f"{what}: submit to last end", taken, placement, "xargs -P", note="keeps no record"),
            row(f"{what}: first start to last end", {**inner, **computed}, placement, "list schedule",
                note="by the trials' own records"),
        ]  # fmt: skip
    return rows


def main() -> None:
    """Measure, and write bench/measured/local_makespan.json."""
    parser = argparse.ArgumentParser(description="Makespan of unequal trials on the local scheduler.")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, nargs="*", default=[2, 4])
    options = parser.parse_args()
    sleeps = sleeps_of(options.trials)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as base:
        for slots in options.slots:
            rows += rows_of(Path(base), sleeps, slots, options.rounds)
    write("local_makespan", rows, sleeps=sleeps)


if __name__ == "__main__":
    main()
