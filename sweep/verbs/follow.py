"""follow: submit, again and again, until all is sent; with the grid's `retry`, until all has ended as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from sweep.errors import LockHeld, SchedulerSilent
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.submit import SubmitReport, submit

#: Between two rounds; longer and longer while there is nothing to do.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0


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
    pause_s = interval_s
    while True:
        try:
            made = submit(store, shell, patience_s=patience_s, retry=True)
        except (SchedulerSilent, LockHeld) as error:
            trouble(str(error))
            made = None
        if made:
            yield made
            did = made.trials_sent or made.retried.get("trials")
            if not made.trials_left and not (made.watch and (made.alive or did)):
                return
            if made.stuck:
                return
            pause_s = interval_s if did else pause_s
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
