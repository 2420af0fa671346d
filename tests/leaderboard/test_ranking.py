"""The ranking, on cases worked out by hand."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.leaderboard.analysis import analyse
from sweep.leaderboard.doubts import of_false_positives, of_requirements
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.frames import leaderboard
from sweep.leaderboard.ranking import Best, rank
from sweep.model import Objective, Resources, State, Trial
from sweep.report.exports import export
from sweep.report.table import leaderboard_table
from tests.leaderboard.conftest import entry

MAXIMIZE, MINIMIZE = Objective("score"), Objective("score", "minimize")


def frame(entries: Sequence[Entry], objective: Objective) -> pd.DataFrame:
    return leaderboard(rank(entries, objective))


def best(entries: Sequence[Entry], objective: Objective) -> Best | None:
    return rank(entries, objective).best


def exported(table: pd.DataFrame, form: str) -> str:
    text = export(table, form)
    assert isinstance(text, str)
    return text


def test_the_best_come_first_and_nothing_is_dropped() -> None:
    table = frame(
        [entry(0, 0.5, x=1), entry(1, 0.9, x=2), entry(2, None, state=State.FAILED, x=3), entry(3, 0.7, x=4)],
        MAXIMIZE,
    )
    assert table["trial"].tolist() == [1, 3, 0, 2]
    assert table["rank"].tolist()[:3] == [1, 2, 3]
    assert table["rank"].isna().tolist() == [False, False, False, True]
    assert table["cpu_percent"].tolist() == [50.0] * 4  # 10 s of CPU in 10 s on 2 CPUs
    assert table["memory_percent"].tolist() == [512.0] * 4  # 512 MiB of the 100 asked for
    assert table.columns.tolist() == [
        "rank",
        "trial",
        "x",
        "score",
        "elapsed_s",
        "cpu_s",
        "cpu_percent",
        "peak_memory_mib",
        "memory_percent",
        "witness",
        "state",
        "reason",
        "id",
    ]
    assert frame([entry(0, 0.5, x=1), entry(1, 0.4, x=2)], MINIMIZE)["trial"].tolist() == [1, 0]


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), "0.99", True, [1], 10**400])
def test_a_score_that_is_no_number_never_wins(bad: Any) -> None:
    entries = [entry(0, bad, x=1), entry(1, 0.1, x=2)]
    assert frame(entries, MAXIMIZE)["trial"].tolist() == [1, 0]
    winner = best(entries, MAXIMIZE)
    assert winner
    assert winner.entry.trial.number == 1


def test_a_score_of_a_trial_that_is_not_done_does_not_count() -> None:
    assert best([entry(0, 0.9, state=State.FAILED)], MAXIMIZE) is None


def test_equal_scores_share_a_rank_and_the_cheaper_wins() -> None:
    entries = [entry(0, 0.9, cpu_s=30.0, x=1), entry(1, 0.9, cpu_s=20.0, x=2), entry(2, 0.8, x=3)]
    assert frame(entries, MAXIMIZE)[["rank", "trial"]].to_numpy().tolist() == [[1, 1], [1, 0], [3, 2]]
    winner = best(entries, MAXIMIZE)
    assert winner
    assert (winner.entry.trial.number, winner.equal_scores) == (1, (0,))


def test_replicates_are_averaged_and_one_lucky_run_does_not_win() -> None:
    entries = [
        entry(0, 0.7, x=1), entry(1, 0.9, x=1, replicate=1),  # mean 0.8
        entry(2, 0.75, x=2), entry(3, 0.75, x=2, replicate=1),  # mean 0.75
        entry(4, 0.95, x=3), entry(5, None, state=State.FAILED, x=3, replicate=1),  # one of two
    ]  # fmt: skip
    winner = best(entries, MAXIMIZE)
    assert winner
    assert winner.score == pytest.approx(0.8)
    assert winner.replicates == (0, 1)
    assert winner.entry.trial.number == 0
    table = frame(entries, MAXIMIZE)
    assert table["trial"].tolist() == [0, 2, 4]  # an incomplete one ranks lower and is not dropped
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["scores"].tolist() == [2, 2, 1]
    assert table["asked"].tolist() == [2, 2, 2]
    assert table["state"].tolist() == ["done", "done", "1 done, 1 failed"]
    assert table["sd"].tolist()[:2] == pytest.approx([0.1 * 2**0.5, 0.0])
    assert table["ci_low"][0] == pytest.approx(0.8 - 12.7062047 * 0.1)  # Student's t for one degree of freedom


def test_parameters_that_do_not_vary_are_named_once() -> None:
    view = leaderboard_table(
        frame([entry(0, 0.5, x=1, same="a"), entry(1, 0.6, x=2, same="a")], MAXIMIZE), "score"
    )
    assert view.fixed == {"same": "a"}
    assert view.heads == [
        "rank",
        "trial",
        "x",
        "score",
        "elapsed",
        "CPU",
        "CPU %",
        "peak memory",
        "memory %",
        "witness",
        "state",
    ]
    assert view.rows[0] == ["1", "1", "2", "0.6000", "10.0 s", "10.0 s", "50 %", "512 MiB", "512 %", "–", "done"]


def test_a_parameter_named_like_a_column_gets_a_prefix() -> None:
    """LoRA has a rank, and a metric may be the elapsed time that the program measured itself."""
    entries = [entry(0, 0.5, rank=8, cost=1), entry(1, 0.9, rank=4, cost=2)]
    table = frame(entries, MAXIMIZE)
    assert table["param.rank"].tolist() == [4, 8]
    assert table["cost"].tolist() == [2, 1]
    assert table["rank"].tolist() == [1, 2]
    timed = [Entry(each.trial, each.verdict, {"elapsed_s": 3.0 - each.trial.number}) for each in entries]
    table = frame(timed, Objective("elapsed_s", "minimize"))
    assert table["result.elapsed_s"].tolist() == [2.0, 3.0]
    assert table["elapsed_s"].tolist() == [10.0, 10.0]
    lone = Entry(
        Trial(0, "0" * 16, {"score": 7}, 0, 0, Resources(60, 100, 2), ("p",)), timed[0].verdict, {"score": 0.5}
    )
    table = frame([lone], MAXIMIZE)
    assert (table["param.score"].tolist(), table["score"].tolist()) == ([7], [0.5])


def test_exports() -> None:
    hostile = "a|b\n<script>&_$%#"
    table = frame([entry(0, 0.5, x=hostile), entry(1, None, state=State.FAILED, x="y")], MAXIMIZE)
    rows = json.loads(exported(table, "json"))
    assert rows[0]["x"] == hostile
    assert rows[1]["score"] is None
    assert rows[1]["rank"] is None
    import io

    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(exported(table, "csv")))[["trial", "x"]], table[["trial", "x"]]
    )
    markdown = exported(table, "markdown").splitlines()
    assert len(markdown) == 4  # head, rule, two rows: a newline in a value makes no row
    assert "a\\|b" in markdown[2]
    latex = exported(table, "latex")
    assert r"\toprule" in latex
    assert r"\&\_\$\%\#" in latex
    assert r"elapsed\_s" in latex
    tiny = frame([entry(0, 0.5, lr=5e-05)], MAXIMIZE)
    assert "5e-05" in exported(tiny, "markdown")
    assert "5e-05" in exported(tiny, "latex")
    assert "nan" not in exported(table, "markdown") + exported(table, "latex")


def test_an_empty_frame_is_a_frame() -> None:
    table = frame([], MAXIMIZE)
    assert len(table) == 0
    assert best([], MAXIMIZE) is None
    for form in ("csv", "json", "markdown", "latex"):
        assert exported(table, form) is not None


def test_scores_beyond_all_measure_are_none() -> None:
    entries = [entry(10 * x + n, 1.7e308 if x else 0.5, replicate=n, x=x) for x in range(2) for n in range(3)]
    winner = best(entries, MAXIMIZE)
    assert winner
    assert winner.score == pytest.approx(0.5)
    assert frame([entry(0, 0.5, interval="a", mean="b")], MAXIMIZE)["param.interval"].tolist() == ["a"]


def test_a_configuration_with_one_failed_run_can_win() -> None:
    entries = [
        entry(10 * x + n, 0.5 + 0.3 * x + n / 1000, replicate=n, confirms=n > 0, x=x)
        for x in range(2)
        for n in range(6)
    ]
    entries[-1] = entry(15, None, state=State.FAILED, replicate=5, confirms=True, x=1)
    winner = best(entries, MAXIMIZE)
    assert winner
    assert (winner.entry.trial.params, len(winner.replicates), winner.compared) == ({"x": 1}, 4, 2)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(-50, 50), min_size=3, max_size=3), min_size=2, max_size=8),
    st.randoms(use_true_random=False),
    st.integers(-1000, 1000),
)
def test_no_decision_hangs_on_what_means_nothing(
    scores: list[list[int]], shuffle: random.Random, constant: int
) -> None:
    """Neither the trials' order, nor the parameters' names, nor a constant that is added to all scores."""

    def decisions(order: list[tuple[int, int]], name: str, added: float) -> object:
        params: list[dict[str, Any]] = [{name: x} for x, _ in order]
        entries = [
            entry(10 * x + run, scores[x][run] / 8 + added, replicate=run, **those)
            for (x, run), those in zip(order, params, strict=True)
        ]
        board = rank(entries, Objective("score"))
        assert board.best
        rows = [(each.number, each.rank, each.tied) for each in board.configurations]
        return rows, board.best.equal_scores, board.best.tied

    order = [(x, run) for x in range(len(scores)) for run in range(3)]
    before = decisions(order, "x", 0.0)
    shuffle.shuffle(order)
    assert decisions(order, "a name", 0.0) == before
    assert decisions(order, "x", constant / 4) == before


def with_f1(number: int, score: float, f1: float | None, **more: Any) -> Entry:
    plain_entry = entry(number, score, x=number, **more)
    return replace(plain_entry, result={**plain_entry.result, **({} if f1 is None else {"f1": f1})})


def test_four_networks_the_worst_of_which_has_the_best_score() -> None:
    """By SEG the first is the one that finds twice as much as there is; F1 sees it."""
    four = [with_f1(0, 0.856, 0.49), with_f1(1, 0.84, 0.97), with_f1(2, 0.83, 0.95), with_f1(3, 0.82, 0.93)]
    plain = rank(four, MAXIMIZE)
    assert [each.number for each in plain.configurations] == [0, 1, 2, 3]
    [doubt] = of_false_positives(plain)
    assert "trial 1 of 0.97" in doubt
    [hint] = re.findall(r'\{require: \["(.*)"\]\}', doubt)
    required = Objective("score", require=(hint,))
    board = rank(four, required)
    assert [each.number for each in board.configurations] == [1, 2, 3, 0]
    assert board.configurations[-1].fails == "f1 is 0.49, not > 0.73"
    assert board.best
    assert board.best.compared == 3
    assert of_false_positives(board) == []
    assert of_requirements(board) == [
        "1 configuration is ranked below the others for failing f1 > 0.73 (trial 0: f1 is 0.49, not > 0.73)"
    ]
    table = analyse(board).leaderboard
    assert table["f1"].tolist() == [0.97, 0.95, 0.93, 0.49]
    assert table["fails"].tolist()[:3] == ["", "", ""]


def test_what_meets_nothing_is_ranked_all_the_same() -> None:
    board = rank([with_f1(0, 0.5, None), with_f1(1, 0.6, 0.2)], Objective("score", require=("f1 >= 0.5",)))
    assert [(each.number, each.rank, each.fails) for each in board.configurations] == [
        (1, 1, "f1 is 0.2, not >= 0.5"),
        (0, 2, "has no f1"),
    ]
    assert of_requirements(board)[0].startswith("no configuration meets what the objective requires, f1 >= 0.5")


def test_a_configuration_is_required_by_its_mean_and_confirmed_ones_too() -> None:
    runs = [with_f1(10 * x + r, 0.9 - x / 10, 0.6 + r / 5 - x, replicate=r) for x in range(1) for r in range(3)]
    same = [replace(run, trial=replace(run.trial, params={"x": 0})) for run in runs]
    assert rank(same, Objective("score", require=("f1 > 0.7",))).configurations[0].fails == ""
    assert rank(same, Objective("score", require=("f1 > 0.9",))).configurations[0].fails
    confirmed = [with_f1(0, 0.9, 0.1, confirms=True), with_f1(1, 0.5, 0.9)]
    board = rank(confirmed, Objective("score", require=("f1 > 0.5",)))
    assert [each.number for each in board.configurations] == [1, 0]


def test_what_is_better_on_the_shared_seeds_is_not_told_apart_by_them() -> None:
    """The means are of all seeds, the test of the shared ones: their direction counts."""
    first = [entry(r, score, replicate=r, x=0) for r, score in {0: 0.5, 1: 0.51, 2: 0.9, 3: 0.9}.items()]
    other = [entry(10 + r, score, replicate=r, x=1) for r, score in {0: 0.6, 1: 0.612, 7: 0.6}.items()]
    board = rank([*first, *other], MAXIMIZE)
    assert [each.tied for each in board.configurations] == [None, True]
