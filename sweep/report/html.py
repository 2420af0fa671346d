"""The report as one page. It fetches nothing, all text is escaped, and the tables need no JavaScript."""

from __future__ import annotations

import base64
import gzip
import json
import time
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sweep.jobs.render import template_environment
from sweep.report import advice, origin, racing, sections, spelling
from sweep.report.figures import page_figures
from sweep.report.plotting import PageFigure
from sweep.report.racefigures import race_figures
from sweep.report.table import TextTable, decimals_of, frame_table, leaderboard_table, none_if_missing

if TYPE_CHECKING:
    from sweep.leaderboard.analysis import Analysis
    from sweep.leaderboard.cost import Cost
    from sweep.leaderboard.curves import Curve
    from sweep.leaderboard.ranking import Configuration
    from sweep.steps.pictures import Gallery, TrialPicture
    from sweep.verbs.page import PageContents

#: The largest number of rows of the leaderboard in the page. leaderboard.csv has all.
MAX_ROWS = 10_000

#: The largest number of groups of failures that are listed.
MAX_FAILURES = 20


def page(contents: PageContents) -> str:
    """Render the page. It never reloads itself: the reader would lose their place in it."""
    report, analysis = contents.report, contents.report.analysis
    table = leaderboard_table(analysis.leaderboard.head(MAX_ROWS), analysis.column, score_first=True)
    figures = [*page_figures(analysis), *race_figures(report)]
    best = report.best
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            name=report.name,
            drawn_at=time.strftime("%Y-%m-%d %H:%M", time.localtime(report.snapshot.at)),
            again_s=contents.again_s,
            live=contents.live,
            report=report,
            heading=sections.heading(report),
            footer=sections.footer(report, len(table.rows)),
            score=spelling.score(best.score, decimals_of(analysis.leaderboard)) if best else "",
            certainty_lines=[*sections.certainty_lines(analysis)] if best else [],
            params=_spelled_params(best.parameters) if best else {},
            replicates_noun=sections.replicates_noun(analysis) if best else "",
            price=_price(contents),
            command=contents.command,
            advice=[*advice.lines(analysis), *filter(None, [advice.unimportant_line(analysis)])],
            origin=origin.rows(report.provenance) if report.provenance else {},
            table=table,
            has_more_rows=len(analysis.leaderboard) > MAX_ROWS,
            figures={figure.name: figure for figure in figures},
            importance=analysis.importance,
            unbalanced="" if all(analysis.balanced([name]) for name in analysis.varying) else spelling.UNBALANCED,
            shares=sections.shown_shares(analysis.importance),
            effects=_effect_tables(analysis),
            cost=_spelled_cost(analysis.cost),
            race_lines=[*racing.result_lines(report.race)] if report.race else [],
            failures=contents.failures[:MAX_FAILURES],
            galleries=[
                {
                    "heading": _gallery_heading(gallery),
                    "pictures": [_inline(picture) for picture in gallery.pictures],
                }
                for gallery in contents.galleries
            ],
            data=compressed_base64(_script_data(analysis, table, figures)),
            plotly=plotly_js(),
            datatables=datatables_js(),
            datatables_css=datatables_css(),
        )
    )


def page_and_news(contents: PageContents) -> tuple[str, str]:
    """Render the page, and the same without its scripts: what a live page asks for again."""
    text = page(contents)
    return text, text.replace(plotly_js(), "").replace(datatables_js(), "").replace(datatables_css(), "")


def _price(contents: PageContents) -> str:
    """Say what the sweep cost, how long it took, and how much of it did not end well."""
    report = contents.report
    timeline, cost = report.analysis.timeline, report.analysis.cost
    trials = sum(report.counts.values())
    lost = sum(group.count for group in contents.failures)
    took = f" over {spelling.span(timeline.duration_s)}" if timeline else ""
    without = f"{lost:,} of {trials:,} did not end well" if lost else "all that ended did so well"
    return f"{spelling.count(trials, 'trial')}, {spelling.hours(cost.allotted_core_h)} core-hours{took}; {without}"


def _spelled_params(params: dict[str, Any]) -> dict[str, str]:
    return {name: spelling.parameter_value(value) for name, value in params.items()}


def _gallery_heading(gallery: Gallery) -> str:
    """Say which configuration and which of its trials the pictures are from."""
    values = _spelled_params(gallery.configuration.entry.trial.params)
    params = ", ".join(f"{name}={value}" for name, value in values.items())
    colon = ": " if params else ""
    rank = gallery.configuration.rank
    return f"Rank {rank}, trial {gallery.trial}{colon}{spelling.shortened(params, 200)}"


def _inline(picture: TrialPicture) -> dict[str, str]:
    """Return a picture as a URL that contains its data."""
    data = base64.b64encode(picture.data).decode()
    return {"source": f"data:{picture.kind};base64,{data}", "caption": picture.caption}


def _effect_tables(analysis: Analysis) -> list[tuple[str, TextTable]]:
    """Return, for each parameter that varies, its name and the table by its values."""
    decimals = decimals_of(analysis.leaderboard)
    return [(name, frame_table(table, decimals)) for name, table in analysis.effects.single.items()]


def _spelled_cost(cost: Cost) -> dict[str, Any]:
    return {
        "allotted": spelling.hours(cost.allotted_core_h),
        "used": spelling.hours(cost.used_core_h),
        "wasted": {cause: spelling.hours(wasted) for cause, wasted in cost.wasted_core_h.items()},
        "requests": [line for group_use in cost.requests for line in sections.request_lines(group_use)],
        "memory": spelling.hours(cost.unused_memory_gib_h),
        "walltime": spelling.hours(cost.unused_walltime_core_h),
    }


def _script_data(analysis: Analysis, table: TextTable, figures: list[PageFigure]) -> dict[str, Any]:
    """Gather what report.js reads.

    Returns
    -------
    dict
        ``figures``: name → plotly's JSON. ``sort_keys``: for each column of the table, the numbers that its rows
        are sorted by, or None where the texts sort. ``missing_keys``: for each column, the number that stands for
        a missing one. ``curves``: the learning curves of each row, empty where no row has any. ``trials``: the
        trial of each row.
    """
    frame = analysis.leaderboard.head(MAX_ROWS)
    sort_keys: list[Any] = []
    for name in table.names:
        column = frame["ci_low" if name == "interval" else name]
        numeric = name in ("rank", "scores") or column.dtype.kind in "iuf"
        sort_keys.append([_sort_key(none_if_missing(value)) for value in column.tolist()] if numeric else None)
    by_goal = (analysis.column, "test", "interval", "scores")
    curves = [_spelled_curves(analysis, each) for each in analysis.board.configurations[:MAX_ROWS]]
    return {
        "figures": {figure.name: figure.plotly_json for figure in figures},
        "sort_keys": sort_keys,
        # A missing value comes last where the best come first. Where more is better it counts as the least.
        "missing_keys": [
            -1e308 if name in by_goal and not analysis.objective.minimize else 1e308 for name in table.names
        ],
        "curves": curves if any(curves) else [],
        "trials": frame["trial"].tolist(),
    }


def _spelled_curves(analysis: Analysis, configuration: Configuration) -> dict[str, list[dict[str, Any]]]:
    """Return a configuration's learning curves as report.js draws them.

    ``y`` holds the values. ``x`` holds their epochs, and is there only where epochs were left out. ``times_s``
    holds the seconds until each. Where an elapsed time was spread evenly, ``elapsed_s`` holds it instead. Both are
    absent where no time is known. ``cores`` is absent where it is 1.
    """
    return {
        name: [
            {
                "y": [_three_digits(value) for value in curve.values],
                **({"x": [*curve.epochs]} if curve.epochs.step > 1 else {}),
                **_spelled_times(curve),
                **({"cores": curve.cores} if curve.cores != 1 else {}),
            }
            for curve in curves
        ]
        for name, curves in analysis.curves(configuration).items()
    }


def _spelled_times(curve: Curve) -> dict[str, Any]:
    since_start_s = curve.times.since_start_s
    if not since_start_s:
        return {}
    if curve.times.own:
        return {"times_s": [float(f"{value:.4g}") for value in since_start_s]}
    return {"elapsed_s": float(f"{since_start_s[-1]:.4g}")}


def _three_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _sort_key(value: Any) -> float | None:
    """Round to ten digits, so that the page stays small."""
    return None if value is None else float(f"{float(value):.10g}")


def compressed_base64(value: Any) -> str:
    """Return a value as JSON, compressed by gzip, in base64. Base64 has no characters that are markup."""
    return _gzip_base64(json.dumps(value, separators=(",", ":"), allow_nan=False))


def _gzip_base64(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def plotly_js() -> str:
    """Return plotly.js, compressed: its 4.8 MB become 2 MB."""
    from plotly.offline import get_plotlyjs

    return _gzip_base64(get_plotlyjs())


@cache
def datatables_js() -> str:
    """Return DataTables with its extensions, compressed."""
    return _gzip_base64(_itables_file("dt_bundle.js"))


@cache
def datatables_css() -> str:
    """Return the style of DataTables."""
    return _itables_file("dt_bundle.css")


def _itables_file(name: str) -> str:
    """Return a file that ships inside the package itables."""
    return files("itables").joinpath("html", name).read_text(encoding="utf-8")
