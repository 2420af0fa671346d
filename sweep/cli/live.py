"""``status --watch`` on the screen: redrawn in place on a terminal, elsewhere a line at each change."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from sweep.report import terminal
from sweep.verbs.status import StatusReport


def show_live(reports: Iterable[StatusReport], *, as_json: bool = False) -> None:
    """Show one status after another; with `as_json`, each as a line of JSON."""
    if as_json:
        for report in reports:
            print(json.dumps(asdict(report)), flush=True)
        return
    console = terminal.console()
    if not console.is_terminal:
        _print_changes(reports)
        return
    # The alternate screen would take the last state away with it; vertical_overflow keeps the redraw in place.
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for report in reports:
            live.update(_drawn(report), refresh=True)


def _drawn(report: StatusReport) -> RenderableType:
    notes = [*report.notes, *([f"stale: {report.stale}"] if report.stale else [])]
    return Group(terminal.status(report), *(Text(line) for line in notes))


def _print_changes(reports: Iterable[StatusReport]) -> None:
    last = ""
    for report in reports:
        line = ", ".join(f"{count} {state}" for state, count in report.counts.items())
        if report.stale:
            line += f" (stale: {report.stale})"
        if line != last:
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
        last = line
