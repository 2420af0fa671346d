"""The report as one self-contained page: nothing is fetched, all is escaped, and the tables need no script."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from sweep.jobs.render import template_environment
from sweep.leaderboard.cost import Cost, cost
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.ranking import Configuration
from sweep.report import board, words
from sweep.report.curves import curves
from sweep.report.figure import Figure
from sweep.report.figures import figures, grouped, in_order, varying
from sweep.report.table import Shown, decimals_of, or_none, plain, shown
from sweep.report.views import importance_of
from sweep.shell import Shell
from sweep.steps.pictures import pictures
from sweep.store import Store
from sweep.verbs.report import Report, best_config, report
from sweep.verbs.status import failures

#: Rows of the leaderboard in the page; leaderboard.csv has all.
MOST_ROWS = 10_000

#: Trials whose pictures are shown.
PICTURED = 5


@dataclass(frozen=True)
class Page:
    """Where a page was written, and what there is to say about it."""

    path: Path
    notes: tuple[str, ...]
    stale: str


def write_pages(
    store: Store, shell: Shell, where: str, *, retired: bool, interval_s: float | None, fresh: bool = False
) -> Iterator[Page]:
    """Write report.html; with an interval, again and again until nothing is left to run.

    Yields
    ------
    Page
        Each time it was written.
    """
    while True:
        made = report(store, shell, where=where, retired=retired, whole=True, fresh=fresh)
        left = made.left if interval_s else 0
        text = page(store, made, again_s=interval_s if left else None)
        # A part of the sweep does not take the place of the whole.
        name = "report-where.html" if where else "report.html"
        yield Page(store.write(name, text), made.notes, made.stale)
        if not left or interval_s is None:
            return
        time.sleep(interval_s)


def page(store: Store, made: Report, again_s: float | None = None) -> str:
    """Render the page.

    Parameters
    ----------
    again_s : float, optional
        The page is rewritten so often. It never loads itself again: that would take a reader's place from her.
    """
    mattered = importance_of(made)
    table = shown(made.frame.head(MOST_ROWS), made.column, score_first=True)
    drawn = figures(made, mattered)
    planned = made.snapshot.ledger.planned or {}
    ranked = [one for one in made.board.configurations if one.scores]
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            name=made.name,
            made_at=time.strftime("%Y-%m-%d %H:%M", time.localtime(made.snapshot.at)),
            again_s=again_s,
            report=made,
            heading=board.heading(made),
            footer=board.footer(made, len(table.rows)),
            score=words.score(made.best.score, decimals_of(made.frame)) if made.best else "",
            winner=[*board.winner(made)][1:] if made.best else [],
            params={name: words.cell(v) for name, v in made.best.entry.trial.params.items()} if made.best else {},
            runs=board.runs(made) if made.best else "",
            command=best_config(made, planned)["command"] if made.best else "",
            table=table,
            cut=len(made.frame) > MOST_ROWS,
            figures={one.name: one for one in drawn},
            mattered=mattered,
            shares=[*mattered.single, *[one for one in mattered.pairs if one.percent >= 1]],
            effects=_effects(made),
            cost=_cost(cost(made.attempts)),
            failures=failures(store, made.snapshot)[:20],
            pictures=[
                {"of": _pictured(ranked, number), "pictures": [_inline(one) for one in some]}
                for number, some in pictures(store, [_counted_first(one) for one in ranked], PICTURED).items()
            ],
            data=packed(_data(made, table, drawn)),
            plotly=plotly_js(),
            datatables=datatables_js(),
            datatables_css=_itables("dt_bundle.css"),
        )
    )


def _counted_first(one: Configuration) -> list[Entry]:
    counted = {entry.trial.number for entry in one.counted}
    return sorted(one.entries, key=lambda entry: entry.trial.number not in counted)


def _pictured(ranked: Sequence[Configuration], number: int) -> str:
    """Say whose pictures they are."""
    [one] = [one for one in ranked if any(entry.trial.number == number for entry in one.entries)]
    params = ", ".join(f"{name}={words.cell(value)}" for name, value in one.entry.trial.params.items())
    return f"Rank {one.rank}, trial {number}{': ' if params else ''}{words.shortened(params, 200)}"


def _inline(picture: Any) -> dict[str, str]:
    """Make a picture part of the page."""
    data = base64.b64encode(picture.data).decode()
    return {"source": f"data:{picture.kind};base64,{data}", "caption": picture.caption}


def _effects(made: Report) -> list[tuple[str, Shown]]:
    from sweep.leaderboard import effects

    digits, names = decimals_of(made.frame), varying(made)
    few = grouped(made.frame, names)
    return [(name, plain(in_order(effects.by(few, [name], made.objective)), digits)) for name in names]


def _cost(spent: Cost) -> dict[str, Any]:
    return {
        "allotted": board.hours(spent.allotted_core_h),
        "used": board.hours(spent.used_core_h),
        "wasted": {cause: board.hours(value) for cause, value in spent.wasted_core_h.items()},
        "requests": [line for one in spent.requests for line in board.requests(one)],
        "memory": board.hours(spent.unused_memory_gib_h),
        "walltime": board.hours(spent.unused_walltime_core_h),
    }


def _data(made: Report, table: Shown, drawn: list[Figure]) -> dict[str, Any]:
    """Gather what the scripts need: figures, what to sort the table's cells by, learning curves."""
    frame = made.frame.head(MOST_ROWS)
    keys: list[Any] = []
    for name in table.names:
        known = "ci_low" if name == "interval" else name
        column = frame[known]
        numeric = known in ("rank", "scores") or column.dtype.kind in "iuf"
        keys.append([_key(or_none(value)) for value in column.tolist()] if numeric else None)
    more = (made.column, "test", "interval", "scores")
    learnt = [curves(one, made.objective) for one in made.board.configurations[:MOST_ROWS]]
    return {
        "figures": {one.name: one.content for one in drawn},
        "keys": keys,
        # What is missing comes last where the best come first: where more is better it counts as less.
        "missing": [-1e308 if name in more and not made.objective.minimize else 1e308 for name in table.names],
        "curves": learnt if any(learnt) else [],
        "trials": frame["trial"].tolist(),
    }


def _key(value: Any) -> float | None:
    return None if value is None else float(f"{float(value):.10g}")


def packed(value: Any) -> str:
    """Pack what the page's scripts read: JSON, gzip, base64. Nothing of it is markup any more."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def plotly_js() -> str:
    """Return plotly.js, packed: 4.8 MB of script are 2 MB so."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


@cache
def datatables_js() -> str:
    """Return DataTables with its extensions, packed."""
    return base64.b64encode(gzip.compress(_itables("dt_bundle.js").encode(), 9, mtime=0)).decode()


def _itables(name: str) -> str:
    return files("itables").joinpath("html", name).read_text(encoding="utf-8")
