"""Whether a trial gets another attempt, and why not: the rules, on cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from sweep.grid import read
from sweep.model import Cause, Limits, Resources, State, Verdict
from sweep.state import recovery
from sweep.state.settings import RetryRule, RetryRules
from sweep.steps.make_jobs import retry_rules

ASKED = Resources(3600, 1000, 2)
DEFAULT = retry_rules(read("name: a\ncommand: c\n", "g.yaml")[0])
ROOMY = Limits(1000)


def failed(cause: Cause, peak_mib: float | None = None) -> Verdict:
    return Verdict(State.FAILED, "why", peak_memory_mib=peak_mib, cause=cause, host="n3")


def decide(
    cause: Cause,
    *before: str,
    peak_mib: float | None = None,
    limits: Limits = ROOMY,
    by_person: bool = False,
    **rules: RetryRule,
) -> Resources | str:
    decision = recovery.next_attempt(
        failed(cause, peak_mib), ASKED, before, structs.replace(DEFAULT, **rules), limits, by_person=by_person
    )
    return decision.resources or decision.reason


@pytest.mark.parametrize(
    ("peak_mib", "limits", "ceiling", "memory_mib"),
    [
        (None, ROOMY, None, 1500),
        (1200.0, ROOMY, None, 2000),  # 1800, of the measured peak, which is the larger; in quarters
        (400.0, ROOMY, None, 1500),  # a sample that missed the peak
        (None, Limits(10, memory_mib=1200), None, 1200),  # no node has more
        (None, ROOMY, 1100, 1100),
    ],
)
def test_out_of_memory(peak_mib: float | None, limits: Limits, ceiling: int | None, memory_mib: int) -> None:
    rule = structs.replace(DEFAULT.out_of_memory, ceiling=ceiling)
    asks = decide(Cause.OUT_OF_MEMORY, peak_mib=peak_mib, limits=limits, out_of_memory=rule)
    assert asks == replace(ASKED, memory_mib=memory_mib)


def test_walltime() -> None:
    assert decide(Cause.WALLTIME) == replace(ASKED, walltime_s=7200)
    assert decide(Cause.WALLTIME, limits=Limits(10, walltime_s=5000)) == replace(ASKED, walltime_s=5000)
    assert "the ceiling is 01:00:00" in str(
        decide(Cause.WALLTIME, walltime=structs.replace(DEFAULT.walltime, ceiling=3600))
    )
    # A person who names the trial gets an attempt, though no more time.
    assert (
        decide(Cause.WALLTIME, walltime=structs.replace(DEFAULT.walltime, ceiling=3600), by_person=True) == ASKED
    )


@pytest.mark.parametrize("cause", [Cause.NODE_FAILURE, Cause.PREEMPTED])
def test_a_failure_that_is_not_the_trials_fault_is_tried_again_as_it_was(cause: Cause) -> None:
    assert decide(cause) == ASKED
    assert decide(cause, "node_failure", "walltime") == ASKED
    assert f"{cause}: tried again 3 times already" in str(decide(cause, *["node_failure"] * 3))
    assert decide(cause, *["node_failure"] * 3, by_person=True) == ASKED


def test_only_a_failed_node_is_avoided() -> None:
    assert recovery.avoided(failed(Cause.NODE_FAILURE)) == ("n3",)
    assert recovery.avoided(failed(Cause.PREEMPTED)) == ()


@pytest.mark.parametrize("cause", [cause for cause, rule in recovery.RULE_OF.items() if rule == "error"])
def test_a_programs_own_error_is_tried_again_only_on_request(cause: Cause) -> None:
    assert decide(cause) == f"{cause}: only if told, by --errors or the trial's number"
    assert decide(cause, error=RetryRule(1)) == ASKED
    assert decide(cause, by_person=True) == ASKED


def test_what_a_rule_has_ended_is_tried_again_by_its_number_alone() -> None:
    assert decide(Cause.RULE) == "stop rule: only if told, by the trial's number"
    assert decide(Cause.RULE, by_person=True) == ASKED


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.LOST])
def test_cancelled_and_lost_trials_are_tried_again_only_on_request(cause: Cause) -> None:
    assert "only if told" in str(decide(cause))
    assert decide(cause, by_person=True) == ASKED


def test_every_cause_has_a_rule_or_needs_a_person() -> None:
    waiting = {Cause.NOT_SUBMITTED, Cause.REFUSED, Cause.LEFT_OVER}
    assert (
        set(Cause) - set(recovery.RULE_OF)
        == {Cause.NONE, Cause.CANCELLED, Cause.RULE, Cause.LOST, Cause.GONE, Cause.HELD} | waiting
    )
    assert set(recovery.RULE_OF.values()) == set(RetryRules.__struct_fields__)


def test_ceilings_are_read_in_their_units() -> None:
    text = "name: a\ncommand: c\nretry: {out_of_memory: {ceiling: 2GiB}, walltime: {ceiling: 90min, times: 5}}\n"
    rules = retry_rules(read(text, "g.yaml")[0])
    assert rules.out_of_memory == RetryRule(3, 1.5, 2048)
    assert rules.walltime == RetryRule(5, 2.0, 5400)
