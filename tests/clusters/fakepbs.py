"""A fake cluster that speaks OpenPBS's dialect or Torque's: programs on PATH."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.conftest import Sandbox

KINDS = ("pbs", "torque")

FAKE = Path(__file__).parents[1] / "fakes" / "client.py"


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


def cluster(kind: str, request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Cluster]:
    """Yield the fake. What runs on it is ended with the sandbox."""
    yield fake(sandbox, folder, kind)
