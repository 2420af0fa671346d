"""What a race goes by and what it comes to: how far the configurations are, and what runs next (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sweep.state.racing import RungLoss


class How(StrEnum):
    """Why a configuration was chosen."""

    FIRST = "first wave"
    FORECAST = "forecast"
    SAMPLED = "sampled"
    RANDOM = "random"
    ORDER = "order"
    OPTUNA = "optuna"
    AUDIT = "audit"
    SPARED = "spared"
    PROMOTED = "promoted"
    FINISH = "finish"


class Over(StrEnum):
    """Why a race begins nothing more."""

    BUDGET = "budget"  # what is left of it does not pay for another one
    ALL = "all"  # every configuration has been trained, or goes no further


@dataclass
class Standing:
    """How far the configurations are, as of a cut. One row each, in the plan's order.

    Attributes
    ----------
    scores : ndarray, (configurations, rungs)
        Higher is better; NaN where a configuration has no score there.
    reached : ndarray of int
        How many rungs it has passed.
    target : ndarray of int
        How many rungs it will have passed when what now runs has ended.
    ended : ndarray of bool
        It goes no further: it was trained whole, failed, or was cancelled.
    core_s : ndarray
        What it cost so far, in core-seconds.
    starts : ndarray of int
        How often it began or went on.
    asked_core_s : ndarray
        What its whole training may cost, by the walltime that it asks for. It counts until some have run.
    second : ndarray or None, (configurations,)
        The second objective after the whole training. Higher is better; NaN where it is not known. None: there is
        none.
    others_core_s : float
        What was spent beside them: on configurations that the grid no longer has, and on confirming runs.
    """

    scores: NDArray[np.float64]
    reached: NDArray[np.intp]
    target: NDArray[np.intp]
    ended: NDArray[np.bool_]
    core_s: NDArray[np.float64]
    starts: NDArray[np.intp]
    asked_core_s: NDArray[np.float64]
    second: NDArray[np.float64] | None = None
    others_core_s: float = 0.0

    @property
    def busy(self) -> NDArray[np.bool_]:
        """Which of them run, or are about to."""
        return (self.target > self.reached) & ~self.ended

    def of(self, rows: NDArray[np.intp]) -> Standing:
        """Return the standing of some of the configurations; what was spent on the rest was spent beside them."""
        own = replace(self)
        for each in ("scores", "reached", "target", "ended", "core_s", "starts", "asked_core_s"):
            setattr(own, each, getattr(self, each)[rows])
        own.second = None if self.second is None else self.second[rows]
        own.others_core_s += float(self.core_s.sum() - own.core_s.sum())
        return own

    @classmethod
    def blank(cls, configurations: int, rungs: int) -> Standing:
        """Return the standing before anything has begun."""
        return cls(
            np.full((configurations, rungs), np.nan),
            np.zeros(configurations, dtype=np.intp),
            np.zeros(configurations, dtype=np.intp),
            np.zeros(configurations, dtype=bool),
            np.zeros(configurations),
            np.zeros(configurations, dtype=np.intp),
            np.ones(configurations),
        )


@dataclass(frozen=True)
class Move:
    """One configuration that begins or goes on.

    Attributes
    ----------
    configuration : int
        Its place in the plan's order.
    rung : int
        The rung that it is to reach, from 0.
    how : How
        Why it was chosen.
    forecast : float or None
        The score that was expected of it at the last rung.
    """

    configuration: int
    rung: int
    how: How
    forecast: float | None = None


@dataclass(frozen=True)
class Wave:
    """What one decision of a race runs.

    Attributes
    ----------
    moves : tuple of Move
        Those that go on first, then those that begin.
    cutoffs : dict of int to float
        Rung → the score below which no configuration goes on from it. Higher is better. With two objectives there
        is none.
    budget_core_s, spent_core_s, reserved_core_s : float
        What the race may cost, what it has cost, and what the confirmation is expected to.
    grid_core_s : float
        What the whole grid is expected to cost.
    first_rung : int
        The rung, from 0, that configurations are begun for: those below it tell too little of the end.
    losses : tuple of RungLoss
        What is known to be lost on the rungs up to that one.
    finalists : tuple of int
        Where the race is over: the configurations to confirm, the most promising first.
    over : Over or None
        Why no more is begun; None while the race goes on.
    """

    moves: tuple[Move, ...] = ()
    cutoffs: dict[int, float] = field(default_factory=dict)
    budget_core_s: float = 0.0
    spent_core_s: float = 0.0
    reserved_core_s: float = 0.0
    grid_core_s: float = 0.0
    first_rung: int = 0
    losses: tuple[RungLoss, ...] = ()
    finalists: tuple[int, ...] = ()
    over: Over | None = None
