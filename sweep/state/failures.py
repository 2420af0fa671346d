"""Many failures → few causes: what the trials that failed alike have in common (pure)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: A value is worth naming if so large a share of the failures has it …
COMMON = 0.75
#: … and it is so much commoner among them than among all trials.
LIFT = 1.3
#: Of fewer failures than this, anything is in common.
FEWEST = 3


@dataclass(frozen=True)
class Shared:
    """Parameter values that `count` of `total` failures have, together."""

    params: dict[str, Any]
    count: int
    total: int


def kind_of(reason: str) -> str:
    """Leave out of a reason what differs from trial to trial: numbers of jobs, and amounts.

    >>> kind_of("job 12.vm ended (unknown) and left no exit record")
    'job … ended (unknown) and left no exit record'
    >>> kind_of("out of memory: used 512 of 500 MiB, ended by its worker"), kind_of("exit code 3")
    ('out of memory: used … MiB, ended by its worker', 'exit code 3')
    """
    reason = re.sub(r"\bjob \S+", "job …", reason)
    return re.sub(r"\bused \d+ of \d+", "used …", reason)


def in_common(failed: Sequence[Mapping[str, Any]], everyone: Sequence[Mapping[str, Any]]) -> Shared | None:
    """Find the parameter values that trials which failed alike share, and the others mostly do not.

    Parameters
    ----------
    failed, everyone : sequence of mapping
        The parameters of the trials that failed so, and of all trials.

    Returns
    -------
    Shared or None
        None where nothing stands out.

    Examples
    --------
    >>> all_ = [{"model": m, "batch": b} for m in ("UNet", "small") for b in (44, 121)] * 3
    >>> bad = [one for one in all_ if one == {"model": "UNet", "batch": 121}]
    >>> in_common(bad, all_)
    Shared(params={'model': 'UNet', 'batch': 121}, count=3, total=3)
    """
    if len(failed) < FEWEST or len(failed) == len(everyone):
        return None
    chosen: dict[str, Any] = {}
    rest = list(failed)
    for name in failed[0]:
        (text, count), *_ = Counter(_text(one.get(name)) for one in failed).most_common(1)
        usual = sum(_text(one.get(name)) == text for one in everyone) / len(everyone)
        if count >= COMMON * len(failed) and count / len(failed) >= LIFT * usual:
            both = [one for one in rest if _text(one.get(name)) == text]
            if len(both) >= COMMON * len(failed):
                rest, chosen[name] = both, both[0].get(name)
    return Shared(chosen, len(rest), len(failed)) if chosen else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
