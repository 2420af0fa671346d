"""The time and memory of help, plan, status and report, beside the least that they need.

    python -m bench.commands [--only NAME]...      # some minutes; NAME: start, plan, report, files, watch

The floors are bare Python programs, written out below. The difference to them is what `sweep` adds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import harness
from bench.harness import ROOT, Row, Taken, alternately, row, run
from tests.fakes.ended import Ran, ended

TRIALS = 8192
SWEEP = [sys.executable, "-m", "sweep"]

#: The original's eight parameters, and a ninth for more than 8192 trials.
AXES = {
    "optimizer": ["adam", "sgd"],
    "learning_rate": [0.01, 0.001, 0.0001, 0.00005],
    "dropout": [0.3, 0.5],
    "batch_size": [11, 22, 44, 121],
    "augmentation": [11, 22, 44, 121],
    "division": [1, 8, 16, 32],
    "blank": [0, 1],
    "model": ["simpleConv", "smallUNet", "smallUNet_less", "UNet"],
}

BARE_TYPER = """\
import typer
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
@app.command()
def one(name: str = "x"): pass
@app.command()
def status(name: str = "x"):
    READ
app()
"""

READ = """\
import json
    for name in ("trials", "journal"):
        with open(f"results/e/{name}.jsonl") as lines:
            for line in lines: json.loads(line)
"""

#: The least that a plan has to do: expand the product and write one line a trial.
BARE_PLAN = """\
import itertools, json, sys
axes = json.loads(sys.argv[1])
with open(sys.argv[2], "w") as out:
    for number, values in enumerate(itertools.product(*axes.values())):
        params = dict(zip(axes, values))
        argv = ["python", "-m", "trainer", "train"]
        for name, value in params.items(): argv += ["--" + name.replace("_", "-"), str(value)]
        out.write(json.dumps({"number": number, "params": params, "seed": 1, "argv": argv}) + "\\n")
"""

BARE_REPORT = """\
import glob, json
import pandas as pd
rows = []
for path in glob.glob("results/e/trials/*/*/segMeasure.json"):
    with open(path) as file: rows.append(json.load(file))
print(pd.DataFrame(rows).sort_values("segMeasure", ascending=False).head(10))
"""


def axes_of(trials: int) -> dict[str, list[object]]:
    return {**AXES, "fold": [*range(trials // TRIALS)]} if trials > TRIALS else dict(AXES)


def grid_of(trials: int) -> str:
    lines = "".join(f"  {name}: {values}\n" for name, values in axes_of(trials).items())
    return (
        f"name: g\ncommand: 'python -m trainer train {{{{ params | flags }}}} --seed {{{{ seed }}}}'\n"
        f"parameters:\n{lines}resources: {{walltime: 4h, memory: 1GiB, cpus: 1}}\n"
        "submit: {max_array_size: 1000}\n"
    )


def results_of(folder: Path, trials: int) -> None:
    """Leave a sweep that has ended, with results as the trainer writes them."""
    random.seed(1)
    history = [{"epoch": n, "loss": 0.3, "segMeasure": 0.4, "images_per_s": 2.0} for n in range(30)]
    numbers = {
        "f1": 0.5,
        "ap50": 0.4,
        "seconds": {"import": 2.0, "steps": 3.0},
        "versions": {"tensorflow": "2.21"},
    }
    params = (
        dict(zip(axes_of(trials), values, strict=True)) for values in itertools.product(*axes_of(trials).values())
    )
    ran = (
        Ran(trial_params, {"segMeasure": random.random(), "complete": True, "history": history, **numbers})
        for trial_params in params
    )
    ended(folder / "results", "e", ran)
    (folder / "results/.current").write_text("e\n")


def start(folder: Path) -> list[Row]:
    """Time the start of a command: help, and status of a sweep that has ended."""
    results_of(folder, TRIALS)
    (folder / "bare.py").write_text(BARE_TYPER.replace("READ", "pass"))
    (folder / "read.py").write_text(BARE_TYPER.replace("READ", READ.strip()))
    bare = [sys.executable, "bare.py"]
    taken = alternately(
        {
            "python -c pass": lambda: run([sys.executable, "-c", "pass"], cwd=folder),
            "bare typer --help": lambda: run([*bare, "--help"], cwd=folder),
            "sweep --help": lambda: run([*SWEEP, "--help"], cwd=folder),
            "bare typer + reading": lambda: run([sys.executable, "read.py", "status"], cwd=folder),
            "sweep status": lambda: run([*SWEEP, "status"], cwd=folder),
        },
        15,
    )
    return [
        row("`sweep --help`", taken, "sweep --help", "python -c pass", goal="≤ 0.25 s",
            met=lambda r: r.ours <= 0.25),
        row("`sweep --help`", taken, "sweep --help", "bare typer --help"),
        row(f"`sweep status`, {TRIALS} ended", taken, "sweep status", "bare typer + reading", goal="≤ 1.5 ×",
            met=lambda r: r.ratio <= 1.5),
    ]  # fmt: skip


def plan(folder: Path) -> list[Row]:
    """Time planning, its slope, and a million trials."""
    (folder / "plan.py").write_text(BARE_PLAN)
    rows, seconds = [], {}
    for trials, rounds in ((TRIALS, 9), (16 * TRIALS, 3), (123 * TRIALS, 1)):
        (folder / "grid.yaml").write_text(grid_of(trials))
        axes = harness.json.dumps(axes_of(trials))

        def ours() -> Taken:
            shutil.rmtree(folder / "results", ignore_errors=True)
            return run([*SWEEP, "plan", "--yes", "grid.yaml"], cwd=folder)

        def floor(axes: str = axes) -> Taken:
            return run([sys.executable, "plan.py", axes, "floor.jsonl"], cwd=folder)

        taken = alternately({"floor": floor, "sweep plan": ours}, rounds, warm_up=rounds > 1)
        plan_row = row(f"`sweep plan`, {trials:,} trials", taken, "sweep plan", "floor", goal="≤ 2 ×",
                   met=lambda r: r.ratio <= 2)  # fmt: skip
        rows.append(plan_row)
        seconds[trials] = plan_row.ours or 0.0
    peak = taken["sweep plan"][0].peak_mib
    rows.append(
        Row("… a million: seconds", "", seconds[123 * TRIALS], None, "s", "< 60 s", seconds[123 * TRIALS] < 60)
    )
    rows.append(Row("… a million: memory", "", peak, None, "MiB", "< 1024 MiB", peak < 1024))
    (a, b), (c, d) = ((n, seconds[n]) for n in (16 * TRIALS, 123 * TRIALS))
    slope = math.log(d / b) / math.log(c / a)
    rows.append(
        Row("… slope, 131 thousand to a million", "", slope, None, "log s / log n", "≤ 1.05", slope <= 1.05)
    )
    return rows


def report(folder: Path) -> list[Row]:
    """Time a report of 8192 and of 100,000 results, the first time and again."""
    rows = []
    (folder / "report.py").write_text(BARE_REPORT)
    for trials, rounds in ((TRIALS, 7), (12 * TRIALS, 1)):
        shutil.rmtree(folder / "results", ignore_errors=True)
        results_of(folder, trials)
        own = folder / "results/e"
        ours: Callable[[], Taken] = lambda: run([*SWEEP, "report", "--top", "10"], cwd=folder)  # noqa: E731

        def cold(own: Path = own, ours: Callable[[], Taken] = ours) -> Taken:
            for name in (".results", ".answers", "leaderboard.csv"):
                (own / name).unlink(missing_ok=True)
            return ours()

        floor: Callable[[], Taken] = lambda: run([sys.executable, "report.py"], cwd=folder)  # noqa: E731
        taken = alternately({"floor": floor, "cold": cold, "warm": ours}, rounds)
        what = f"`sweep report --top 10`, {trials:,} results"
        rows.append(row(f"{what}, cold", taken, "cold", "floor", goal="≤ 1.5 ×", met=lambda r: r.ratio <= 1.5))
        rows.append(row(f"{what}, warm", taken, "warm", "floor", goal="≤ 0.2 ×", met=lambda r: r.ratio <= 0.2))
        if trials > TRIALS:
            rows.append(row("… warm, in seconds", taken, "warm", goal="< 2 s", met=lambda r: r.ours < 2))
    return rows


def files(folder: Path) -> list[Row]:
    """Count the files and bytes of each trial of a sweep that ran, and the entries of the largest folder."""
    grid = grid_of(TRIALS).replace(
        "'python -m trainer train {{ params | flags }} --seed {{ seed }}'", "[bash, p.sh]"
    )
    cut = "exclude: [\"model != 'UNet' or blank == 1 or division > 8 or batch_size > 22\"]\n"
    (folder / "grid.yaml").write_text(grid.replace("submit:", cut + "submit:"))
    (folder / "p.sh").write_text('echo epoch 1; echo \'{"segMeasure": 0.5}\' > "$SWEEP_RESULT"\n')
    environment = {**os.environ, "SWEEP_LOCAL_SPOOL": str(folder / "spool")}
    for argv in (["plan", "grid.yaml"], ["submit"], ["status", "--watch", "--interval", "1"], ["report"]):
        run([*SWEEP, *argv], cwd=folder, env=environment)
    trials = [path.parent for path in (folder / "results/g/trials").rglob("attempt-1.json")]
    each = max(len(list(trial.iterdir())) for trial in trials)
    size = sum(path.stat().st_size for path in (folder / "results/g/trials").rglob("*") if path.is_file())
    results_of(folder / "full", 12 * TRIALS)
    largest = max(len(names) + len(below) for _, below, names in os.walk(folder / "full"))
    return [
        Row("files a trial", "", each, None, "files", "≤ 4", each <= 4),
        Row("bytes a trial, without its result's own", "", size / len(trials), None, "bytes"),
        Row(f"largest folder, {12 * TRIALS:,} trials", "", largest, None, "entries", "≤ 4096", largest <= 4096),
    ]


WHAT = {"start": start, "plan": plan, "report": report, "files": files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=[*WHAT])
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as an installed program: compiled once
    os.environ["PYTHONPATH"] = str(ROOT)
    for name in parser.parse_args().only or WHAT:
        print(f"{name}:", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="bench ") as folder:
            harness.write(name, WHAT[name](Path(folder)))


if __name__ == "__main__":
    main()
