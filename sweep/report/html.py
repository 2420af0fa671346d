"""The report as one self-contained page: nothing is fetched, all is escaped, and the tables need no script."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sweep.jobs.render import template_environment
from sweep.leaderboard.cost import Cost, cost
from sweep.leaderboard.ranking import Configuration
from sweep.report import board, words
from sweep.report.curves import curves
from sweep.report.figure import Figure
from sweep.report.figures import figures, grouped, in_order, varying
from sweep.report.table import Shown, decimals_of, or_none, plain, shown
from sweep.report.views import importance_of

if TYPE_CHECKING:
    from sweep.verbs.page import PageContents
    from sweep.verbs.report import Report

#: Rows of the leaderboard in the page; leaderboard.csv has all.
MOST_ROWS = 10_000

#: Groups of failures that are listed.
MOST_FAILURES = 20


def page(contents: PageContents) -> str:
    """Render the page. It never loads itself again: that would take a reader's place from them."""
    report = contents.report
    mattered = importance_of(report)
    table = shown(report.frame.head(MOST_ROWS), report.column, score_first=True)
    drawn = figures(report, mattered)
    ranked = [configuration for configuration in report.board.configurations if configuration.scores]
    best = report.best
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            name=report.name,
            made_at=time.strftime("%Y-%m-%d %H:%M", time.localtime(report.snapshot.at)),
            again_s=contents.again_s,
            report=report,
            heading=board.heading(report),
            footer=board.footer(report, len(table.rows)),
            score=words.score(best.score, decimals_of(report.frame)) if best else "",
            winner=[*board.winner(report)][1:] if best else [],
            params={name: words.cell(value) for name, value in best.parameters.items()} if best else {},
            runs=board.runs(report) if best else "",
            command=contents.command,
            table=table,
            cut=len(report.frame) > MOST_ROWS,
            figures={figure.name: figure for figure in drawn},
            mattered=mattered,
            shares=[*mattered.single, *[share for share in mattered.pairs if share.percent >= 1]],
            effects=_effects(report),
            cost=_cost(cost(report.attempts)),
            failures=contents.failures[:MOST_FAILURES],
            pictures=[
                {"of": _pictured(ranked, number), "pictures": [_inline(picture) for picture in of_one_trial]}
                for number, of_one_trial in contents.pictures.items()
            ],
            data=packed(_data(report, table, drawn)),
            plotly=plotly_js(),
            datatables=datatables_js(),
            datatables_css=_itables("dt_bundle.css"),
        )
    )


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
