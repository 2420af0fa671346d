"""The batch system for one machine that comes with sweep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.conftest import Sandbox

KINDS = ("local",)


def cluster(kind: str, request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Cluster]:
    """Yield the queue: the sandbox names its folder."""
    yield Cluster(kind, sandbox)
