"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any


def duration(seconds: float | None) -> str:
    """Spell a duration.

    >>> duration(3.21), duration(75), duration(3725), duration(93784), duration(None)
    ('3.2 s', '1:15', '1:02:05', '1-02:03:04', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    clock = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if whole >= 3600 else f"{rest // 60}:{rest % 60:02d}"
    return f"{days}-{hours:02d}:{rest // 60:02d}:{rest % 60:02d}" if days else clock


def memory(mib: float | None) -> str:
    """Spell an amount of memory.

    >>> memory(512.4), memory(2150.0), memory(None)
    ('512 MiB', '2.1 GiB', '–')
    """
    if mib is None or not math.isfinite(mib):
        return "–"
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def percent(value: float | None) -> str:
    """Spell a percentage.

    >>> percent(98.7), percent(None)
    ('99 %', '–')
    """
    return "–" if value is None or not math.isfinite(value) else f"{value:.0f} %"


def score(value: float | None, decimals: int = 4) -> str:
    """Spell a score with so many digits behind the point, or as many as a small one needs.

    >>> score(0.71), score(1.5e-7), score(None), score(0.71234, 3)
    ('0.7100', '1.5e-07', '–', '0.712')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 10.0 ** (1 - max(decimals, 4)) <= abs(value) < 1e6:
        return f"{value:.{decimals}f}"
    return f"{value:.4g}"


def interval(low: float, high: float, decimals: int = 4) -> str:
    """Spell an interval.

    >>> interval(0.7123, 0.7345, 3), interval(float("nan"), 1.0)
    ('0.712 – 0.735', '–')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    return f"{score(low, decimals)} – {score(high, decimals)}"


def decimals(error: float) -> int:
    """Choose the digits behind the point that show two meaningful ones of an uncertainty.

    >>> decimals(0.0123), decimals(0.5), decimals(42.0)
    (3, 2, 0)
    """
    return min(10, max(0, 1 - math.floor(math.log10(error))))


def cell(value: Any) -> str:
    """Spell a parameter's value.

    >>> cell(0.00005), cell(True), cell(None), cell("adam"), cell(0.12345671), cell((0.5, 1.0))
    ('5e-05', 'true', '–', 'adam', '0.12345671', '0.5 – 1')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, tuple):  # from, to
        return " – ".join(map(cell, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def brief(value: Any) -> str:
    """Spell a measure that is not known better: six digits.

    >>> brief(0.123456789), brief(7), brief(None)
    ('0.123457', '7', '–')
    """
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else cell(value)


def count(number: int, noun: str) -> str:
    """Count things.

    >>> count(1, "trial"), count(8192, "trial")
    ('1 trial', '8,192 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, width: int) -> str:
    """Cut a text that is too long, in the middle.

    >>> shortened("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[len(text) - half :]}"
