"""retry: plan another attempt of trials that did not end well, by cause; `submit` sends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sweep.errors import UsageError
from sweep.model import Cause, Raised, State
from sweep.shell import Shell
from sweep.state import recovery
from sweep.state.events import Decided, NextAttempt
from sweep.state.ledger import Ledger
from sweep.state.recovery import WhyNot
from sweep.state.snapshot import Snapshot, TrialStatus
from sweep.steps import collect, home
from sweep.steps.observe import observe
from sweep.steps.select import ALL, Selection, selected
from sweep.store import Store

if TYPE_CHECKING:
    from sweep.steps.decision import Decision
    from sweep.steps.make_jobs import JobMaker

ALL_FAILED = tuple(cause for cause in recovery.RULE_OF if cause not in (Cause.PAUSED, Cause.BAD_NODE))
CANCELLED = (Cause.CANCELLED,)
GONE = (Cause.GONE,)

#: What there may be another attempt of; PAUSED ones take it by themselves, at the next `submit`.
RETRIED = (State.FAILED, State.CANCELLED, State.LOST, State.PAUSED, State.GONE)


@dataclass(frozen=True)
class Spared:
    """Trials that get no further attempt, all for one why_not. `reason` is the first one's, in words."""

    cause: Cause
    rule: str
    why_not: WhyNot
    reason: str
    trials: tuple[int, ...]


@dataclass(frozen=True)
class RetryReport:
    """Which trials get another attempt, in which jobs, and which do not, by reason.

    Attributes
    ----------
    raised : dict
        Trial number → what it asks for beyond its last attempt.
    spared : tuple of Spared
        The trials that get none.
    """

    trials: tuple[int, ...] = ()
    jobs: tuple[str, ...] = ()
    raised: Mapping[int, Raised] = field(default_factory=dict)
    spared: tuple[Spared, ...] = ()


@dataclass(frozen=True)
class _Attempt:
    """A further attempt that was decided on."""

    status: TrialStatus
    decision: recovery.RetryDecision


def retry(store: Store, shell: Shell, selection: Selection = ALL, *, also: Sequence[Cause] = ()) -> RetryReport:
    """Plan the next attempt of these trials; of none named, of all that the grid's rules give another one.

    Parameters
    ----------
    selection : Selection
        Trials, by name; or by an expression, which passes over those that there is nothing to try again of.
    also : sequence of Cause
        Causes that the rules leave alone, and that are tried again this time.

    Raises
    ------
    UsageError
        A trial that was named has not ended, or is done.
    """
    with store.lock():  # from the first look on: of two at once, the second sees what the first has planned
        home.check(store, store.ledger()[0])
        snapshot = observe(store, shell)
        chosen = snapshot.of(*RETRIED)
        file = snapshot.settings.objective.file
        if selection.names:
            named = selected(store, snapshot, selection, ())
            named.sort(key=lambda status: status.trial.number)
            chosen = [_retryable(collect.if_there(store, status, file)) for status in named]
        elif selection:
            there = [collect.if_there(store, status, file) for status in snapshot.active]
            fitting = selected(store, snapshot, selection, there)
            chosen = [status for status in fitting if status.verdict.state in RETRIED]
        elif Cause.GONE in also:
            done = [collect.if_there(store, status, file) for status in snapshot.of(State.DONE)]
            chosen += [status for status in done if status.verdict.state is State.GONE]
        # While the scheduler is silent, nobody knows whether a trial that seems lost runs.
        causes = {*also} if snapshot.poll.silent else {*also, Cause.LOST}
        by_person = [(status, bool(selection) or status.verdict.cause in causes) for status in chosen]
        return _again(store, by_person, "retry")


def by_itself(store: Store, snapshot: Snapshot, states: Sequence[State]) -> RetryReport:
    """Plan the attempts that the rules give without anyone's asking, of trials in these states.

    The caller holds the lock.
    """
    held = snapshot.ledger.held
    chosen = [(status, False) for status in snapshot.of(*states) if status.trial.number not in held]
    return _again(store, chosen, "rules")


def _again(store: Store, chosen: Sequence[tuple[TrialStatus, bool]], by: str) -> RetryReport:
    """Plan another attempt of each trial that the rules, or a person (True), give one. The lock is held."""
    ledger = store.ledger()[0]
    settings = ledger.settings
    limits = settings.limits_of_one_trial
    attempts: list[_Attempt] = []
    refused: list[_Attempt] = []
    for status, by_person in chosen:
        number = status.trial.number
        asks, earlier_rules = ledger.asks(status.trial), ledger.rules.get(number, [])
        decision = recovery.next_attempt(
            status.verdict, asks, earlier_rules, settings.retry, limits, by_person=by_person
        )
        (refused if decision.resources is None else attempts).append(_Attempt(status, decision))
    report = _plan(store, ledger, attempts, by) if attempts else RetryReport()
    return replace(report, spared=tuple(_spared(refused)))


def _spared(refused: Sequence[_Attempt]) -> Iterator[Spared]:
    """Group what gets no further attempt by cause, rule and why_not."""
    groups: dict[tuple[Cause, str, WhyNot], list[_Attempt]] = {}
    for attempt in refused:
        decision = attempt.decision
        assert decision.why_not
        groups.setdefault((attempt.status.verdict.cause, decision.rule, decision.why_not), []).append(attempt)
    for (cause, rule, why_not), members in groups.items():
        numbers = tuple(member.status.trial.number for member in members)
        yield Spared(cause, rule, why_not, members[0].decision.reason, numbers)


def _plan(store: Store, ledger: Ledger, attempts: Sequence[_Attempt], by: str) -> RetryReport:
    from sweep.steps import decision as decisions
    from sweep.steps.make_jobs import maker_of

    maker = maker_of(store, ledger.settings)
    decision = _decision(maker, ledger, attempts, by)
    event = decisions.commit(store, decisions.prepare(store, ledger, maker, decision))
    return RetryReport(
        tuple(attempt.number for attempt in event.attempts),
        tuple(event.jobs),
        {attempt.number: attempt.raised for attempt in event.attempts if attempt.raised},
    )


def _decision(maker: JobMaker, ledger: Ledger, attempts: Sequence[_Attempt], by: str) -> Decision:
    """Say what these attempts are, and how those before them ended (pure)."""
    from sweep.steps import decision as decisions

    requests, following = [], []
    for attempt in attempts:
        status, decided = attempt.status, attempt.decision
        assert decided.resources
        failed_nodes = recovery.avoided(status.verdict)
        request = decisions.request_of(maker, ledger, status.trial, also_avoid=failed_nodes)
        request = replace(request, attempt=status.attempt + 1, resources=decided.resources)
        requests.append(request)
        following.append(
            NextAttempt(
                number=request.number,
                attempt=request.attempt,
                rule=decided.rule,
                raised=decided.raised_from(ledger.asks(status.trial)),
                avoid=failed_nodes,
            )
        )
    statuses = [attempt.status for attempt in attempts]
    saw = decisions.digest((status.trial.number, status.attempt, status.verdict) for status in statuses)
    event = Decided(by=by, saw=saw, attempts=following, ends=decisions.ends_of(ledger, statuses))
    return decisions.Decision(event, tuple(requests))


def _retryable(status: TrialStatus) -> TrialStatus:
    if status.verdict.state not in RETRIED:
        raise UsageError(
            f"trial {status.trial.number} is {status.verdict.state}: {status.verdict.reason}",
            "only what failed, was cancelled, got lost or paused, or has lost its result, is tried again",
        )
    return status
