"""The analysis of a board: each part when it is asked for, and only once; which names become columns."""

from __future__ import annotations

import dataclasses

import pytest

from sweep.errors import UsageError
from sweep.leaderboard.analysis import Analysis, analyse
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.ranking import rank
from sweep.model import Objective, State
from tests.leaderboard.conftest import Make

OBJECTIVE = Objective("score")


@pytest.fixture
def entries(make: Make) -> list[Entry]:
    """Nine configurations, two replicates of each; a tenth one failed."""
    ran = [
        make(2 * number + replicate, number + replicate / 10, replicate=replicate, x=number, y=number % 3)
        for number in range(9)
        for replicate in (0, 1)
    ]
    return [*ran, make(18, None, state=State.FAILED, x=9, y=0)]


@pytest.fixture
def analysis(entries: list[Entry]) -> Analysis:
    """Analyse them."""
    return analyse(rank(entries, OBJECTIVE))


def test_nothing_is_computed_before_it_is_asked_for(analysis: Analysis) -> None:
    given = {field.name for field in dataclasses.fields(analysis)}
    assert set(vars(analysis)) == given
    assert analysis.cost.allotted_core_h == 0
    assert set(vars(analysis)) == {*given, "cost"}


@pytest.mark.parametrize("part", ["leaderboard", "trials", "results", "importance", "cost"])
def test_each_part_is_computed_once(analysis: Analysis, part: str) -> None:
    assert getattr(analysis, part) is getattr(analysis, part)


def test_the_frames_are_of_all_configurations_and_trials(analysis: Analysis) -> None:
    assert analysis.leaderboard["x"].tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0, 9]
    assert analysis.trials["trial"].tolist() == list(range(19))
    assert analysis.results.index.tolist() == list(range(19))
    assert (analysis.column, analysis.columns) == ("score", {"x": "x", "y": "y"})
    assert len(analysis.board.scored) == 9


def test_importance_is_of_those_with_a_score(analysis: Analysis) -> None:
    assert analysis.importance.single[0].names == ("x",)
    without = analyse(rank([entry for entry in analysis.board.entries if entry.confirms], OBJECTIVE))
    assert without.importance.single == []


def test_names_of_numbers_in_the_results_become_columns(entries: list[Entry]) -> None:
    asked = ["x", "score", "trial", "cpu_s", "text", "nowhere", "f1", "deep.er", "f1"]
    results = [{**entry.result, "x": 7, "f1": 0.5, "deep": {"er": 3}, "text": "a"} for entry in entries]
    board = rank(
        [Entry(e.trial, e.verdict, result) for e, result in zip(entries, results, strict=True)], OBJECTIVE
    )
    analysis = analyse(board, columns=asked)
    assert analysis.more == ("f1", "deep.er")
    assert analysis.leaderboard["f1"].tolist() == [0.5] * 10
    assert list(analysis.only(["f1", "x", "score"])) == ["rank", "trial", "score", "f1", "x"]
    assert list(analysis.only([])) == list(analysis.leaderboard)
    with pytest.raises(UsageError, match="there is no column 'text'"):
        analysis.only(["text"])


def test_a_parameter_that_the_first_trial_does_not_have_is_one_all_the_same(make: Make) -> None:
    board = rank([make(0, 0.5, x=1), make(1, 0.25, x=1, y="text")], OBJECTIVE)
    assert analyse(board, columns=["y"]).more == ()


def test_tables_are_those_of_the_leaderboard(analysis: Analysis) -> None:
    assert analysis.by(["y"])["configurations"].sum() == 10
    assert not analysis.balanced(["y"])
    front = analysis.pareto(["score", "peak_memory_mib"])
    assert front.less_is_better == {"score": False, "peak_memory_mib": True}
    assert front.table["x"].tolist() == [8]


def test_what_the_page_draws(make: Make) -> None:
    """Of twelve configurations one failed, and one has no elapsed time; x matters, z does not vary."""
    ran = [make(n, n + 0.1 * (n % 2), y=n % 2, x=n, z=1, elapsed_s=20.0 - n) for n in range(10)]
    untimed = make(10, 10.05, y=0, x=10, z=1, elapsed_s=None)
    analysis = analyse(rank([*ran, untimed, make(11, None, state=State.FAILED, y=5, x=11, z=1)], OBJECTIVE))
    assert (analysis.varying, analysis.by_importance) == (["y", "x"], ["x", "y"])
    assert (len(analysis.leaderboard), len(analysis.scored), len(analysis.timed)) == (12, 11, 10)
    assert analysis.effects.single["y"]["y"].tolist() == [0, 1, 5]
    assert analysis.effects_of_scored.names == ["x", "y"]
    assert analysis.effects_of_scored.single["y"]["y"].tolist() == [0, 1]
    assert analysis.values("y", analysis.timed) == [0, 1]
    assert analysis.front["x"].tolist() == [9]  # the best is the fastest, too
    assert analysis.timeline is None


def test_a_parameters_column_is_found_by_its_name(make: Make) -> None:
    """A parameter may have the name of a column, and another one the name that the column of the first gets."""
    entries = [make(n, n % 4, **{"rank": n % 4, "param.x": n // 4}) for n in range(16)]
    analysis = analyse(rank(entries, OBJECTIVE))
    assert analysis.columns == {"rank": "param.rank", "param.x": "param.x"}
    assert analysis.by_importance == ["param.rank", "param.x"]
