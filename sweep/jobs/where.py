"""Where jobs go: the grid's queue, account, QOS and cluster, and what the environment says of those (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweep.errors import UsageError
from sweep.grid import Grid

#: The grid's key → the variables that may speak where the grid is silent, and sbatch's options for the same.
SPEAKERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "queue": (("SBATCH_PARTITION",), ("--partition", "-p")),
    "account": (("SBATCH_ACCOUNT",), ("--account", "-A")),
    "qos": (("SBATCH_QOS",), ("--qos", "-q")),
    "cluster": (("SBATCH_CLUSTERS", "SLURM_CLUSTERS"), ("--clusters", "--cluster", "-M")),
}


def option(extra: list[str], names: tuple[str, ...]) -> str | None:
    """Return the value of an option among the grid's further directives. None: it is not there.

    >>> option(["--clusters=two -n 1"], ("--clusters", "-M")), option(["-Mtwo"], ("--clusters", "-M"))
    ('two', 'two')
    >>> option(["--mem=1G"], ("--clusters", "-M"))
    """
    for name in names:
        separator = r"(?:=|\s+)" if name.startswith("--") else r"\s*"
        for line in extra:
            match = re.search(rf"(?:^|\s){name}{separator}(\S+)", line)
            if match:
                return match[1]
    return None


def from_environment(grid: Grid, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment says where the grid is silent: key of the grid's `scheduler` → value.

    Slurm's variables speak to people's own ``sbatch``, too. All others stand back: the grid decides.

    Raises
    ------
    UsageError
        A value is none that a directive can carry.
    """
    scheduler = grid.scheduler
    said: dict[str, str] = {}
    if scheduler.kind != "slurm":
        return said
    for key, (variables, names) in SPEAKERS.items():
        if getattr(scheduler, key) or option(scheduler.extra, names):
            continue
        for variable in variables:
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
    if grid.scheduler.kind != "slurm":
        return ""
    return grid.scheduler.cluster or option(grid.scheduler.extra, SPEAKERS["cluster"][1]) or ""
