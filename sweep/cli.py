"""The command line: parse, call a verb, print. It knows no scheduler and no file name.

Heavy modules (pandas, pydantic, rich, ruamel) are imported by the commands that need them, so that
``sweep --help`` starts as fast as a bare typer program.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep import __version__
from sweep.errors import StoreError, SweepError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweep.shell import Shell
    from sweep.store import Store
    from sweep.verbs.submit import SubmitReport

app = typer.Typer(
    help="Plan, submit, follow and rank a sweep: grid.yaml → jobs → leaderboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Options:
    """What stands before the command's name."""

    verbose = False
    patience_s = 30.0
    results = Path("results")


Sweep = Annotated[str | None, typer.Argument(help="The sweep's name or folder; else the last planned.")]
SweepOption = Annotated[str | None, typer.Option("--sweep", "-s", help="The sweep; else the last planned.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Work everything out, change nothing.")]
Trial = Annotated[str, typer.Argument(help="A trial's number, or the beginning of its id.")]
Trials = Annotated[list[str] | None, typer.Argument(help="Trials, by number or id; else all it applies to.")]


def _version(value: bool) -> None:
    if value:
        print(f"sweep {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show each scheduler call.")] = False,
    results: Annotated[Path, typer.Option(envvar="SWEEP_RESULTS", help="Where sweeps land.")] = Path("results"),
    patience: Annotated[
        float,
        typer.Option(
            min=0,
            envvar="SWEEP_PATIENCE_S",
            help="Seconds to wait for another one who changes the sweep, and for a scheduler that says: not now.",
        ),
    ] = 30.0,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,  # noqa: ARG001
) -> None:
    _Options.verbose, _Options.results, _Options.patience_s = verbose, results, patience


# --- plan and send ----------------------------------------------------------------------------------------


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
        _Options.results,
        _shell(keep=calls.append),
        overrides=override or [],
        template=template,
        yes=yes,
        dry_run=dry_run,
    )
    for line in calls if not dry_run else []:
        Store(Path(made.folder)).log(line)
    _talk(made.notes)
    if as_json:
        _print_json(asdict(made))
    else:
        from sweep.report import terminal

        _print(terminal.plan(made))


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
    store = _store(sweep)
    if follow and dry_run:
        raise UsageError("--follow and --dry-run do not go together", "try without --follow first")
    if follow:
        from sweep.verbs.follow import follow as rounds

        shell = _shell(store)
        followed = rounds(
            store, shell, patience_s=_Options.patience_s, interval_s=interval, trouble=lambda line: _talk([line])
        )
        for number, made in enumerate(followed):
            if number == 0 or made.trials_sent or made.resumed or made.retried.get("trials") or made.stuck:
                _print_submitted(made, as_json)
        return
    if os.environ.get("SWEEP_DRIVER"):
        from sweep.verbs.follow import drive

        _print_submitted(drive(store, _shell(store), patience_s=_Options.patience_s), as_json)
        return
    from sweep.verbs.submit import submit as verb

    made = verb(store, _shell(store), dry_run=dry_run, patience_s=_Options.patience_s, retry=again)
    _print_submitted(made, as_json)


def _print_submitted(made: SubmitReport, as_json: bool) -> None:
    if as_json:
        _print_json(asdict(made))
    else:
        from sweep.report import terminal

        _print(terminal.submit(made))


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

    store = _store(sweep)
    also = [*(verbs.ALL_FAILED if errors else ()), *(verbs.CANCELLED if cancelled else ())]
    made = verbs.retry(store, _shell(store), trials or [], also=also)
    sent = None
    if made.trials and not plan_only:
        from sweep.verbs.submit import submit as send

        sent = send(store, _shell(store), patience_s=_Options.patience_s)
    if as_json:
        _print_json({**asdict(made), "submitted": asdict(sent) if sent else None})
    else:
        from sweep.report import terminal

        _print(terminal.retry(made))
        if sent:
            _print(terminal.submit(sent))
        elif made.trials:
            print("next: sweep submit")


@app.command()
def cancel(trials: Trials = None, sweep: SweepOption = None, as_json: Json = False) -> None:
    """Cancel trials that are queued or running: these, or all."""
    from sweep.verbs.cancel import cancel as verb

    store = _store(sweep)
    made = verb(store, _shell(store), trials or [])
    if as_json:
        _print_json(asdict(made))
    else:
        from sweep.report import terminal

        _print(terminal.cancel(made))


# --- look ---------------------------------------------------------------------------------------------------


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

    store = _store(sweep)
    if watch:
        from sweep.report.watch import watch as follow

        follow(lambda: verb(store, _shell(store), usage=usage), interval, as_json=as_json)
        return
    made = verb(store, _shell(store), usage=usage)
    _talk(made.notes, made.stale)
    if as_json:
        _print_json(asdict(made))
    else:
        from sweep.report import terminal

        _print(terminal.status(made))


@app.command()
def report(
    sweep: Sweep = None,
    top: Annotated[int | None, typer.Option(min=1, help="So many rows; 10 on the terminal, else all.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    retired: Annotated[bool, typer.Option("--retired", help="With those that a newer grid dropped.")] = False,
) -> None:
    """Collect the results into a leaderboard and select the best configuration."""
    from sweep.report.html import page
    from sweep.verbs.report import report as verb

    asked = {"csv": csv, "json": as_json, "markdown": markdown, "latex": latex}
    forms = [name for name, wanted in asked.items() if wanted]
    if len(forms) > 1:
        raise UsageError(f"--{forms[0]} and --{forms[1]} cannot both go to stdout", "ask for one at a time")
    store = _store(sweep)
    made = verb(store, _shell(store), page=page, retired=retired)
    _talk(made.notes, made.stale)
    if forms:
        from sweep.report.exports import export

        sys.stdout.write(export(made.frame if top is None else made.frame.head(top), forms[0]))
    else:
        from sweep.report import terminal

        _print(terminal.leaderboard(made, top or 10))
    _wrote(made.csv, made.html)


@app.command()
def best(sweep: Sweep = None, as_json: Json = False) -> None:
    """Print the best configuration and the command that repeats it; write best.yaml."""
    from sweep.verbs import report as verbs

    store = _store(sweep)
    made = verbs.report(store, _shell(store))
    _talk(made.notes, made.stale)
    config = verbs.best_config(made, store.ledger()[0].planned or {})
    if as_json:
        _print_json(config)
    else:
        from sweep.report import terminal

        _print(terminal.best(config))
        print(config["command"])  # in one line, whatever the terminal's width: it is there to be copied
    try:
        _wrote(verbs.write_best(store, config))
    except StoreError as error:  # a reader without the right to write has seen it all the same
        _talk([str(error)])


@app.command()
def logs(
    trial: Trial,
    sweep: SweepOption = None,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only the last so many lines.")] = None,
    as_json: Json = False,
) -> None:
    """Print what a trial wrote."""
    from sweep.verbs.why import tail as verb

    lines, path = verb(_store(sweep), trial, tail)
    if as_json:
        _print_json({"path": path, "lines": lines})
    else:
        for line in lines:
            print(line)


@app.command()
def why(trial: Trial, sweep: SweepOption = None, as_json: Json = False) -> None:
    """Say why a trial is in the state it is in, with all the evidence."""
    from sweep.verbs.why import why as verb

    store = _store(sweep)
    told = verb(store, _shell(store), trial)
    _talk([], told["stale"])
    if as_json:
        _print_json(told)
    else:
        from sweep.report import terminal

        _print(terminal.why(told))


# --- begin --------------------------------------------------------------------------------------------------


@app.command()
def init(
    grid: Annotated[Path, typer.Argument(help="The file to write.")] = Path("grid.yaml"),
    kind: Annotated[str | None, typer.Option("--scheduler", help="local, slurm, pbs or torque.")] = None,
    as_json: Json = False,
) -> None:
    """Write a commented grid to start from, for the scheduler that answers here."""
    from sweep.errors import nearest
    from sweep.schedulers import SCHEDULERS
    from sweep.verbs.init import init as verb

    if kind is not None and kind not in SCHEDULERS:
        raise UsageError(f"there is no scheduler {kind!r}", nearest(kind, SCHEDULERS))
    kind = verb(grid, _shell(), kind)
    if as_json:
        _print_json({"grid": str(grid), "scheduler": kind})
    else:
        print(f"wrote {grid} for {kind}; next: edit it, then sweep plan {grid}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is here to work with, and what to do about what is missing."""
    from sweep.verbs.doctor import doctor as verb

    findings = verb(_Options.results, _shell())
    if as_json:
        _print_json([asdict(one) for one in findings])
    else:
        from sweep.report import terminal

        _print(terminal.doctor(findings))
    if any(one.verdict == "bad" for one in findings):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of grid.yaml, for editors."""
    from sweep.grid import Grid

    _print_json(Grid.model_json_schema())


# --- printing -----------------------------------------------------------------------------------------------


def _shell(store: Store | None = None, keep: Callable[[str], None] | None = None) -> Shell:
    from sweep.shell import Shell

    def log(line: str) -> None:
        if store or keep:
            (store.log if store else keep)(line)  # type: ignore[misc]
        if _Options.verbose:
            print(line, file=sys.stderr)

    return Shell(log)


def _store(sweep: str | None) -> Store:
    from sweep.store import find

    store = find(_Options.results, sweep)
    store.patience_s = _Options.patience_s
    store.say = lambda line: print(line, file=sys.stderr)
    return store


def _print(renderable: RenderableType) -> None:
    from sweep.report.terminal import console

    console().print(renderable)


def _print_json(value: Any) -> None:
    json.dump(_finite(value), sys.stdout, indent=1, ensure_ascii=False, default=str, allow_nan=False)
    print()


def _finite(value: Any) -> Any:
    """Replace what JSON cannot say, NaN and infinities of a trial's result, by null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _wrote(*paths: Path | None) -> None:
    for path in paths:
        if path:
            print(f"wrote {path}", file=sys.stderr)


def _talk(notes: Iterable[str], stale: str = "") -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if stale:
        print(f"stale: {stale}", file=sys.stderr)


def main() -> None:
    """Run the command line; exit code 0, 1 (it failed) or 2 (what was asked cannot be)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # half a character in a trial's result must not end a report
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SweepError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `sweep report | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a full disk under stdout, a file that went away
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
