"""The same sweep on every scheduler: the local one, a real Slurm, and fakes of OpenPBS and Torque."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox

FAKE = Path(__file__).parents[1] / "fakes" / "client.py"


def until(look: Callable[[], Any], expected: Any, timeout_s: float = 60) -> None:
    """Call `look` until it returns `expected`."""
    deadline = time.monotonic() + timeout_s
    while (seen := look()) != expected:
        assert time.monotonic() < deadline, f"{seen}, not {expected}"
        time.sleep(0.3)


@dataclass(frozen=True)
class Cluster:
    """A scheduler that the sandbox's commands reach."""

    kind: str
    sandbox: Sandbox
    knobs: Path | None = None

    def knob(self, name: str, on: bool = True, text: str = "") -> None:
        """Turn one of the fake's knobs."""
        assert self.knobs
        path = self.knobs / name
        path.write_text(text) if on else path.unlink()

    def calls(self) -> list[list[str]]:
        """List the fake's calls so far."""
        assert self.knobs
        path = self.knobs / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def scheduler(self) -> str:
        """The grid's `scheduler`, as YAML."""
        return f"{{kind: {self.kind}}}"


def fake(sandbox: Sandbox, folder: Path, kind: str) -> Cluster:
    """Put a fake cluster on the sandbox's PATH."""
    (folder / "bin").mkdir(parents=True)
    for client in ("qsub", "qstat", "qdel", "qselect", "qsig", "pbsnodes"):
        wrapper = folder / "bin" / client
        wrapper.symlink_to(FAKE)
    FAKE.chmod(0o755)
    sandbox.env.update(FAKE_PBS=str(folder), FAKE_PBS_DIALECT=kind)
    sandbox.env["PATH"] = os.pathsep.join([str(folder / "bin"), sandbox.env["PATH"]])
    return Cluster(kind, sandbox, folder)


@pytest.fixture(params=["local", "pbs", "torque", "slurm"])
def cluster(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Cluster]:
    """Each scheduler in turn."""
    kind = request.param
    if kind == "slurm":
        request.getfixturevalue("slurm")
        yield Cluster(kind, sandbox)
        _clean_slurm(sandbox)
    else:
        yield Cluster(kind, sandbox) if kind == "local" else fake(sandbox, tmp_path / "fake", kind)


def _clean_slurm(sandbox: Sandbox) -> None:
    for journal in sandbox.path.glob("results/*/journal.jsonl"):
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        ids = [event["id"] for event in events if event["event"] == "submitted"]
        if ids:
            subprocess.run(["scancel", *ids], check=False, timeout=60)


@pytest.fixture
def make_fake(sandbox: Sandbox, tmp_path: Path) -> Callable[[str], Cluster]:
    """Make a fake of one kind."""
    return lambda kind: fake(sandbox, tmp_path / "fake", kind)
