"""The figures of the page, drawn by plotly: ranks, importance, effects, score against time, the timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.model import canonical
from sweep.report import spelling
from sweep.report.plotting import COLOURS, PageFigure, escaped_text, plotly_json, tick_texts
from sweep.report.sections import MIN_PAIR_PERCENT
from sweep.report.table import decimals_of, none_if_missing
from sweep.report.timeline import timeline_figure

if TYPE_CHECKING:
    import pandas as pd

    from sweep.leaderboard.analysis import Analysis, Front
    from sweep.leaderboard.importance import Importance

#: Nobody reads a figure with more parameters than this.
MAX_PARAMETERS = 12

#: Nobody reads an axis with more values than this.
MAX_VALUES = 40

#: The largest number of values that are written beneath a small figure.
MAX_TICKS = 6

#: The largest number of values that are written beneath a heat map. Turned, so many fit on a narrow screen.
MAX_ACROSS = 10

#: A caption names so many parameters.
MAX_NAMED = 3

#: The largest number of pairs whose importance is drawn.
MAX_PAIRS = 5

#: The intervals of more configurations than this would hide each other.
MAX_INTERVALS = 400

#: Three digits are enough on an axis.
TICKS = ".3~g"

#: More points than this are drawn by WebGL, which is faster.
MAX_SVG_POINTS = 1500


def page_figures(analysis: Analysis) -> list[PageFigure]:
    """Draw every figure that the sweep has data for. Without scores that is the timeline alone."""
    figures: list[PageFigure | None] = []
    if len(analysis.scored) > 1 and analysis.best:
        figures.append(_ranks(analysis))
    if len(analysis.scored) > 1 and analysis.varying:
        figures += [
            _importance(analysis.importance),
            _effects(analysis),
            _heat_map(analysis),
            _parallel(analysis),
        ]
    if len(analysis.timed):
        figures.append(_score_against_time(analysis))
    if analysis.front_of_both and analysis.objective.second != "elapsed_s":
        figures.append(_score_against_second(analysis, analysis.front_of_both))
    if analysis.timeline:
        figures.append(timeline_figure(analysis.timeline))
    return [figure for figure in figures if figure]


def _ranks(analysis: Analysis) -> PageFigure:
    """Draw the scores of all configurations in their order, with their intervals, and mark the best."""
    import plotly.graph_objects as go

    table = analysis.scored.reset_index(drop=True)
    assert analysis.best
    winner = table["trial"] == analysis.best.entry.trial.number
    tied = table["trial"].isin(analysis.best.tied)
    plotly_figure = go.Figure()
    for rows, name, marker in (
        (~winner & ~tied, "others", {"color": COLOURS[6], "size": 5}),
        (tied, "may be the best as well", {"color": COLOURS[0], "size": 7}),
        (winner, "the best", {"color": COLOURS[5], "size": 12, "symbol": "diamond"}),
    ):
        part = table[rows]
        if not len(part):
            continue
        trace = {
            "type": "scattergl" if len(part) > MAX_SVG_POINTS else "scatter", "mode": "markers", "name": name,
            "x": [index + 1 for index in part.index], "y": _rounded(part[analysis.column]), "marker": marker,
            "text": [f"trial {number}" for number in part["trial"]],
            "hovertemplate": "%{text}: %{y}<extra></extra>",
        }  # fmt: skip
        if "ci_low" in part and len(table) <= MAX_INTERVALS:
            trace["error_y"] = {
                "type": "data", "symmetric": False, "thickness": 1, "width": 0,
                "array": _rounded(part["ci_high"] - part[analysis.column]),
                "arrayminus": _rounded(part[analysis.column] - part["ci_low"]),
            }  # fmt: skip
        plotly_figure.add_trace(trace)
    layout = {
        "height": 300,
        "xaxis": {"title": "rank", "tickformat": "d", "range": [1 - 0.03 * len(table), 1.03 * len(table)]},
        "yaxis": {"title": escaped_text(analysis.objective.metric), "tickformat": TICKS},
        # Its lines grow upwards: on a narrow screen there are several.
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02},
        "margin": {"t": 40, "r": 20, "b": 50},
    }
    return PageFigure("ranks", _ranks_text(analysis), plotly_json(plotly_figure, layout))


def _ranks_text(analysis: Analysis) -> str:
    """Say how far the best is from the next and from the median, and which may be as good."""
    assert analysis.best
    decimals = decimals_of(analysis.leaderboard)
    scores = analysis.scored[analysis.column]
    others = scores[analysis.scored["trial"] != analysis.best.entry.trial.number]
    best, following, median = (
        spelling.score(float(score), decimals) for score in (analysis.best.score, others.iloc[0], scores.median())
    )
    tied = len(analysis.best.tied)
    may_be = f"; {tied} more may be the best as well" if tied else ""
    return f"The best of {len(scores):,} scores {best}, the next {following}, the median {median}{may_be}"


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
        error_x={
            "type": "data", "symmetric": False, "color": COLOURS[5],
            "array": _rounded([share.sd for share in shares]),
            "arrayminus": _rounded([min(share.sd, share.percent) for share in shares]),  # a share is not below 0
        },
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


def _effects(analysis: Analysis) -> PageFigure:
    """Draw the mean and the best score for each value of each parameter."""
    import plotly.graph_objects as go

    names = analysis.by_importance[:MAX_PARAMETERS]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    subplots = _small_multiples(names, rows, columns)
    for index, name in enumerate(names):
        table = analysis.effects_of_scored.single[name]
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
    texts_of = {name: tick_texts(analysis.effects_of_scored.single[name].iloc[:, 0].tolist()) for name in names}
    metric = analysis.objective.metric
    stacked = _small_multiples(names, len(names), 1)  # on a narrow screen
    figure = {
        **_with_named_axes(subplots, texts_of, columns, metric),
        "narrow": _with_named_axes(stacked, texts_of, 1, metric)["layout"],
    }
    return PageFigure("effects", _effects_text(analysis, names), figure)


def _small_multiples(names: Sequence[str], rows: int, columns: int) -> Any:
    from plotly.subplots import make_subplots

    return make_subplots(
        rows, columns, subplot_titles=[escaped_text(name) for name in names], shared_yaxes="all",
        vertical_spacing=min(0.2, 0.45 / rows), horizontal_spacing=0.03,
    )  # fmt: skip


def _with_named_axes(
    subplots: Any, texts_of: Mapping[str, Sequence[str]], columns: int, metric: str
) -> dict[str, Any]:
    """Name the axes of small multiples, and return the figure as JSON."""
    for index, texts in enumerate(texts_of.values()):
        stride = -(-len(texts) // MAX_TICKS)
        subplots.update_xaxes(
            tickvals=[*range(len(texts))][::stride], ticktext=texts[::stride], tickangle=0,
            range=[-0.4, len(texts) - 0.6], row=index // columns + 1, col=index % columns + 1,
        )  # fmt: skip
    subplots.update_yaxes(title_text=escaped_text(metric), col=1)
    subplots.update_yaxes(tickformat=TICKS)
    rows = -(-len(texts_of) // columns)
    return plotly_json(subplots, {"height": 160 + 230 * rows, "legend": {"orientation": "h", "y": -0.25 / rows}})


def _effects_text(analysis: Analysis, names: Sequence[str]) -> str:
    """Say which value of each parameter has the best mean, and what the next has."""
    decimals = decimals_of(analysis.leaderboard)
    sentences = []
    for name in names[:MAX_NAMED]:
        table = analysis.effects_of_scored.single[name]
        table = table.sort_values("mean", ascending=analysis.objective.minimize, kind="stable").dropna(
            subset=["mean"]
        )
        values = [spelling.shortened(spelling.parameter_value(value), 40) for value in table.iloc[:2, 0]]
        means = [spelling.score(mean, decimals) for mean in table["mean"].iloc[:2]]
        following = f", the next, {values[1]}, {means[1]}" if len(values) > 1 else ""
        sentences.append(f"{name} {values[0]} has the best mean, {means[0]}{following}")
    return "; ".join(sentences)


def _heat_map(analysis: Analysis) -> PageFigure | None:
    """Draw the mean score for each pair of values of the two most important parameters."""
    import plotly.graph_objects as go

    effects = analysis.effects_of_scored
    table = effects.crossed
    if table is None:
        return None
    across, down = effects.names[:2]
    xs, ys = (effects.single[name].iloc[:, 0].tolist() for name in (across, down))
    columns = table.iloc[:, 0].tolist(), table.iloc[:, 1].tolist(), table["mean"].tolist()
    mean_of = {(_key(y), _key(x)): mean for y, x, mean in zip(*columns, strict=True)}
    means = [[mean_of.get((_key(y), _key(x))) for x in xs] for y in ys]
    labels = [[spelling.score(mean, 3) if mean is not None else "" for mean in row] for row in means]
    heat_map = go.Heatmap(
        x=[*range(len(xs))], y=[*range(len(ys))], z=[_rounded(row) for row in means], colorscale="Cividis",
        reversescale=analysis.objective.minimize,
        # Beside its bar: above it, a long name would lie over the figure.
        colorbar={
            "title": {"text": escaped_text(analysis.objective.metric), "side": "right"}, "tickformat": TICKS,
        },
        text=labels, texttemplate="%{text}" if len(xs) * len(ys) <= 60 else None,
        customdata=[[f"{escaped_text(y)}, {escaped_text(x)}" for x in xs] for y in ys],
        hovertemplate="%{customdata}: %{z}<extra></extra>", xgap=1, ygap=1,
    )  # fmt: skip
    layout = {
        "height": 160 + 40 * max(3, len(ys)),
        "xaxis": {**_named_axis(across, xs, MAX_ACROSS), "autotickangles": [0, 90]},
        "yaxis": _named_axis(down, ys),
    }
    best = table.sort_values("mean", ascending=analysis.objective.minimize).iloc[0]
    mean = spelling.score(float(best["mean"]), decimals_of(analysis.leaderboard))
    where = " and ".join(
        f"{name} {spelling.shortened(spelling.parameter_value(best.iloc[column]), 40)}"
        for column, name in enumerate((down, across))
    )
    alt = f"Together, {where} have the best mean {analysis.objective.metric}, {mean}"
    return PageFigure("heat", alt, plotly_json(go.Figure(heat_map), layout))


def _named_axis(name: str, values: Sequence[Any], ticks: int = MAX_VALUES) -> dict[str, Any]:
    """Return an axis whose ticks are a parameter's values: all, or every second, third and so on."""
    stride = -(-len(values) // ticks)
    # With automargin the title stays clear of labels that are turned.
    return {
        "title": {"text": escaped_text(name, 60), "standoff": 12},
        "tickvals": [*range(len(values))][::stride],
        "ticktext": tick_texts(values)[::stride],
        "automargin": True,
    }


def _key(value: Any) -> str:
    """Return a key for a parameter's value: a list has no hash, and True equals 1.

    In a frame of its own 0 may be 0.0, as 0.5 is beside it, and None NaN.
    """
    return repr(canonical(none_if_missing(value)))


def _parallel(analysis: Analysis) -> PageFigure:
    """Draw parallel coordinates: one line for each configuration, across its parameters to its score."""
    import plotly.graph_objects as go

    dimensions: list[dict[str, Any]] = []
    for name in analysis.by_importance[:MAX_PARAMETERS]:
        values = analysis.scored[name].tolist()
        in_order = analysis.values(name, analysis.scored)
        positions = {_key(value): position for position, value in enumerate(in_order)}
        ticks = slice(None, None, -(-len(in_order) // MAX_VALUES))
        dimensions.append(
            {
                "label": escaped_text(name),
                "values": [positions[_key(value)] for value in values],
                "tickvals": [*range(len(in_order))][ticks],
                "ticktext": tick_texts(in_order, 12)[ticks],
            }
        )
    scores = _rounded(analysis.scored[analysis.column])
    # With ticks of its own, plotly does not write the ends above and below, where the label is.
    low, high = float(analysis.scored[analysis.column].min()), float(analysis.scored[analysis.column].max())
    places = [low + (high - low) * tick / (MAX_TICKS - 1) for tick in range(MAX_TICKS)]
    dimensions.append(
        {
            "label": escaped_text(analysis.objective.metric),
            "values": scores,
            "tickvals": _rounded(places),
            "ticktext": [f"{place:.3g}" for place in places],
        }
    )
    # From grey to vermilion. With any kind of colour vision the best stand out, on white and on black.
    scale = [[0, COLOURS[6]], [1, COLOURS[5]]]
    line = {"color": scores, "colorscale": scale, "reversescale": analysis.objective.minimize, "showscale": True}
    axes = go.Parcoords(dimensions=dimensions, line=line, labelangle=-20, labelside="top")
    layout = {"height": 460, "margin": {"t": 110, "l": 90, "r": 60}}
    return PageFigure("parallel", _in_common_text(analysis), plotly_json(go.Figure(axes), layout))


def _in_common_text(analysis: Analysis) -> str:
    """Say which values the best have, and the others seldom."""
    best = analysis.in_common
    if not best.values:
        return f"Every configuration's parameters and its {analysis.objective.metric}"
    values = ", ".join(
        f"{'all' if count == best.configurations else count} have {name} "
        f"{spelling.shortened(spelling.parameter_value(value), 40)}"
        for name, value, count in best.values[:MAX_NAMED]
    )
    return f"Of the best {best.configurations}, {values}"


def _score_against_time(analysis: Analysis) -> PageFigure:
    """Draw the score against the elapsed time, with the Pareto front as a line."""
    import plotly.graph_objects as go

    timed, front = analysis.timed, analysis.front
    unit, unit_s = spelling.time_unit(float(timed["elapsed_s"].max()))
    plotly_figure = go.Figure()
    kind = "scattergl" if len(timed) > MAX_SVG_POINTS else "scatter"
    few_values = (name for name in analysis.by_importance if timed[name].map(_key).nunique() <= len(COLOURS))
    coloured_by = next(few_values, None)
    for index, value in enumerate(analysis.values(coloured_by, timed) if coloured_by else [None]):
        part = timed[timed[coloured_by].map(_key) == _key(value)] if coloured_by else timed
        plotly_figure.add_trace({
            "type": kind, "mode": "markers", "x": _rounded(part["elapsed_s"] / unit_s),
            "y": _rounded(part[analysis.column]),
            "name": f"{escaped_text(coloured_by)} = {escaped_text(value)}" if coloured_by else "configurations",
            "marker": {"color": COLOURS[index], "symbol": index, **_dots(len(timed))},
            "text": [f"trial {number}" for number in part["trial"]],
            "hovertemplate": f"%{{text}}: %{{y}} in %{{x}} {unit}<extra></extra>",
        })  # fmt: skip
    plotly_figure.add_trace({
        "type": "scatter", "mode": "lines", "x": _rounded(front["elapsed_s"] / unit_s),
        "y": _rounded(front[analysis.column]),
        "line": {"shape": "hv", "color": COLOURS[5], "width": 2}, "name": "Pareto front",
        "hoverinfo": "skip",
    })  # fmt: skip
    layout = {
        "height": 460,
        "xaxis": {"title": f"elapsed, {unit}", "type": "log" if _is_wide(timed["elapsed_s"]) else "linear"},
        "yaxis": {"title": escaped_text(analysis.objective.metric), "tickformat": TICKS},
        "legend": {"orientation": "h", "y": -0.2},
    }
    which = f"these {len(front):,} of {len(timed):,}"
    alt = f"No other configuration beats {which} in {analysis.objective.metric} and time"
    return PageFigure("cost", alt, plotly_json(plotly_figure, layout))


def _score_against_second(analysis: Analysis, front: Front) -> PageFigure:
    """Draw the score against the second objective, with what nothing beats in both as a line."""
    import plotly.graph_objects as go

    second, metric = analysis.objective.second, analysis.column
    table = analysis.scored.dropna(subset=[second])
    line = front.table.sort_values(second)
    plotly_figure = go.Figure()
    plotly_figure.add_trace({
        "type": "scattergl" if len(table) > MAX_SVG_POINTS else "scatter", "mode": "markers",
        "x": _rounded(table[second]), "y": _rounded(table[metric]), "name": "configurations",
        "marker": {"color": COLOURS[0], **_dots(len(table))},
        "text": [f"trial {number}" for number in table["trial"]],
        "hovertemplate": "%{text}: %{y} with %{x}<extra></extra>",
    })  # fmt: skip
    plotly_figure.add_trace({
        "type": "scatter", "mode": "lines+markers", "x": _rounded(line[second]), "y": _rounded(line[metric]),
        "line": {"shape": "hv" if front.less_is_better[second] else "vh", "color": COLOURS[5], "width": 2},
        "name": "Pareto front", "hoverinfo": "skip",
    })  # fmt: skip
    layout = {
        "height": 460,
        "xaxis": {"title": escaped_text(second), "type": "log" if _is_wide(table[second]) else "linear"},
        "yaxis": {"title": escaped_text(analysis.objective.metric), "tickformat": TICKS},
        "legend": {"orientation": "h", "y": -0.2},
    }
    which = f"these {len(line):,} of {len(table):,}"
    alt = f"No other configuration beats {which} in {analysis.objective.metric} and {second}"
    return PageFigure("second", alt, plotly_json(plotly_figure, layout))


def _dots(count: int) -> dict[str, Any]:
    """Return the size and the opacity of points: few are large and whole, many let each other be seen."""
    return {"size": 8, "opacity": 1} if count <= MAX_INTERVALS else {"size": 6, "opacity": 0.75}


def _is_wide(values: pd.Series[Any]) -> bool:
    """Return whether the values spread so far that a logarithmic axis shows them better."""
    positive = values[values > 0]
    return bool(len(positive)) and float(positive.max() / positive.min()) > 20


def _rounded(values: Any) -> list[float | None]:
    """Round to four digits: a figure shows no more, and the page stays small."""
    return [None if value is None or value != value else float(f"{value:.4g}") for value in values]
