"""One parameter's values: a list, or a short form of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sweep.errors import InvalidValue
from sweep.model import canonical

#: The largest number of values of one parameter. More is a mistake, such as a step of 1e-9.
MAX_VALUES = 1_000_000


def values(axis: Any) -> list[Any]:
    """Return a parameter's values as a list.

    Parameters
    ----------
    axis : list or dict
        ``[a, b, …]``, or one of

        - ``{range: [first, last]}`` or ``{range: [first, last, step]}``, which include both ends;
        - ``{linspace: [first, last, n]}``, evenly spaced, as ``numpy.linspace``;
        - ``{logspace: [first, last, n]}``, powers of ten from exponent to exponent, as ``numpy.logspace``;
        - ``{geomspace: [first, last, n]}``, the same powers from value to value, as ``numpy.geomspace``.

    Returns
    -------
    list
        At least one value, and no value twice.

    Raises
    ------
    InvalidValue
        What is wrong, and in its hint what to write instead.

    Examples
    --------
    >>> values({"range": [0.1, 0.5, 0.2]}), values({"logspace": [-3, -1, 3]})
    ([0.1, 0.3, 0.5], [0.001, 0.01, 0.1])
    >>> values({"linspace": [8, 32, 4]}), values({"linspace": [8.0, 32, 2]}), values({"geomspace": [1, 100, 3]})
    ([8, 16, 24, 32], [8.0, 32.0], [1, 10, 100])
    """
    if isinstance(axis, dict):
        axis = _whole(axis, _expanded(axis))
    if not isinstance(axis, list):
        raise InvalidValue(f"{json.dumps(axis)} is not a list of values", _as_list(axis))
    if not axis:
        raise InvalidValue("no values", "give at least one, or take the parameter out")
    seen: set[str] = set()
    for value in axis:
        key = comparison_key(value)
        if key in seen:
            raise InvalidValue(f"the value {value!r} is there twice", "keep one")
        seen.add(key)
    return axis


def _as_list(axis: Any) -> str:
    """Say how to write what was meant as a list. What stands behind ``write`` is YAML."""
    single = f"for a single value write {json.dumps([axis], ensure_ascii=False)}"
    if axis is None:
        return f"{single}, or give the values: [a, b]"
    if isinstance(axis, str) and "," in axis:
        pieces = [piece.strip() for piece in axis.split(",") if piece.strip()]
        return f"for several values write {json.dumps(pieces, ensure_ascii=False)}; {single}"
    return single


def comparison_key(value: Any) -> str:
    """Spell a value so that equal values, such as 1 and 1.0, are equal texts."""
    return json.dumps(canonical(value), sort_keys=True)


def _expanded(axis: dict[str, Any]) -> list[Any]:
    """Return the values that a short form stands for."""
    if len(axis) != 1 or next(iter(axis)) not in _SHORT_FORMS:
        raise InvalidValue(f"{axis!r} is no form of values", f"use a list or one of {', '.join(_SHORT_FORMS)}")
    ((kind, numbers),) = axis.items()
    all_numbers = isinstance(numbers, list) and all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    )
    if not all_numbers or len(numbers) not in ((2, 3) if kind == "range" else (3,)):
        form = "[first, last] or [first, last, step]" if kind == "range" else "[first, last, how many]"
        raise InvalidValue(f"{kind} is {numbers!r}", f"it should be {form}, all numbers")
    return _SHORT_FORMS[kind](*numbers)


def _whole(axis: dict[str, Any], numbers: list[Any]) -> list[Any]:
    """Return whole numbers where all are whole, and the form was given such: a program may take no 8.0."""
    (given,) = axis.values()
    if all(isinstance(number, int) for number in given) and all(float(number).is_integer() for number in numbers):
        return [canonical(number) for number in numbers]
    return numbers


def _range(first: float, last: float, step: float = 1) -> list[Any]:
    # Decimal, because 0.1 + 2 * 0.1 is 0.30000000000000004 as a float.
    start, end, stride = (Decimal(str(number)) for number in (first, last, step))
    if not stride:
        raise InvalidValue("range has a step of 0", "give a step that leads from the first value to the last")
    n = int((end - start) / stride) + 1 if (end - start) * stride >= 0 else 0
    if n <= 0:
        raise InvalidValue(f"range [{first}, {last}, {step}] is empty", "its step leads away from the last value")
    _check_count("range", n)
    whole = all(isinstance(number, int) for number in (first, last, step))
    return [int(start + stride * i) if whole else float(start + stride * i) for i in range(n)]


def _linspace(first: float, last: float, n: float) -> list[Any]:
    count = _check_count("linspace", n)
    return [_round(first + (last - first) * i / max(1, count - 1)) for i in range(count)]


def _logspace(first: float, last: float, n: float) -> list[Any]:
    count = _check_count("logspace", n)
    if max(abs(first), abs(last)) > 300:
        raise InvalidValue(
            f"logspace takes exponents of ten, and has {first} and {last}", "use geomspace for values"
        )
    return [_round(10.0 ** (first + (last - first) * i / max(1, count - 1))) for i in range(count)]


def _geomspace(first: float, last: float, n: float) -> list[Any]:
    count = _check_count("geomspace", n)
    if first * last <= 0:
        raise InvalidValue(
            f"geomspace cannot go from {first} to {last}", "give both ends the same sign, and neither zero"
        )
    return [_round(first * (last / first) ** (i / max(1, count - 1))) for i in range(count)]


def _round(number: float) -> float:
    """Round to twelve digits, which removes the error of floating-point arithmetic."""
    return float(f"{number:.12g}")


def _check_count(kind: str, n: float) -> int:
    if n != int(n) or not 1 <= n <= MAX_VALUES:
        raise InvalidValue(f"{kind} asks for {n} values", f"it should be a whole number from 1 to {MAX_VALUES:,}")
    return int(n)


_SHORT_FORMS: dict[str, Callable[..., list[Any]]] = {
    "range": _range,
    "linspace": _linspace,
    "logspace": _logspace,
    "geomspace": _geomspace,
}
