"""Check whether a hot path does more than before: compare counts, not seconds, with ``bench/recorded.json``.

    python -m bench.check             # or `make bench-check`; exit code 1 if a count has grown
    python -m bench.check --record    # after an intended change

Every command runs on 512 trials and on 2048. So one sees which counts grow with the number of trials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.harness import ROOT
from tests.fakes.ended import Ran, ended, lived

RECORDED = ROOT / "bench" / "recorded.json"
SIZES = (512, 2048)

#: The share by which own calls may vary, with the length of a path or the Python version. No other count may vary.
TOLERANCE = 0.05

GRID = """\
name: g
command: python t.py {{{{ params | flags }}}}
parameters: {{a: {{range: [1, {side}]}}, b: {{range: [1, 16]}}}}
resources: {{walltime: 5min, memory: "{{{{ 1 if a > 4 else 2 }}}}GiB"}}
scheduler: {{kind: slurm}}
"""

#: Clients with the shortest possible output: a controller that is up, no limits, ids for jobs, an empty queue.
CLIENTS = {
    "scontrol": 'echo "Slurmctld(primary) at here is UP"',
    "sbatch": "date +%s%N | cut -c8-17",
    **dict.fromkeys(("squeue", "sacct", "sacctmgr", "sinfo"), "exit 0"),
}

COMMANDS = {
    "--help": ["--help"],
    "plan": ["plan", "grid.yaml"],
    "submit": ["submit"],
    "status, queued": ["status"],
    "status, ended": ["status", "e"],
    "report, first": ["report", "e"],
    "report, results kept": ["report", "e", "--csv"],
    "report, again": ["report", "e"],
    "status, each in its job, first": ["status", "l"],
    "status, each in its job": ["status", "l"],
    "submit, all of them sent": ["submit", "l"],
}


def counted(folder: Path, size: int) -> dict[str, Any]:
    """Run every command on `size` trials. Returns the counts of each command."""
    (folder / "grid.yaml").write_text(GRID.format(side=size // 16))
    (folder / "bin").mkdir()
    for name, says in CLIENTS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{says}\n")
        (folder / "bin" / name).chmod(0o755)
    ended(folder / "results", "e", (Ran({"x": n}, {"segMeasure": n / size, "history": [1]}) for n in range(size)))
    lived(folder / "results", "l", size)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "0",
        "COLUMNS": "120",
        "SWEEP_POLL_EVERY_S": "0",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    counts = {}
    for name, argv in COMMANDS.items():
        out = folder / "counts.json"
        call = [sys.executable, str(ROOT / "bench/counted.py"), str(folder / "results"), str(out), *argv]
        done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr}")
        counts[name] = json.loads(out.read_text())
    return counts


def complaints(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    """List the counts that have grown."""
    grown = []
    for size, commands in then.items():
        for command, counts in commands.items():
            for what in sorted({*counts, *now[size][command]}):
                before, after = counts.get(what, 0), now[size][command].get(what, 0)
                if what == "imports":
                    new = sorted({*after} - {*before})
                    grown += [f"{command}: imports {', '.join(new)}"] if new else []
                elif after > before * (1 + TOLERANCE * (what == "own calls")):
                    grown.append(f"{command}, {size} trials: {what}: {after:,}, and was {before:,}")
    return grown


def main() -> None:
    now = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="check ") as folder:
            now[str(size)] = counted(Path(folder), size)
    if "--record" in sys.argv:
        RECORDED.write_text(json.dumps(now, indent=1) + "\n")
        return
    for command in COMMANDS:
        few, many = (now[str(size)][command] for size in SIZES)
        grows = ", ".join(f"{name} {few[name]:,} → {many[name]:,}" for name in sorted(few) if name != "imports")
        print(f"{command:30} {grows or 'nothing'}; imports {', '.join(few['imports']) or 'nothing heavy'}")
    grown = complaints(now, json.loads(RECORDED.read_text()))
    for line in grown:
        print(f"MORE THAN RECORDED: {line}", file=sys.stderr)
    if grown:
        sys.exit("if that is meant: python -m bench.check --record, and say in the commit why")


if __name__ == "__main__":
    main()
