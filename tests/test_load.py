"""`sweep.load`: frames, what a notebook shows, and the page's figures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sweep
from sweep.errors import NoSuch
from sweep.verbs.load import Loaded
from tests.fakes.ended import Ran, ended

EMPTY = {"trial": "int64", "entry": "int64", "time_s": "float64"}


def loaded(folder: Path, ran: list[Ran], name: str = "toy") -> Loaded:
    return sweep.load(ended(folder, name, ran).path)


def test_the_histories_are_a_frame(tmp_path: Path) -> None:
    timed = [{"epoch": 1, "loss": 3, "seconds": 2}, {"epoch": 2, "loss": 2, "seconds": 4, "test": {"f1": 0.5}}]
    ran = [
        Ran({"x": 1}, {"segMeasure": 0.5, "history": timed}),
        Ran({"x": 2}, {"segMeasure": 0.6, "history": [0.1, "odd", {"trial": 7, "name": "text"}]}, elapsed_s=60.0),
        Ran({"x": 3}, {"segMeasure": 0.7}),
        Ran({"x": 4}, None),
    ]
    histories = loaded(tmp_path, ran).histories
    assert list(histories) == [
        "trial",
        "entry",
        "time_s",
        "epoch",
        "loss",
        "seconds",
        "test.f1",
        "segMeasure",
        "history.trial",
    ]
    assert {name: str(kind) for name, kind in histories.dtypes.items()} == dict.fromkeys(
        histories, "float64"
    ) | EMPTY
    assert histories["trial"].tolist() == [0, 0, 1, 1]
    assert histories["entry"].tolist() == [1, 2, 1, 2]
    assert histories["time_s"].tolist() == [2, 6, 30, 60]
    assert histories["loss"].tolist()[:2] == [3, 2]
    assert histories["test.f1"].dropna().tolist() == [0.5]
    assert histories["segMeasure"].dropna().tolist() == [0.1]
    assert histories["history.trial"].dropna().tolist() == [7]


@pytest.mark.parametrize("ran", [[], [Ran({"x": 1}, None)], [Ran({"x": 1}, {"segMeasure": 1, "history": 7})]])
def test_without_a_history_the_frame_is_empty_and_has_its_columns(tmp_path: Path, ran: list[Ran]) -> None:
    histories = loaded(tmp_path, ran).histories
    assert len(histories) == 0
    assert {name: str(kind) for name, kind in histories.dtypes.items()} == EMPTY


def test_a_notebook_shows_the_winner_and_the_top_of_the_leaderboard(tmp_path: Path) -> None:
    ran = [
        Ran({"depth": depth, "same": "all"}, {"segMeasure": depth / 20 + replicate / 100}, replicate)
        for depth in range(12)
        for replicate in range(2)
    ]
    shown = loaded(tmp_path, ran)._repr_html_()
    assert "Best: trial 22, segMeasure 0.5550" in shown
    assert "Expected over new seeds" in shown
    assert "What next" in shown
    assert "the last value that was tried" in shown
    assert "The same in all: same = all" in shown
    assert "10 of 12 configurations (24 trials: 24 done)" in shown
    assert "; 8 core-hours." in shown  # 24 trials, 600 s, 2 CPUs
    rows = [re.findall("<td.*?>(.*?)</td>", row) for row in re.findall("<tr><td.*?</tr>", shown)]
    place = re.findall("<th .*?>(.*?)</th>", shown).index("depth")
    assert [row[place] for row in rows] == [str(depth) for depth in range(11, 1, -1)]
    assert "<script" not in shown


def test_all_text_is_text_in_a_notebook(tmp_path: Path) -> None:
    odd = "<script>alert(1)</script>"
    ran = [
        Ran(
            {odd: f"{odd} & {n}", "n": n, "x": "\ud800"},
            {"segMeasure": n / 10, "\ud800": 1, "history": [{"\ud800": 2}]},
        )
        for n in range(3)
    ]
    hostile = loaded(tmp_path, ran, "<b>&'hostile'")
    assert hostile.results["\\ud800"].tolist() == [1, 1, 1]
    assert hostile.histories["\\ud800"].tolist() == [2, 2, 2]
    shown = hostile._repr_html_()
    assert "<script" not in shown
    assert "<b>&'" not in shown
    assert "&lt;script&gt;" in shown
    shown.encode()


@pytest.mark.parametrize("ran", [[], [Ran({"x": n}, None) for n in range(3)], [Ran({}, {"segMeasure": 1})]])
def test_odd_sweeps_are_shown(tmp_path: Path, ran: list[Ran]) -> None:
    odd = loaded(tmp_path, ran)
    assert "toy: by segMeasure" in odd._repr_html_()
    assert repr(odd).startswith("<sweep toy: ")
    with pytest.raises(NoSuch, match="sweep toy has no figure 'ranks'"):
        odd.figure("ranks")


def test_each_figure_of_the_page_by_name(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    ran = [
        Ran({"x": x, "y": y}, {"segMeasure": x + y / 10}, elapsed_s=100.0 + x)
        for x in range(4)
        for y in (0, 0.5, 1)
    ]
    toy = loaded(tmp_path, ran)
    for name in ("ranks", "effects", "heat", "parallel", "cost", "timeline"):
        figure = toy.figure(name)
        assert isinstance(figure, go.Figure)
        assert figure.data
    assert sum(len(trace.x) for trace in toy.figure("ranks").data) == 12
    with pytest.raises(NoSuch, match="no figure 'rank'; it has ranks, ") as error:
        toy.figure("rank")
    assert error.value.hint == "did you mean 'ranks'?"


def test_the_learning_curves_of_the_first_configurations(tmp_path: Path) -> None:
    ran = [
        Ran(
            {"x": x},
            {"segMeasure": x, "history": [{"segMeasure": x / 2, "loss": 1}, {"segMeasure": x}]},
            replicate,
        )
        for x in range(7)
        for replicate in range(2)
    ]
    curves = loaded(tmp_path, ran).figure("curves")
    assert len(curves.data) == 5 * 2 * 2  # configurations, runs, metrics
    assert [trace.name for trace in curves.data if trace.showlegend] == [f"trial {n}" for n in (12, 10, 8, 6, 4)]
    assert (curves.data[0].x, curves.data[0].y, curves.data[0].yaxis) == ((1, 2), (3, 6), "y")
    assert (curves.data[-1].y, curves.data[-1].yaxis) == ((1, None), "y2")
    assert [axis.title.text for axis in (curves.layout.yaxis, curves.layout.yaxis2)] == ["segMeasure", "loss"]


def test_whole_numbers_beside_others_are_in_every_figure(tmp_path: Path) -> None:
    """0 of `[0, 0.5]` is 0.0 in some frames, and a missing value None or NaN."""
    ran = [Ran({"x": x, "y": y}, {"segMeasure": 0.1 + y}) for x in (1, 2, "a") for y in (0, 0.5, 1)]
    ran += [Ran({"x": x}, {"segMeasure": 0.3}) for x in (1, 2, "a")]
    toy = loaded(tmp_path, ran)
    [axes] = toy.figure("parallel").data
    for dimension in axes.dimensions[:2]:
        assert sorted({*dimension["values"]}) == [*range(len(dimension["ticktext"]))]
    [heat_map] = toy.figure("heat").data
    assert all(value is not None for row in heat_map.z for value in row)
    points = [trace for trace in toy.figure("cost").data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in points) == 12


def test_to_load_draws_nothing() -> None:
    code = "import sys, sweep, sweep.verbs.load\nfrom sweep.report import notebook\nprint(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"plotly", "sklearn"} & {*modules.split()}
