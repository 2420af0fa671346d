"""Tables of text that fit the width of the terminal."""

from __future__ import annotations

import pandas as pd
import pytest

from sweep.leaderboard.frames import leaderboard
from sweep.leaderboard.ranking import rank
from sweep.model import Objective
from sweep.report.table import TextTable, decimals_of, leaderboard_table
from tests.leaderboard.conftest import entry


def frame(name: str = "b") -> pd.DataFrame:
    """Four configurations of three replicates. A replicate adds 0.001 to the score."""
    entries = [
        entry(10 * x + run, 0.5 + x / 100 + run / 1000, replicate=run, x=x, name=f"{name}{x}")
        for x in range(4) for run in range(3)
    ]  # fmt: skip
    return leaderboard(rank(entries, Objective("score")))


def table(name: str = "b") -> TextTable:
    return leaderboard_table(frame(name), "score")


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 45])
def test_what_does_not_fit_is_left_out_and_named(width: int) -> None:
    whole = table()
    fitting, left_out = whole.fit_to_width(width)
    assert sum(fitting.widths) <= width
    assert sorted([*fitting.heads, *left_out]) == sorted(whole.heads)
    assert {"rank", "trial", "x", "name", "score"} <= set(fitting.heads)
    if left_out:  # the interval is left out last
        assert "95 % interval" in fitting.heads or width < 60


def test_long_values_are_cut_where_leaving_out_is_not_enough() -> None:
    fitting, left_out = table("a value that is rather long and ends in ").fit_to_width(50)
    assert sum(fitting.widths) <= 50
    assert "95 % interval" in left_out
    assert "…" in fitting.rows[0][fitting.names.index("name")]


def test_digits_are_two_of_the_uncertainty() -> None:
    """A standard deviation of 0.001 over three runs: the mean is uncertain by 0.00058."""
    assert decimals_of(frame()) == 5
    assert table().rows[0][4] == "0.53100"
    assert decimals_of(leaderboard(rank([entry(0, 0.5, x=1)], Objective("score")))) == 4
