"""Real schedulers: a Slurm of four virtual nodes, and the PBS or Torque that this machine submits to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.conftest import Sandbox

KINDS = ("slurm", "site-pbs")


def cluster(kind: str, request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Cluster]:
    """Yield the scheduler, if it is here, and cancel what a test that failed has left."""
    if kind == "slurm":
        request.getfixturevalue("slurm")
        yield Cluster(kind, sandbox)
        _cancel_all(sandbox, "scancel")
        return
    sandbox.env["SWEEP_GRACE_S"] = "20"  # a real mom is slower than the fake one, and so may be the file server
    yield Cluster(request.getfixturevalue("site_pbs"), sandbox)
    _cancel_all(sandbox, "qdel")


def _cancel_all(sandbox: Sandbox, command: str) -> None:
    """Cancel one job a call: OpenPBS's qdel takes no arrays beside single jobs."""
    for journal in sandbox.path.glob("results/*/journal.jsonl"):
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        for job_id in [event["id"] for event in events if event["event"] == "submitted"]:
            subprocess.run([command, job_id], check=False, timeout=120, capture_output=True)
