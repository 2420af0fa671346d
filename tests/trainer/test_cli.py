"""The command line: its options come from one declaration, and its help comes at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import typer.main

from tests.trainer.conftest import Trainer
from trainer.cli import app
from trainer.training.options import Options

#: Options of the command that are not part of a training.
OWN = {"cache", "cache_gib", "dry_run", "until"}


def test_each_option_of_a_training_is_on_the_command_line() -> None:
    parameters = {parameter.name: parameter for parameter in typer.main.get_command(app).commands["train"].params}  # type: ignore[attr-defined]
    assert set(parameters) == {declared.name for declared in fields(Options)} | OWN
    assert all(parameter.help for parameter in parameters.values())
    for name, default in vars(Options(data=Path("d"))).items():
        if name not in ("data", "extra_data"):
            assert parameters[name].default == default, name
    assert parameters["data"].required
    assert (parameters["out"].envvar, parameters["seed"].envvar) == ("SWEEP_RESULT", "SWEEP_SEED")


def test_values_from_the_command_line_arrive(trainer: Trainer, nuclei: Path) -> None:
    out = trainer("train", "--data", nuclei, "--batch-size", 2, "--blank", 1, "--augmentation", 7, "--dry-run").out
    assert "(8 with augmented ones)" in out  # and the blank one
    assert "'--blank'" in trainer("train", "--data", nuclei, "--blank", 2, code=2).err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['trainer', 'train', '--help']\nfrom trainer.cli import app\n"
        "try: app()\nexcept SystemExit: pass\nprint(*sorted(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--learning-rate" in ran.stdout
    assert not set(ran.stderr.split()) & {"numpy", "scipy", "skimage", "tensorflow", "keras", "pooch"}
