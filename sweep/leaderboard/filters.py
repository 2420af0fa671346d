"""Which configurations are meant: ``--where "model == 'UNet' and elapsed_s < 600"`` (pure)."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from sweep.errors import UsageError
from sweep.grid.expressions import Expression, ExpressionError
from sweep.leaderboard.entries import Entry, measure
from sweep.leaderboard.frames import OWN, columns_of, leaderboard
from sweep.leaderboard.ranking import Board

#: Results in which is looked for a name.
LOOKED_AT = 1000


def where(board: Board, text: str) -> list[Entry]:
    """Keep the entries of the configurations that fit an expression.

    Parameters
    ----------
    board : Board
    text : str
        In the grid's language of expressions, of the parameters, of all columns of the leaderboard, of the numbers
        in the results, and of ``params``, where a name is no word.

    Raises
    ------
    UsageError
        It does not parse, names what is not there, or fails on the values it meets.
    """
    more = _numbers(board, text)
    table = leaderboard(board, more)
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
        raise UsageError(f"--where: {error}", _hint(board, text, error.hint)) from None
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


def _numbers(board: Board, text: str) -> list[str]:
    """Name the words of an expression that are numbers in the results, and nothing else."""
    entries = [one.entry for one in board.configurations if one.scores][:LOOKED_AT]
    params = {name for entry in entries for name in entry.trial.params}
    words = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text))
    taken = {*OWN, board.objective.metric, *params}
    return [name for name in words if name not in taken and any(measure(one, name) is not None for one in entries)]


def _hint(board: Board, text: str, hint: str) -> str:
    """Say what was probably meant."""
    if re.search(r"(?<![=!<>])=(?!=)", text):
        return "write == to compare"
    values = {value for one in board.configurations for value in one.entry.trial.params.values()
              if isinstance(value, str)}  # fmt: skip
    bare = [word for word in re.findall(r"(?<!['\"\w])[A-Za-z_]\w*(?!['\"\w])", text) if word in values]
    if bare:
        return f"put texts in quotes: '{bare[0]}'"
    return hint or "for instance: model == 'UNet' and elapsed_s < 600"
