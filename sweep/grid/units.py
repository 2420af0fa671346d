"""Wall times, memory, budgets and shares as people write them → seconds, MiB, core-hours, numbers."""

from __future__ import annotations

import math
import re

from sweep.errors import InvalidValue

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)")
_SPELLED = re.compile(r"(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?", re.IGNORECASE)
_MIB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}

#: More than a year, or more than a PiB, is a mistake at every site.
MAX_WALLTIME_S = 366 * 86400
MAX_MEMORY_MIB = 1024**3


def walltime_s(text: str) -> int:
    """Read a wall time, in seconds.

    A bare ``90`` and ``12:00`` are refused, because schedulers disagree on them: 90 is minutes to Slurm and
    seconds to PBS.

    >>> walltime_s("12:00:00"), walltime_s("1-06:00:00"), walltime_s("1h30min"), walltime_s("90s")
    (43200, 108000, 5400, 90)

    Raises
    ------
    InvalidValue
        The text is no wall time, or no sensible one. The message says what to write.
    """
    form = "write it as hours:minutes:seconds (04:00:00, or 1-12:00:00), or as 4h, 90min, 30s"
    stripped = text.strip()
    clock = _CLOCK.fullmatch(stripped)
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    else:
        spelled = _SPELLED.fullmatch(stripped.lower())
        if not stripped or not spelled:
            raise InvalidValue(f"walltime {text!r} is not a duration", form)
        days, hours, minutes, seconds = (int(part or 0) for part in spelled.groups())
    total = days * 86400 + hours * 3600 + minutes * 60 + seconds
    if total <= 0:
        raise InvalidValue(f"walltime {text!r} is zero", form)
    if total > MAX_WALLTIME_S:
        raise InvalidValue(f"walltime {text!r} is more than a year", form)
    return total


def memory_mib(text: str) -> int:
    """Read an amount of memory, in MiB, rounded up. All units are powers of 1024, as in the schedulers.

    >>> memory_mib("8GiB"), memory_mib("500M"), memory_mib("1.5 GB")
    (8192, 500, 1536)

    Raises
    ------
    InvalidValue
        The text is no amount of memory. The message says what to write.
    """
    form = "write a number with its unit, such as 8GiB or 500MiB"
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise InvalidValue(f"memory {text!r} is not an amount of memory", form)
    amount = math.ceil(float(match[1]) * _MIB[match[2].upper()])
    if amount <= 0:
        raise InvalidValue(f"memory {text!r} is zero", form)
    if amount > MAX_MEMORY_MIB:
        raise InvalidValue(f"memory {text!r} is more than a PiB", form)
    return amount


def count(text: str, name: str, minimum: int) -> int:
    """Read a whole number, `minimum` or more. `name` is what messages call it.

    >>> count("4", "cpus", 1)
    4

    Raises
    ------
    InvalidValue
        The text is none. The message says what to write.
    """
    try:
        number = int(text)
    except ValueError:
        raise InvalidValue(f"{name} {text!r} is not a whole number", f"write {minimum} or more") from None
    if not minimum <= number <= 1_000_000:
        raise InvalidValue(f"{name} is {number}", f"it should be {minimum} or more")
    return number


def budget(text: str) -> tuple[float, float]:
    """Read a budget: (a share of what all would cost, core-hours); one of the two is 0.

    >>> budget("5%"), budget("200 core-hours")
    ((0.05, 0.0), (0.0, 200.0))

    Raises
    ------
    InvalidValue
        The text is neither. The message says what to write.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|core-?hours?|core h)", text.strip())
    amount = float(match[1]) if match else 0.0
    if not match or not amount:
        raise InvalidValue(f"the budget is {text!r}", "write 5%, or 200 core-hours")
    if match[2] != "%":
        return 0.0, amount
    if amount > 100:
        raise InvalidValue(f"the budget is {text!r}", "more than the whole grid costs cannot be spent on it")
    return amount / 100, 0.0


def fraction(value: object) -> float:
    """Read a share of one: a number, or ``1/3``.

    >>> fraction("1/4"), fraction(0.5)
    (0.25, 0.5)

    Raises
    ------
    InvalidValue
        It is none. The message says what to write.
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", value) if isinstance(value, str) else None
    if match and int(match[2]):
        return int(match[1]) / int(match[2])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise InvalidValue(f"{value!r} is no share", "write 1/3, or 0.25")
