"""Run a thousand trials on a real Slurm with injected faults, in each placement, and account for all of them.

    SLURM_CONF=$(tests/cluster/slurm.sh up) python bench/thousand_trials.py [TRIALS]

While each sweep runs, `sweep submit` is killed at several of its steps, the controller is stopped and started,
a node is set down and resumed, jobs are requeued, runners are killed with SIGKILL, and trials are cancelled and
retried. In the end the checker of the tests compares what the programs wrote, what the folder holds and what
`sweep report` says. This program prints the checker's sentence and the scheduler calls of each command.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.checker import check  # noqa: E402

PROGRAM = """\
import json, os, sys, time
def note(word):
    line = " ".join([word, os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]]) + "\\n"
    runs = os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(runs, line.encode())
    os.close(runs)
note("begin")
x = float(sys.argv[1])
time.sleep(0.5 + x % 7 / 10)
if x % 97 == 5: raise SystemExit(3)
json.dump({"segMeasure": 1 / (1 + x)}, open(os.environ["SWEEP_RESULT"], "w"))
note("end")
"""

GRID = """\
name: thousand
command: [python3, trial.py, '{{{{ x }}}}']
parameters: {{x: {{range: [1, {trials}]}}}}
resources: {{walltime: 5min, memory: 100MiB}}
scheduler: {{kind: slurm}}
submit: {{placement: {placement}, workers: 8, per_worker: 2}}
retry: {{node_failure: {{times: 5}}}}
"""


class Sweep:
    """One sweep in a folder of its own, its commands, and the command of each process."""

    def __init__(self, folder: Path, placement: str, trials: int) -> None:
        self.folder, self.placement = folder, placement
        folder.mkdir(parents=True)
        (folder / "trial.py").write_text(PROGRAM)
        (folder / "grid.yaml").write_text(GRID.format(trials=trials, placement=placement))
        self.env = {**os.environ, "SWEEP_GRACE_S": "10", "SWEEP_POLL_EVERY_S": "0", "DYING_IN_FLIGHT_S": "3"}
        self.who: dict[int, str] = {}
        self.faults: Counter[str] = Counter()

    def run(self, *argv: str, how: str = "count", step: int = -1) -> subprocess.CompletedProcess[str]:
        """Run sweep; `how` and `step` may kill it at one of its steps."""
        command = [sys.executable, str(ROOT / "tests/fakes/dying.py"), how, str(step), "--patience", "60", *argv]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.who[process.pid] = argv[0]
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def counts(self) -> dict[str, int]:
        """Count the trials by state."""
        counts: dict[str, int] = json.loads(self.run("status", "--json").stdout)["counts"]
        return counts

    def calls(self) -> dict[str, list[Counter[str]]]:
        """Return the scheduler calls of each run of each command, by client."""
        runs: dict[int, Counter[str]] = {pid: Counter() for pid in self.who}
        for line in (self.folder / "results/thousand/sweep.log").read_text().splitlines():
            match = re.match(r"\S+ \S+ (\d+) exit .*? s: (\w+)", line)
            if match:
                runs.setdefault(int(match[1]), Counter())[match[2]] += 1
        by_command: dict[str, list[Counter[str]]] = defaultdict(list)
        for pid, calls in runs.items():
            by_command[self.who.get(pid, "?")].append(calls)
        return by_command


def submit_and_be_killed(sweep: Sweep) -> None:
    """Kill `sweep submit` a few times on its way, then let it end."""
    for step in (3, 5, 4):
        if sweep.run("submit", how="half", step=step).returncode == -signal.SIGKILL:
            sweep.faults["sweep submit killed"] += 1
    for _ in range(20):
        ran = sweep.run("submit")
        if ran.returncode == 0:
            return
        time.sleep(1)
    raise SystemExit(ran.stderr)


def slurm(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120).stdout


def restart_the_controller(sweep: Sweep) -> None:
    lab = Path(os.environ["SLURM_CONF"]).parent.parent
    os.kill(int((lab / "run/slurmctld.pid").read_text()), signal.SIGTERM)
    time.sleep(3)
    sweep.counts()
    env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    subprocess.run(["slurmctld"], check=True, env=env)
    while " is UP" not in slurm("scontrol", "ping"):
        time.sleep(0.5)
    sweep.faults["controller stopped and started"] += 1


def lose_a_node(sweep: Sweep) -> None:
    slurm("scontrol", "update", "nodename=n3", "state=down", "reason=bench")
    time.sleep(2)
    slurm("scontrol", "update", "nodename=n3", "state=resume")
    sweep.faults["node set down and resumed"] += 1


def requeue(sweep: Sweep) -> None:
    running = slurm("squeue", "-h", "-r", "-t", "running", "-o", "%i").split()
    for job in random.sample(running, min(2, len(running))):
        slurm("scontrol", "requeue", job)
        slurm("scontrol", "update", f"jobid={job}", "starttime=now")
        sweep.faults["job requeued"] += 1


def kill_runners(sweep: Sweep) -> None:
    listed = subprocess.run(
        ["pgrep", "-f", f"(node|worker).py --folder {sweep.folder}"], capture_output=True, text=True
    )
    pids = [int(pid) for pid in listed.stdout.split()]
    for pid in random.sample(pids, min(3, len(pids))):
        try:
            os.kill(pid, signal.SIGKILL)
            sweep.faults["runner killed"] += 1
        except ProcessLookupError:
            continue


def cancel_some(sweep: Sweep) -> None:
    for number in ("400", "700"):
        if sweep.run("cancel", number).returncode == 0:
            sweep.faults["trial cancelled"] += 1


def at_rest(sweep: Sweep) -> dict[str, int]:
    """Follow the sweep and retry what the rules allow, until nothing changes. Returns the counts by state."""
    while True:
        counts = sweep.counts()
        if not {"queued", "running", "submitting"} & counts.keys():
            sent = json.loads(sweep.run("submit", "--retry", "--json").stdout or "{}")
            if not sent.get("trials_sent"):
                return counts
        for job in slurm("squeue", "-h", "-r", "-t", "pending", "-o", "%i|%r").split():
            if "BeginTime" in job or "held" in job:  # a requeued job waits for two minutes
                slurm("scontrol", "release", job.split("|")[0])
                slurm("scontrol", "update", f"jobid={job.split('|')[0]}", "starttime=now")
        time.sleep(3)


def measure(placement: str, folder: Path, trials: int) -> str:
    """Run one sweep with its faults. Returns the text to print about it."""
    sweep = Sweep(folder, placement, trials)
    began = time.monotonic()
    planned = sweep.run("plan")
    assert planned.returncode == 0, planned.stderr
    submit_and_be_killed(sweep)
    for fault in (kill_runners, requeue, restart_the_controller, cancel_some, lose_a_node, kill_runners, requeue):
        time.sleep(4)
        fault(sweep)
    at_rest(sweep)
    sweep.run("retry", "--plan-only")
    sweep.run("submit")
    counts = at_rest(sweep)
    rows = json.loads(sweep.run("report", "--trials", "--retired", "--json").stdout)
    sentence = check(folder, folder / "results/thousand", rows)
    lines = [
        f"## {placement}: {sentence}",
        f"{time.monotonic() - began:.0f} s, {counts}; faults: {dict(sweep.faults)}",
    ]
    for command, runs in sorted(sweep.calls().items()):
        sizes = sorted(sum(run.values()) for run in runs)
        clients = sum(runs, Counter())
        largest = max(runs, key=lambda run: sum(run.values()))
        lines.append(
            f"{command:8} {len(runs):4} runs, calls a run: median {sizes[len(sizes) // 2]}, most {sizes[-1]} "
            f"{dict(largest)}; in all {dict(clients)}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all three placements."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    placements = sys.argv[2:] or ["array", "packed", "each"]
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="thousand ") as folder:
        for placement in placements:
            print(measure(placement, Path(folder) / placement, trials), flush=True)


if __name__ == "__main__":
    main()
