"""Wall times and memory as people write them → seconds and MiB."""

from __future__ import annotations

import math
import re

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)")
_SPELLED = re.compile(r"(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?", re.IGNORECASE)
_MIB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}

#: No scheduler takes more (Slurm counts minutes in 32 bits; a year is a mistake everywhere).
LONGEST_S = 366 * 86400
MOST_MIB = 1024**3


def walltime_s(text: str) -> int:
    """Seconds of a wall time.

    Schedulers read a bare ``90`` differently (Slurm: minutes, PBS: seconds), and ``12:00`` too,
    so neither is accepted.

    >>> walltime_s("12:00:00"), walltime_s("1-06:00:00"), walltime_s("1h30min"), walltime_s("90s")
    (43200, 108000, 5400, 90)

    Raises
    ------
    ValueError
        It is not a wall time, or not a sensible one; the message says what to write.
    """
    form = "write it as hours:minutes:seconds (04:00:00, or 1-12:00:00), or as 4h, 90min, 30s"
    stripped = text.strip()
    clock = _CLOCK.fullmatch(stripped)
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    else:
        spelled = _SPELLED.fullmatch(stripped.lower())
        if not stripped or not spelled:
            raise ValueError(f"walltime {text!r} is not a duration; {form}")
        days, hours, minutes, seconds = (int(part or 0) for part in spelled.groups())
    total = days * 86400 + hours * 3600 + minutes * 60 + seconds
    if total <= 0:
        raise ValueError(f"walltime {text!r} is zero; {form}")
    if total > LONGEST_S:
        raise ValueError(f"walltime {text!r} is more than a year; {form}")
    return total


def memory_mib(text: str) -> int:
    """MiB of an amount of memory, rounded up. All units are powers of 1024, as the schedulers take them.

    >>> memory_mib("8GiB"), memory_mib("500M"), memory_mib("1.5 GB")
    (8192, 500, 1536)

    Raises
    ------
    ValueError
        It is not an amount of memory; the message says what to write.
    """
    form = "write a number with its unit, such as 8GiB or 500MiB"
    found = _MEMORY.fullmatch(text.strip())
    if not found:
        raise ValueError(f"memory {text!r} is not an amount of memory; {form}")
    amount = math.ceil(float(found[1]) * _MIB[found[2].upper()])
    if amount <= 0:
        raise ValueError(f"memory {text!r} is zero; {form}")
    if amount > MOST_MIB:
        raise ValueError(f"memory {text!r} is more than a PiB; {form}")
    return amount


def count(text: str, what: str, least: int) -> int:
    """Read a whole number of at least `least`.

    >>> count("4", "cpus", 1)
    4

    Raises
    ------
    ValueError
        It is not; the message says what is expected.
    """
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{what} {text!r} is not a whole number; write {least} or more") from None
    if not least <= number <= 1_000_000:
        raise ValueError(f"{what} is {number}; it should be {least} or more")
    return number
