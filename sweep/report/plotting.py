"""What the figures of the page share: colours, the text of a value, the JSON that plotly.js reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sweep.report import spelling

#: The colours of Okabe and Ito. People with any kind of colour vision can tell them apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")

#: The largest number of characters of a value on an axis.
MAX_LABEL_WIDTH = 18


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page.

    Attributes
    ----------
    name : str
        Names the element of the page that the figure is drawn in.
    alt : str
        What the figure shows, for people who cannot see it.
    plotly_json : dict
        ``data`` and ``layout``, as plotly.js reads them.
    """

    name: str
    alt: str
    plotly_json: dict[str, Any]


def escaped_text(value: Any, width: int = MAX_LABEL_WIDTH) -> str:
    """Spell a value for plotly.js, which reads ``<b>`` as bold: no name or value of a user becomes markup."""
    spelled = spelling.shortened(spelling.parameter_value(value).replace("\n", "⏎"), width)
    return spelled.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plotly_json(plotly_figure: Any, layout: dict[str, Any]) -> dict[str, Any]:
    """Return a figure of plotly as JSON, without plotly's template: the page has its own colours."""
    plotly_figure.update_layout(
        template="none", margin={"t": 40, "r": 20}, **{k: v for k, v in layout.items() if k != "margin"}
    )
    if "margin" in layout:
        plotly_figure.update_layout(margin=layout["margin"])
    content: dict[str, Any] = json.loads(plotly_figure.to_json())
    return content
