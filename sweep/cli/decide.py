"""The commands that decide: report, best, compare."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import Json, Sweep, app, print_json, shell_of, show, store_of, talk, wrote
from sweep.cli.kept import Kept
from sweep.errors import StoreError, UsageError

if TYPE_CHECKING:
    from sweep.report.views import Asked
    from sweep.store import Store
    from sweep.verbs.report import Report


#: What a file's name says of its form.
SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".tex": "latex", ".parquet": "parquet"}


@app.command()
def report(
    sweep: Sweep = None,
    top: Annotated[int | None, typer.Option(min=1, help="So many rows; 10 on the terminal, else all.")] = None,
    where: Annotated[str, typer.Option(help="Only configurations that fit: \"model == 'UNet'\".")] = "",
    columns: Annotated[list[str] | None, typer.Option(help="Only these; any number of the results, too.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="A table by a parameter's values; crossed: a,b.")] = None,
    pareto: Annotated[str, typer.Option(help="What nothing beats in all of: segMeasure,elapsed_s.")] = "",
    importance: Annotated[bool, typer.Option("--importance", help="What mattered.")] = False,
    cost: Annotated[bool, typer.Option("--cost", help="What it cost, and what was wasted.")] = False,
    trials: Annotated[bool, typer.Option("--trials", help="A row a trial, not a configuration.")] = False,
    retired: Annotated[bool, typer.Option("--retired", help="With those that a newer grid dropped.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write report.html, one page to look at.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="With --html: again and again, while it runs.")
    ] = False,
    interval: Annotated[
        float | None, typer.Option(min=1.0, help="Seconds between two pages with --watch; else 30.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet (needs pyarrow).")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Read all results anew: some were edited.")] = False,
) -> None:
    """Collect the results into a leaderboard and select the best configuration."""
    asked_forms = {"csv": csv, "json": as_json, "markdown": markdown, "latex": latex, "parquet": parquet}
    form = _one_of(asked_forms) or (SUFFIXES.get(output.suffix, "") if output else "")
    question = (
        top, _split(columns), [_split([one]) for one in by or ()], _split([pareto]), importance, cost, trials
    )  # fmt: skip
    tables = {"by": bool(by), "pareto": bool(pareto), "importance": importance, "cost": cost, "trials": trials}
    if form:
        _one_of(tables)
    if html:
        _one_of({"html": True, "top": top is not None, "columns": bool(columns), **tables, **asked_forms})
    if columns:
        _one_of({"columns": True, "by": bool(by), "importance": importance, "cost": cost, "trials": trials})
    _sensible(form, html, watch, output, interval)
    if pareto and not _split([pareto]):
        raise UsageError("--pareto names nothing", "--pareto segMeasure,elapsed_s")
    store = store_of(sweep)
    if html:
        _page(store, where, retired=retired, interval_s=(interval or 30.0) if watch else None, fresh=fresh)
        return
    kept = Kept(store, (question, where, retired, form))
    if not (fresh or output or form == "parquet") and kept.again():
        talk(["nothing has changed since the last report; --fresh reads all results anew"])
        return
    from sweep.report.views import Asked
    from sweep.verbs.report import report as verb

    asked = Asked(*question)
    numbers = [*asked.columns, *(name.rpartition(":")[0] or name for name in asked.pareto)]
    made = verb(store, shell_of(store), where=where, columns=numbers, retired=retired, fresh=fresh)
    talk(made.notes, made.stale)
    with kept.listening():
        _print(made, asked, form, output)
    if made.snapshot.settled and not made.notes and not output and form != "parquet":
        kept.keep()
    wrote(made.csv)


def _split(given: list[str] | None) -> list[str]:
    return [name.strip() for one in given or () for name in one.split(",") if name.strip()]


def _one_of(wanted: dict[str, bool]) -> str:
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(names) > 1:
        raise UsageError(f"--{names[0]} and --{names[1]} cannot both be had at once", "ask for one at a time")
    return names[0] if names else ""


def _sensible(form: str, html: bool, watch: bool, output: Path | None, interval: float | None) -> None:
    if watch and not html:
        raise UsageError("--watch goes with --html", "`sweep status --watch` follows a sweep on the terminal")
    if interval is not None and not watch:
        raise UsageError("--interval goes with --html --watch", "leave it out, or add them")
    if output and not form:
        raise UsageError("--output needs a form", "--csv, --json, --markdown, --latex or --parquet")
    if form == "parquet" and not output and sys.stdout.isatty():
        raise UsageError("Parquet is nothing for a terminal", "add --output FILE, or redirect it")


def _page(store: Store, where: str, *, retired: bool, interval_s: float | None, fresh: bool) -> None:
    from sweep.report.html import write_pages

    for page in write_pages(store, shell_of(store), where, retired=retired, interval_s=interval_s, fresh=fresh):
        talk(page.notes, page.stale)
        wrote(page.path)


def _print(made: Report, asked: Asked, form: str, output: Path | None) -> None:
    if form:
        _export(made, asked, form, output)
        return
    from sweep.report import views

    show(views.terminal(made, asked))


def _export(made: Report, asked: Asked, form: str, output: Path | None) -> None:
    from sweep.report import exports, views

    if form == "json" and asked.cost:
        from sweep.leaderboard.cost import cost

        print_json(asdict(cost(made.attempts)))
        return
    if form == "json" and asked.importance:
        print_json(asdict(views.importance_of(made)))
        return
    data = exports.export(views.table(made, asked), form)
    if output:
        exports.write(output, data)
        wrote(output)
    elif isinstance(data, bytes):
        sys.stdout.buffer.write(data)
    else:
        sys.stdout.write(data)


@app.command()
def best(sweep: Sweep = None, as_json: Json = False) -> None:
    """Print the best configuration and the command that repeats it; write best.yaml."""
    from sweep.verbs import report as verbs

    store = store_of(sweep)
    made = verbs.report(store, shell_of(store))
    talk(made.notes, made.stale)
    config = verbs.best_config(made, store.ledger()[0].planned or {})
    if as_json:
        print_json(config)
    else:
        from sweep.report import board

        show(board.best(config, made))
        print(config["command"])  # in one line, whatever the terminal's width: it is there to be copied
    try:
        wrote(verbs.write_best(store, config))
    except StoreError as error:  # a reader without the right to write has seen it all the same
        talk([str(error)])


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A sweep, by name or folder.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    top: Annotated[int, typer.Option(min=1, help="So many rows, the largest differences.")] = 10,
    as_json: Json = False,
) -> None:
    """Set two sweeps side by side, where their configurations agree."""
    from sweep.verbs.report import compare as verb

    first, second = store_of(a), store_of(b)
    made, objective = verb(first, second, shell_of())
    if as_json:
        from sweep.report.exports import rows

        print_json(
            {**{name: value for name, value in vars(made).items() if name != "table"}, "rows": rows(made.table)}
        )
    else:
        from sweep.report import board

        show(board.compare(first.name, second.name, made, objective, top))
