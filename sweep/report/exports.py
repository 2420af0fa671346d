"""The leaderboard for other programs, by pandas' own writers."""

from __future__ import annotations

import json
import math
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sweep.errors import SweepError

if TYPE_CHECKING:
    import pandas as pd


#: Columns that nobody prints.
INWARD = ("reason", "id", "witness", "asked", "confirmed")


def export(frame: pd.DataFrame, form: str) -> str | bytes:
    """Write a table.

    Parameters
    ----------
    form : str
        ``csv``, ``json`` (a list of objects; missing is null) and ``parquet`` have all columns and digits;
        ``markdown`` and ``latex`` are for people: six digits, no ids and reasons.

    Raises
    ------
    SweepError
        Parquet, and pyarrow is not installed.
    """
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return json.dumps(rows(frame), indent=1, ensure_ascii=False) + "\n"
    if form == "parquet":
        return _parquet(frame)
    spelled = frame.drop(columns=[name for name in INWARD if name in frame.columns]).map(_spelled)
    if form == "markdown":
        return spelled.map(_in_one_cell).to_markdown(index=False, disable_numparse=True) + "\n"
    table = spelled.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    return table.to_latex(hrules=True)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table as objects, a row each; missing is None."""
    import pandas as pd

    def known(value: Any) -> Any:
        missing = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
        return None if missing else value

    records = frame.astype(object).to_dict("records")
    return [{str(name): known(value) for name, value in row.items()} for row in records]


def _parquet(frame: pd.DataFrame) -> bytes:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise SweepError(
            "Parquet needs pyarrow, which is not installed", "pip install pyarrow, or --csv"
        ) from None
    out = BytesIO()
    # A parameter that is a number here and a text there has no type of its own in Parquet: then all are texts.
    mixed = [
        name
        for name in frame.columns
        if frame[name].dtype == object and len({type(value) for value in frame[name].dropna()}) > 1
    ]
    frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed}).to_parquet(out, index=False)
    return out.getvalue()


def _spelled(value: object) -> str:
    """Spell a cell with the digits that mean something: 0.00005 is not 0.0000."""
    import pandas as pd

    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _in_one_cell(text: str) -> str:
    """Keep a value with a bar or a newline from becoming two cells."""
    return text.replace("|", "\\|").replace("\n", " ")
