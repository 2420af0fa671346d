"""Many failures → few kinds, and what the trials of one kind have in common (pure)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sweep.model import Cause, ResultProblem, State
from sweep.state.snapshot import TrialStatus

#: So many reasons of one group are shown beside the first.
MOST_REASONS = 4

_NUMBER_OR_NAME = re.compile(r"'[^']*'|\d+")

#: A value is named if at least this share of the failures has it …
COMMON = 0.75
#: … and if it is this many times as common among them as among all trials.
LIFT = 1.3
#: With fewer failures than this, nothing is named.
FEWEST = 3


class FailureKind(NamedTuple):
    """What trials that failed alike agree in. The words of their reasons may differ."""

    state: State
    cause: Cause
    exit_code: int | None
    signal: int | None
    problem: ResultProblem | None
    began: bool


@dataclass(frozen=True)
class Shared:
    """Parameter values that `count` of `total` failures have, together."""

    params: dict[str, Any]
    count: int
    total: int


@dataclass(frozen=True)
class FailureGroup:
    """Trials that failed alike.

    Attributes
    ----------
    reason : str
        The first trial's.
    same_reason : bool
        All trials have this very reason. Else others differ from it in a number or a name.
    trials : tuple of int
        Their numbers.
    shared : Shared or None
        What they have in common, where something stands out.
    others : tuple of (int, str)
        Reasons that differ from it by more than a number or a name, each with the first trial that has it.
    node, on_node : str, int
        The node on which most of them failed, and how many did, where few others ended there.
    log_tail : tuple of str
        The last lines that the first of them wrote.
    """

    state: State
    cause: Cause
    reason: str
    same_reason: bool
    count: int
    trials: tuple[int, ...]
    shared: Shared | None
    log_tail: tuple[str, ...] = ()
    node: str = ""
    on_node: int = 0
    others: tuple[tuple[int, str], ...] = ()


def failure_groups(failed: Iterable[TrialStatus], everyone: Sequence[TrialStatus]) -> list[FailureGroup]:
    """Group trials that did not end well by how they failed, the largest group first."""
    kinds: dict[FailureKind, list[TrialStatus]] = {}
    for status in failed:
        kinds.setdefault(kind_of(status), []).append(status)
    all_params = [status.trial.params for status in everyone]
    all_nodes = Counter(status.verdict.host for status in everyone if status.verdict.state.final)
    groups = [
        FailureGroup(
            kind.state,
            kind.cause,
            members[0].verdict.reason,
            len({member.verdict.reason for member in members}) == 1,
            len(members),
            tuple(member.trial.number for member in members),
            in_common([member.trial.params for member in members], all_params),
            node=(node := _node_of(members, all_nodes)),
            on_node=sum(member.verdict.host == node for member in members) if node else 0,
            others=_other_reasons(members),
        )
        for kind, members in kinds.items()
    ]
    return sorted(groups, key=lambda group: -group.count)


def _other_reasons(members: Sequence[TrialStatus]) -> tuple[tuple[int, str], ...]:
    """List reasons that are worded otherwise than the first trial's, for people to read."""
    first: dict[str, tuple[int, str]] = {}
    for member in members:
        reason = member.verdict.reason
        first.setdefault(_NUMBER_OR_NAME.sub("", reason), (member.trial.number, reason))
        if len(first) > MOST_REASONS:
            break
    return tuple(first.values())[1:]


def _node_of(members: Sequence[TrialStatus], all_nodes: Counter[str]) -> str:
    """Name the node on which trials failed alike, as `in_common` finds a parameter; empty if none stands out."""
    if len(members) < FEWEST:
        return ""
    (node, count), *_ = Counter(member.verdict.host for member in members).most_common(1)
    usual = all_nodes[node] / max(1, all_nodes.total())
    return node if count >= COMMON * len(members) and count / len(members) >= LIFT * usual else ""


def kind_of(status: TrialStatus) -> FailureKind:
    """Return how a trial failed, without what differs from trial to trial."""
    verdict = status.verdict
    began = verdict.started_at is not None
    if verdict.cause is Cause.RULE:  # how it took that it was ended says nothing
        return FailureKind(verdict.state, verdict.cause, None, None, None, began)
    return FailureKind(verdict.state, verdict.cause, verdict.exit_code, verdict.signal, verdict.problem, began)


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
    >>> grid = [{"model": model, "batch": batch} for model in ("UNet", "small") for batch in (44, 121)] * 3
    >>> failed = [params for params in grid if params == {"model": "UNet", "batch": 121}]
    >>> in_common(failed, grid)
    Shared(params={'model': 'UNet', 'batch': 121}, count=3, total=3)
    """
    if len(failed) < FEWEST or len(failed) == len(everyone):
        return None
    shared: dict[str, Any] = {}
    remaining = list(failed)
    for name in failed[0]:
        (text, count), *_ = Counter(_text(params.get(name)) for params in failed).most_common(1)
        usual = sum(_text(params.get(name)) == text for params in everyone) / len(everyone)
        if count >= COMMON * len(failed) and count / len(failed) >= LIFT * usual:
            matching = [params for params in remaining if _text(params.get(name)) == text]
            if len(matching) >= COMMON * len(failed):
                remaining, shared[name] = matching, matching[0].get(name)
    return Shared(shared, len(remaining), len(failed)) if shared else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
