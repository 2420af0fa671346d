"""The leaderboard for other programs, by pandas' own writers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def export(frame: pd.DataFrame, form: str) -> str:
    """Write a leaderboard as ``csv``, ``json`` (a list of objects, missing is null), ``markdown`` or ``latex``."""
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return json.dumps(json.loads(frame.to_json(orient="records")), indent=1, ensure_ascii=False) + "\n"
    without_reasons = frame.drop(columns=["reason"])
    if form == "markdown":
        return _escaped(without_reasons).to_markdown(index=False, missingval="–") + "\n"
    return without_reasons.style.hide(axis="index").format(escape="latex", na_rep="–").to_latex(hrules=True)


def _escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep a value with a bar or a newline from becoming two cells."""
    return frame.map(
        lambda value: value.replace("|", "\\|").replace("\n", " ") if isinstance(value, str) else value
    )
