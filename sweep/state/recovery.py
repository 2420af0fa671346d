"""A failed trial → another attempt, or why not (pure). The rules are the grid's, by cause."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.grid import units
from sweep.model import Cause, Limits, Resources, Verdict

#: Which rule a cause falls under. A trial that was cancelled or got lost is tried again only by a person.
RULE_OF: dict[Cause, str] = {
    Cause.OUT_OF_MEMORY: "out_of_memory",
    Cause.WALLTIME: "walltime",
    Cause.NODE_FAILURE: "node_failure",
    Cause.PREEMPTED: "node_failure",
    Cause.PAUSED: "resume",
    Cause.ERROR: "error",
    Cause.ENVIRONMENT: "error",
    Cause.LAUNCH: "error",
    Cause.NO_RESULT: "error",
    Cause.BAD_RESULT: "error",
}

#: Memory is raised in so many parts of what was asked for.
STEPS = 4

Rules = Mapping[str, Mapping[str, Any]]


def decide(
    verdict: Verdict, asked: Resources, before: Sequence[str], rules: Rules, most: Limits, *, told: bool
) -> Resources | str:
    """Decide on another attempt.

    Parameters
    ----------
    verdict : Verdict
        How the last attempt ended.
    asked : Resources
        What it asked for.
    before : sequence of str
        The rules that earlier attempts were made under.
    rules : mapping
        The grid's ``retry``: rule → ``times``, ``factor``, ``ceiling``.
    most : Limits
        What the queue and its nodes have; no attempt asks for more.
    told : bool
        A person asked for this trial: how often and whether are hers to say.

    Returns
    -------
    Resources or str
        What the next attempt asks for; or why there is none.
    """
    name = RULE_OF.get(verdict.cause, "")
    rule = rules.get(name, {})
    if not told:
        if not name:
            return f"{verdict.cause or verdict.state.value}: only if told, by --cancelled or the trial's number"
        if before.count(name) >= rule["times"]:
            often = f"tried again {rule['times']} times already"
            times = (
                f"{often}; by its number only"
                if rule["times"]
                else "only if told, by --errors or the trial's number"
            )
            return f"{verdict.cause}: {times}"
    if name == "out_of_memory":
        base = max(asked.memory_mib, verdict.peak_memory_mib or 0.0)
        ceiling = _least(rule.get("ceiling"), units.memory_mib, most.memory_mib)
        # In steps of what was asked for: each group of equal demands is a job of its own.
        step = max(1, asked.memory_mib // STEPS)
        more = min(math.ceil(base * rule["factor"] / step) * step, ceiling)
        if more <= asked.memory_mib and not told:
            return f"{verdict.cause}: it had {asked.memory_mib:,} MiB, and the ceiling is {int(ceiling):,} MiB"
        return replace(asked, memory_mib=max(int(more), asked.memory_mib))
    if name == "walltime":
        ceiling = _least(rule.get("ceiling"), units.walltime_s, most.walltime_s)
        more = min(math.ceil(asked.walltime_s * rule["factor"]), ceiling)
        if more <= asked.walltime_s and not told:
            highest = replace(asked, walltime_s=int(ceiling)).walltime
            return f"{verdict.cause}: it had {asked.walltime}, and the ceiling is {highest}"
        return replace(asked, walltime_s=max(int(more), asked.walltime_s))
    return asked


def _least(given: str | None, read: Any, most: int | None) -> float:
    values = [float(read(given))] if given else []
    return min([*values, *([] if most is None else [float(most)])], default=math.inf)


def avoided(verdict: Verdict) -> tuple[str, ...]:
    """Name the node that an attempt is not to get again: it failed under the last one."""
    return (verdict.host,) if verdict.cause is Cause.NODE_FAILURE and verdict.host else ()
