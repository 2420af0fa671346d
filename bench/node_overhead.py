"""What a trial costs on the node beyond its command, `bash -c true`: in a job of its own, and in a packed worker.

    python -m bench.node_overhead [--trials N] [--rounds K]

A sweep is planned, and its job script is run by hand as a scheduler runs it, with the same environment lines,
claim, log and exit record. Python is the machine's own, not that of an active virtual environment. It is compared
with the simplest loop over the same commands, with GNU time, and with GNU parallel, the latter with and without a
record of each command.
An overhead is a side's time minus the simplest loop's time in the same round, divided by the number of trials.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.harness import ROOT, Row, Taken, alternately, missing, row, run, write

#: The PATH of the job scripts and of all that they are compared with; without a virtual environment's python3.
PATH = "/usr/local/bin:/usr/bin:/bin"

GRID = """\
name: bench
command: [bash, -c, 'true', '{{{{ x }}}}']
parameters: {{x: {{range: [1, {trials}]}}}}
resources: {{walltime: 5min, memory: 100MiB}}
scheduler: {{kind: local, python: python3}}
submit: {{placement: {placement}}}
"""

SINGLE = 'for i in $(seq 0 {last}); do SWEEP_LOCAL_TASK_ID=$i bash "$1"; done'
SINGLE_GOAL_S = 0.040
PACKED_GOAL_S = 0.005


def environment() -> dict[str, str]:
    """Return a job's environment: ours, with the machine's own programs, and the ids that a scheduler gives."""
    ours = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**ours, "PATH": PATH, "SWEEP_LOCAL_JOB_ID": "1.bench", "SWEEP_LOCAL_JOB_NAME": "bench"}


def plan(base: Path, trials: int, placement: str) -> Path:
    """Plan a sweep in a folder of its own. Returns its job script."""
    folder = Path(tempfile.mkdtemp(dir=base))
    (folder / "grid.yaml").write_text(GRID.format(trials=trials, placement=placement))
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "SWEEP_LOCAL_SPOOL": str(base / "spool")}
    command = [sys.executable, "-m", "sweep", "plan"]
    subprocess.run(command, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)
    return folder / "results" / "bench" / "jobs" / "j0001.sh"


def check_records(script: Path, trials: int) -> None:
    """Check that all trials have an exit record with exit code 0: RuntimeError if not."""
    records = [path.read_text() for path in script.parent.parent.glob("trials/*/*/attempt-1.json")]
    good = sum('"ended": true' in record and '"exit_code": 0' in record for record in records)
    if good != trials:
        raise RuntimeError(f"{good} of {trials} trials have an exit record with exit code 0; see {script}")


def sweep_side(
    base: Path, trials: int, placement: str, shell: str = 'bash "$1"', **variables: str
) -> Callable[[], Taken]:
    """Make a side that runs our job script, on a fresh plan each time."""

    def side() -> Taken:
        script = plan(base, trials, placement)
        taken = run(["bash", "-c", shell, "_", script], env={**environment(), **variables})
        check_records(script, trials)
        shutil.rmtree(script.parents[3])
        return taken

    return side


def shell_side(shell: str, base: Path) -> Callable[[], Taken]:
    """Make a side that runs a shell's line in an empty folder."""

    def side() -> Taken:
        with tempfile.TemporaryDirectory(dir=base) as folder:
            return run(["bash", "-c", shell], env=environment(), cwd=folder)

    return side


def overheads(taken: Mapping[str, Sequence[Taken]], floor: str) -> dict[str, list[Taken]]:
    """Subtract the floor's time from each side's time in the same round."""
    return {
        name: [
            replace(side, wall_s=side.wall_s - bare.wall_s, cpu_s=side.cpu_s - bare.cpu_s)
            for side, bare in zip(rounds, taken[floor], strict=True)
        ]
        for name, rounds in taken.items()
    }


def single(base: Path, trials: int, rounds: int) -> list[Row]:
    """Measure trials that are jobs of their own."""
    last, each = trials - 1, trials
    sides = {
        "bash -c true": shell_side(f"for i in $(seq {trials}); do bash -c true; done", base),
        "sweep": sweep_side(base, trials, "array", SINGLE.format(last=last)),
    }
    timed = f"for i in $(seq {trials}); do /usr/bin/time -v -o said bash -c true; done"
    if shutil.which("time", path=PATH):
        sides["GNU time -v"] = shell_side(timed, base)
    taken = alternately(sides, rounds)
    above = overheads(taken, "bash -c true")
    what, limit = "a trial in a job of its own, overhead", f"≤ {SINGLE_GOAL_S * 1000:.0f} ms"
    note = "bash of the job script, python3, claim, log, exit record; above bash -c true"
    return [
        row(f"{what}, CPU", above, "sweep", "GNU time -v" if "GNU time -v" in above else "", measure="cpu_s",
            goal=limit, met=lambda r: (r.ours or 0) <= SINGLE_GOAL_S, note=note, each=each),
        row(f"{what}, wall", above, "sweep", measure="wall_s", each=each),
        row("a trial in a job of its own, all of it", taken, "sweep", "bash -c true", measure="cpu_s", each=each),
    ]  # fmt: skip


def packed(base: Path, trials: int, rounds: int, slots: int) -> list[Row]:
    """Measure a packed worker's trials, `slots` of them side by side."""
    floor = f"seq {trials} | xargs -P {slots} -n 1 bash -c true"
    if slots == 1:
        floor = f"for i in $(seq {trials}); do bash -c true $i; done"
    peers = {
        "GNU parallel, no records": f"seq {trials} | parallel -j {slots} bash -c true",
        "GNU parallel": f"seq {trials} | parallel -j {slots} --joblog log --results kept bash -c true",
    }
    sides = {
        "barest loop": shell_side(floor, base),
        "sweep": sweep_side(base, trials, f"packed, workers: 1, per_worker: {slots}", SWEEP_LOCAL_TASK_ID="0"),
    }
    if shutil.which("parallel", path=PATH):
        sides |= {name: shell_side(shell, base) for name, shell in peers.items()}
    taken = alternately(sides, rounds)
    above = overheads(taken, "barest loop")
    what = f"a trial in a packed worker, {slots} slot{'s' if slots > 1 else ''}, overhead"
    rows = [
        row(f"{what}, CPU", above, "sweep", measure="cpu_s", goal=f"≤ {PACKED_GOAL_S * 1000:.0f} ms",
            met=lambda r: (r.ours or 0) <= PACKED_GOAL_S, note="above the barest loop", each=trials),
    ]  # fmt: skip
    if "GNU parallel" not in sides:
        return [*rows, missing(what, "GNU parallel", "not installed: apt-get install parallel")]
    for peer in peers:
        note = "a record a trial: --joblog and --results" if peer == "GNU parallel" else "keeps nothing"
        for measure in ("cpu_s", "wall_s"):
            goal = "< 1 ×" if peer == "GNU parallel" else ""
            met: Callable[[Row], bool] | None = (lambda r: (r.ratio or 9) < 1) if goal else None
            name = f"{what}, {'CPU' if measure == 'cpu_s' else 'wall'}"
            rows.append(
                row(name, above, "sweep", peer, measure=measure, goal=goal, met=met, note=note, each=trials)
            )
    return rows


def main() -> None:
    """Measure, and write bench/measured/node_overhead.json."""
    parser = argparse.ArgumentParser(description="A trial's overhead on the node.")
    parser.add_argument(
        "--trials",
        type=int,
        default=500,
        help="trials of a packed worker; a tenth as many run in jobs of their own",
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    python = shutil.which("python3", path=PATH) or "python3"
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        base = Path(name)
        rows = single(base, max(options.trials // 10, 1), options.rounds)
        for slots in (1, 2):
            rows += packed(base, options.trials, options.rounds, slots)
    write("node_overhead", rows, trials=options.trials, node_python=f"{python} {version}")


if __name__ == "__main__":
    main()
