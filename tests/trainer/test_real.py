"""The trainer on real images: the four test images of dsb512, which are not trained on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.conftest import Sandbox


def test_it_learns_real_nuclei(sandbox: Sandbox, real_data: Path) -> None:
    """A short training reaches 0.69 to 0.71. The bound of 0.55 is above Otsu with a watershed, which reaches 0.47."""
    data = str(real_data / "dsb512")
    ran = sandbox.run(
        sys.executable, "-m", "trainer", "train", "--data", data, "--epochs", "8", "--division", "8",
        "--learning-rate", "0.01", "--width", "16", "--out", "r.json", timeout_s=290
    )  # fmt: skip
    assert ran.code == 0, ran.err
    result = json.loads((sandbox.path / "r.json").read_text())
    split = json.loads((real_data / "dsb512" / "split.json").read_text())
    assert {Path(name).stem for name in result["test"]["images"]} == {Path(name).stem for name in split["test"]}
    assert len(result["data"]["train"]) + len(result["validation"]["images"]) == len(split["train"])
    assert result["test"]["segMeasure"] > 0.55
