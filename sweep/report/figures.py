"""The page's figures, by plotly: what each parameter did, score against cost, what the cluster did."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.leaderboard import effects
from sweep.leaderboard.importance import Importance
from sweep.report import words
from sweep.report.figure import COLOURS, Figure, content, text
from sweep.report.timeline import timeline
from sweep.verbs.report import Report

if TYPE_CHECKING:
    import pandas as pd

#: Axes beyond which parallel coordinates and effects are no longer read, and values on one.
MOST_PARAMETERS, MOST_VALUES = 12, 40

#: Spans that a parameter of more values is cut into.
SPANS = 10

#: Values that are spelled out beneath a small figure.
MOST_TICKS = 6


def figures(report: Report, mattered: Importance) -> list[Figure]:
    """Draw all there is to draw; of a sweep without scores, only what the cluster did."""
    scored = report.frame.dropna(subset=[report.column])
    names = varying(report)
    order = [share.names[0] for share in mattered.single]
    ranked = [name for param in order for name in names if name.removeprefix("param.") == param or name == param]
    ranked += [name for name in names if name not in ranked]
    made: list[Figure | None] = []
    if len(scored) > 1 and names:
        few = grouped(scored, ranked)
        made += [
            _importance(mattered),
            _effects(report, few, ranked[:MOST_PARAMETERS]),
            _heat_map(report, few, ranked),
            _parallel(report, scored, ranked[:MOST_PARAMETERS]),
        ]
    if len(scored):
        made.append(_against_cost(report, scored, ranked))
    made.append(timeline(report))
    return [one for one in made if one]


def varying(report: Report) -> list[str]:
    """Name the parameters' columns that have more than one value."""
    from sweep.leaderboard.frames import columns_of

    columns = columns_of((one.entry for one in report.board.configurations), report.objective)
    return [name for name in columns.values() if report.frame[name].map(repr).nunique() > 1]


def _importance(mattered: Importance) -> Figure | None:
    import plotly.graph_objects as go

    shares = [*mattered.single[:MOST_PARAMETERS], *[one for one in mattered.pairs if one.percent >= 1][:5]]
    if not shares:
        return None
    labels = [" × ".join(text(name) for name in one.names) for one in shares]
    bars = go.Bar(
        x=_rounded([one.percent for one in shares]), y=labels, orientation="h", marker_color=COLOURS[0],
        error_x={"type": "data", "array": _rounded([one.sd for one in shares]), "color": COLOURS[5]},
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )  # fmt: skip
    layout = {
        "height": 90 + 26 * len(shares),
        "xaxis": {"title": "share of the score's variance, %", "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
    }
    first = shares[0]
    alt = f"{' × '.join(first.names)} accounts for {first.percent:.0f} % of the score's variance"
    return Figure("importance", alt, content(go.Figure(bars), layout))


def _effects(report: Report, scored: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw the mean and the best score by each value of each parameter."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    made = make_subplots(rows, columns, subplot_titles=[text(name) for name in names], shared_yaxes="all",
                         vertical_spacing=min(0.2, 0.45 / rows), horizontal_spacing=0.03)  # fmt: skip
    for place, name in enumerate(names):
        table = in_order(effects.by(scored, [name], report.objective))
        # By place: two long values may be spelled alike.
        spelled, x = [text(value) for value in table.iloc[:, 0].tolist()], [*range(len(table))]
        where = {"row": place // columns + 1, "col": place % columns + 1}
        made.add_trace(
            go.Scatter(
                x=x, y=_rounded(table["mean"]), mode="lines+markers", name="mean, 95 % interval", text=spelled,
                hovertemplate="%{text}: %{y}<extra></extra>",
                marker_color=COLOURS[0], showlegend=place == 0, legendgroup="mean",
                error_y={"type": "data", "symmetric": False, "array": _rounded(table["ci_high"] - table["mean"]),
                         "arrayminus": _rounded(table["mean"] - table["ci_low"])},
            ), **where)  # fmt: skip
        made.add_trace(
            go.Scatter(
                x=x, y=_rounded(table["best"]), mode="markers", name="best", showlegend=place == 0, text=spelled,
                hovertemplate="%{text}: %{y}<extra></extra>",
                marker={"color": COLOURS[5], "symbol": "diamond", "size": 9}, legendgroup="best",
            ), **where)  # fmt: skip
        some = slice(None, None, -(-len(x) // MOST_TICKS))
        made.update_xaxes(
            tickvals=x[some], ticktext=spelled[some], tickangle=0, range=[-0.4, len(x) - 0.6], **where
        )
    made.update_yaxes(title_text=text(report.objective.metric), col=1)
    layout = {"height": 160 + 230 * rows, "legend": {"orientation": "h", "y": -0.25 / rows}}
    alt = f"Mean and best {report.objective.metric} by the values of {', '.join(names)}"
    return Figure("effects", alt, content(made, layout))


def grouped(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Put values together where there are too many to be read: numbers into spans, the rarer texts into one."""
    import pandas as pd

    made = table.copy()
    for name in names:
        kept: list[Any]
        values = table[name].tolist()
        if len({repr(value) for value in values}) <= MOST_VALUES:
            continue
        if _numeric(values):
            ordered = sorted({*values})
            edges = [ordered[round(place * (len(ordered) - 1) / SPANS)] for place in range(SPANS + 1)]
            spans = [*itertools.pairwise(edges)]
            kept = [spans[max(0, bisect.bisect_left(edges, value) - 1)] for value in values]
        else:
            common = {key for key, _ in Counter(map(repr, values)).most_common(MOST_VALUES - 1)}
            kept = [value if repr(value) in common else "all others" for value in values]
        made[name] = pd.Series(kept, index=table.index, dtype=object)
    return made


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table of effects by its values, in the first column: numbers and spans by size, all else as text."""
    values = table.iloc[:, 0].tolist()
    sized = _numeric(values) or all(isinstance(value, tuple) for value in values)
    order = sorted(range(len(values)), key=lambda place: values[place] if sized else str(values[place]))
    return table.iloc[order]


def _heat_map(report: Report, scored: pd.DataFrame, ranked: Sequence[str]) -> Figure | None:
    """Draw the mean score by the two most important parameters."""
    import plotly.graph_objects as go

    if len(ranked) < 2:
        return None
    across, down = ranked[:2]
    table = effects.by(scored, [down, across], report.objective)
    xs = _levels(scored, across, report)
    ys = _levels(scored, down, report)
    found = {
        (_key(a), _key(b)): mean
        for a, b, mean in zip(
            *(table.iloc[:, place].tolist() for place in (0, 1)), table["mean"].tolist(), strict=True
        )
    }
    grid = [[found.get((_key(y), _key(x))) for x in xs] for y in ys]
    labels = [[words.score(value, 3) if value is not None else "" for value in row] for row in grid]
    made = go.Heatmap(
        x=[*range(len(xs))], y=[*range(len(ys))], z=[_rounded(row) for row in grid], colorscale="Cividis",
        reversescale=report.objective.minimize, colorbar={"title": text(report.objective.metric)},
        text=labels, texttemplate="%{text}" if len(xs) * len(ys) <= 60 else None,
        customdata=[[f"{text(y)}, {text(x)}" for x in xs] for y in ys],
        hovertemplate="%{customdata}: %{z}<extra></extra>", xgap=1, ygap=1,
    )  # fmt: skip
    layout = {
        "height": 160 + 40 * max(3, len(ys)),
        "xaxis": {"title": text(across, 60), "tickvals": [*range(len(xs))], "ticktext": [text(x) for x in xs]},
        "yaxis": {"title": text(down, 60), "tickvals": [*range(len(ys))], "ticktext": [text(y) for y in ys],
                  "automargin": True},
    }  # fmt: skip
    alt = f"Mean {report.objective.metric} by {down} and {across}; the table of effects has the figures"
    return Figure("heat", alt, content(go.Figure(made), layout))


def _levels(scored: pd.DataFrame, name: str, report: Report) -> list[Any]:
    levels: list[Any] = in_order(effects.by(scored, [name], report.objective)).iloc[:, 0].tolist()
    return levels


def _key(value: Any) -> str:
    return repr(value)


def _parallel(report: Report, scored: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw a line a configuration across its parameters to its score; a stretch of an axis can be picked out."""
    import plotly.graph_objects as go

    dimensions: list[dict[str, Any]] = []
    for name in names:
        values = scored[name].tolist()
        levels = _levels(scored, name, report)
        places = {_key(value): place for place, value in enumerate(levels)}
        dimensions.append(
            {
                "label": text(name),
                "values": [places.get(_key(value), -1) for value in values],
                "tickvals": [*range(len(levels))][:: -(-len(levels) // MOST_VALUES)],
                "ticktext": [text(value, 12) for value in levels][:: -(-len(levels) // MOST_VALUES)],
            }
        )
    scores = _rounded(scored[report.column])
    dimensions.append({"label": text(report.objective.metric), "values": scores})
    # From grey to vermilion: the best stand out on white and on black, for all kinds of colour vision.
    scale = [[0, COLOURS[6]], [1, COLOURS[5]]]
    line = {"color": scores, "colorscale": scale, "reversescale": report.objective.minimize, "showscale": True}
    made = go.Parcoords(dimensions=dimensions, line=line, labelangle=-20, labelside="top")
    layout = {"height": 460, "margin": {"t": 110, "l": 90, "r": 60}}
    alt = f"Every configuration's parameters and its {report.objective.metric}; the leaderboard has the figures"
    return Figure("parallel", alt, content(go.Figure(made), layout))


def _against_cost(report: Report, scored: pd.DataFrame, ranked: Sequence[str]) -> Figure | None:
    """Draw the score against the time, with the line of those that nothing beats."""
    import plotly.graph_objects as go

    timed = scored.dropna(subset=["elapsed_s"])
    if not len(timed):
        return None
    made = go.Figure()
    kind = "scattergl" if len(timed) > 1500 else "scatter"
    hue = next((name for name in ranked if timed[name].map(repr).nunique() <= len(COLOURS)), None)
    for place, value in enumerate(_levels(timed, hue, report) if hue else [None]):
        part = timed[timed[hue].map(_key) == _key(value)] if hue else timed
        made.add_trace({
            "type": kind, "mode": "markers", "x": _rounded(part["elapsed_s"]), "y": _rounded(part[report.column]),
            "name": f"{text(hue)} = {text(value)}" if hue else "configurations",
            "marker": {"color": COLOURS[place], "size": 6, "opacity": 0.75, "symbol": place},
            "text": [f"trial {number}" for number in part["trial"]],
            "hovertemplate": "%{text}: %{y} in %{x} s<extra></extra>",
        })  # fmt: skip
    told = {report.column: report.objective.minimize, "elapsed_s": True}
    front = effects.pareto(timed, told).sort_values("elapsed_s")
    made.add_trace({
        "type": "scatter", "mode": "lines", "x": _rounded(front["elapsed_s"]), "y": _rounded(front[report.column]),
        "line": {"shape": "hv", "color": COLOURS[5], "width": 2}, "name": "beaten by none",
        "hoverinfo": "skip",
    })  # fmt: skip
    layout = {
        "height": 460,
        "xaxis": {"title": "elapsed, s", "type": "log" if _wide(timed["elapsed_s"]) else "linear"},
        "yaxis": {"title": text(report.objective.metric)},
        "legend": {"orientation": "h", "y": -0.2},
    }
    alt = f"{len(front)} of {len(timed)} configurations are beaten by none in {report.objective.metric} and time"
    return Figure("cost", alt, content(made, layout))


def _wide(values: pd.Series[Any]) -> bool:
    positive = values[values > 0]
    return bool(len(positive)) and float(positive.max() / positive.min()) > 20


def _rounded(values: Any) -> list[float | None]:
    """Keep four digits: a picture shows no more, and the page stays small."""
    return [None if value is None or value != value else float(f"{value:.4g}") for value in values]
