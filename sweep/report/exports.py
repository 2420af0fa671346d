"""The leaderboard as files for other programs, written by pandas."""

from __future__ import annotations

import json
import math
import re
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sweep.errors import SweepError
from sweep.visible import CONTROLS, visible_block

if TYPE_CHECKING:
    import pandas as pd


#: Columns that nobody prints: Markdown and LaTeX leave them out.
NOT_PRINTED = ("reason", "id", "witness", "asked", "confirmed")


def export(frame: pd.DataFrame, form: str) -> str | bytes:
    """Write a table as text or bytes.

    Parameters
    ----------
    form : str
        ``csv``, ``json`` (a list of objects; missing is null) and ``parquet`` have all columns and digits.
        ``markdown`` and ``latex`` are for people: six digits, without the columns of `NOT_PRINTED`.

    Raises
    ------
    SweepError
        The form is Parquet, and pyarrow is not installed.
    """
    if form == "csv":
        return _without_formulas(frame).to_csv(index=False)
    if form == "json":
        return json.dumps(rows(frame), indent=1, ensure_ascii=False) + "\n"
    if form == "parquet":
        return _parquet(frame)
    texts = frame.drop(columns=[name for name in NOT_PRINTED if name in frame.columns]).map(_cell_text)
    if form == "markdown":
        return texts.map(_in_one_cell).to_markdown(index=False, disable_numparse=True) + "\n"
    table = texts.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    return table.to_latex(hrules=True)


#: A text that a spreadsheet would compute, or that has a character which is obeyed and not shown.
_ODD = re.compile(f"[=+@-]|.*{CONTROLS.pattern}", re.DOTALL)


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Change the columns that have an odd text: most sweeps have none, and a hundred thousand cells."""
    odd = [
        name
        for name in frame.columns
        if frame[name].dtype.kind not in "biuf" and frame[name].astype(str).str.match(_ODD).any()
    ]
    return frame.assign(**{name: frame[name].map(_no_formula) for name in odd})


def _no_formula(value: Any) -> Any:
    """Keep a spreadsheet from computing a text: behind an apostrophe it does not."""
    if not isinstance(value, str):
        return value
    return visible_block(f"'{value}" if value.startswith(("=", "+", "-", "@")) else value)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as objects, one for each row. A missing value is None."""
    import pandas as pd

    def finite_or_none(value: Any) -> Any:
        missing = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
        return None if missing else value

    records = frame.astype(object).to_dict("records")
    return [{str(name): finite_or_none(value) for name, value in row.items()} for row in records]


def _parquet(frame: pd.DataFrame) -> bytes:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise SweepError(
            "Parquet needs pyarrow, which is not installed", "pip install pyarrow, or --csv"
        ) from None
    buffer = BytesIO()
    # Parquet has no type for a column of numbers and texts, nor for numbers of more than 64 bits. Such a column is
    # written as texts.
    mixed = [
        name
        for name in frame.columns
        if frame[name].dtype == object
        and (
            len({type(value) for value in frame[name].dropna()}) > 1
            or any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in frame[name].dropna())
        )
    ]
    texts = {name: frame[name].map(str, na_action="ignore") for name in mixed}
    frame.assign(**texts).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _cell_text(value: object) -> str:
    """Spell a cell with six digits: fixed decimals would make 0.00005 into 0.0000."""
    import pandas as pd

    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else visible_block(str(value))


def _in_one_cell(text: str) -> str:
    """Escape the bars and newlines of a value, which would make two cells of it in Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")
