"""The commands that look: status, why, logs, replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import (
    Json,
    Sweep,
    SweepOption,
    app,
    print_json,
    print_notes,
    shell_of,
    show,
    store_of,
)
from sweep.cli.selection import TrialName, TrialsWhere, required_selection, selection_of

if TYPE_CHECKING:
    from sweep.verbs.status import StatusReport


@app.command()
def status(
    sweep: Sweep = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow until nothing is left to run.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between looks with --watch.")] = 5.0,
    usage: Annotated[bool, typer.Option("--usage", help="Ask what running trials use just now (sstat).")] = False,
    where: TrialsWhere = None,
    as_json: Json = False,
) -> None:
    """Show where every trial stands, and what failed and why."""
    from sweep.verbs.status import status as verb

    store, selection = store_of(sweep), selection_of(None, where)
    if watch:
        from sweep.cli.live import show_live
        from sweep.verbs.watch import watch as looks

        def look() -> StatusReport:
            return verb(store, shell_of(store), usage=usage, selection=selection)

        show_live(looks(look, interval), as_json=as_json)
        return
    report = verb(store, shell_of(store), usage=usage, selection=selection)
    print_notes(report.notes, report.stale)
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import terminal

        show(terminal.status(report))


@app.command()
def logs(
    trial: TrialName = None,
    sweep: SweepOption = None,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="How many of the last lines.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="With control characters, as it was written.")] = False,
    where: TrialsWhere = None,
    as_json: Json = False,
) -> None:
    """Print what a trial wrote."""
    from sweep.verbs import why as verbs

    selection, store = required_selection(trial, where), store_of(sweep)
    if trial is not None:
        log = verbs.logs(store, trial, tail, raw=raw)
        if as_json:
            print_json(asdict(log))
        else:
            _print_lines(log.lines)
        return
    logs_by_trial = verbs.logs_of(store, shell_of(store), selection, tail, raw=raw)
    if as_json:
        print_json([{"trial": number, **asdict(log)} for number, log in logs_by_trial.items()])
        return
    for number, log in logs_by_trial.items():
        print(f"==> trial {number} <==")
        _print_lines(log.lines)


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)


@app.command()
def why(
    trial: TrialName = None, sweep: SweepOption = None, where: TrialsWhere = None, as_json: Json = False
) -> None:
    """Say why a trial is in its state, with all the evidence."""
    from sweep.verbs.why import why as verb

    selection, store = required_selection(trial, where), store_of(sweep)
    reports = verb(store, shell_of(store), selection)
    print_notes(reports[0].notes, reports[0].stale)
    if as_json:
        documents = [asdict(report) for report in reports]
        print_json(documents if where else documents[0])
        return
    from sweep.report import terminal

    for number, report in enumerate(reports):
        if number:
            print()
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
