"""The commands that decide: report, page, best, confirm, compare."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import (
    DryRun,
    Json,
    Sweep,
    app,
    print_json,
    print_notes,
    shell_of,
    show,
    store_of,
    write_file,
    wrote,
)
from sweep.cli.kept import Kept
from sweep.cli.run import print_next, send_planned
from sweep.errors import StoreError, UsageError

if TYPE_CHECKING:
    from sweep.report.views import ReportView
    from sweep.verbs.report import LeaderboardReport

#: What a file's name says of its form.
SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".tex": "latex", ".parquet": "parquet"}

Where = Annotated[str, typer.Option(help="Only configurations that fit: \"model == 'UNet'\".")]
Retired = Annotated[bool, typer.Option("--retired", help="With those that a newer grid dropped.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Read all results anew: some were edited.")]


@app.command()
def report(
    sweep: Sweep = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="The number of rows. Default: 10 on the terminal, else all.")
    ] = None,
    where: Where = "",
    columns: Annotated[list[str] | None, typer.Option(help="Only these; any number of the results, too.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="A table by a parameter's values; crossed: a,b.")] = None,
    pareto: Annotated[str, typer.Option(help="What nothing beats in all of: segMeasure,elapsed_s.")] = "",
    importance: Annotated[bool, typer.Option("--importance", help="Which parameters mattered.")] = False,
    cost: Annotated[bool, typer.Option("--cost", help="What it cost, and what was wasted.")] = False,
    trials: Annotated[bool, typer.Option("--trials", help="A row a trial, not a configuration.")] = False,
    retired: Retired = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet (needs pyarrow).")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    fresh: Fresh = False,
    html: Annotated[bool, typer.Option("--html", hidden=True)] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", hidden=True)] = False,
) -> None:
    """Rank the configurations by their results. The best comes first, with how sure that is."""
    if html or watch:  # where people look for it
        raise UsageError(
            "the page is a command of its own", "sweep page writes it, and sweep page --watch again and again"
        )
    forms = {"csv": csv, "json": as_json, "markdown": markdown, "latex": latex, "parquet": parquet}
    form = _one_of(forms) or (SUFFIXES.get(output.suffix, "") if output else "")
    crossed = [_split([names]) for names in by or ()]
    view_options = (top, _split(columns), crossed, _split([pareto]), importance, cost, trials)
    tables = {"by": bool(by), "pareto": bool(pareto), "importance": importance, "cost": cost, "trials": trials}
    if form:
        _one_of(tables)
    if columns:
        _one_of({"columns": True, "by": bool(by), "importance": importance, "cost": cost, "trials": trials})
    _check_output(form, output)
    if pareto and not _split([pareto]):
        raise UsageError("--pareto names nothing", "--pareto segMeasure,elapsed_s")
    store = store_of(sweep)
    kept = Kept(store, (view_options, where, retired, form))
    if not (fresh or output or form == "parquet") and kept.print_again():
        print_notes(["nothing has changed since the last report; --fresh reads all results anew"])
        return
    from sweep.report.views import ReportView
    from sweep.verbs.report import report as verb

    view = ReportView(*view_options)
    leaderboard = verb(store, shell_of(store), where=where, columns=view.numbers, retired=retired, fresh=fresh)
    print_notes(leaderboard.notes, leaderboard.stale)
    with contextlib.nullcontext() if form == "parquet" else kept.listening():  # bytes are not kept
        _print(leaderboard, view, form, output)
    if leaderboard.snapshot.all_settled and not leaderboard.notes and not output and form != "parquet":
        kept.keep()
    wrote(leaderboard.csv)


def _split(given: list[str] | None) -> list[str]:
    return [name.strip() for names in given or () for name in names.split(",") if name.strip()]


def _one_of(options: dict[str, bool]) -> str:
    names = [name for name, is_given in options.items() if is_given]
    if len(names) > 1:
        raise UsageError(f"--{names[0]} and --{names[1]} exclude each other", "give one of them")
    return names[0] if names else ""


def _check_output(form: str, output: Path | None) -> None:
    if output and not form:
        raise UsageError("--output needs a form", "--csv, --json, --markdown, --latex or --parquet")
    if form == "parquet" and not output and sys.stdout.isatty():
        raise UsageError("Parquet is binary, and a terminal cannot show it", "add --output FILE, or redirect it")


def _print(leaderboard: LeaderboardReport, view: ReportView, form: str, output: Path | None) -> None:
    if form:
        _export(leaderboard, view, form, output)
        return
    from sweep.report import views

    show(views.requested_sections(leaderboard, view))


def _export(leaderboard: LeaderboardReport, view: ReportView, form: str, output: Path | None) -> None:
    from sweep.report import exports, views

    if form == "json" and (view.cost or view.importance):
        analysis = leaderboard.analysis
        print_json(asdict(analysis.cost if view.cost else analysis.importance))
        return
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
        float | None, typer.Option(min=1.0, help="Seconds between two pages with --watch. Default: 30.")
    ] = None,
    where: Where = "",
    retired: Retired = False,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Write the report as one page that opens offline. It has the leaderboard, figures, pictures and failures."""
    if interval is not None and not watch:
        raise UsageError("--interval goes with --watch", "leave it out, or add --watch")
    from sweep.report import html
    from sweep.verbs.page import pages

    store = store_of(sweep)
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


@app.command()
def best(sweep: Sweep = None, as_json: Json = False) -> None:
    """Print the best configuration, and write best.yaml. The command that repeats it comes last."""
    from sweep.verbs.best import best_configuration, write_best
    from sweep.verbs.report import report as ranked

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
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Leave the sending to `sweep submit`.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run the best configurations again with fresh seeds. From then on these runs decide.

    Submits at once. Safe to repeat: a configuration that has so many confirming runs gets no more.
    """
    from sweep.verbs.confirm import confirm as verb

    store = store_of(sweep)
    confirmation = verb(store, shell_of(store), top=top, replicates=replicates, dry_run=dry_run)
    sent = send_planned(store) if confirmation.trials and not (plan_only or dry_run) else None
    if as_json:
        print_json({**asdict(confirmation), "submitted": asdict(sent) if sent else None})
        return
    from sweep.report import sections

    show(sections.confirm(confirmation))
    print_next(sent, planned=bool(confirmation.trials) and not dry_run)


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
    comparison, objective = verb(first, second, shell_of())
    if as_json:
        from sweep.report.exports import rows

        fields = {name: value for name, value in vars(comparison).items() if name != "table"}
        print_json({**fields, "rows": rows(comparison.table)})
    else:
        from sweep.report import sections

        show(sections.compare(first.name, second.name, comparison, objective, top))
