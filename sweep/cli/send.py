"""The commands that plan and send: plan, submit, retry, confirm, cancel."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import (
    DryRun,
    Json,
    Options,
    Sweep,
    SweepOption,
    Trials,
    app,
    print_json,
    shell_of,
    show,
    store_of,
    talk,
)
from sweep.errors import UsageError

if TYPE_CHECKING:
    from sweep.verbs.submit import SubmitReport


@app.command()
def plan(
    grid: Annotated[Path, typer.Argument(help="The grid.")] = Path("grid.yaml"),
    override: Annotated[list[str] | None, typer.Option("--set", help="name=value, instead of the grid's.")] = None,
    template: Annotated[
        Path | None, typer.Option(help="A job-script template instead of the scheduler's.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept more than a million trials.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Expand a grid into trials and job scripts. Safe to repeat: what is known is kept."""
    from sweep.store import Store
    from sweep.verbs.plan import plan as verb

    calls: list[str] = []  # kept until there is a folder to log them in
    made = verb(
        grid,
        Options.results,
        shell_of(keep=calls.append),
        overrides=override or [],
        template=template,
        yes=yes,
        dry_run=dry_run,
    )
    for line in calls if not dry_run else []:
        Store(Path(made.folder)).log(line)
    talk(made.notes)
    if as_json:
        print_json(asdict(made))
    else:
        from sweep.report import terminal

        show(terminal.plan(made))


@app.command()
def submit(
    sweep: Sweep = None,
    dry_run: DryRun = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until all is sent; retry by the grid.")] = False,
    again: Annotated[bool, typer.Option("--retry", help="One round of --follow: retry, then send.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between rounds of --follow, at first.")] = 5.0,
    as_json: Json = False,
) -> None:
    """Hand to the scheduler what is planned and was not sent yet."""
    store = store_of(sweep)
    if follow and dry_run:
        raise UsageError("--follow and --dry-run do not go together", "try without --follow first")
    if follow:
        from sweep.verbs.follow import follow as rounds

        shell = shell_of(store)
        followed = rounds(
            store, shell, patience_s=Options.patience_s, interval_s=interval, trouble=lambda line: talk([line])
        )
        for number, made in enumerate(followed):
            if number == 0 or made.trials_sent or made.resumed or made.retried.get("trials") or made.stuck:
                _print_submitted(made, as_json)
        return
    if os.environ.get("SWEEP_DRIVER"):
        from sweep.verbs.follow import drive

        _print_submitted(drive(store, shell_of(store), patience_s=Options.patience_s), as_json)
        return
    from sweep.verbs.submit import submit as verb

    made = verb(store, shell_of(store), dry_run=dry_run, patience_s=Options.patience_s, retry=again)
    _print_submitted(made, as_json)


def _print_submitted(made: SubmitReport, as_json: bool) -> None:
    if as_json:
        print_json(asdict(made))
    else:
        from sweep.report import terminal

        show(terminal.submit(made))


@app.command()
def retry(
    trials: Trials = None,
    sweep: SweepOption = None,
    errors: Annotated[bool, typer.Option("--errors", help="All that failed, programs' own errors too.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Cancelled ones, too.")] = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Leave the sending to `sweep submit`.")] = False,
    as_json: Json = False,
) -> None:
    """Try again what did not end well, by cause: more memory, more time, another node; and send it.

    Without trials: what the grid's `retry` gives another attempt, and what got lost. A program's own errors and
    cancelled trials only if told.
    """
    from sweep.verbs import retry as verbs

    store = store_of(sweep)
    also = [*(verbs.ALL_FAILED if errors else ()), *(verbs.CANCELLED if cancelled else ())]
    made = verbs.retry(store, shell_of(store), trials or [], also=also)
    sent = None
    if made.trials and not plan_only:
        from sweep.verbs.submit import submit as send

        sent = send(store, shell_of(store), patience_s=Options.patience_s)
    if as_json:
        print_json({**asdict(made), "submitted": asdict(sent) if sent else None})
    else:
        from sweep.report import terminal

        show(terminal.retry(made))
        if sent:
            show(terminal.submit(sent))
        elif made.trials:
            print("next: sweep submit")


@app.command()
def confirm(
    sweep: Sweep = None,
    top: Annotated[int, typer.Option(min=1, help="So many of the best configurations.")] = 5,
    replicates: Annotated[int, typer.Option(min=1, help="So many confirming runs of each, with fresh seeds.")] = 5,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Leave the sending to `sweep submit`.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run the best configurations again, with seeds that had no part in choosing them; then these decide.

    Submits at once; safe to repeat: a configuration that has so many confirming runs gets no more.
    """
    from sweep.verbs.confirm import confirm as verb

    store = store_of(sweep)
    made = verb(store, shell_of(store), top=top, replicates=replicates, dry_run=dry_run)
    sent = None
    if made.trials and not (plan_only or dry_run):
        from sweep.verbs.submit import submit as send

        sent = send(store, shell_of(store), patience_s=Options.patience_s)
    if as_json:
        print_json({**asdict(made), "submitted": asdict(sent) if sent else None})
        return
    from sweep.report import board, terminal

    show(board.confirm(made))
    if sent:
        show(terminal.submit(sent))
    elif made.trials and not dry_run:
        print("next: sweep submit")


@app.command()
def cancel(trials: Trials = None, sweep: SweepOption = None, as_json: Json = False) -> None:
    """Cancel trials that are queued or running: these, or all."""
    from sweep.verbs.cancel import cancel as verb

    store = store_of(sweep)
    made = verb(store, shell_of(store), trials or [])
    if as_json:
        print_json(asdict(made))
    else:
        from sweep.report import terminal

        show(terminal.cancel(made))
