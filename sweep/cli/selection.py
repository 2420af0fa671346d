"""The options by which commands are told which trials or configurations they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import print_notes
from sweep.errors import UsageError

if TYPE_CHECKING:
    from sweep.steps.select import Selection

TrialName = Annotated[str | None, typer.Argument(help="A trial's number, or the beginning of its id.")]
TrialNames = Annotated[
    list[str] | None, typer.Argument(help="Trials, by number or id. Default: all that the command is for.")
]
Where = Annotated[str, typer.Option(help="Only configurations that fit: \"model == 'UNet'\".")]
TrialsWhere = Annotated[
    str | None, typer.Option("--where", help="Trials that fit: \"state == 'failed' and lr > 0.1\".")
]


def selection_of(names: Sequence[str] | None, where: str | None) -> Selection:
    """Return the trials that a command is told about. UsageError if it is told twice, or an empty expression."""
    from sweep.steps.select import Selection

    if names and where is not None:
        raise UsageError(f"--where and trial {names[0]} exclude each other", "give one of them")
    if where is not None and not where.strip():  # a variable of a shell's that is not set means no trial, not all
        raise UsageError("--where is empty", "write what is true of the trials, or leave it out")
    return Selection(tuple(names or ()), where or "", lambda line: print_notes([line]))


def required_selection(name: str | None, where: str | None) -> Selection:
    """Return the trials that a command is told about, which must be told. UsageError if it is not."""
    selection = selection_of([name] if name is not None else None, where)
    if not selection:
        raise UsageError("which trial?", "give its number or the beginning of its id, or --where")
    return selection
