"""The registry of schedulers. Each has one file; ``base.py`` is the seam they share."""

from __future__ import annotations

from sweep.schedulers.base import Call, Place, PollAnswer, Reply, Scheduler, SoughtJob, SubmitRequest, Talk
from sweep.schedulers.local import Local
from sweep.schedulers.pbs import Pbs
from sweep.schedulers.slurm import Slurm
from sweep.schedulers.torque import Torque

__all__ = [
    "ALWAYS_HERE",
    "SCHEDULERS",
    "Call",
    "Place",
    "PollAnswer",
    "Reply",
    "Scheduler",
    "SoughtJob",
    "SubmitRequest",
    "Talk",
]

#: Slurm comes before those that have a qsub: it ships one of its own.
SCHEDULERS: dict[str, Scheduler] = {scheduler.kind: scheduler for scheduler in (Local(), Slurm(), Pbs(), Torque())}

#: The one that needs no cluster.
ALWAYS_HERE = Local.kind
