"""``status --watch``: redraw in place on a terminal; elsewhere a line whenever something changed.

With ``--json``, a JSON document a line, at each look.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from sweep.report import terminal
from sweep.verbs.status import StatusReport

#: Where nothing changes, looks become rarer, up to this many times the interval.
SLOWEST = 6.0

#: Looking takes no more of a core than this: a login node is everyone's. One of 10,000 trials takes 0.05 s.
MOST_OF_A_CORE = 0.004

#: … but nobody waits longer than this for the next one.
MOST_PAUSE_S = 60.0


def watch(look: Callable[[], StatusReport], interval_s: float, *, as_json: bool = False) -> None:
    """Follow a sweep until nothing is left to run.

    Parameters
    ----------
    look : callable
        Returns the status as of now.
    interval_s : float
        Seconds between two looks; up to six times as many while nothing changes, and more for a sweep so large
        that looking would take a share of the machine.
    """
    if as_json:
        for made in _looks(look, interval_s):
            print(json.dumps(asdict(made)), flush=True)
        return
    console = terminal.console()
    if not console.is_terminal:
        _lines(look, interval_s)
        return
    # The alternate screen would take the last state away with it; vertical_overflow keeps the redraw in place.
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for made in _looks(look, interval_s):
            live.update(_shown(made), refresh=True)


def _shown(made: StatusReport) -> RenderableType:
    talk = [*made.notes, *([f"stale: {made.stale}"] if made.stale else [])]
    return Group(terminal.status(made), *(Text(line) for line in talk))


def _lines(look: Callable[[], StatusReport], interval_s: float) -> None:
    last = ""
    for made in _looks(look, interval_s):
        line = ", ".join(f"{n} {state}" for state, n in made.counts.items())
        if made.stale:
            line += f" (stale: {made.stale})"
        if line != last:
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
        last = line


def _looks(look: Callable[[], StatusReport], interval_s: float) -> Iterator[StatusReport]:
    pause_s, before, first = interval_s, None, True
    while True:
        began_s = time.process_time()
        made = look()
        yield made
        if not made.left:
            return
        pause_s = interval_s if made.counts != before else min(pause_s * 1.3, interval_s * SLOWEST)
        took_s = 0.0 if first else time.process_time() - began_s  # the first reads everything, and imports
        before, first = made.counts, False
        time.sleep(max(pause_s, min(took_s / MOST_OF_A_CORE, MOST_PAUSE_S)))
