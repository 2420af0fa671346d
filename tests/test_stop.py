"""Rules by which a running trial is ended early: which are read, what they ask, and of which file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import InvalidValue
from sweep.grid.stop import parse
from sweep.node.stop import Stop, first_met, scores_of


def met(text: str, *scores: float | None) -> str:
    return first_met([*scores], parse(text).spelled())


@pytest.mark.parametrize(
    ("rule", "scores", "entry"),
    [
        ("history[-1] < 0.2 after 3", (0.1, 0.1), 0),
        ("history[-1] < 0.2 after 3", (0.1, 0.1, 0.1), 3),
        ("history[-1] < 0.2 after 3", (0.1, 0.1, 0.3, 0.1, 0.3), 4),  # it had recovered when somebody looked
        ("history[-1] < 0.2", (0.1,), 1),
        ("history[-1] < 0.2", (0.2,), 0),
        ("history[-1] <= 0.2", (0.2,), 1),
        ("history[-2] > 5", (9.0,), 0),
        ("history[-2] > 5", (9.0, 1.0), 2),
        ("history[0] >= 5 after 2", (5.0, 1.0), 2),
        ("history[3] >= 5", (9.0, 9.0, 9.0), 0),
        ("max(history) < 0.2 after 3", (0.3, 0.1, 0.1, 0.1), 0),
        ("max(history) < 0.2 after 3", (0.1, 0.0, 0.1), 3),
        ("min(history) > 1e1 after 2", (20.0, 11.0), 2),
        ("history[-1] < -1.5", (-2.0,), 1),
        ("history[-1] < 0.2 after 2", (0.1, None), 0),
        ("max(history) < 0.2 after 2", (None, None), 0),
        ("max(history) < 0.2 after 2", (None, 0.1), 2),
        ("history[-1] < 0.2", (), 0),
    ],
)
def test_a_rule_is_met_at_the_first_entry_where_it_holds(rule: str, scores: tuple[Any, ...], entry: int) -> None:
    words = met(rule, *scores)
    assert words.endswith(f" at entry {entry}") if entry else words == ""
    if entry:
        assert words.startswith(f"{rule}: ")


@pytest.mark.parametrize(
    "text",
    ["", "history < 0.2", "history[-1] < x", "history[-1] == 0.2", "mean(history) < 2", "history[-1] < 0.2 after",
     "history[-1] < 0.2 after 0", "history[-1] < 0.2 after 5 or so", "history[] < 0.2", "history[-1] < 0.2 after -1"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse(text)
    assert repr(text) in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("result", "scores"),
    [
        ({"history": [0.1, 2]}, [0.1, 2.0]),
        ({"history": [{"epoch": 1, "f1": 0.5}, {"epoch": 2}]}, [0.5, None]),
        ({"history": [{"score": 0.5}]}, [0.5]),
        ({"history": [{"test": {"score": 0.5}}]}, [0.5]),
        ({"history": [True, None, "0.5", float("nan"), float("inf"), 10**400]}, [None] * 6),
        ({"history": {"1": 0.5}}, []),
        ({}, []),
        ([0.5], []),
    ],
)
def test_the_scores_of_a_history(result: Any, scores: list[float | None]) -> None:
    metric = "f1" if "f1" in str(result) else "test.score"
    assert scores_of(result, metric) == scores


def test_a_file_is_read_when_it_has_changed_and_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "segMeasure.json"
    rules = [parse("history[-1] < 0.2 after 2").spelled(), parse("max(history) < 0.4 after 3").spelled()]
    stop = Stop(json.dumps({"metric": "f1", "rules": rules}), str(path))
    assert stop.met() == ""
    path.write_text('{"history": [0.1, 0.')
    assert stop.met() == ""
    path.write_text('{"history": [0.1, 0.3]}')
    assert stop.met() == ""
    seen, path_of = stop.seen, stop.path
    stop.path = str(tmp_path / "elsewhere")
    assert stop.met() == ""  # an error forgets nothing
    stop.path = path_of
    assert (stop.met(), stop.seen) == ("", seen)
    other = tmp_path / "next"
    other.write_text('{"history": [0.1, 0.3, 0.3]}')
    other.replace(path)
    assert stop.met() == "max(history) < 0.4 after 3: 0.3 at entry 3"


def test_what_an_earlier_attempt_left_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"history": [0.1]}')
    rules = [parse("history[-1] < 0.2").spelled()]
    stop = Stop(json.dumps({"metric": "f1", "rules": rules}), str(path))
    assert stop.met() == ""
    path.write_text('{"history": [0.1, 0.15]}')
    assert "0.1 at entry 1" in stop.met()


def test_what_is_trained_is_not_ended_while_it_scores_itself(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    stop = Stop(json.dumps({"metric": "f1", "rules": [parse("history[-1] < 0.2").spelled()]}), str(path))
    path.write_text('{"history": [0.1], "complete": true}')
    assert stop.met() == ""
