"""The same sweep on every scheduler that tests reach; see ``tests/clusters/``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Cluster, modules
from tests.clusters.fakepbs import fake
from tests.conftest import Sandbox

__all__ = ["Cluster", "until"]

#: The name of each cluster → the module that makes it reachable.
CLUSTERS = {kind: module for module in modules() for kind in module.KINDS}


def until(look: Callable[[], Any], expected: Any, timeout_s: float = 60) -> None:
    """Call `look` until it returns `expected`."""
    deadline = time.monotonic() + timeout_s
    while (seen := look()) != expected:
        assert time.monotonic() < deadline, f"{seen}, not {expected}"
        time.sleep(0.3)


@pytest.fixture(params=list(CLUSTERS))
def cluster(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Cluster]:
    """Each scheduler in turn; ``site-pbs`` is the real one that this machine submits to."""
    yield from CLUSTERS[request.param].cluster(request.param, request, sandbox, tmp_path / "fake")


@pytest.fixture
def make_fake(sandbox: Sandbox, tmp_path: Path) -> Callable[[str], Cluster]:
    """Make a fake of one kind."""
    return lambda kind: fake(sandbox, tmp_path / "fake", kind)
