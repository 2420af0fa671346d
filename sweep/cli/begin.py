"""The commands to begin with: init, doctor, schema."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.common import Json, Options, app, print_json, shell_of, show
from sweep.errors import UsageError


@app.command()
def init(
    grid: Annotated[Path, typer.Argument(help="The file to write.")] = Path("grid.yaml"),
    kind: Annotated[str | None, typer.Option("--scheduler", help="local, slurm, pbs or torque.")] = None,
    as_json: Json = False,
) -> None:
    """Write a commented grid to start from. It is for the scheduler that answers here."""
    from sweep.errors import nearest
    from sweep.schedulers import SCHEDULERS
    from sweep.verbs.init import init as verb

    if kind is not None and kind not in SCHEDULERS:
        raise UsageError(f"there is no scheduler {kind!r}", nearest(kind, SCHEDULERS))
    kind = verb(grid, shell_of(), kind)
    if as_json:
        print_json({"grid": str(grid), "scheduler": kind})
    else:
        print(f"wrote {grid} for {kind}; next: edit it, then sweep plan {grid}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is here to work with, and what is missing. Each finding comes with what to do about it."""
    from sweep.verbs.doctor import Level
    from sweep.verbs.doctor import doctor as verb

    findings = verb(Options.results, shell_of())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        from sweep.report import terminal

        show(terminal.doctor(findings))
    if any(finding.level is Level.BAD for finding in findings):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of grid.yaml, for editors."""
    from sweep.grid import Grid

    # Keys that begin with x- are a place for YAML's anchors.
    print_json({**Grid.model_json_schema(), "patternProperties": {"^x-": {}}})
