"""watch: look at a sweep again and again until nothing is left to run, at a pace that a login node can bear."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from sweep.clock import SYSTEM, Clock
from sweep.verbs.status import StatusReport

#: Where nothing changes, looks become rarer, up to this many times the interval.
SLOWEST = 6.0

#: Looking takes no more of a core than this: a login node is everyone's. One of 10,000 trials takes 0.05 s.
MOST_OF_A_CORE = 0.004

#: … but nobody waits longer than this for the next one.
MOST_PAUSE_S = 60.0


def watch(look: Callable[[], StatusReport], interval_s: float, clock: Clock = SYSTEM) -> Iterator[StatusReport]:
    """Yield the status, again and again until nothing is left to run.

    Parameters
    ----------
    look : callable
        Returns the status as of now.
    interval_s : float
        Seconds between two looks; up to six times as many while nothing changes, and more for a sweep so large
        that looking would take a share of the machine.
    """
    pause_s, counts, first = interval_s, None, True
    while True:
        began_s = time.process_time()
        report = look()
        yield report
        if not report.left:
            return
        pause_s = interval_s if report.counts != counts else min(pause_s * 1.3, interval_s * SLOWEST)
        took_s = 0.0 if first else time.process_time() - began_s  # the first reads everything, and imports
        counts, first = report.counts, False
        clock.sleep(max(pause_s, min(took_s / MOST_OF_A_CORE, MOST_PAUSE_S)))
