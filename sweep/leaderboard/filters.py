"""The configurations that match ``--where "model == 'UNet' and elapsed_s < 600"`` (pure)."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from sweep.leaderboard.entries import Entry
from sweep.leaderboard.frames import columns_of, leaderboard, numbers_named
from sweep.leaderboard.ranking import Board
from sweep.leaderboard.selection import matching

EXAMPLE = "for instance: model == 'UNet' and elapsed_s < 600"

#: How many results are searched for a name, the best first.
SEARCHED_RESULTS = 1000


def where(board: Board, text: str) -> list[Entry]:
    """Return the entries of the configurations that match an expression.

    Parameters
    ----------
    board : Board
    text : str
        An expression in the grid's language. Its names are the parameters, the columns of the leaderboard and the
        numbers in the results. ``params['odd name']`` is for a parameter whose name is no identifier.

    Raises
    ------
    UsageError
        The expression does not parse, has an unknown name, or fails on a value.
    """
    table = leaderboard(board, _result_numbers(board, text))
    columns = columns_of((configuration.entry for configuration in board.configurations), board.objective)
    # A parameter whose name is a column of the leaderboard is reached by params alone.
    plain_params = [name for name, column in columns.items() if name == column]
    names = {name for name in map(str, table.columns) if name.isidentifier()} | {*plain_params}
    rows = []
    for configuration, row in zip(board.configurations, _rows(table), strict=True):
        params = configuration.entry.trial.params
        own_params = {name: params.get(name) for name in plain_params}
        rows.append(("", {**row, **own_params, "params": params}))
    texts = {value for _, row in rows for value in row["params"].values() if isinstance(value, str)}
    matches = matching(text, frozenset({*names, "params"}), rows, texts, EXAMPLE)
    chosen = [configuration for configuration, fits in zip(board.configurations, matches, strict=True) if fits]
    return [entry for configuration in chosen for entry in configuration.entries]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row as plain values. A missing number is NaN: neither more nor less than any number."""
    missing = {str(name): None if table[name].dtype == "boolean" else float("nan") for name in table.columns}
    return [
        {
            str(name): missing[str(name)] if value is pd.NA or value is None else value
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict("records")
    ]


def _result_numbers(board: Board, text: str) -> list[str]:
    """Return the names in an expression that are numbers in the results, and nothing else."""
    entries = [configuration.entry for configuration in board.scored[:SEARCHED_RESULTS]]
    return numbers_named(entries, re.findall(r"[A-Za-z_]\w*", text), board.objective)
