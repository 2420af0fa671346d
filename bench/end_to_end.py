"""A thousand trivial trials on a real Slurm, from the first command until the user knows that all are done.

    SLURM_CONF=$(tests/cluster/slurm.sh up) python -m bench.end_to_end [--rounds K] [--only NAME …]

Every side runs ``sh trial.sh``, which writes one line of JSON, on the lab's 16 CPUs. Raw ``sbatch --array``, the
floor, runs beside our two placements, `--rounds` times. Then our packed placement runs beside the peers, once, as
some take minutes. The wall time of a side ends when its user knows of every trial. The CPU time is that of the
whole machine, controller and daemons included, until the queue is empty: nothing else should run here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.harness import ROOT, Absent, Row, Taken, alternately, missing, row, venv, write

PROGRAM = """printf '{"segMeasure": %s}\\n' "$1" >"${2:-$SWEEP_RESULT}"\n"""

GRID = """\
name: bench
command: [sh, trial.sh, '{{{{ x }}}}']
parameters: {{x: {{range: [1, {trials}]}}}}
resources: {{walltime: 5min, memory: 100MiB}}
scheduler: {{kind: slurm}}
submit: {{placement: {placement}}}
"""

JOB = """\
#!/bin/sh
#SBATCH --ntasks=1 --cpus-per-task=1 --mem=100M --time=5 --output=/dev/null
exec sh trial.sh "$SLURM_ARRAY_TASK_ID" "out/$SLURM_ARRAY_TASK_ID.json"
"""

PLACEMENTS = {"array": "array", "packed": "packed, workers: 8, per_worker: 2"}

#: The PATH of the jobs. It has the machine's own python3, as on a node, and not that of a virtual environment.
PATH = "/usr/local/bin:/usr/bin:/bin"

LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Peer:
    """Another program for the same work: its script in bench/peers, its packages, the records that it keeps."""

    name: str
    script: str
    packages: tuple[str, ...]
    keeps: str


PEERS = [
    Peer("submitit map_array", "submitit_array", ("submitit",), "a pickled result and two logs a trial"),
    Peer(
        "hydra + submitit", "hydra_submitit", ("hydra-core", "hydra-submitit-launcher"),
        "a pickled result, two logs and a folder of settings a trial",
    ),
    Peer("signac-flow bundles", "signac_flow", ("signac", "signac-flow"), "a folder a trial with its result"),
    Peer("dask-jobqueue", "dask_jobqueue_held", ("dask[distributed]", "dask-jobqueue"), ""),
    Peer("parsl", "parsl_held", ("parsl",), ""),
]  # fmt: skip


def busy_s() -> float:
    """Return the CPU seconds that this machine has worked, all processes together."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _, _, irq, softirq = (int(field) for field in fields[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def until_empty() -> None:
    """Wait for the last task to have left the queue."""
    while subprocess.run(["squeue", "-h"], check=True, capture_output=True).stdout:
        time.sleep(LOOK_EVERY_S)


@contextmanager
def bench_folder(base: Path) -> Iterator[Path]:
    """Make a folder in `base` with a copy of the program, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(dir=base))
    (folder / "out").mkdir()
    shutil.copy(base / "trial.sh", folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def side(base: Path, trials: int, work: Callable[[Path, int], tuple[int, float]]) -> Callable[[], Taken]:
    """Make a side of `work`, which runs the trials in a folder. It returns how many are done and when it knew."""

    def measured() -> Taken:
        until_empty()
        with bench_folder(base) as folder:
            began, before = time.time(), busy_s()
            done, known_at = work(folder, trials)
            until_empty()
            if done != trials:
                raise RuntimeError(f"{done} of {trials} done")
            return Taken(known_at - began, busy_s() - before)

    return measured


def raw(folder: Path, trials: int) -> tuple[int, float]:
    """Run the floor: submit an array, and count its files when the queue is empty."""
    (folder / "job.sh").write_text(JOB)
    for first in range(1, trials + 1, 1000):  # MaxArraySize is 1001
        array = f"--array={first}-{min(first + 999, trials)}"
        subprocess.run(["sbatch", array, "job.sh"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    until_empty()
    return len(list((folder / "out").iterdir())), time.time()


def ours(placement: str) -> Callable[[Path, int], tuple[int, float]]:
    """Make the work of our side: plan, submit, wait for the queue, report."""

    def work(folder: Path, trials: int) -> tuple[int, float]:
        (folder / "grid.yaml").write_text(GRID.format(trials=trials, placement=PLACEMENTS[placement]))
        environment = {**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT), "SWEEP_POLL_EVERY_S": "0"}

        def sweep(*argv: str) -> str:
            command = [sys.executable, "-m", "sweep", *argv]
            ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if ran.returncode:
                raise RuntimeError(f"{argv}: {ran.stderr}")
            return ran.stdout

        began = time.time()
        sweep("plan")
        planned = time.time()
        sweep("submit")
        submitted = time.time()
        until_empty()
        emptied = time.time()
        done = sum(trial["state"] == "done" for trial in json.loads(sweep("report", "--trials", "--json")))
        known_at = time.time()
        spent = (planned - began, submitted - planned, emptied - submitted, known_at - emptied)
        print("    plan %.2f s, submit %.2f s, queue %.2f s, report %.2f s" % spent, file=sys.stderr)  # noqa: UP031
        return done, known_at

    return work


def theirs(peer: Peer) -> Callable[[Path, int], tuple[int, float]]:
    """Make the work of a peer: its script, run by its own venv's python. Absent if it can't be installed."""
    python = venv(peer.script.partition("_")[0], *peer.packages)

    def work(folder: Path, trials: int) -> tuple[int, float]:
        command = [python, ROOT / "bench" / "peers" / f"{peer.script}.py", str(trials), folder]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
        if ran.returncode:
            raise RuntimeError(f"{peer.name}: {ran.stderr[-2000:]}")
        answer = json.loads(ran.stdout.splitlines()[-1])
        return answer["done"], answer["known_at"]

    return work


def beside_the_floor(base: Path, trials: int, rounds: int) -> list[Row]:
    """Measure our two placements beside raw arrays."""
    sides = {name: side(base, trials, work) for name, work in
             {"raw": raw, "array": ours("array"), "packed": ours("packed")}.items()}  # fmt: skip
    taken = alternately(sides, rounds, warm_up=False)
    packed = "8 workers of 2 trials each: 16 CPUs"
    return [
        row(
            f"{trials} trials, array", taken, "array", "raw", goal="≤ 1.15 ×", met=lambda r: (r.ratio or 9) <= 1.15
        ),
        row(f"{trials} trials, array, CPU", taken, "array", "raw", measure="cpu_s", note="of the whole machine"),
        row(f"{trials} trials, packed", taken, "packed", "raw", note=packed),
        row(f"{trials} trials, packed, CPU", taken, "packed", "raw", measure="cpu_s", note="of the whole machine"),
    ]


def beside_peers(base: Path, trials: int, peers: list[Peer]) -> list[Row]:
    """Measure our packed placement beside the peers, once each."""
    rows, sides = [], {"packed": side(base, trials, ours("packed"))}
    what = f"{trials} trials, packed"
    for peer in peers:
        try:
            sides[peer.name] = side(base, trials, theirs(peer))
        except Absent as why:
            rows.append(missing(what, peer.name, str(why)))
    taken: dict[str, list[Taken]] = {}
    for name, work in sides.items():
        try:
            taken |= alternately({name: work}, 1, warm_up=False)
        except (RuntimeError, subprocess.SubprocessError) as why:
            if name == "packed":
                raise
            print(why, file=sys.stderr)
            rows.append(missing(what, name, f"did not work here: {str(why).strip().splitlines()[-1][:200]}"))
            subprocess.run(["scancel", "--me"], check=False)
    for peer in peers:
        if peer.name not in taken:
            continue
        rows.append(
            row(
                what, taken, "packed", peer.name, goal="< 1 ×" if peer.keeps else "",
                met=(lambda r: (r.ratio or 9) < 1) if peer.keeps else None,
                note=f"keeps {peer.keeps}" if peer.keeps else "holds its workers; keeps no record of a trial",
            )
        )  # fmt: skip
        note = "of the whole machine"
        rows.append(row(f"{what}, CPU", taken, "packed", peer.name, measure="cpu_s", note=note))
    return rows


def main() -> None:
    """Measure, and write bench/measured/end_to_end.json."""
    parser = argparse.ArgumentParser(description="A thousand trivial trials on Slurm, ours and peers'.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="of ours and the floor; the peers run once")
    parser.add_argument("--sleep", type=float, default=0.0, help="seconds of each trial; the goals are for 0")
    names = ["floor", *(peer.script for peer in PEERS)]
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    options = parser.parse_args()
    peers = [peer for peer in PEERS if peer.script in options.only]
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as base:
        pause = f"sleep {options.sleep:g}\n" if options.sleep else ""
        (Path(base) / "trial.sh").write_text(pause + PROGRAM)
        if "floor" in options.only:
            rows += beside_the_floor(Path(base), options.trials, options.rounds)
        if peers:
            rows += beside_peers(Path(base), options.trials, peers)
    settings = {
        "trials": options.trials,
        "sleep_s": options.sleep,
        "cpus": 16,
        "peers": [asdict(peer) for peer in peers],
    }
    write("end_to_end_sleep" if options.sleep else "end_to_end", rows, **settings)


if __name__ == "__main__":
    main()
