"""The commands that look: status, logs, why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from sweep.cli.common import Json, Sweep, SweepOption, Trial, app, print_json, shell_of, show, store_of, talk


@app.command()
def status(
    sweep: Sweep = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow until nothing is left to run.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between looks with --watch.")] = 5.0,
    usage: Annotated[bool, typer.Option("--usage", help="Ask what running trials use just now (sstat).")] = False,
    as_json: Json = False,
) -> None:
    """Show where every trial stands, what runs, and what failed and why."""
    from sweep.verbs.status import status as verb

    store = store_of(sweep)
    if watch:
        from sweep.report.watch import watch as follow

        follow(lambda: verb(store, shell_of(store), usage=usage), interval, as_json=as_json)
        return
    made = verb(store, shell_of(store), usage=usage)
    talk(made.notes, made.stale)
    if as_json:
        print_json(asdict(made))
    else:
        from sweep.report import terminal

        show(terminal.status(made))


@app.command()
def logs(
    trial: Trial,
    sweep: SweepOption = None,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only the last so many lines.")] = None,
    as_json: Json = False,
) -> None:
    """Print what a trial wrote."""
    from sweep.verbs.why import tail as verb

    lines, path = verb(store_of(sweep), trial, tail)
    if as_json:
        print_json({"path": path, "lines": lines})
    else:
        for line in lines:
            print(line)


@app.command()
def why(trial: Trial, sweep: SweepOption = None, as_json: Json = False) -> None:
    """Say why a trial is in the state it is in, with all the evidence."""
    from sweep.verbs.why import why as verb

    store = store_of(sweep)
    told = verb(store, shell_of(store), trial)
    talk([], told["stale"])
    if as_json:
        print_json(told)
    else:
        from sweep.report import terminal

        show(terminal.why(told))
