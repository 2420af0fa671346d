"""The fixtures of the trainer's tests: small sets, and the command line in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, Sandbox
from trainer.data import synth

Trainer = Callable[..., Ran]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep prepared sets out of the person's own cache."""
    folder = tmp_path / "prepared"
    monkeypatch.setenv("TRAINER_CACHE", str(folder))
    return folder


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    """Make five small images with masks; their split.json keeps one for testing."""
    synth.write_set(tmp_path / "set", count=5, rows=96, columns=120, seed=3)
    return tmp_path / "set"


@pytest.fixture
def trainer(sandbox: Sandbox, own_cache: Path) -> Trainer:
    """Run the trainer's command line in the awkward folder, and check its exit code."""

    def run(*argv: object, code: int = 0, timeout_s: float = 290) -> Ran:
        words = [sys.executable, "-m", "trainer", *(str(word) for word in argv)]
        ran = sandbox.run(*words, timeout_s=timeout_s, env={"TRAINER_CACHE": str(own_cache)})
        assert ran.code == code, f"trainer {argv} ended with {ran.code}\n{ran.out}\n{ran.err}"
        assert "Traceback" not in ran.err
        return ran

    return run
