"""``history[-1] < 0.2 after 5``: when a running trial is ended early (pure)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from sweep.errors import InvalidValue

_FORM = re.compile(
    r"\s*(history\[(?P<index>[-+]?\d+)\]|(?P<what>min|max)\(history\))\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?P<bound>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)(\s+after\s+(?P<after>\d+))?\s*"
)


@dataclass(frozen=True)
class StopRule:
    """A bound on the scores in the history of a running trial.

    Attributes
    ----------
    text : str
        As the grid has it.
    what : str
        ``entry``, ``min`` or ``max``: what of the history is compared.
    index : int
        Which entry: 0 is the first, -1 the newest.
    sign : str
        ``>``, ``>=``, ``<`` or ``<=``.
    bound : float
    after : int
        It is asked once the history has so many entries.
    """

    text: str
    what: str
    index: int
    sign: str
    bound: float
    after: int

    def spelled(self) -> dict[str, Any]:
        """Return it as `sweep.node.stop` reads it."""
        return asdict(self)


def parse(text: str) -> StopRule:
    """Read a rule.

    Raises
    ------
    InvalidValue
        It is none.

    >>> parse("history[-1] < 0.2 after 5")
    StopRule(text='history[-1] < 0.2 after 5', what='entry', index=-1, sign='<', bound=0.2, after=5)
    >>> parse("max(history) <= 1e-3").after
    1
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidValue(
            f"{text!r} is no rule to stop by",
            'write it like "history[-1] < 0.2 after 5"; min(history) and max(history) are the other forms',
        )
    after = int(match["after"] or 1)
    if not after:
        raise InvalidValue(f"{text!r} begins after no entry", "histories begin with one: after 1")
    what, index, bound = match["what"] or "entry", int(match["index"] or 0), float(match["bound"])
    return StopRule(text.strip(), what, index, match["sign"], bound, after)
