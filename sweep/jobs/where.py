"""Where jobs go: the grid's queue, account, QOS and cluster, and what the environment says of those (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweep.errors import UsageError
from sweep.grid import Grid
from sweep.schedulers import SCHEDULERS
from sweep.schedulers.directives import option


def from_environment(grid: Grid, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment says where the grid is silent: key of the grid's `scheduler` → value.

    Only what speaks to people's own submit command, too, is heard (`Scheduler.speakers`). All others stand back:
    the grid decides.

    Raises
    ------
    UsageError
        A value is none that a directive can carry.
    """
    scheduler = grid.scheduler
    said: dict[str, str] = {}
    for key, speaker in SCHEDULERS[scheduler.kind].speakers.items():
        if getattr(scheduler, key) or option(scheduler.extra, speaker.options):
            continue
        for variable in speaker.variables:
            value = environment.get(variable, "").strip()
            if value and not re.fullmatch(r"[\w.+@:/,=-]+", value):
                raise UsageError(f"{variable} is {value!r}, which no directive can carry", "unset it")
            if value:
                said.setdefault(key, value)
    return said


def with_environment(grid: Grid, said: Mapping[str, str]) -> Grid:
    """Return the grid with what the environment said when it was planned."""
    if not said:
        return grid
    return grid.model_copy(update={"scheduler": grid.scheduler.model_copy(update=dict(said))})


def cluster(grid: Grid) -> str:
    """Return the cluster, or several, that the jobs ask for. Empty: the one that the commands belong to."""
    speaker = SCHEDULERS[grid.scheduler.kind].speakers.get("cluster")
    in_extra = option(grid.scheduler.extra, speaker.options) if speaker else None
    return grid.scheduler.cluster or in_extra or ""
