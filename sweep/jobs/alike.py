"""Whether a packed job's workers can run another job's trials, by the two scripts (pure)."""

from __future__ import annotations

import hashlib
import re

_ALIKE = re.compile(r"^# Alike: (?P<digest>[0-9a-f]+), (?P<walltime_s>\d+) s", re.MULTILINE)


def digest(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def takes_over(waiting: str, other: str, walltime_s: int, elapsed_s: float) -> bool:
    """Whether workers can run the trials of another job.

    Parameters
    ----------
    waiting, other : str
        The script of the workers' own job, and the other one's.
    walltime_s : int
        What a trial asks for.
    elapsed_s : float
        How long the workers have run.
    """
    of_waiting, of_other = _ALIKE.search(waiting), _ALIKE.search(other)
    if not of_waiting or not of_other or of_waiting["digest"] != of_other["digest"]:
        return False
    return elapsed_s + walltime_s <= int(of_waiting["walltime_s"])
