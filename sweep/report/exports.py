"""The leaderboard for other programs, by pandas' own writers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def export(frame: pd.DataFrame, form: str) -> str:
    """Write a leaderboard.

    Parameters
    ----------
    form : str
        ``csv`` and ``json`` (a list of objects; missing is null) have all columns and digits; ``markdown`` and
        ``latex`` are for people: six digits, no reasons.
    """
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return json.dumps(json.loads(frame.to_json(orient="records")), indent=1, ensure_ascii=False) + "\n"
    spelled = frame.drop(columns=["reason"]).map(_spelled)
    if form == "markdown":
        return spelled.map(_in_one_cell).to_markdown(index=False, disable_numparse=True) + "\n"
    table = spelled.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    return table.to_latex(hrules=True)


def _spelled(value: object) -> str:
    """Spell a cell with the digits that mean something: 0.00005 is not 0.0000."""
    import pandas as pd

    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _in_one_cell(text: str) -> str:
    """Keep a value with a bar or a newline from becoming two cells."""
    return text.replace("|", "\\|").replace("\n", " ")
