"""The commands that run a sweep: plan, submit, race, retry, extend, cancel."""

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
    app,
    print_json,
    print_notes,
    shell_of,
    show,
    store_of,
)
from sweep.cli.selection import TrialNames, TrialsWhere, selection_of
from sweep.errors import UsageError

if TYPE_CHECKING:
    from sweep.store import Store
    from sweep.verbs.submit import SubmitReport


@app.command()
def plan(
    grid: Annotated[Path, typer.Argument(help="The grid.")] = Path("grid.yaml"),
    override: Annotated[list[str] | None, typer.Option("--set", help="name=value, instead of the grid's.")] = None,
    template: Annotated[
        Path | None, typer.Option(help="A job-script template instead of the scheduler's.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept more than a million trials.")] = False,
    no_diff: Annotated[
        bool, typer.Option("--no-diff", help="Do not keep what differs from the git commit.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Expand a grid into trials and job scripts. Safe to repeat: what is known is kept."""
    from sweep.store import Store
    from sweep.verbs.plan import plan as verb

    calls: list[str] = []  # kept until there is a folder to log them in
    report = verb(
        grid,
        Options.results,
        shell_of(keep=calls.append),
        overrides=override or [],
        template=template,
        yes=yes,
        diff=not no_diff,
        dry_run=dry_run,
    )
    for line in calls if not dry_run else []:
        Store(Path(report.folder)).log(line)
    print_notes(report.notes)
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import terminal

        show(terminal.plan(report))


@app.command()
def submit(
    sweep: Sweep = None,
    dry_run: DryRun = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until all is sent. Retry as the grid says.")
    ] = False,
    again: Annotated[bool, typer.Option("--retry", help="One round of --follow: retry, then send.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between rounds of --follow, at first.")] = 5.0,
    no_exclude: Annotated[
        bool, typer.Option("--no-exclude", help="Use nodes again on which trials failed at once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hand to the scheduler what is planned and was not sent yet."""
    store = store_of(sweep)
    if no_exclude and not dry_run:
        print_notes([f"node {name} is used again" for name in store.forgive_nodes()])
    if follow and dry_run:
        raise UsageError("--follow and --dry-run do not go together", "try without --follow first")
    if dry_run:
        _print_calls(store, as_json=as_json)
    elif follow:
        _follow(store, interval, as_json=as_json)
    elif os.environ.get("SWEEP_DRIVER"):
        from sweep.verbs.follow import drive

        _print_submitted(drive(store, shell_of(store), patience_s=Options.patience_s), as_json=as_json)
    else:
        from sweep.verbs.submit import submit as verb

        report = verb(store, shell_of(store), patience_s=Options.patience_s, retry=again)
        _print_submitted(report, as_json=as_json)


def _print_calls(store: Store, *, as_json: bool) -> None:
    from sweep.verbs.submit import preview

    calls = preview(store)
    if as_json:
        print_json({"calls": [asdict(call) for call in calls], "trials": sum(call.trials for call in calls)})
    else:
        from sweep.report import terminal

        show(terminal.submit_calls(calls))


def _follow(store: Store, interval_s: float, *, as_json: bool) -> None:
    from sweep.verbs.follow import follow

    reports = follow(
        store,
        shell_of(store),
        patience_s=Options.patience_s,
        interval_s=interval_s,
        trouble=lambda line: print_notes([line]),
    )
    for number, report in enumerate(reports):
        if number == 0 or report.trials_sent or report.resumed or report.retried.trials or report.stuck:
            _print_submitted(report, as_json=as_json)


def _print_submitted(report: SubmitReport, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import terminal

        show(terminal.submit(report))


@app.command()
def race(sweep: Sweep = None, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Decide which trials run next, and send them. Repeat it, or let `sweep submit --follow` do so.

    It goes by the scores so far, as the grid's `race` says.
    """
    from sweep.verbs.race import race as verb

    store = store_of(sweep)
    report = verb(store, shell_of(store), dry_run=dry_run, patience_s=Options.patience_s)
    print_notes(report.notes)
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import racing

        show(racing.race(report))
        print_next(report.sent, planned=False)


@app.command()
def retry(
    trials: TrialNames = None,
    sweep: SweepOption = None,
    errors: Annotated[bool, typer.Option("--errors", help="All that failed, with programs' own errors.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Cancelled trials, too.")] = False,
    gone: Annotated[bool, typer.Option("--gone", help="Those whose results are gone.")] = False,
    where: TrialsWhere = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Leave the sending to `sweep submit`.")] = False,
    as_json: Json = False,
) -> None:
    """Try again what did not end well, by cause. It gets more memory, more time or another node, and is sent.

    Without trials: what the grid's `retry` gives another attempt, and what got lost. A program's own errors,
    cancelled trials, and those whose results are gone only if told. --where names trials, as their numbers do; of
    those that fit, it tries again what did not end well.
    """
    from sweep.verbs import retry as verbs

    store = store_of(sweep)
    also = [
        *(verbs.ALL_FAILED if errors else ()),
        *(verbs.CANCELLED if cancelled else ()),
        *(verbs.GONE if gone else ()),
    ]
    report = verbs.retry(store, shell_of(store), selection_of(trials, where), also=also)
    submitted = send_planned(store) if report.trials and not plan_only else None
    if as_json:
        print_json({**asdict(report), "submitted": asdict(submitted) if submitted else None})
        return
    from sweep.report import terminal

    show(terminal.retry(report))
    print_next(submitted, planned=bool(report.trials))


@app.command()
def extend(
    until: Annotated[int, typer.Option(min=1, help="To which entry of their history.")],
    trials: TrialNames = None,
    sweep: SweepOption = None,
    where: TrialsWhere = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Leave the sending to `sweep submit`.")] = False,
    as_json: Json = False,
) -> None:
    """Train longer: let trials that are done, or stopped on their way, go on.

    The command is told how far by the variable SWEEP_UNTIL. Of the trials that --where names, those go on that
    can.
    """
    from sweep.verbs.extend import extend as verb

    selection = selection_of(trials, where)
    if not selection:
        raise UsageError("which trials?", "name them by their numbers or ids, or by --where")
    store = store_of(sweep)
    report = verb(store, shell_of(store), selection, until)
    sent = None if plan_only else send_planned(store)
    if as_json:
        print_json({**asdict(report), "submitted": asdict(sent) if sent else None})
        return
    from sweep.report import terminal

    show(terminal.extend(report))
    print_next(sent, planned=True)


def send_planned(store: Store) -> SubmitReport:
    """Submit what was just planned."""
    from sweep.verbs.submit import submit as send

    return send(store, shell_of(store), patience_s=Options.patience_s)


def print_next(submitted: SubmitReport | None, *, planned: bool) -> None:
    """Show what was submitted, or what to do next."""
    from sweep.report import terminal

    if submitted:
        show(terminal.submit(submitted))
    elif planned:
        print("next: sweep submit")


@app.command()
def cancel(
    trials: TrialNames = None, sweep: SweepOption = None, where: TrialsWhere = None, as_json: Json = False
) -> None:
    """Cancel trials that are queued or running."""
    from sweep.verbs.cancel import cancel as verb

    store = store_of(sweep)
    report = verb(store, shell_of(store), selection_of(trials, where))
    if as_json:
        print_json(asdict(report))
    else:
        from sweep.report import terminal

        show(terminal.cancel(report))
