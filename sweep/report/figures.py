"""The figures of the page, drawn by plotly: importance, effects, score against time, the timeline."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.leaderboard import effects
from sweep.leaderboard.importance import Importance
from sweep.report import spelling
from sweep.report.plotting import COLOURS, PageFigure, escaped_text, plotly_json
from sweep.report.sections import MIN_PAIR_PERCENT
from sweep.report.timeline import timeline_figure

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.analysis import Analysis
    from sweep.verbs.report import LeaderboardReport

#: Nobody reads a figure with more parameters than this.
MAX_PARAMETERS = 12

#: Nobody reads an axis with more values than this.
MAX_VALUES = 40

#: A number with more values than that is cut into this many spans.
SPANS = 10

#: The largest number of values that are written beneath a small figure.
MAX_TICKS = 6

#: The largest number of pairs whose importance is drawn.
MAX_PAIRS = 5

#: More points than this are drawn by WebGL, which is faster.
MAX_SVG_POINTS = 1500


def page_figures(report: LeaderboardReport) -> list[PageFigure]:
    """Draw every figure that the sweep has data for. Without scores that is the timeline alone."""
    analysis, importance = report.analysis, report.analysis.importance
    scored = analysis.leaderboard.dropna(subset=[analysis.column])
    varying = varying_columns(analysis)
    by_importance = [share.names[0] for share in importance.single]
    ranked = [
        name
        for param in by_importance
        for name in varying
        if name.removeprefix("param.") == param or name == param
    ]
    ranked += [name for name in varying if name not in ranked]
    figures: list[PageFigure | None] = []
    if len(scored) > 1 and varying:
        with_groups = with_grouped_values(scored, ranked)
        figures += [
            _importance(importance),
            _effects(analysis, with_groups, ranked[:MAX_PARAMETERS]),
            _heat_map(analysis, with_groups, ranked),
            _parallel(analysis, scored, ranked[:MAX_PARAMETERS]),
        ]
    if len(scored):
        figures.append(_score_against_time(analysis, scored, ranked))
    figures.append(timeline_figure(report))
    return [figure for figure in figures if figure]


def varying_columns(analysis: Analysis) -> list[str]:
    """Return the columns of the parameters that have more than one value."""
    return [name for name in analysis.parameters if analysis.leaderboard[name].map(repr).nunique() > 1]


def _importance(importance: Importance) -> PageFigure | None:
    """Draw the share of the score's variance that each parameter, and each strong pair, explains."""
    import plotly.graph_objects as go

    pairs = [share for share in importance.pairs if share.percent >= MIN_PAIR_PERCENT][:MAX_PAIRS]
    shares = [*importance.single[:MAX_PARAMETERS], *pairs]
    if not shares:
        return None
    labels = [" × ".join(escaped_text(name) for name in share.names) for share in shares]
    bars = go.Bar(
        x=_rounded([share.percent for share in shares]), y=labels, orientation="h", marker_color=COLOURS[0],
        error_x={"type": "data", "array": _rounded([share.sd for share in shares]), "color": COLOURS[5]},
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )  # fmt: skip
    layout = {
        "height": 90 + 26 * len(shares),
        "xaxis": {"title": "share of the score's variance, %", "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
    }
    first = shares[0]
    alt = f"{' × '.join(first.names)} accounts for {first.percent:.0f} % of the score's variance"
    return PageFigure("importance", alt, plotly_json(go.Figure(bars), layout))


def _effects(analysis: Analysis, scored: pd.DataFrame, names: Sequence[str]) -> PageFigure:
    """Draw the mean and the best score for each value of each parameter."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    titles = [escaped_text(name) for name in names]
    subplots = make_subplots(rows, columns, subplot_titles=titles, shared_yaxes="all",
                             vertical_spacing=min(0.2, 0.45 / rows), horizontal_spacing=0.03)  # fmt: skip
    for index, name in enumerate(names):
        table = sorted_by_value(effects.by(scored, [name], analysis.objective))
        # x counts the values: two long values may have the same text.
        texts, x = [escaped_text(value) for value in table.iloc[:, 0].tolist()], [*range(len(table))]
        cell = {"row": index // columns + 1, "col": index % columns + 1}
        subplots.add_trace(
            go.Scatter(
                x=x, y=_rounded(table["mean"]), mode="lines+markers", name="mean, 95 % interval", text=texts,
                hovertemplate="%{text}: %{y}<extra></extra>",
                marker_color=COLOURS[0], showlegend=index == 0, legendgroup="mean",
                error_y={"type": "data", "symmetric": False, "array": _rounded(table["ci_high"] - table["mean"]),
                         "arrayminus": _rounded(table["mean"] - table["ci_low"])},
            ), **cell)  # fmt: skip
        subplots.add_trace(
            go.Scatter(
                x=x, y=_rounded(table["best"]), mode="markers", name="best", showlegend=index == 0, text=texts,
                hovertemplate="%{text}: %{y}<extra></extra>",
                marker={"color": COLOURS[5], "symbol": "diamond", "size": 9}, legendgroup="best",
            ), **cell)  # fmt: skip
        ticks = slice(None, None, -(-len(x) // MAX_TICKS))
        subplots.update_xaxes(
            tickvals=x[ticks], ticktext=texts[ticks], tickangle=0, range=[-0.4, len(x) - 0.6], **cell
        )
    subplots.update_yaxes(title_text=escaped_text(analysis.objective.metric), col=1)
    layout = {"height": 160 + 230 * rows, "legend": {"orientation": "h", "y": -0.25 / rows}}
    alt = f"Mean and best {analysis.objective.metric} by the values of {', '.join(names)}"
    return PageFigure("effects", alt, plotly_json(subplots, layout))


def with_grouped_values(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Group the values of a column where nobody could read so many.

    Numbers are replaced by the span that they are in, the rarer texts by ``all others``.
    """
    import pandas as pd

    result = table.copy()
    for name in names:
        groups: list[Any]
        values = table[name].tolist()
        if len({repr(value) for value in values}) <= MAX_VALUES:
            continue
        if _all_numbers(values):
            ordered = sorted({*values})
            edges = [ordered[round(index * (len(ordered) - 1) / SPANS)] for index in range(SPANS + 1)]
            spans = [*itertools.pairwise(edges)]
            groups = [spans[max(0, bisect.bisect_left(edges, value) - 1)] for value in values]
        else:
            common = {key for key, _ in Counter(map(repr, values)).most_common(MAX_VALUES - 1)}
            groups = [value if repr(value) in common else "all others" for value in values]
        result[name] = pd.Series(groups, index=table.index, dtype=object)
    return result


def _all_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def sorted_by_value(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table of effects by its first column, the values: numbers and spans by size, all else as text."""
    values = table.iloc[:, 0].tolist()
    has_sizes = _all_numbers(values) or all(isinstance(value, tuple) for value in values)
    order = sorted(range(len(values)), key=lambda row: values[row] if has_sizes else str(values[row]))
    return table.iloc[order]


def _heat_map(analysis: Analysis, scored: pd.DataFrame, ranked: Sequence[str]) -> PageFigure | None:
    """Draw the mean score for each pair of values of the two most important parameters."""
    import plotly.graph_objects as go

    if len(ranked) < 2:
        return None
    across, down = ranked[:2]
    table = effects.by(scored, [down, across], analysis.objective)
    xs = _values_in_order(scored, across, analysis)
    ys = _values_in_order(scored, down, analysis)
    columns = table.iloc[:, 0].tolist(), table.iloc[:, 1].tolist(), table["mean"].tolist()
    mean_of = {(_key(y), _key(x)): mean for y, x, mean in zip(*columns, strict=True)}
    means = [[mean_of.get((_key(y), _key(x))) for x in xs] for y in ys]
    labels = [[spelling.score(mean, 3) if mean is not None else "" for mean in row] for row in means]
    heat_map = go.Heatmap(
        x=[*range(len(xs))], y=[*range(len(ys))], z=[_rounded(row) for row in means], colorscale="Cividis",
        reversescale=analysis.objective.minimize, colorbar={"title": escaped_text(analysis.objective.metric)},
        text=labels, texttemplate="%{text}" if len(xs) * len(ys) <= 60 else None,
        customdata=[[f"{escaped_text(y)}, {escaped_text(x)}" for x in xs] for y in ys],
        hovertemplate="%{customdata}: %{z}<extra></extra>", xgap=1, ygap=1,
    )  # fmt: skip
    layout = {
        "height": 160 + 40 * max(3, len(ys)),
        "xaxis": _named_axis(across, xs),
        "yaxis": {**_named_axis(down, ys), "automargin": True},
    }
    alt = f"Mean {analysis.objective.metric} by {down} and {across}; the table of effects has the numbers"
    return PageFigure("heat", alt, plotly_json(go.Figure(heat_map), layout))


def _named_axis(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return an axis whose ticks are a parameter's values."""
    texts = [escaped_text(value) for value in values]
    return {"title": escaped_text(name, 60), "tickvals": [*range(len(values))], "ticktext": texts}


def _values_in_order(scored: pd.DataFrame, name: str, analysis: Analysis) -> list[Any]:
    by_value = effects.by(scored, [name], analysis.objective)
    values: list[Any] = sorted_by_value(by_value).iloc[:, 0].tolist()
    return values


def _key(value: Any) -> str:
    """Return a key for a parameter's value: a list has no hash, and True equals 1."""
    return repr(value)


def _parallel(analysis: Analysis, scored: pd.DataFrame, names: Sequence[str]) -> PageFigure:
    """Draw parallel coordinates: one line for each configuration, across its parameters to its score."""
    import plotly.graph_objects as go

    dimensions: list[dict[str, Any]] = []
    for name in names:
        values = scored[name].tolist()
        in_order = _values_in_order(scored, name, analysis)
        positions = {_key(value): position for position, value in enumerate(in_order)}
        ticks = slice(None, None, -(-len(in_order) // MAX_VALUES))
        dimensions.append(
            {
                "label": escaped_text(name),
                "values": [positions.get(_key(value), -1) for value in values],
                "tickvals": [*range(len(in_order))][ticks],
                "ticktext": [escaped_text(value, 12) for value in in_order][ticks],
            }
        )
    scores = _rounded(scored[analysis.column])
    dimensions.append({"label": escaped_text(analysis.objective.metric), "values": scores})
    # From grey to vermilion. With any kind of colour vision the best stand out, on white and on black.
    scale = [[0, COLOURS[6]], [1, COLOURS[5]]]
    line = {"color": scores, "colorscale": scale, "reversescale": analysis.objective.minimize, "showscale": True}
    axes = go.Parcoords(dimensions=dimensions, line=line, labelangle=-20, labelside="top")
    layout = {"height": 460, "margin": {"t": 110, "l": 90, "r": 60}}
    alt = f"Every configuration's parameters and its {analysis.objective.metric}; the leaderboard has the numbers"
    return PageFigure("parallel", alt, plotly_json(go.Figure(axes), layout))


def _score_against_time(analysis: Analysis, scored: pd.DataFrame, ranked: Sequence[str]) -> PageFigure | None:
    """Draw the score against the elapsed time, with the Pareto front as a line."""
    import plotly.graph_objects as go

    timed = scored.dropna(subset=["elapsed_s"])
    if not len(timed):
        return None
    plotly_figure = go.Figure()
    kind = "scattergl" if len(timed) > MAX_SVG_POINTS else "scatter"
    coloured_by = next((name for name in ranked if timed[name].map(repr).nunique() <= len(COLOURS)), None)
    for index, value in enumerate(_values_in_order(timed, coloured_by, analysis) if coloured_by else [None]):
        part = timed[timed[coloured_by].map(_key) == _key(value)] if coloured_by else timed
        plotly_figure.add_trace({
            "type": kind, "mode": "markers", "x": _rounded(part["elapsed_s"]),
            "y": _rounded(part[analysis.column]),
            "name": f"{escaped_text(coloured_by)} = {escaped_text(value)}" if coloured_by else "configurations",
            "marker": {"color": COLOURS[index], "size": 6, "opacity": 0.75, "symbol": index},
            "text": [f"trial {number}" for number in part["trial"]],
            "hovertemplate": "%{text}: %{y} in %{x} s<extra></extra>",
        })  # fmt: skip
    less_is_better = {analysis.column: analysis.objective.minimize, "elapsed_s": True}
    front = effects.pareto(timed, less_is_better).sort_values("elapsed_s")
    plotly_figure.add_trace({
        "type": "scatter", "mode": "lines", "x": _rounded(front["elapsed_s"]),
        "y": _rounded(front[analysis.column]),
        "line": {"shape": "hv", "color": COLOURS[5], "width": 2}, "name": "Pareto front",
        "hoverinfo": "skip",
    })  # fmt: skip
    layout = {
        "height": 460,
        "xaxis": {"title": "elapsed, s", "type": "log" if _is_wide(timed["elapsed_s"]) else "linear"},
        "yaxis": {"title": escaped_text(analysis.objective.metric)},
        "legend": {"orientation": "h", "y": -0.2},
    }
    alt = (
        f"No other configuration beats these {len(front)} of {len(timed)} in {analysis.objective.metric} and time"
    )
    return PageFigure("cost", alt, plotly_json(plotly_figure, layout))


def _is_wide(values: pd.Series[Any]) -> bool:
    """Return whether the values spread so far that a logarithmic axis shows them better."""
    positive = values[values > 0]
    return bool(len(positive)) and float(positive.max() / positive.min()) > 20


def _rounded(values: Any) -> list[float | None]:
    """Round to four digits: a figure shows no more, and the page stays small."""
    return [None if value is None or value != value else float(f"{value:.4g}") for value in values]
