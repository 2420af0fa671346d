"""The same sweep on every scheduler: the local one, a real Slurm, a site's real PBS, fakes of OpenPBS and Torque."""

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


@pytest.fixture(params=["local", "pbs", "torque", "slurm", "site-pbs"])
def cluster(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Cluster]:
    """Each scheduler in turn; ``site-pbs`` is the real one that this machine submits to."""
    kind = request.param
    if kind == "slurm":
        request.getfixturevalue("slurm")
        yield Cluster(kind, sandbox)
        _cancel_all(sandbox, "scancel")
    elif kind == "site-pbs":
        sandbox.env["SWEEP_GRACE_S"] = (
            "20"  # a real mom is slower than the fake one, and so may be the file server
        )
        yield Cluster(request.getfixturevalue("site_pbs"), sandbox)
        _cancel_all(sandbox, "qdel")
    else:
        yield Cluster(kind, sandbox) if kind == "local" else fake(sandbox, tmp_path / "fake", kind)


def _cancel_all(sandbox: Sandbox, command: str) -> None:
    """Cancel what a test that failed has left, one job a call: OpenPBS's qdel takes no arrays beside single jobs."""
    for journal in sandbox.path.glob("results/*/journal.jsonl"):
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        for job_id in [event["id"] for event in events if event["event"] == "submitted"]:
            subprocess.run([command, job_id], check=False, timeout=120, capture_output=True)


@pytest.fixture
def make_fake(sandbox: Sandbox, tmp_path: Path) -> Callable[[str], Cluster]:
    """Make a fake of one kind."""
    return lambda kind: fake(sandbox, tmp_path / "fake", kind)
