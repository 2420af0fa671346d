"""What the journal keeps of the grid for later commands (pure). To render more jobs, they read the grid again."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec

from sweep.model import Limits, Objective

Placement = Literal["array", "each", "packed"]


class SubmitSettings(msgspec.Struct, frozen=True):
    """How trials become jobs; the grid's ``submit``.

    Attributes
    ----------
    per_worker : int
        Trials that run side by side in one worker of a packed job.
    worker_walltime_s : int or None
        A worker's walltime, where the grid gives one.
    linger_s : int
        How long a worker that has nothing left to run waits for more trials.
    throttle : int or None
        The largest number of an array's tasks that run at once.
    driver : bool
        A job of its own submits what did not fit.
    """

    placement: Placement = "array"
    per_worker: int = 1
    worker_walltime_s: int | None = None
    throttle: int | None = None
    driver: bool = False
    linger_s: int = 0


class RetryRule(msgspec.Struct, frozen=True):
    """How often a cause of failure is answered by another attempt, and what that attempt gets more of.

    Attributes
    ----------
    times : int
        The largest number of further attempts.
    factor : float
        What memory (MiB) or walltime (s) is multiplied by.
    ceiling : int or None
        The most that an attempt may get, in the same unit.
    """

    times: int
    factor: float = 1.0
    ceiling: int | None = None


class RetryRules(msgspec.Struct, frozen=True):
    """The grid's ``retry``: a rule for each kind of cause."""

    out_of_memory: RetryRule
    walltime: RetryRule
    node_failure: RetryRule
    error: RetryRule
    resume: RetryRule


#: So many waves spend a race's budget, where the grid names no `wave`: with fewer, the forest has little to learn
#: from.
USUAL_WAVES = 12


class ConfirmStage(msgspec.Struct, frozen=True):
    """How many of the best are run again, and until each has how many fresh replicates."""

    top: int
    replicates: int


class RaceRules(msgspec.Struct, frozen=True):
    """How a race spends a part of what the whole grid would cost.

    Attributes
    ----------
    share : float
        The budget, of what the whole grid would cost. 0: `core_hours` is the budget.
    core_hours : float
        The budget in core-hours; 0: `share` is.
    rungs : tuple of int
        How far a trial is trained before it is judged, in entries of its history. The last one is the whole.
    keep : float
        The share of those on a rung that goes on to the next.
    propose : str
        What chooses the configurations to begin: ``forest``, ``random``, ``order`` or ``optuna``.
    wave : int
        The largest number of trials of one decision. 0: as many as make about a dozen decisions of the budget.
    audit : float
        The share of the race's budget that is spent on configurations drawn uniformly and run to the end.
    confirm : tuple of ConfirmStage
        One after another.
    checkpoints : str
        The pattern of the names of what trials go on from; empty: nothing is removed.
    disk_mib : int
        The most that the checkpoints of trials that have stopped on a rung may take; 0: no limit.
    """

    share: float = 0.05
    core_hours: float = 0.0
    rungs: tuple[int, ...] = (1, 3, 9, 27)
    keep: float = 1 / 3
    propose: str = "forest"
    wave: int = 0
    audit: float = 0.05
    confirm: tuple[ConfirmStage, ...] = (ConfirmStage(20, 3), ConfirmStage(5, 5))
    checkpoints: str = "*checkpoint*"
    disk_mib: int = 0

    @property
    def shares(self) -> tuple[float, ...]:
        """What a trial up to each rung costs, as a share of the whole."""
        return tuple(rung / self.rungs[-1] for rung in self.rungs)

    def budget_core_s(self, grid_core_s: float) -> float:
        """Return what the race may cost, where the whole grid costs so many core-seconds."""
        return self.core_hours * 3600 or self.share * grid_core_s

    def with_budget_of(self, other: RaceRules) -> RaceRules:
        """Return these rules with the budget of others."""
        return msgspec.structs.replace(self, share=other.share, core_hours=other.core_hours)

    @property
    def confirm_runs(self) -> int:
        """How many whole trainings the confirmation takes."""
        runs, had = 0, 0
        for stage in self.confirm:
            runs += stage.top * max(0, stage.replicates - had)
            had = max(had, stage.replicates)
        return runs


class Planner(msgspec.Struct, frozen=True):
    """What the jobs take over from the person who planned, wherever and by whom they are submitted later.

    Attributes
    ----------
    umask : str
        Four octal digits. PBS starts jobs with 0077: nobody else could read the results.
    locale : dict
        The variables LANG and LC_…, those that are set.
    clients : tuple of str
        Absolute paths of the scheduler's commands: a node's PATH may lack them, and the driver job needs them.
    """

    umask: str = "0022"
    locale: dict[str, str] = {}
    clients: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True):
    """What later commands need of the grid and of the plan's command line.

    Attributes
    ----------
    kind : str
        The scheduler's name in the registry.
    limits : Limits
        The grid's where it gives some, else the scheduler's.
    overrides : tuple of str
        The plan's ``--set``: ``name=value`` each.
    template : str or None
        The job-script template that the plan named.
    workdir : str
        Where the trials' commands run.
    environment : tuple of str
        Shell commands that run before a trial's own.
    auto_retry : bool
        The grid has ``retry``, so failed trials are tried again without anyone's asking.
    cluster : str
        The cluster that the jobs ask for. Empty: the one that the commands belong to.
    from_environment : dict
        What the environment said where the grid is silent: key of the grid's ``scheduler`` → value.
    planner : Planner
        The person who planned, as far as the jobs follow them.
    variables : dict or None
        The variables of the environment that the grid's expressions read, and what they held. None: an older plan
        did not keep them.
    race : RaceRules or None
        The grid has ``race``: `sweep race` decides what runs. None: all trials run.
    """

    kind: str
    objective: Objective
    limits: Limits
    submit: SubmitSettings
    retry: RetryRules
    workdir: str
    environment: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    template: str | None = None
    auto_retry: bool = False
    cluster: str = ""
    from_environment: dict[str, str] = {}
    planner: Planner = Planner()
    variables: dict[str, str] | None = None
    race: RaceRules | None = None

    @property
    def limits_of_one_trial(self) -> Limits:
        """The most that one trial may ask for."""
        return limits_of_one_trial(self.limits, self.submit)


def limits_of_one_trial(limits: Limits, submit: SubmitSettings) -> Limits:
    """Return the most that one trial may ask for. In a worker of a packed job that is its share of a node."""
    if submit.placement != "packed":
        return limits
    walltimes = [value for value in (submit.worker_walltime_s, limits.walltime_s) if value is not None]
    memory_mib = limits.memory_mib and limits.memory_mib // submit.per_worker
    return replace(limits, memory_mib=memory_mib, walltime_s=min(walltimes, default=None))
