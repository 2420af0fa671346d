"""A short training as a packed trial, started or forked (`submit.preload`): its time, losses and scores.

    python -m bench.preload [--rounds K]

In each round, each side runs four trainings of two epochs on synthetic images, with one worker and one slot. The
losses and scores must agree in every digit. The time of a trial is compared, imports included, as its record says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench.harness import ROOT, Taken, alternately, row, run, write

GRID = """\
name: {name}
command: >-
  {python} -m trainer train {{{{ params | flags }}}} --data data --epochs 2 --division 4 --batch-size 8 --width 4
  --depth 1 --model smallUNet_less --threads 1 --seed {{{{ seed }}}}
parameters: {{learning_rate: [0.01, 0.003], dropout: [0.1, 0.2]}}
resources: {{walltime: 15min, memory: 2GiB, cpus: 1}}
submit: {{placement: packed{preload}}}
"""

PRELOAD = ", preload: [tensorflow, keras, trainer.cli, trainer.training.train]"


def run_sweep(folder: Path, name: str, preload: str, learnt: dict[str, list[object]]) -> Taken:
    """Run a sweep. Returns the medians of its trials' wall and CPU time; notes scores and losses in `learnt`."""
    own = folder / name
    (own / "results").mkdir(parents=True, exist_ok=True)
    number = len(list((own / "results").iterdir()))
    sweep = f"s{number}"
    (own / "grid.yaml").write_text(GRID.format(name=sweep, python=sys.executable, preload=preload))
    if not (own / "data").exists():
        (own / "data").symlink_to(folder / "data")
    for argv in (["plan", "grid.yaml"], ["submit"], ["status", "--watch", "--interval", "1"]):
        run([sys.executable, "-m", "sweep", *argv], cwd=own)
    paths = sorted((own / f"results/{sweep}/trials").glob("*/*/segMeasure.json"))
    results = [json.loads(path.read_text()) for path in paths]
    learnt[name] = [[result["segMeasure"], [epoch["loss"] for epoch in result["history"]]] for result in results]
    records = [json.loads((path.parent / "attempt-1.json").read_text()) for path in paths]
    assert len(records) == 4
    return Taken(*(statistics.median(record[key] for record in records) for key in ("elapsed_s", "cpu_s")))


def main() -> None:
    """Measure, and write bench/measured/preload.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="bench ") as name:
        folder = Path(name)
        os.environ.update(
            PYTHONPATH=str(ROOT), SWEEP_LOCAL_SPOOL=str(folder / "spool"), TRAINER_CACHE=str(folder / "c")
        )
        run([sys.executable, "-m", "trainer", "data", "synth", "data", "--count", "6"], cwd=folder)
        learnt: dict[str, list[object]] = {}
        taken = alternately(
            {
                "started": lambda: run_sweep(folder, "started", "", learnt),
                "forked": lambda: run_sweep(folder, "forked", PRELOAD, learnt),
            },
            rounds,
        )
        assert learnt["started"] == learnt["forked"], (
            "the started and the forked trainings have different losses or scores"
        )
    what = "a training of two epochs, `preload`"
    write(
        "preload",
        [
            row(what, taken, "forked", "started", note="losses and scores agree in every digit"),
            row(what, taken, "forked", "started", measure="cpu_s"),
        ],
    )


if __name__ == "__main__":
    main()
