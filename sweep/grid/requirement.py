"""``f1 > 0.8``: what a configuration has to meet to be among the best (pure)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from sweep.errors import InvalidValue

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_FORM = re.compile(
    r"\s*(?P<metric>[^\s<>=]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)\s*"
)


@dataclass(frozen=True)
class Requirement:
    """A bound on a number of the result.

    Attributes
    ----------
    metric : str
        Its name; ``test.f1`` is the key ``f1`` of the object ``test``.
    sign : str
        ``>``, ``>=``, ``<`` or ``<=``.
    """

    metric: str
    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        """Whether a number meets it."""
        return _HOLDS[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"


def parse(text: str) -> Requirement:
    """Read a requirement.

    Raises
    ------
    InvalidValue
        It is none.

    >>> parse("f1 > 0.8")
    Requirement(metric='f1', sign='>', bound=0.8)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidValue(f"{text!r} is no requirement", 'write it like "f1 > 0.8"')
    return Requirement(match["metric"], match["sign"], float(match["bound"]))
