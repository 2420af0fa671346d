"""The commands that decide: report, page, best, confirm, compare, verdict."""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.common import (
    DryRun,
    Fresh,
    Json,
    Retired,
    Sweep,
    SweepOption,
    app,
    print_json,
    print_notes,
    shell_of,
    show,
    store_of,
    takes,
    write_file,
    write_folder,
    wrote,
)
from sweep.cli.kept import Kept
from sweep.cli.report_options import ReportOptions
from sweep.cli.run import print_next, send_planned
from sweep.cli.selection import Where
from sweep.errors import StoreError, SweepError, UsageError

if TYPE_CHECKING:
    from sweep.report.request import ReportView
    from sweep.store import Store
    from sweep.verbs.report import LeaderboardReport


@app.command()
@takes(ReportOptions)
def report(sweep: Sweep = None, **given: Any) -> None:
    """Rank the configurations by their results. The best comes first, with how sure that is."""
    options = ReportOptions(**given)
    options.check()
    store, view, form = store_of(sweep), options.view, options.form
    kept = Kept(store, (view, options.where, options.retired, form))
    binary = form == "parquet"  # bytes are not kept
    if not (options.fresh or options.output or binary) and kept.print_again():
        print_notes(["nothing has changed since the last report; --fresh reads all results anew"])
        return
    from sweep.verbs.report import report as verb

    leaderboard = verb(
        store,
        shell_of(store),
        where=options.where,
        columns=view.numbers,
        retired=options.retired,
        fresh=options.fresh,
    )
    warnings = leaderboard.warnings if form else ()  # else they are part of what is printed
    print_notes((*leaderboard.notes, *warnings), leaderboard.stale)
    with contextlib.nullcontext() if binary else kept.listening():
        _print(leaderboard, view, form, options.output)
    if leaderboard.snapshot.all_settled and not (leaderboard.notes or warnings or options.output or binary):
        kept.keep()
    wrote(leaderboard.csv)


def _print(leaderboard: LeaderboardReport, view: ReportView, form: str, output: Path | None) -> None:
    """Print the requested parts for people, or as one table for programs."""
    if not form:
        from sweep.report import views

        show(views.requested_sections(leaderboard, view))
    elif form == "json" and (view.cost or view.importance):
        analysis = leaderboard.analysis
        print_json(asdict(analysis.cost if view.cost else analysis.importance))
    elif form == "json" and view.advice:
        analysis = leaderboard.analysis
        print_json({**asdict(analysis.advice), "unimportant": analysis.unimportant})
    else:
        _export(leaderboard, view, form, output)


def _export(leaderboard: LeaderboardReport, view: ReportView, form: str, output: Path | None) -> None:
    """Write the requested table to a file, or to stdout."""
    from sweep.report import exports, views

    data = exports.export(views.requested_table(leaderboard, view), form)
    if output:
        write_file(output, data)
        wrote(output)
    elif isinstance(data, bytes):
        sys.stdout.buffer.write(data)
    else:
        sys.stdout.write(data)


@app.command()
def page(
    sweep: Sweep = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Write it again and again while it runs.")] = False,
    interval: Annotated[
        float | None, typer.Option(min=1.0, help="Seconds between two pages. Default: 30.")
    ] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Show it while it runs, to your own browser alone, up to date by itself."),
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port for --serve. Default: any that is free.")
    ] = None,
    where: Where = "",
    retired: Retired = False,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Write the report as one page that opens offline. It has the leaderboard, figures, pictures and failures."""
    if interval is not None and not (watch or serve):
        raise UsageError("--interval goes with --watch and --serve", "leave it out, or add one of them")
    if port is not None and not serve:
        raise UsageError("--port goes with --serve", "leave it out, or add --serve")
    if watch and serve:
        raise UsageError("--watch writes the page, and --serve shows it", "choose one of them")
    from sweep.report import html
    from sweep.verbs.page import pages

    store = store_of(sweep)
    if serve:
        _serve(
            store, where=where, retired=retired, fresh=fresh,
            interval_s=interval or 30.0, port=port or 0, as_json=as_json,
        )  # fmt: skip
        return
    interval_s = (interval or 30.0) if watch else None
    written = pages(
        store, shell_of(store), html.page, where=where, retired=retired, interval_s=interval_s, fresh=fresh
    )
    for each in written:
        print_notes(each.notes, each.stale)
        if as_json:
            print_json({"page": str(each.path)})
        else:
            wrote(each.path)


def _serve(
    store: Store, *, where: str, retired: bool, fresh: bool, interval_s: float, port: int, as_json: bool
) -> None:
    from sweep.report import html
    from sweep.verbs.serve import Served, serve

    def say(served: Served) -> None:
        print_notes(served.notes, served.stale)
        if as_json:
            print_json({"url": served.url, "ssh": served.ssh})
        else:
            print(served.url, flush=True)
        print(
            f"to read it on your own machine, run there first: {served.ssh}\n"
            "who has the address can read the page. Ctrl-C ends it, and so do four hours without a reader",
            file=sys.stderr,
            flush=True,
        )

    with contextlib.suppress(KeyboardInterrupt):
        serve(
            store, shell_of(store), html.page_and_news, say,
            where=where, retired=retired, fresh=fresh, interval_s=interval_s, port=port,
        )  # fmt: skip


@app.command()
def best(
    sweep: Sweep = None,
    folder: Annotated[
        Path | None, typer.Option("--export", help="A new folder for all that repeats it: code, versions, seeds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the best configuration, and write best.yaml. The command that repeats it comes last."""
    from sweep.verbs.best import best_configuration, write_best
    from sweep.verbs.export import check_folder, export
    from sweep.verbs.report import report as ranked

    if folder:
        check_folder(folder)
    store = store_of(sweep)
    leaderboard = ranked(store, shell_of(store))
    print_notes(leaderboard.notes, leaderboard.stale)
    configuration = best_configuration(leaderboard)
    if as_json:
        print_json(asdict(configuration))
    else:
        from sweep.report import sections

        show(sections.best(configuration, leaderboard))
        print(configuration.command)  # in one line, whatever the terminal's width: it is there to be copied
    if folder:
        write_folder(folder, export(store, leaderboard, configuration))
    wrote(folder)
    try:
        wrote(write_best(store, configuration))
    except StoreError as error:  # a reader without the right to write has seen it all the same
        print_notes([str(error)])


@app.command()
def confirm(
    sweep: Sweep = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best configurations.")] = 5,
    replicates: Annotated[
        int, typer.Option(min=1, help="How many confirming runs of each, with fresh seeds.")
    ] = 5,
    where: Where = "",
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Leave the sending to `sweep submit`.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run the best configurations again with fresh seeds. From then on these runs decide.

    Submits at once. Safe to repeat: a configuration that has so many confirming runs gets no more.
    """
    from sweep.verbs.confirm import confirm as verb

    store = store_of(sweep)
    confirmation = verb(store, shell_of(store), top=top, replicates=replicates, where=where, dry_run=dry_run)
    submitted = send_planned(store) if confirmation.trials and not (plan_only or dry_run) else None
    if as_json:
        print_json({**asdict(confirmation), "submitted": asdict(submitted) if submitted else None})
        return
    from sweep.report import sections

    show(sections.confirm(confirmation))
    print_next(submitted, planned=bool(confirmation.trials) and not dry_run)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A sweep, by name or folder.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    top: Annotated[int, typer.Option(min=1, help="How many rows, the largest differences first.")] = 10,
    as_json: Json = False,
) -> None:
    """Set two sweeps side by side, where configurations agree."""
    from sweep.verbs.compare import compare as verb

    first, second = store_of(a), store_of(b)
    comparison, objective, warnings = verb(first, second, shell_of())
    print_notes(warnings)
    if as_json:
        from sweep.report.exports import rows

        fields = {name: value for name, value in vars(comparison).items() if name != "table"}
        print_json({**fields, "rows": rows(comparison.table)})
    else:
        from sweep.report import sections

        show(sections.compare(first.name, second.name, comparison, objective, top))


@app.command()
def verdict(
    base: Annotated[str, typer.Argument(help="A trial, for its configuration; or a sweep, for its best.")],
    candidate: Annotated[str, typer.Argument(help="What may be better: a trial, or a sweep.")],
    sweep: SweepOption = None,
    at_least: Annotated[
        float, typer.Option(min=0.0, help="By how much it has to be better, in the metric's units.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Say whether one configuration is better than another, or one sweep's best than another's.

    The exit code is 0: better, 1: not better, 3: it cannot be told, 2: there is no answer.
    """
    from sweep.verbs.verdict import verdict as verb

    if not math.isfinite(at_least):
        raise UsageError(f"--at-least is {at_least}", "give a number of the metric's units")
    try:
        report = verb(base, candidate, store_of, shell_of(), at_least=at_least, sweep=sweep)
        print_notes(report.notes)
        if as_json:
            print_json(asdict(report))
        else:
            from sweep.report import sections

            show(sections.verdict(report))
        sys.stdout.flush()
    except BrokenPipeError:  # who does not read asks for the exit code
        pass
    except OSError as error:
        raise UsageError(f"no answer: {error.strerror}") from None
    except SweepError as error:  # 1 is an answer
        error.exit_code = 2
        raise
    if report.answer.exit_code:
        raise typer.Exit(report.answer.exit_code)
