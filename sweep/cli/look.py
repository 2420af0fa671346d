"""The commands that look: status, why, logs, replay."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from sweep.cli.common import (
    Json,
    Sweep,
    SweepOption,
    TrialName,
    app,
    print_json,
    print_notes,
    shell_of,
    show,
    store_of,
)


@app.command()
def status(
    sweep: Sweep = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow until nothing is left to run.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between looks with --watch.")] = 5.0,
    usage: Annotated[bool, typer.Option("--usage", help="Ask what running trials use just now (sstat).")] = False,
    as_json: Json = False,
) -> None:
    """Show where every trial stands, and what failed and why."""
    from sweep.verbs.status import status as verb

    store = store_of(sweep)
    if watch:
        from sweep.cli.live import show_live
        from sweep.verbs.watch import watch as looks

        show_live(looks(lambda: verb(store, shell_of(store), usage=usage), interval), as_json=as_json)
        return
    report = verb(store, shell_of(store), usage=usage)
    print_notes(report.notes, report.stale)
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import terminal

        show(terminal.status(report))


@app.command()
def logs(
    trial: TrialName,
    sweep: SweepOption = None,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="How many of the last lines.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="With control characters, as it was written.")] = False,
    as_json: Json = False,
) -> None:
    """Print what a trial wrote."""
    from sweep.verbs.why import logs as verb

    log = verb(store_of(sweep), trial, tail, raw=raw)
    if as_json:
        print_json(asdict(log))
    else:
        for line in log.lines:
            print(line)


@app.command()
def why(trial: TrialName, sweep: SweepOption = None, as_json: Json = False) -> None:
    """Say why a trial is in its state, with all the evidence."""
    from sweep.verbs.why import why as verb

    store = store_of(sweep)
    report = verb(store, shell_of(store), trial)
    print_notes(report.notes, report.stale)
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import terminal

        show(terminal.why(report))


@app.command()
def replay(
    sweep: Sweep = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="race.budget=2%, and so on, instead of the grid's.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How often, with other random numbers.")] = 5,
    as_json: Json = False,
) -> None:
    """Race a sweep on paper that has been run whole: what it would have cost, and how good its winner is.

    Beside it: the whole grid, random choice at the same cost, and the best at the first rung. Nothing is started.
    """
    from sweep.verbs.replay import replay as verb

    store = store_of(sweep)
    report = verb(store, shell_of(store), overrides=override or [], seeds=seeds)
    print_notes(report.notes)
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import sections

        show(sections.replay(report))
