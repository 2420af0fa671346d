"""A failed trial → another attempt, or why not (pure). The rules are the grid's, by cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sweep.model import Cause, Limits, Raised, Resources, Verdict
from sweep.state.settings import RetryRule, RetryRules

#: Which rule a cause falls under. A trial that was cancelled or got lost is tried again only by a person.
RULE_OF: dict[Cause, str] = {
    Cause.OUT_OF_MEMORY: "out_of_memory",
    Cause.WALLTIME: "walltime",
    Cause.NODE_FAILURE: "node_failure",
    Cause.PREEMPTED: "node_failure",
    Cause.PAUSED: "resume",
    Cause.BAD_NODE: "resume",
    Cause.ERROR: "error",
    Cause.ENVIRONMENT: "error",
    Cause.LAUNCH: "error",
    Cause.NO_RESULT: "error",
    Cause.BAD_RESULT: "error",
}

#: The rule's name where a cause has none, and a person asks for the trial.
ASKED = "asked"

#: More memory is asked for in steps, each a quarter of what the attempt had asked for.
STEPS = 4


class WhyNot(StrEnum):
    """Why there is no further attempt."""

    NEEDS_PERSON = "needs a person"
    USED_UP = "used up"
    AT_CEILING = "at the ceiling"


@dataclass(frozen=True)
class RetryDecision:
    """Another attempt, or none.

    Attributes
    ----------
    resources : Resources or None
        What the next attempt asks for. None: there is none.
    rule : str
        The rule that it falls under.
    why_not : WhyNot or None
        Why there is none; `reason` says it in words.
    """

    resources: Resources | None
    rule: str
    why_not: WhyNot | None = None
    reason: str = ""

    def raised_from(self, asks: Resources) -> Raised:
        """Return what the next attempt asks for beyond the last one."""
        if self.resources is None:
            return Raised()
        return Raised.beyond(asks, self.resources.memory_mib, self.resources.walltime_s)


def next_attempt(
    verdict: Verdict,
    asks: Resources,
    earlier_rules: Sequence[str],
    rules: RetryRules,
    limits: Limits,
    *,
    by_person: bool,
) -> RetryDecision:
    """Decide on another attempt.

    Parameters
    ----------
    verdict : Verdict
        How the last attempt ended.
    asks : Resources
        What the attempt that ended asked for.
    earlier_rules : sequence of str
        The rules that earlier attempts were made under.
    rules : RetryRules
        The grid's ``retry``.
    limits : Limits
        What the queue and its nodes have; no attempt asks for more.
    by_person : bool
        A person asked for this trial. Whether it is tried again, and how often, is then theirs to say.
    """
    name = RULE_OF.get(verdict.cause, ASKED)
    if name == ASKED:
        if by_person:
            return RetryDecision(asks, name)
        cause = verdict.cause or verdict.state.value
        options = {Cause.GONE: "--gone or ", Cause.RULE: ""}
        by = f"by {options.get(verdict.cause, '--cancelled or ')}the trial's number"
        return _refused(name, WhyNot.NEEDS_PERSON, f"{cause}: only if told, {by}")
    rule: RetryRule = getattr(rules, name)
    if not by_person and earlier_rules.count(name) >= rule.times:
        why_not = WhyNot.USED_UP if rule.times else WhyNot.NEEDS_PERSON
        return _refused(name, why_not, f"{verdict.cause}: {_used_up(rule)}")
    if name == "out_of_memory":
        return _with_more_memory(verdict, asks, rule, limits, by_person=by_person)
    if name == "walltime":
        return _with_more_time(verdict, asks, rule, limits, by_person=by_person)
    return RetryDecision(asks, name)


def _used_up(rule: RetryRule) -> str:
    if rule.times:
        return f"tried again {rule.times} times already; by its number only"
    return "only if told, by --errors or the trial's number"


def _with_more_memory(
    verdict: Verdict, asks: Resources, rule: RetryRule, limits: Limits, *, by_person: bool
) -> RetryDecision:
    if not asks.memory_mib:
        return _left_to_site("out_of_memory", "memory", verdict, asks, by_person=by_person)
    base_mib = max(asks.memory_mib, verdict.peak_memory_mib or 0.0)
    ceiling_mib = _smallest(rule.ceiling, limits.memory_mib)
    # In steps of what was asked for: each group of equal demands is a job of its own.
    step_mib = max(1, asks.memory_mib // STEPS)
    memory_mib = min(math.ceil(base_mib * rule.factor / step_mib) * step_mib, ceiling_mib)
    if memory_mib <= asks.memory_mib and not by_person:
        text = f"{verdict.cause}: it had {asks.memory_mib:,} MiB, and the ceiling is {int(ceiling_mib):,} MiB"
        return _refused("out_of_memory", WhyNot.AT_CEILING, text)
    return RetryDecision(replace(asks, memory_mib=max(int(memory_mib), asks.memory_mib)), "out_of_memory")


def _with_more_time(
    verdict: Verdict, asks: Resources, rule: RetryRule, limits: Limits, *, by_person: bool
) -> RetryDecision:
    if not asks.walltime_s:
        return _left_to_site("walltime", "walltime", verdict, asks, by_person=by_person)
    ceiling_s = _smallest(rule.ceiling, limits.walltime_s)
    walltime_s = min(math.ceil(asks.walltime_s * rule.factor), ceiling_s)
    if walltime_s <= asks.walltime_s and not by_person:
        highest = replace(asks, walltime_s=int(ceiling_s)).walltime
        return _refused(
            "walltime",
            WhyNot.AT_CEILING,
            f"{verdict.cause}: it had {asks.walltime}, and the ceiling is {highest}",
        )
    return RetryDecision(replace(asks, walltime_s=max(int(walltime_s), asks.walltime_s)), "walltime")


def _left_to_site(rule: str, name: str, verdict: Verdict, asks: Resources, *, by_person: bool) -> RetryDecision:
    """Decide where the grid does not ask for what ran out: nothing can be raised."""
    if by_person:
        return RetryDecision(asks, rule)
    text = f"{verdict.cause}: the {name} is left to the site; give it in the grid, and plan again"
    return _refused(rule, WhyNot.NEEDS_PERSON, text)


def _refused(rule: str, why_not: WhyNot, reason: str) -> RetryDecision:
    return RetryDecision(None, rule, why_not, reason)


def _smallest(*ceilings: int | None) -> float:
    return min((float(ceiling) for ceiling in ceilings if ceiling is not None), default=math.inf)


def avoided(verdict: Verdict) -> tuple[str, ...]:
    """Name the node that the next attempt is not to run on: it failed under the last one."""
    return (verdict.host,) if verdict.cause in (Cause.NODE_FAILURE, Cause.BAD_NODE) and verdict.host else ()
