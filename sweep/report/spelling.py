"""Numbers and values, spelled for people. A value that is missing is spelled ``–``."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sweep.errors import count as count
from sweep.visible import visible_block

#: Is said of tables and figures by value whose rows differ in more than the value.
UNBALANCED = "not every value has a score with the same values of the other parameters: they differ in these, too"

#: A text that a person could take for a number, a truth value or nothing.
_LOOKS_LIKE_ANOTHER = re.compile(r"\s*[-+.\d][-+.\w]*\s*|(?i:true|false|null|none|~|)")


def duration(seconds: float | None) -> str:
    """Spell a duration: seconds below a minute, else minutes, hours and days before a colon.

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


def time_unit(longest_s: float) -> tuple[str, float]:
    """Return the unit that suits times up to this one, and its seconds.

    >>> time_unit(100), time_unit(3600), time_unit(86400), time_unit(30 * 86400)
    (('seconds', 1), ('minutes', 60), ('hours', 3600), ('days', 86400))
    """
    for unit, unit_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if longest_s > 2 * unit_s:
            return unit, unit_s
    return "seconds", 1


def span(seconds: float) -> str:
    """Spell a duration in one unit, for a sentence.

    >>> span(1.2), span(3.21), span(300), span(9000), span(400000)
    ('1 second', '3 seconds', '5 minutes', '2.5 hours', '4.6 days')
    """
    unit, unit_s = time_unit(seconds)
    text = f"{seconds / unit_s:.{1 if unit_s > 60 else 0}f}"
    return f"{text} {unit.removesuffix('s') if text == '1' else unit}"


def memory(mib: float | None) -> str:
    """Spell an amount of memory in MiB, or in GiB from 1024 MiB on.

    >>> memory(512.4), memory(2150.0), memory(None)
    ('512 MiB', '2.1 GiB', '–')
    """
    if mib is None or not math.isfinite(mib):
        return "–"
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def unit(pair: tuple[str, str]) -> str:
    """Spell a request in the site's own units.

    >>> unit(("mpiprocs", "4")), unit(("exclusive", ""))
    ('mpiprocs=4', 'exclusive')
    """
    return "=".join(filter(None, pair))


def hours(value: float) -> str:
    """Spell a number of hours with three digits.

    >>> hours(1234.5), hours(12.345)
    ('1,234', '12.3')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Spell a percentage.

    >>> percent(98.7), percent(None)
    ('99 %', '–')
    """
    return "–" if value is None or not math.isfinite(value) else f"{value:.0f} %"


def score(value: float | None, decimals: int = 4) -> str:
    """Spell a score with `decimals` digits behind the point. A very small or large score has an exponent.

    >>> score(0.71), score(1.5e-7), score(None), score(0.71234, 3)
    ('0.7100', '1.5e-07', '–', '0.712')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 10.0 ** (1 - max(decimals, 4)) <= abs(value) < 1e6:
        return f"{value:.{decimals}f}"
    return f"{value:.4g}"


def interval(low: float, high: float, decimals: int = 4) -> str:
    """Spell an interval of scores.

    >>> interval(0.7123, 0.7345, 3), interval(float("nan"), 1.0)
    ('0.712 – 0.735', '–')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    return f"{score(low, decimals)} – {score(high, decimals)}"


def meaningful_decimals(error: float) -> int:
    """Return how many digits behind the point show two digits of an uncertainty.

    >>> meaningful_decimals(0.0123), meaningful_decimals(0.5), meaningful_decimals(42.0)
    (3, 2, 0)
    """
    return min(10, max(0, 1 - math.floor(math.log10(error))))


def parameter_value(value: Any) -> str:
    """Spell a parameter's value with ten digits. A pair is spelled as a span.

    >>> parameter_value(0.00005), parameter_value(True), parameter_value(None), parameter_value("adam")
    ('5e-05', 'true', '–', 'adam')
    >>> parameter_value(0.12345671), parameter_value((0.5, 1.0))
    ('0.12345671', '0.5 – 1')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, tuple):  # the two ends of a span
        return " – ".join(map(parameter_value, value))
    return f"{value:.10g}" if isinstance(value, float) else visible_block(str(value))


def passed_value(value: Any) -> str:
    """Spell a parameter's value as a command gets it.

    >>> passed_value(8.0), passed_value(0.1), passed_value(True), passed_value("1"), passed_value(1)
    ('8.0', '0.1', 'true', '"1"', '1')
    """
    if isinstance(value, str) and not _LOOKS_LIKE_ANOTHER.fullmatch(value):
        return visible_block(value)
    return json.dumps(value, ensure_ascii=False)  # a text that looks like a number is shown in quotes


def measured_value(value: Any) -> str:
    """Spell a measured value with six digits: more would mean nothing.

    >>> measured_value(0.123456789), measured_value(7), measured_value(None)
    ('0.123457', '7', '–')
    """
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else parameter_value(value)


def shortened(text: str, width: int) -> str:
    """Cut characters out of the middle of a text that is longer than `width` characters.

    >>> shortened("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[len(text) - half :]}"
