"""The schedulers that the end-to-end tests reach: each module here makes one or several reachable.

A module has ``KINDS``, the names of its clusters, and ``cluster``, a generator that sets one up, yields it and takes it
down. A scheduler that comes with its tests, and not with sweep, is in ``BROUGHT``.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sweep.schedulers import SCHEDULERS, Scheduler
from tests.conftest import Sandbox


@dataclass(frozen=True)
class Cluster:
    """A scheduler that the sandbox's commands reach.

    Attributes
    ----------
    knobs : Path or None
        The folder of a fake, in which a file is a knob.
    slots : int or None
        How many tasks it runs at once, where that is known.
    """

    kind: str
    sandbox: Sandbox
    knobs: Path | None = None
    slots: int | None = None

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

    @property
    def has_arrays(self) -> bool:
        """Whether a job can be an array."""
        return schedulers()[self.kind].has_arrays


def modules() -> Iterator[ModuleType]:
    """Import what makes a scheduler reachable."""
    for module in pkgutil.iter_modules(__path__):
        yield import_module(f"{__name__}.{module.name}")


def schedulers() -> dict[str, Scheduler]:
    """Return the schedulers that sweep has, and those that only the tests have."""
    brought = [scheduler for module in modules() for scheduler in getattr(module, "BROUGHT", ())]
    return SCHEDULERS | {scheduler.kind: scheduler for scheduler in brought}
