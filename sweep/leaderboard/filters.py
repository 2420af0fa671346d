"""Which configurations are meant: ``--where "model == 'UNet' and elapsed_s < 600"`` (pure)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sweep.errors import UsageError
from sweep.grid.expressions import Expression, ExpressionError
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.frames import columns_of, leaderboard
from sweep.leaderboard.ranking import Board


def where(board: Board, text: str) -> list[Entry]:
    """Keep the entries of the configurations that fit an expression.

    Parameters
    ----------
    board : Board
    text : str
        In the grid's language of expressions, of the parameters, of all columns of the leaderboard, and of
        ``params``, where a name is no word.

    Raises
    ------
    UsageError
        It does not parse, names what is not there, or fails on the values it meets.
    """
    table = leaderboard(board)
    columns = columns_of((one.entry for one in board.configurations), board.objective)
    own = [name for name, column in columns.items() if name == column]  # others are hidden behind params
    words = {name for name in map(str, table.columns) if name.isidentifier()} | {*own}
    try:
        fits = Expression(text, frozenset({*words, "params"}))
        kept = []
        for one, row in zip(board.configurations, _rows(table), strict=True):
            params = one.entry.trial.params
            given = {name: params.get(name) for name in own}
            if fits({**row, **given, "params": params}):
                kept.append(one)
    except ExpressionError as error:
        raise UsageError(f"--where: {error}", error.hint) from None
    return [entry for one in kept for entry in one.entries]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give each row as plain values; a number that is missing is NaN: neither more nor less than anything."""
    missing = {str(name): None if table[name].dtype == "boolean" else float("nan") for name in table.columns}
    return [
        {
            str(name): missing[str(name)] if value is pd.NA or value is None else value
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict("records")
    ]
