"""The time to submit 8192 trials and to ask for their status on a real Slurm, beside the same bare client calls.

    SLURM_CONF=$(tests/cluster/slurm.sh up) python -m bench.scheduler_calls [--rounds K]

The bare side makes the same calls that `sweep` made, one after another. The difference is what `sweep` adds. First
all jobs are held and wait; then sixteen of them run; then all are cancelled and have ended.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.harness import ROOT, Row, Taken, alternately, row, run, timed, write

TRIALS = 8192

GRID = """\
name: queue
command: [sleep, '600']
parameters: {{x: {{range: [1, {trials}]}}}}
resources: {{walltime: 20min, memory: 100MiB}}
scheduler: {{kind: slurm, extra: ['--hold']}}
"""


class Queue:
    """A folder with the sweep, and the calls that it made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "results/queue/sweep.log"
        (folder / "grid.yaml").write_text(GRID.format(trials=TRIALS))

    def sweep(self, *argv: str) -> Taken:
        return run([sys.executable, "-m", "sweep", *argv], cwd=self.folder)

    def calls(self, since: int = 0) -> list[list[str]]:
        """Return the calls of the scheduler's clients, from an offset in the log on."""
        lines = self.log.read_text(errors="replace")[since:].splitlines()
        matches = (re.match(r"\S+ \S+ \d+ exit .*? s: (.*?)(?: → .*)?$", line) for line in lines)
        return [shlex.split(match[1]) for match in matches if match]

    def bare(self, calls: list[list[str]]) -> Taken:
        return timed(
            lambda: [subprocess.run(call, capture_output=True, cwd=self.folder, check=False) for call in calls]
        )


def cancel() -> None:
    """Cancel all jobs, and wait until the queue is empty."""
    subprocess.run(["scancel", "-u", str(os.getuid())], check=True)
    while subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout:
        time.sleep(0.5)


def submitting(queue: Queue, rounds: int) -> list[Row]:
    seen: list[list[list[str]]] = []

    def ours() -> Taken:
        cancel()
        shutil.rmtree(queue.folder / "results", ignore_errors=True)
        queue.sweep("plan", "grid.yaml")
        before = len(queue.log.read_text(errors="replace")) if queue.log.exists() else 0
        taken = queue.sweep("submit")
        seen.append(queue.calls(before))
        return taken

    def bare() -> Taken:
        cancel()
        return queue.bare([call for call in seen[-1] if call[0] == "sbatch"])

    taken = alternately({"sweep submit": ours, "sbatch, bare": bare}, rounds)
    over = [a.wall_s - b.wall_s for a, b in zip(taken["sweep submit"], taken["sbatch, bare"], strict=True)]
    extra = sorted(over)[len(over) // 2]
    submit_row = row(f"`sweep submit`, {TRIALS} trials", taken, "sweep submit", "sbatch, bare")
    chunks, calls = sum(call[0] == "sbatch" for call in seen[-1]), len(seen[-1])
    return [
        submit_row,
        Row("… above the bare calls", "", extra, None, "s", "≤ 1 s", extra <= 1, note=f"of {rounds}: {over}"),
        Row(f"… calls, of {chunks} chunks", "", calls, None, "calls", "≤ chunks + 3", calls <= chunks + 3),
    ]


def asking(queue: Queue, what: str, rounds: int) -> list[Row]:
    before = len(queue.log.read_text(errors="replace"))
    queue.sweep("status")
    calls = queue.calls(before)
    bare = [call for call in calls if call[0] in ("squeue", "sacct")]
    taken = alternately(
        {"sweep status": lambda: queue.sweep("status"), "the same calls, bare": lambda: queue.bare(bare)}, rounds
    )
    status_row = row(
        f"`sweep status`, {TRIALS} trials, {what}", taken, "sweep status", "the same calls, bare",
        goal="≤ 1.3 × + 0.3 s", met=lambda r: r.ours <= 1.3 * r.other + 0.3,
    )  # fmt: skip
    return [status_row, Row("… calls", "", len(calls), None, "calls", "constant", len(calls) <= 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.update(PYTHONPATH=str(ROOT), SWEEP_POLL_EVERY_S="0")
    with tempfile.TemporaryDirectory(prefix="bench ") as folder:
        queue = Queue(Path(folder))
        rows = submitting(queue, rounds)
        cancel()
        shutil.rmtree(queue.folder / "results")
        queue.sweep("plan", "grid.yaml")
        queue.sweep("submit")
        rows += asking(queue, "pending", rounds)
        subprocess.run(["scontrol", "release", *_ids()], check=True, stdout=subprocess.DEVNULL)
        time.sleep(10)
        rows += asking(queue, "16 running", rounds)
        cancel()
        os.environ["SWEEP_GRACE_S"] = "100000"  # so that each status asks for the ended jobs again
        rows += asking(queue, "ended", rounds)
        write("scheduler_calls", rows)


def _ids() -> list[str]:
    listed = subprocess.run(["squeue", "-h", "-o", "%A"], capture_output=True, text=True, check=True)
    return [",".join(dict.fromkeys(listed.stdout.split()))]


if __name__ == "__main__":
    main()
