"""follow: submit again and again until everything is sent.

With the grid's `retry`, or with packed jobs, go on until everything has ended, because trials may come back. A
race decides on its next wave before each round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sweep.errors import LockHeld, SchedulerSilent
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.submit import SubmitReport, submit

#: Between two rounds; longer and longer while there is nothing to do.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0

#: How long the driver may wait. It has 15 minutes in all.
DRIVER_PATIENCE_S = 600.0


def drive(store: Store, shell: Shell, *, patience_s: float = 0.0) -> SubmitReport:
    """Do the driver job's one round, however often it has to be tried: nobody comes later."""
    began, deadline = shell.clock.now(), shell.clock.elapsed_s() + DRIVER_PATIENCE_S
    report = SubmitReport()
    while store.ledger()[0].stopped_at <= began:
        try:
            _advance(store, shell, store.log)
            report = submit(store, shell, patience_s=patience_s, retry=True)
            # Without a successor in the queue, this is the last that comes: it waits for a place.
            if not report.abandoned or report.stuck or shell.clock.elapsed_s() > deadline:
                return report
        except (SchedulerSilent, LockHeld):
            if shell.clock.elapsed_s() > deadline:
                raise
        shell.clock.sleep(FIRST_PAUSE_S)
    return report  # someone has cancelled everything: nothing more is sent


def follow(
    store: Store,
    shell: Shell,
    *,
    patience_s: float = 0.0,
    interval_s: float = FIRST_PAUSE_S,
    trouble: Callable[[str], None] = lambda _line: None,
) -> Iterator[SubmitReport]:
    """Yield what each round did, until nothing is left that could be sent.

    A scheduler that is silent, and a sweep that somebody else is changing, are waited for.

    Parameters
    ----------
    interval_s : float
        Between two rounds, at first.
    trouble : callable
        Takes a line about what is being waited for.
    """
    began, pause_s = shell.clock.now(), interval_s
    while True:
        if store.ledger()[0].stopped_at > began:
            return trouble("someone has cancelled everything: nothing more is sent")
        try:
            racing = _advance(store, shell, trouble)
            report = submit(store, shell, patience_s=patience_s, retry=True)
        except (SchedulerSilent, LockHeld) as error:
            trouble(str(error))
        else:
            yield report
            did_something = bool(report.trials_sent or report.retried.trials)
            if (report.stuck or not racing) and _is_over(report, did_something=did_something):
                return
            pause_s = interval_s if did_something else pause_s
        shell.clock.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def _advance(store: Store, shell: Shell, tell: Callable[[str], None]) -> bool:
    """Let a race decide on its next wave, if it can; whether it is still on.

    Parameters
    ----------
    tell : callable
        Takes what is otherwise than the race expects.
    """
    if not store.ledger()[0].is_racing:
        return False
    from sweep.verbs.race import step  # the forest takes a second to import

    for note in step(store, shell).notes:
        tell(note)
    return store.ledger()[0].is_racing


def _is_over(report: SubmitReport, *, did_something: bool) -> bool:
    """Whether no later round would send anything."""
    if did_something:
        return not report.trials_left and not report.may_come_back
    awaits = report.may_come_back and report.alive
    return not awaits and (report.stuck or not report.trials_left)
