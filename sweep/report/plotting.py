"""What the figures of the page share: colours, the text of a value, the JSON that plotly.js reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def tick_texts(values: Sequence[Any], width: int = MAX_LABEL_WIDTH) -> list[str]:
    """Spell a parameter's values for an axis: fractions with three digits, or with as many as keep them apart.

    >>> tick_texts([0.000316227766, 0.001, 1024, "adam"]), tick_texts([0.12341, 0.12342])
    (['0.000316', '0.001', '1024', 'adam'], ['0.12341', '0.12342'])
    """
    as_they_are = [spelling.parameter_value(value) for value in values]
    texts = as_they_are
    for digits in range(3, 17):
        texts = [_rounded_text(value, text, digits) for value, text in zip(values, as_they_are, strict=True)]
        if len({*texts}) == len({*as_they_are}):
            break
    return [escaped_text(text, width) for text in texts]


def _rounded_text(value: Any, text: str, digits: int) -> str:
    return min(text, f"{value:.{digits}g}", key=len) if isinstance(value, float) else text


def plotly_json(plotly_figure: Any, layout: dict[str, Any]) -> dict[str, Any]:
    """Return a figure of plotly as JSON, without plotly's template: the page has its own colours."""
    plotly_figure.update_layout(
        template="none", margin={"t": 40, "r": 20}, **{k: v for k, v in layout.items() if k != "margin"}
    )
    if "margin" in layout:
        plotly_figure.update_layout(margin=layout["margin"])
    content: dict[str, Any] = json.loads(plotly_figure.to_json())
    return content
