"""The registry of schedulers. Each has one file; ``base.py`` is the seam they share."""

from __future__ import annotations

from sweep.schedulers.base import Call, Place, PollAnswer, Reply, Scheduler, SoughtJob, SubmitRequest, Talk
from sweep.schedulers.local import Local
from sweep.schedulers.pbs import Pbs
from sweep.schedulers.slurm import Slurm
from sweep.schedulers.torque import Torque

__all__ = ["SCHEDULERS", "Call", "Place", "PollAnswer", "Reply", "Scheduler", "SoughtJob", "SubmitRequest", "Talk"]

SCHEDULERS: dict[str, Scheduler] = {scheduler.kind: scheduler for scheduler in (Local(), Slurm(), Pbs(), Torque())}
