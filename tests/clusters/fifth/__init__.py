"""A scheduler invented for the tests, and the same without arrays: all that it is stands in this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.clusters.fifth.scheduler import Fifth, FifthSingle
from tests.conftest import Sandbox

HERE = Path(__file__).parent
BROUGHT = (Fifth(), FifthSingle())
KINDS = tuple(scheduler.kind for scheduler in BROUGHT)


def cluster(kind: str, request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Cluster]:
    """Put the commands on the sandbox's PATH, and yield a sandbox whose sweep knows them."""
    (folder / "bin").mkdir(parents=True)
    (HERE / "client.py").chmod(0o755)
    for client in Fifth.clients:
        (folder / "bin" / client).symlink_to(HERE / "client.py")
    slots = 4 if kind == Fifth.kind else 2
    (folder / "slots").write_text(str(slots))
    if kind == FifthSingle.kind:
        (folder / "noarrays").touch()
    sandbox.env["FIFTH_ROOT"] = str(folder)
    sandbox.env["PATH"] = os.pathsep.join([str(folder / "bin"), sandbox.env["PATH"]])
    yield Cluster(kind, replace(sandbox, program=(str(HERE / "program.py"),)), folder, slots)
