"""select: the trials that a person means, by number, by id, or by an expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweep.errors import UsageError
from sweep.state.snapshot import Snapshot, TrialStatus, count_states
from sweep.steps import collect
from sweep.steps.observe import pick
from sweep.store import Store


@dataclass(frozen=True)
class Selection:
    """The trials that a person means. It is false where they have named none: all that the command is for.

    Attributes
    ----------
    names : tuple of str
        Numbers, or beginnings of ids.
    where : str
        An expression that is true of them; see `sweep.leaderboard.selection`.
    say : callable
        Takes a line that a person should know.
    """

    names: tuple[str, ...] = ()
    where: str = ""
    say: Callable[[str], None] = lambda _: None

    def __bool__(self) -> bool:
        return bool(self.names or self.where)


#: Nothing is named.
ALL = Selection()


def selected(
    store: Store, snapshot: Snapshot, selection: Selection, candidates: Sequence[TrialStatus]
) -> list[TrialStatus]:
    """Return the trials that a person named, in that order; or those candidates that their expression fits.

    Raises
    ------
    UsageError
        A name or the expression cannot be used, or the expression fits none.
    """
    if not selection:
        return list(candidates)
    if selection.names:
        planned, by_number = store.trials(), {status.trial.number: status for status in snapshot.trials}
        return [
            by_number[number] for number in dict.fromkeys(pick(planned, name).number for name in selection.names)
        ]
    chosen = fitting(store, snapshot, selection, candidates)
    if not chosen:
        counts = count_states([status.verdict.state for status in candidates])
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        raise UsageError(
            f"--where {selection.where!r} fits none of {len(candidates):,} trials",
            f"loosen it; there are: {states or 'none'}",
        )
    return chosen


def fitting(
    store: Store, snapshot: Snapshot, selection: Selection, candidates: Sequence[TrialStatus]
) -> list[TrialStatus]:
    """Return those candidates that the expression fits. Results are read if it names something of them."""
    from sweep.leaderboard.entries import Entry
    from sweep.leaderboard.selection import TrialPredicate

    predicate = TrialPredicate(selection.where, [status.trial for status in candidates])
    for name in predicate.hidden:
        selection.say(f"--where: {name} is how a trial stands; the parameter is params[{name!r}]")
    if predicate.needs_results:
        entries = collect.entries(store, snapshot, candidates)
    else:
        confirming = snapshot.ledger.counting
        entries = [
            Entry(status.trial, status.verdict, confirms=status.trial.number in confirming)
            for status in candidates
        ]
    numbers = {entry.trial.number for entry in predicate(entries, snapshot.settings.objective)}
    return [status for status in candidates if status.trial.number in numbers]
