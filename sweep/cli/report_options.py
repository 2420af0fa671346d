"""What can be asked of ``sweep report``: each option once, and which of them exclude each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import Fresh, Json, Retired
from sweep.cli.selection import Where
from sweep.errors import UsageError

if TYPE_CHECKING:
    from sweep.report.request import ReportView

#: What a file's name says of its form.
SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".tex": "latex", ".parquet": "parquet"}

Names = list[str] | None


@dataclass(frozen=True)
class ReportOptions:
    """The options of ``sweep report``, in the order of its help."""

    top: Annotated[
        int | None, typer.Option(min=1, help="The number of rows. Default: 10 on the terminal, else all.")
    ] = None
    where: Where = ""
    columns: Annotated[Names, typer.Option(help="Only these; any number of the results, too.")] = None
    by: Annotated[Names, typer.Option(help="A table by a parameter's values; crossed: a,b.")] = None
    pareto: Annotated[str, typer.Option(help="What nothing beats in all of: segMeasure,elapsed_s.")] = ""
    importance: Annotated[bool, typer.Option("--importance", help="Which parameters mattered.")] = False
    cost: Annotated[bool, typer.Option("--cost", help="What it cost, and what was wasted.")] = False
    advice: Annotated[bool, typer.Option("--next", help="What to do next, and what did not matter.")] = False
    trials: Annotated[bool, typer.Option("--trials", help="A row a trial, not a configuration.")] = False
    retired: Retired = False
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False
    as_json: Json = False
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet (needs pyarrow).")] = False
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None
    fresh: Fresh = False
    html: Annotated[bool, typer.Option("--html", hidden=True)] = False
    watch: Annotated[bool, typer.Option("--watch", "-w", hidden=True)] = False

    @property
    def form(self) -> str:
        """The form of the table: ``csv``, ``json``, ``markdown``, ``latex``, ``parquet``; empty for a terminal.

        Raises
        ------
        UsageError
            Several forms are asked for.
        """
        forms = {
            "csv": self.csv,
            "json": self.as_json,
            "markdown": self.markdown,
            "latex": self.latex,
            "parquet": self.parquet,
        }
        return _one_of(forms) or (SUFFIXES.get(self.output.suffix, "") if self.output else "")

    @property
    def view(self) -> ReportView:
        """The parts of the report that are requested."""
        from sweep.report.request import ReportView  # not at the start: no other command needs it

        return ReportView(
            top=self.top,
            columns=_split(*self.columns or ()),
            by=[_split(names) for names in self.by or ()],
            pareto=_split(self.pareto),
            importance=self.importance,
            cost=self.cost,
            trials=self.trials,
            advice=self.advice,
        )

    def check(self) -> None:
        """Check that the options go together.

        Raises
        ------
        UsageError
            They do not.
        """
        if self.html or self.watch:  # where people look for it
            raise UsageError(
                "the page is a command of its own", "sweep page writes it, and sweep page --watch again and again"
            )
        others = {"importance": self.importance, "cost": self.cost, "next": self.advice, "trials": self.trials}
        by = bool(self.by)
        if self.form:
            _one_of({"by": by, "pareto": bool(self.pareto), **others})
        if self.columns:
            _one_of({"columns": True, "by": by, **others})
        if self.output and not self.form:
            raise UsageError("--output needs a form", "--csv, --json, --markdown, --latex or --parquet")
        if self.form == "parquet" and not self.output and sys.stdout.isatty():
            raise UsageError(
                "Parquet is binary, and a terminal cannot show it", "add --output FILE, or redirect it"
            )
        if self.pareto and not self.view.pareto:
            raise UsageError("--pareto names nothing", "--pareto segMeasure,elapsed_s")


def _split(*given: str) -> list[str]:
    """Split lists of names at their commas.

    >>> _split("a, b", "c,,")
    ['a', 'b', 'c']
    """
    return [name.strip() for names in given for name in names.split(",") if name.strip()]


def _one_of(options: Mapping[str, bool]) -> str:
    """Return the name of the option that is given; empty if none is."""
    names = [name for name, is_given in options.items() if is_given]
    if len(names) > 1:
        raise UsageError(f"--{names[0]} and --{names[1]} exclude each other", "give one of them")
    return names[0] if names else ""
