"""What a person has chosen for other programs does not reach the trainer; what is damaged is called so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer.files.npz import save_npz
from trainer.training import checkpoint

ASK = (
    "from trainer.training.environment import start_tensorflow; start_tensorflow(1); import keras; "
    "print(keras.backend.backend(), keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon())"
)


@pytest.mark.parametrize(
    ("variables", "config"),
    [
        (
            {"KERAS_BACKEND": "torch"},
            {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"},
        ),
        ({}, {"backend": "theano", "floatx": "float1", "image_data_format": "th", "epsilon": 1e-3}),
    ],
)
def test_kerass_settings_are_the_trainers_own(
    tmp_path: Path, variables: dict[str, str], config: dict[str, object]
) -> None:
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps(config))
    environment = {**os.environ, **variables, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.split() == ["tensorflow", "float32", "channels_last", "1e-07"], done.stderr
    assert json.loads((tmp_path / ".keras/keras.json").read_text()) == config


#: Modules of a person's own, by the names of libraries that the trainer imports.
HOMONYMS = ("keras", "numpy", "tensorflow", "typer", "skimage", "scipy", "tifffile", "json", "network", "scoring")


def test_files_of_the_project_are_not_taken_for_libraries(tmp_path: Path) -> None:
    for name in HOMONYMS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('this is {name}.py of the project')\n")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise SystemExit('this is torch of the project')\n")
    trainer = [sys.executable, "-m", "trainer"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment |= {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_XLA_FLAGS": "", "ONEDNN_MAX_CPU_ISA": "ALL"}
    for command in (
        ["data", "synth", "set", "--count", "6", "--rows", "64", "--columns", "64"],
        [
            "train",
            "--data",
            "set",
            "--epochs",
            "1",
            "--division",
            "2",
            "--batch-size",
            "4",
            "--out",
            "result.json",
        ],
    ):
        done = subprocess.run(
            [*trainer, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    warnings = json.loads((tmp_path / "result.json").read_text())["warnings"]
    assert [each for each in warnings if "TF_" in each] == [
        "set in the environment: TF_ENABLE_ONEDNN_OPTS=0, which can change the numbers"
    ]


@pytest.mark.parametrize("how", ["half", "empty", "zeros", "flipped", "text"])
def test_a_damaged_checkpoint_is_none_of_another_training(tmp_path: Path, how: str) -> None:
    path = tmp_path / "model.checkpoint.npz"
    save_npz(path, json.dumps({"identity": "another"}), {"network.0": np.arange(10_000.0)})
    assert not checkpoint.is_damaged(path)
    assert checkpoint.load(path, "mine") is None
    data = path.read_bytes()
    middle = len(data) // 2
    damaged = {
        "half": data[:middle], "empty": b"", "zeros": b"\0" * len(data), "text": b"no npz",
        "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
    }  # fmt: skip
    path.write_bytes(damaged[how])
    assert checkpoint.is_damaged(path)
    assert checkpoint.load(path, "mine") is None
