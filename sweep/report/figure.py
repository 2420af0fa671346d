"""What the page's figures share: their colours, how they spell a value, plotly's JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sweep.report import words

#: Okabe and Ito's colours, told apart by all kinds of colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")

#: Characters of a value on an axis.
WIDEST = 18


@dataclass(frozen=True)
class Figure:
    """A figure: its place in the page, what it says to who cannot see it, and plotly's JSON."""

    name: str
    alt: str
    content: dict[str, Any]


def text(value: Any, width: int = WIDEST) -> str:
    """Spell a value for plotly, which takes ``<b>`` for bold: nothing of a person's is markup."""
    spelled = words.shortened(words.cell(value).replace("\n", "⏎"), width)
    return spelled.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def content(made: Any, layout: dict[str, Any]) -> dict[str, Any]:
    """Take plotly's JSON, without its template: the page has its own colours."""
    made.update_layout(
        template="none", margin={"t": 40, "r": 20}, **{k: v for k, v in layout.items() if k != "margin"}
    )
    if "margin" in layout:
        made.update_layout(margin=layout["margin"])
    content: dict[str, Any] = json.loads(made.to_json())
    return content
