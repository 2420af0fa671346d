"""What all commands share: the options before a command's name, opening a sweep, printing."""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
import typer.core

from sweep import __version__
from sweep.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweep.shell import Shell
    from sweep.store import Store

#: The commands as the help lists them. A group is a module of this package.
GROUPS = {
    "Begin": ("init", "doctor", "schema"),
    "Run": ("plan", "submit", "race", "retry", "extend", "cancel"),
    "Look": ("status", "why", "logs", "replay"),
    "Decide": ("report", "page", "best", "confirm", "compare", "verdict"),
}


class PipeClosed(Exception):
    """Who read our output went away. It is no OSError: of a broken pipe, click makes exit code 1."""


@contextmanager
def _closed_pipes() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise PipeClosed from error


class _Grouped(typer.core.TyperGroup):
    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line; --help and --version print here."""
        with _closed_pipes():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _closed_pipes():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for names in GROUPS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group's commands under its title."""
        width = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(width)) for name in names])


app = typer.Typer(
    cls=_Grouped,
    help="Plan, submit, follow and rank a sweep: grid.yaml → jobs → leaderboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Options:
    """What stands before the command's name."""

    verbose = False
    patience_s = 30.0
    results = Path("results")


#: The sweeps that this command has opened.
OPENED: list[Store] = []

#: So many files that cannot be read are named.
_NAMED = 5


def unread() -> str:
    """Say which records and results could not be read in the end; empty: none."""
    files = [f"{path}: {why}" for store in OPENED for path, why in store.unread.items()]
    if not files:
        return ""
    count = "a file" if len(files) == 1 else f"{len(files)} files"
    lines = [f"error: cannot read {count}, so nothing was concluded from it:", *files[:_NAMED]]
    if len(files) > _NAMED:
        lines.append(f"… and {len(files) - _NAMED} more")
    hint = "look again; if it stays so, mend the file system, or ask its owner for the right to read"
    return "\n  ".join(lines) + f"\nhint: {hint}"


Sweep = Annotated[str | None, typer.Argument(help="The sweep's name or folder; else the last planned.")]
SweepOption = Annotated[str | None, typer.Option("--sweep", "-s", help="The sweep; else the last planned.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Work everything out, change nothing.")]
Retired = Annotated[bool, typer.Option("--retired", help="With those that a newer grid dropped.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Read all results anew: some were edited.")]


def takes(options: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a dataclass as options, in place of its own ``**given``."""
    types, keyword = get_type_hints(options, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    declared = [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=types[field.name])
        for field in fields(options)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [own for own in signature.parameters.values() if own.kind is not own.VAR_KEYWORD]
        parameters = [*own, *declared]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _version(value: bool) -> None:
    if value:
        print(f"sweep {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show each scheduler call.")] = False,
    results: Annotated[
        Path, typer.Option(envvar="SWEEP_RESULTS", help="The folder with a folder for each sweep.")
    ] = Path("results"),
    patience: Annotated[
        float,
        typer.Option(
            min=0,
            envvar="SWEEP_PATIENCE_S",
            help="Seconds to wait for another command that changes the sweep, and for a busy scheduler.",
        ),
    ] = 30.0,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,  # noqa: ARG001
) -> None:
    Options.verbose, Options.results, Options.patience_s = verbose, results, patience
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the folder that you are in cannot be used: {error.strerror}; it may have been deleted",
            "go to another one: cd",
        ) from None


def shell_of(store: Store | None = None, keep: Callable[[str], None] | None = None) -> Shell:
    """Make what starts processes; its calls are logged in the sweep's folder, and shown with --verbose."""
    from sweep.shell import Shell

    def log(line: str) -> None:
        if store or keep:
            (store.log if store else keep)(line)  # type: ignore[misc]
        if Options.verbose:
            print(line, file=sys.stderr)

    return Shell(log, store.clock) if store else Shell(log)


def store_of(sweep: str | None) -> Store:
    """Open the sweep that is meant."""
    from sweep.store import Shelf

    store = Shelf(Options.results).find(sweep)
    OPENED.append(store)
    store.mutex.patience_s = Options.patience_s
    store.mutex.say = lambda line: print(line, file=sys.stderr)
    return store


def show(renderable: RenderableType) -> None:
    """Print for people."""
    from sweep.report.terminal import console

    console().print(renderable)


def print_json(value: Any) -> None:
    """Print for programs."""
    json.dump(_finite(value), sys.stdout, indent=1, ensure_ascii=False, default=str, allow_nan=False)
    print(flush=True)


def _finite(value: Any) -> Any:
    """Replace what JSON cannot say, NaN and infinities of a trial's result, by null."""
    if hasattr(value, "__struct_fields__"):
        import msgspec

        return msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def wrote(*paths: Path | None) -> None:
    """Say on stderr which files were written."""
    for path in paths:
        if path:
            print(f"wrote {path}", file=sys.stderr)


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file that a person named.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    try:
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}", "name another file") from None


def write_folder(path: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a folder that a person named. UsageError as for `write_file`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {str(path)!r}: {error.strerror}", "name another folder") from None
    for name, data in files.items():
        write_file(path / name, data)


def print_notes(notes: Iterable[str], stale: str = "") -> None:
    """Say on stderr what is no data."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if stale:
        print(f"stale: {stale}", file=sys.stderr)
