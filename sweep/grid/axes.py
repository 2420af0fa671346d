"""One parameter's values: a list, or a range written short."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sweep.model import canonical

#: More values than one parameter can use; a step of 1e-9 is a slip.
MOST = 1_000_000


def values(axis: Any) -> list[Any]:
    """Write out a parameter's values.

    Parameters
    ----------
    axis : list or dict
        ``[a, b, …]``, or one of

        - ``{range: [first, last]}`` or ``{range: [first, last, step]}``, both ends included;
        - ``{linspace: [first, last, n]}``, evenly spaced, as ``numpy.linspace``;
        - ``{logspace: [first, last, n]}``, powers of ten with these exponents, as ``numpy.logspace``;
        - ``{geomspace: [first, last, n]}``, the ends themselves, as ``numpy.geomspace``.

    Returns
    -------
    list
        At least one value, none twice.

    Raises
    ------
    ValueError
        What is wrong, the value, and what to write.

    Examples
    --------
    >>> values({"range": [0.1, 0.5, 0.2]}), values({"logspace": [-3, -1, 3]})
    ([0.1, 0.3, 0.5], [0.001, 0.01, 0.1])
    """
    if isinstance(axis, dict):
        axis = _short(axis)
    if not isinstance(axis, list):
        raise ValueError(f"{axis!r} is not a list of values; for a single value write [{axis}]")
    if not axis:
        raise ValueError("no values; give at least one, or take the parameter out")
    seen: dict[str, Any] = {}
    for value in axis:
        key = _same(value)
        if key in seen:
            raise ValueError(f"the value {value!r} is there twice; keep one")
        seen[key] = value
    return axis


def _same(value: Any) -> str:
    return json.dumps(canonical(value), sort_keys=True)


def _short(axis: dict[str, Any]) -> list[Any]:
    if len(axis) != 1 or next(iter(axis)) not in _SHORT:
        known = ", ".join(_SHORT)
        raise ValueError(f"{axis!r} is no way to write values; use a list or one of {known}")
    ((kind, numbers),) = axis.items()
    good = isinstance(numbers, list) and all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    )
    if not good or len(numbers) not in ((2, 3) if kind == "range" else (3,)):
        form = "[first, last] or [first, last, step]" if kind == "range" else "[first, last, how many]"
        raise ValueError(f"{kind} is {numbers!r}; it should be {form}, all numbers")
    return _SHORT[kind](*numbers)


def _range(first: float, last: float, step: float = 1) -> list[Any]:
    # Decimal, because 0.1 + 2 * 0.1 in binary is 0.30000000000000004.
    start, end, stride = (Decimal(str(number)) for number in (first, last, step))
    if not stride:
        raise ValueError("range has a step of 0; give a step that leads from the first to the last")
    n = int((end - start) / stride) + 1 if (end - start) * stride >= 0 else 0
    if n <= 0:
        raise ValueError(f"range [{first}, {last}, {step}] is empty; the step leads away from the last value")
    _check_count("range", n)
    whole = all(isinstance(number, int) for number in (first, last, step))
    return [int(start + stride * i) if whole else float(start + stride * i) for i in range(n)]


def _linspace(first: float, last: float, n: float) -> list[Any]:
    count = _check_count("linspace", n)
    return [_round(first + (last - first) * i / max(1, count - 1)) for i in range(count)]


def _logspace(first: float, last: float, n: float) -> list[Any]:
    count = _check_count("logspace", n)
    if max(abs(first), abs(last)) > 300:
        raise ValueError(f"logspace takes exponents of ten, as numpy does, not {first} and {last}; see geomspace")
    return [_round(10.0 ** (first + (last - first) * i / max(1, count - 1))) for i in range(count)]


def _geomspace(first: float, last: float, n: float) -> list[Any]:
    count = _check_count("geomspace", n)
    if first * last <= 0:
        raise ValueError(f"geomspace from {first} to {last} would pass zero; both ends need the same sign")
    return [_round(first * (last / first) ** (i / max(1, count - 1))) for i in range(count)]


def _round(number: float) -> float:
    """Twelve digits: what a person meant, without the last bits of arithmetic."""
    return float(f"{number:.12g}")


def _check_count(kind: str, n: float) -> int:
    if n != int(n) or not 1 <= n <= MOST:
        raise ValueError(f"{kind} asks for {n} values; it should be a whole number from 1 to {MOST:,}")
    return int(n)


_SHORT: dict[str, Callable[..., list[Any]]] = {
    "range": _range,
    "linspace": _linspace,
    "logspace": _logspace,
    "geomspace": _geomspace,
}
