"""An hour of `sweep status --watch` on a simulated clock: its share of a core, and whether its memory grows.

    python -m bench.watch

A sweep of 8192 trials waits in the queue of clients with short output (as for `bench.check`). Something changes at
every look, which is the worst case: where nothing changes, looks become rarer. Time is simulated: sleeping moves
the clock. The clients' own time does not count; they are called every 10 s at most, however many people watch.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.check import CLIENTS, GRID
from bench.harness import ROOT, Row, write
from tests.fakes.clock import FakeClock

HOUR_S = 3600.0
TRIALS = 8192


class HourOverError(Exception):
    pass


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def follow(sweep: Path) -> tuple[int, float, float, float]:
    """Watch for an hour. Returns (looks, CPU seconds of this process, MiB after five minutes, MiB in the end)."""
    from sweep.cli.live import show_live
    from sweep.shell import Shell
    from sweep.store import Store
    from sweep.verbs.status import status
    from sweep.verbs.watch import watch

    gc.set_threshold(50_000, 20, 20)  # as the command line does
    started, looks, memory = time.time(), 0, [0.0, 0.0]

    class HourClock(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if sum(self.naps) > HOUR_S / 12 and not memory[0]:
                memory[0] = resident_mib()
            if sum(self.naps) > HOUR_S:
                raise HourOverError

    clock = HourClock()
    store = Store(sweep, clock)

    def look() -> Any:
        nonlocal looks
        looks += 1
        report = status(store, Shell(lambda _line: None, clock))
        report.counts["changes"] = looks
        return report

    look()
    began_s = time.process_time()
    with contextlib.suppress(HourOverError), contextlib.redirect_stdout(io.StringIO()):
        show_live(watch(look, 5.0, clock))
    memory[1] = resident_mib()
    assert time.time() - started < HOUR_S
    return looks, time.process_time() - began_s, memory[0], memory[1]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench ") as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        for client, says in CLIENTS.items():
            (folder / "bin" / client).write_text(f"#!/bin/sh\n{says}\n")
            (folder / "bin" / client).chmod(0o755)
        (folder / "grid.yaml").write_text(GRID.format(side=TRIALS // 16))
        os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        os.environ["SWEEP_GRACE_S"] = "1000000"
        for argv in (["plan", "grid.yaml"], ["submit"]):
            call = [sys.executable, "-m", "sweep", *argv]
            subprocess.run(
                call, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True
            )
        looks, cpu_s, before, after = follow(folder / "results/g")
    share = 100 * cpu_s / HOUR_S
    what = f"an hour of `--watch`, {TRIALS} trials, a change at each of {looks} looks"
    rows = [
        Row(what, "", share, None, "% of a core", "< 0.5 %", share < 0.5),
        Row(
            "… memory, from the fifth minute to the end",
            "",
            after - before,
            None,
            "MiB",
            "flat",
            after - before < 2,
        ),
    ]
    write("watch", rows)


if __name__ == "__main__":
    main()
