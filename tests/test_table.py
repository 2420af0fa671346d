"""Tables that fit the width they find."""

from __future__ import annotations

import pytest

from sweep.leaderboard.frames import leaderboard
from sweep.leaderboard.ranking import rank
from sweep.model import Objective
from sweep.report.table import decimals_of, shown
from tests.leaderboard.conftest import entry


def table(long: str = "b"):  # type: ignore[no-untyped-def]
    entries = [
        entry(10 * x + run, 0.5 + x / 100 + run / 1000, replicate=run, x=x, name=f"{long}{x}")
        for x in range(4) for run in range(3)
    ]  # fmt: skip
    return leaderboard(rank(entries, Objective("score")))


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 45])
def test_what_does_not_fit_is_left_out_and_named(width: int) -> None:
    whole = shown(table(), "score")
    view, gone = whole.fitting(width)
    assert sum(view.widths) <= width
    assert sorted([*view.heads, *gone]) == sorted(whole.heads)
    assert {"rank", "trial", "x", "name", "score"} <= set(view.heads)
    if gone:  # the interval is the last to go
        assert "95 % interval" in view.heads or width < 60


def test_long_values_are_cut_where_leaving_out_is_not_enough() -> None:
    view, gone = shown(table("a value that is rather long and ends in "), "score").fitting(50)
    assert sum(view.widths) <= 50
    assert "95 % interval" in gone
    assert "…" in view.rows[0][view.names.index("name")]


def test_digits_are_two_of_the_uncertainty() -> None:
    """A standard deviation of 0.001 over three runs: the mean is uncertain by 0.00058."""
    assert decimals_of(table()) == 5
    assert shown(table(), "score").rows[0][4] == "0.53100"
    assert decimals_of(leaderboard(rank([entry(0, 0.5, x=1)], Objective("score")))) == 4
