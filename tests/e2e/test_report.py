"""report, page and compare on the command line: tables, filters, forms, and what is refused."""

from __future__ import annotations

import io
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sweep.model import Cause, Resources
from tests.conftest import Sandbox
from tests.fakes.ended import Ran, ended


def scored(x: int, model: str, replicate: int = 0) -> Ran:
    score = x / 10 + (0.5 if model == "UNet" else 0.0) + 0.001 * replicate
    result = {"segMeasure": score, "f1": 1 - score, "test": {"segMeasure": score - 0.1, "deep": {"er": 7}}}
    return Ran(
        {"x": x, "model": model, "lr": 0.001},
        result,
        replicate,
        elapsed_s=100.0 * (x + 1),
        peak_memory_mib=1000 + x,
    )


@pytest.fixture
def done(sandbox: Sandbox) -> Sandbox:
    """Two models, four values of x, two replicates; one failure."""
    ran = [scored(x, model, replicate) for model in ("UNet", "small") for x in range(4) for replicate in (0, 1)]
    ended(
        sandbox.path / "results",
        "a",
        [*ran, Ran({"x": 9, "model": "UNet", "lr": 0.001}, None, cause=Cause.OUT_OF_MEMORY)],
    )
    return sandbox


def rows(sandbox: Sandbox, *arguments: str) -> Any:
    return sandbox.sweep("report", "a", *arguments, "--json").json


def test_each_configuration_is_a_row_and_failures_come_last(done: Sandbox) -> None:
    leaderboard = rows(done)
    assert [(row["model"], row["x"]) for row in leaderboard[:2]] == [("UNet", 3), ("UNet", 2)]
    assert leaderboard[0]["segMeasure"] == pytest.approx(0.8005)
    assert (leaderboard[0]["scores"], leaderboard[0]["asked"], leaderboard[0]["test"]) == (
        2,
        2,
        pytest.approx(0.7005),
    )
    assert (leaderboard[-1]["state"], leaderboard[-1]["rank"]) == ("failed", None)
    printed = done.sweep("report", "a").out
    assert "9 of 9 configurations (17 trials: 16 done, 1 failed)" in printed
    assert "the same in all: lr=0.001" in printed
    assert "0.80050" in printed  # two digits of the uncertainty, which is 0.0005
    assert "0.79415 – 0.80685" in printed  # 12.706 times that


def test_where(done: Sandbox) -> None:
    assert [row["x"] for row in rows(done, "--where", "model == 'small' and elapsed_s < 350")] == [2, 1, 0]
    assert len(rows(done, "--where", "f1 > 0.5")) == 4  # a number of the results
    assert "(6 trials: 6 done)" in done.sweep("report", "a", "--where", "model == 'small' and x < 3").out
    assert "wrote" in done.sweep("page", "a", "--where", "x < 3").err
    assert not (done.path / "results/a/report.html").exists()  # that page is of the whole sweep
    assert rows(done, "--where", "segMeasure > 0.6 and params['x'] in [1, 2]")[0]["rank"] == 1
    for expression, message in [
        ("model = 'UNet'", "write == to compare"),
        ("model == UNet", "put texts in quotes: 'UNet'"),
        ("modle == 'UNet'", "did you mean 'model'?"),
        ("model == 'VGG'", "fits none of 9 configurations"),
        ("model > 3", "for instance"),
        ("params.clear() or 1", "params"),
    ]:
        ran = done.sweep("report", "a", "--where", expression, code=2)
        assert message in ran.err


def test_by_pareto_columns(done: Sandbox) -> None:
    by = rows(done, "--by", "model")
    assert [(row["model"], row["configurations"], row["scored"]) for row in by] == [
        ("UNet", 5, 4),
        ("small", 4, 4),
    ]
    assert by[0]["best"] == pytest.approx(0.8005)
    assert by[0]["mean"] == pytest.approx(0.6505)
    assert by[0]["ci_high"] - by[0]["mean"] == pytest.approx(3.182446 * 0.1290994 / 2, rel=1e-4)
    assert len(rows(done, "--by", "model,x")) == 9
    assert "note: not every value" not in done.sweep("report", "a", "--by", "model").out
    assert (
        "note: not every value"
        in done.sweep("report", "a", "--by", "model", "--where", "x > 1 or lr > 1 or model == 'UNet'").out
    )
    page = done.path / "results/a/report-where.html"
    for where, unbalanced in (("true", False), ("x > 1 or lr > 1 or model == 'UNet'", True)):
        done.sweep("page", "a", "--where", where)
        assert ("Note: not every value" in page.read_text()) is unbalanced
    assert "segMeasure by x" in done.sweep("report", "a", "--by", "model", "--by", "x").out
    assert list(rows(done, "--columns", "segMeasure")[0]) == ["rank", "trial", "segMeasure"]
    front = rows(done, "--pareto", "segMeasure,elapsed_s")
    assert [(row["model"], row["x"]) for row in front] == [("UNet", 3), ("UNet", 2), ("UNet", 1), ("UNet", 0)]
    assert len(rows(done, "--pareto", "segMeasure,f1:max")) == 8
    assert "7" in done.sweep("report", "a", "--columns", "test.deep.er").out
    selected = rows(done, "--columns", "x,test.deep.er")
    assert list(selected[0]) == ["rank", "trial", "segMeasure", "x", "test.deep.er"]
    assert selected[0]["test.deep.er"] == 7
    assert len(rows(done, "--trials")) == 17


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "modle"], "did you mean 'model'?"),
        (["--columns", "segMeasur"], "did you mean 'segMeasure'?"),
        (["--pareto", "segMeasure"], "two or three measures"),
        (["--pareto", "segMeasure,f1"], "f1:max or f1:min"),
        (["--pareto", "segMeasure:up,f1"], "segMeasure:max or segMeasure:min"),
        (["--pareto", ","], "--pareto names nothing"),
        (["--pareto", "model:max,elapsed_s"], "'model', which is no number"),
        (["--by", ","], "--by names nothing"),
        (["--by", "x", "--columns", "f1"], "--columns and --by"),
        (["--pareto", "segMeasure,nonsense:min"], "there is no column 'nonsense'"),
        (["--csv", "--json"], "exclude each other"),
        (["--html"], "sweep page writes it"),
        (["--html", "--watch", "--top", "3"], "sweep page --watch"),
        (["--csv", "--by", "x", "--trials"], "--by and --trials"),
        (["--output", "x.txt"], "--output needs a form"),
        (["--csv", "--output", "no/such/folder.csv"], "cannot write"),
        (["--csv", "--by", "x", "--by", "model"], "ask for one at a time"),
        (["--csv", "--cost"], "--cost is no table"),
        (["--columns", "segMeasure,nonsense"], "there is no column 'nonsense'"),
        (["--top", "0"], "--top"),
    ],
)
def test_what_is_refused_is_named(done: Sandbox, arguments: list[str], message: str) -> None:
    ran = done.sweep("report", "a", *arguments, code=2)
    assert message in " ".join(ran.err.split())


def test_forms_and_files(done: Sandbox) -> None:
    table = pd.read_csv(io.StringIO(done.sweep("report", "a", "--csv").out))
    assert table["segMeasure"].iloc[0] == pytest.approx(0.8005)
    done.sweep("report", "a", "--output", "a.parquet")
    read = pd.read_parquet(done.path / "a.parquet")
    assert read["x"].tolist() == table["x"].tolist()
    done.sweep("report", "a", "--by", "model", "--latex", "-o", "by.tex")
    assert "UNet" in (done.path / "by.tex").read_text()
    assert (done.path / "results/a/leaderboard.csv").read_text().startswith("rank,trial,")
    mixed = [Ran({"x": value}, {"segMeasure": 0.5}) for value in (1, "one", [1], None)]
    ended(done.path / "results", "mixed", mixed)
    done.sweep("report", "mixed", "--parquet", "--output", "mixed.parquet")
    assert pd.read_parquet(done.path / "mixed.parquet")["x"].tolist()[1] == "one"


def test_importance_and_cost(done: Sandbox) -> None:
    importance = done.sweep("report", "a", "--importance").out
    assert importance.index("model") < importance.index("x ")
    assert "%" in importance
    printed = done.sweep("report", "a", "--cost").out
    assert "memory: asked 8.0 GiB, and 1 ran out of it" in printed
    assert "walltime: asked 1:00:00, 99 % stayed under 6:40; 10:00 would be enough" in printed
    cost = done.sweep("report", "a", "--cost", "--json").json
    seconds = 4 * sum(100 * (x + 1) for x in range(4)) + 600
    assert cost["allotted_core_h"] == pytest.approx(2 * seconds / 3600)
    assert cost["used_core_h"] == pytest.approx(1.8 * seconds / 3600)
    assert cost["wasted_core_h"]["out of memory"] == pytest.approx(2 * 600 / 3600)
    assert cost["wasted_core_h"]["idle CPUs"] == pytest.approx(0.2 * (seconds - 600) / 3600)


def test_odd_results_do_not_stop_the_report(sandbox: Sandbox) -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    odd: list[dict[str, Any]] = [
        {"segMeasure": 0.5, **{f"k{n}": n for n in range(10_000)}},
        {"segMeasure": 0.6, "deep": deep},
        {"segMeasure": 0.7, "f1": "high", "history": [1, {"segMeasure": "x"}], "images": {"a": 1}},
        {"segMeasure": 1, "f1": 0.5, "test": 7},
    ]
    ended(sandbox.path / "results", "odd", [Ran({"x": n}, result) for n, result in enumerate(odd)])
    assert [row["x"] for row in sandbox.sweep("report", "odd", "--json").json] == [3, 2, 1, 0]
    assert [row["f1"] for row in sandbox.sweep("report", "odd", "--columns", "f1", "--json").json] == [
        0.5,
        None,
        None,
        None,
    ]
    assert "wrote" in sandbox.sweep("page", "odd").err
    for name in ("k5", "test"):
        assert sandbox.sweep("report", "odd", "--columns", name, code=0 if name == "k5" else 2)


def test_a_metric_that_no_result_has_is_named_with_the_nearest(sandbox: Sandbox, toy: Any) -> None:
    toy(objective="{metric: segMeasur}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    printed = sandbox.sweep("report").out
    assert "results have no 'segMeasur', but segMeasure; did you mean 'segMeasure'?" in printed
    assert "3 failed" in printed


def test_through_a_pipe_no_cell_is_broken(done: Sandbox) -> None:
    """A table for people to mail is 120 wide: what does not fit is left out, and named."""
    lines = done.sweep("report", "a").out.splitlines()
    [head] = [line for line in lines if line.startswith("rank")]
    assert "95 % interval" in head
    assert len(head) <= 120
    assert any(line.startswith("left out, for want of width: ") for line in lines)


def test_a_narrow_terminal_leaves_columns_out_and_says_so(done: Sandbox) -> None:
    ran = done.run(
        "script", "-qec", f"COLUMNS=78 {shlex.quote(sys.executable)} -m sweep report a --top 3", "/dev/null"
    )
    if ran.code == 127:
        pytest.skip("no script(1) to make a terminal. To try it: apt-get install bsdutils")
    lines = re.sub(r"\x1b\[[0-9;]*m|\r", "", ran.out).splitlines()
    assert max(len(line) for line in lines if "rank" in line or "UNet" in line) <= 78, lines
    assert any("left out, for want of width" in line for line in lines)


def test_compare(done: Sandbox) -> None:
    unet = [scored(x, "UNet", replicate) for x in range(4) for replicate in (0, 1)]
    assert all(ran.result for ran in unet)
    better = [
        Ran(ran.params, {"segMeasure": ran.result["segMeasure"] + 0.1}, ran.replicate, 50.0)
        for ran in unet
        if ran.result
    ]
    ended(done.path / "results", "b", [*better, Ran({"x": 77}, {"segMeasure": 0.1})])
    comparison = done.sweep("compare", "a", "b", "--json").json
    assert len(comparison["rows"]) == 4
    assert {round(row["difference"], 6) for row in comparison["rows"]} == {0.1}
    assert (comparison["only_a"], comparison["only_b"], round(comparison["mean"], 6)) == (4, 1, 0.1)
    assert comparison["rows"][0]["shared_seeds"] == 2
    printed = done.sweep("compare", "a", "b").out
    assert "b is on average 0.1000 better" in printed
    ended(done.path / "results", "c", [Ran({"y": 1}, {"loss": 1}, resources=Resources(60, 100, 1))], metric="loss")
    assert (
        "a is ranked by segMeasure (maximize), c by loss (maximize)" in done.sweep("compare", "a", "c", code=1).err
    )
    ended(done.path / "results", "d", [Ran({"y": 1}, {"segMeasure": 1})])
    assert "no configuration with a score is both" in done.sweep("compare", "a", "d", code=1).err


def test_what_the_objective_requires(sandbox: Sandbox, toy: Callable[..., Path]) -> None:
    sandbox.write(
        "f1.py",
        "import json, os, sys\nx = float(sys.argv[1])\n"
        "json.dump({'segMeasure': x, 'f1': 1 - x}, open(os.environ['SWEEP_RESULT'], 'w'))\n",
    )
    grid = {"command": "[python3, f1.py, '{{ x }}']", "parameters": "{x: [0.1, 0.3, 0.9]}"}
    toy(**grid)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert "the best has an f1 of 0.1, and trial 0 of 0.9" in " ".join(sandbox.sweep("report").out.split())
    toy(**grid, objective="{require: ['f1 > 0.5']}")
    sandbox.sweep("plan")
    rows = sandbox.sweep("report", "--json").json
    assert [(row["x"], row["rank"], row["fails"]) for row in rows] == [
        (0.3, 1, ""),
        (0.1, 2, ""),
        (0.9, 3, "f1 is 0.1, not > 0.5"),
    ]
    assert rows[0]["f1"] == 0.7
    assert sandbox.sweep("best", "--json").json["parameters"] == {"x": 0.3}
    printed = " ".join(sandbox.sweep("report").out.split())
    assert "f1 is 0.1, not > 0.5" in printed
    assert "1 configuration is ranked below the others for failing f1 > 0.5" in printed
    toy(**grid, objective="{require: ['f1 = high']}")
    assert "'f1 = high' is no requirement" in sandbox.sweep("plan", code=2).err


def test_verdict(done: Sandbox) -> None:
    rng = random.Random(1)
    seeds = [rng.gauss(0, 0.1) for _ in range(4)]

    def sweep_of(name: str, *scores: float) -> None:
        runs = [
            Ran({"x": x}, {"segMeasure": score + seeds[replicate] + rng.gauss(0, 0.004)}, replicate)
            for x, score in enumerate(scores)
            for replicate in range(4)
        ]
        ended(done.path / "results", name, runs)

    sweep_of("before", 0.60, 0.70, 0.601)
    sweep_of("after", 0.65, 0.80)
    better = done.sweep("verdict", "0", "4", "--sweep", "before", "--json").json
    assert (better["answer"], better["shared_seeds"], better["further_runs"]) == ("better", 4, 0)
    assert better["base"]["parameters"] == {"x": 0}
    assert better["interval"][0] < better["difference"] < better["interval"][1]
    assert done.sweep("verdict", "4", "0", "-s", "before", code=1).out.startswith("segMeasure: trial 0 of before")
    open_ = done.sweep("verdict", "0", "8", "-s", "before", code=3).out
    assert "cannot be told from trial 0 of before" in open_
    assert "of each would tell" in open_
    assert done.sweep("verdict", "before", "after", "--json").json["answer"] == "better"
    assert done.sweep("verdict", "before", "after", "--at-least", "0.2", "--json", code=1).json["at_least"] == 0.2
    assert "neither a sweep nor a trial" in done.sweep("verdict", "before", "nothing", code=2).err
    ended(done.path / "results", "losses", [Ran({"y": 1}, {"loss": 1})], metric="loss")
    # A failure is no answer: 1 would be "not better".
    assert "is ranked by" in done.sweep("verdict", "before", "losses", code=2).err
    assert "are one configuration" in done.sweep("verdict", "0", "1", "-s", "before", code=2).err
    assert "there is no sweep 'nope'" in done.sweep("verdict", "before", "after", "-s", "nope", code=2).err
    argv = [sys.executable, "-m", "sweep", "verdict", "4", "0", "-s", "before"]
    reader, writer = os.pipe()
    os.close(reader)
    unread = subprocess.run(argv, cwd=done.path, env=done.env, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (unread.returncode, unread.stderr) == (1, b"")
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(argv, cwd=done.path, env=done.env, stdout=full, check=False).returncode == 2


def test_a_page_is_named_and_an_interval_needs_watch(done: Sandbox) -> None:
    assert done.sweep("page", "a", "--json").json == {"page": str(done.path / "results/a/report.html")}
    assert "goes with --watch and --serve" in done.sweep("page", "a", "--interval", "5", code=2).err


def test_a_page_again_and_again(sandbox: Sandbox, toy: Any) -> None:
    toy(parameters="{x: [4], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    ran = sandbox.sweep("page", "--watch", "--interval", "1")
    assert ran.err.count("wrote") >= 2
    page = (sandbox.path / "results/toy/report.html").read_text()
    assert "is written again every" not in page  # the last one is final
    assert "16.0000" in page


def test_what_next_is_said_on_the_terminal_in_json_and_on_the_page(sandbox: Sandbox) -> None:
    ran = [
        Ran(
            {"lr": lr, "w": w, "b": b},
            {"segMeasure": lr + w / 1000 - b / 1e6} if w < 64 else None,
            cause=Cause.OUT_OF_MEMORY,
        )
        for lr in (0.001, 0.01, 0.1)
        for w in (16, 32, 64)
        for b in (1, 2)
    ]
    ended(sandbox.path / "results", "a", ran)
    out = sandbox.sweep("report", "a", env={"COLUMNS": "400"}).out
    said = out[out.index("what next") :].splitlines()
    why = "the last value that was tried, and scores get better towards it"
    assert said[1] == f"- the best has lr = 0.1, {why}: go on with 1, 10"
    assert re.fullmatch(
        r"- to confirm the best takes 25 runs, about [\d.]+ core-hours: sweep confirm --top 5 --replicates 5",
        said[2],
    )
    assert said[3] == "- all 6 trials with w = 64 failed (out of memory): leave it out, or mend that"
    assert len(said) == 4
    given = sandbox.sweep("report", "a", "--next", "--json").json
    assert given["edges"] == [{"parameter": "lr", "value": 0.1, "values": [1.0, 10.0]}]
    assert given["failing"] == [{"parameter": "w", "value": 64, "trials": 6, "causes": {"out of memory": 6}}]
    assert (given["confirmation"]["runs"], given["cheaper"], given["unimportant"]) == (25, None, ["b"])
    alone = sandbox.sweep("report", "a", "--next", env={"COLUMNS": "400"}).out.splitlines()
    assert alone[2:] == [*said[1:], "- hardly mattered, and may be fixed: b = 1"]
    assert "--next is no table" in sandbox.sweep("report", "a", "--next", "--csv", code=2).err
    sandbox.sweep("page", "a")
    page = (sandbox.path / "results/a/report.html").read_text()
    assert 'id="next"' in page
    assert "<li>All 6 trials with w = 64 failed (out of memory): leave it out, or mend that." in page
    # With a condition, the axis is still the whole one: 0.01 is not its end.
    assert "go on with" not in sandbox.sweep("report", "a", "--where", "lr < 0.1", env={"COLUMNS": "400"}).out


def test_nothing_is_said_of_next_where_nothing_is_known(sandbox: Sandbox) -> None:
    ended(
        sandbox.path / "results",
        "a",
        [Ran({"x": 1}, None, cause=Cause.ERROR), Ran({"x": 2}, None, cause=Cause.ERROR)],
    )
    assert "what next" not in sandbox.sweep("report", "a").out
    assert "the scores do not say" in sandbox.sweep("report", "a", "--next").out
    ended(sandbox.path / "results", "b", [Ran({"x": 1}, {"segMeasure": 0.5})])
    assert "what next" not in sandbox.sweep("report", "b").out
