"""A race in phases: one group of parameters is decided, then the next (pure).

That is how grids are tuned by hand. It begins few configurations: those of a phase, not of the whole grid. It
never sees whether the winner of one phase would be another one at the values of a later phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sweep.leaderboard.entries import key_of
from sweep.race import costs
from sweep.race.decide import decide
from sweep.race.forecast import Earlier
from sweep.race.space import Space
from sweep.race.standing import Standing, Wave
from sweep.state.settings import ConfirmStage, RaceRules


def in_phase(
    configurations: Sequence[Mapping[str, Any]], rules: RaceRules, phase: int, winner: Mapping[str, Any] | None
) -> NDArray[np.intp]:
    """Return which configurations a phase is among: those that differ from what is fixed in its parameters alone.

    Parameters
    ----------
    phase : int
        From 0.
    winner : mapping or None
        The parameters of the winner of the phase before. None: it is the first phase.
    """
    others = [name for index, names in enumerate(rules.phases) if index != phase for name in names]
    fixed = key_of({name: (winner or rules.first)[name] for name in others})
    rows = [
        row
        for row, params in enumerate(configurations)
        if key_of({name: params[name] for name in others}) == fixed
    ]
    return np.array(rows, dtype=np.intp)


def decide_phase(
    rows: NDArray[np.intp],
    phase: int,
    space: Space,
    standing: Standing,
    rules: RaceRules,
    seed: int,
    wave: int,
    jobs: int = 1,
    earlier: Earlier | None = None,
    spent_before_s: float | None = None,
) -> Wave:
    """Decide on the next wave of a phase, by what it has of the race's budget.

    What is left as a phase begins is for it and those that follow, in equal parts.

    Parameters
    ----------
    rows : ndarray of int
        The configurations of the phase.
    phase : int
        From 0.
    space, standing
        Of the whole grid.
    seed, wave, jobs, earlier
        As for `decide`.
    spent_before_s : float, optional
        Core-seconds that were spent as the phase began. None: it begins now.
    """
    grid_s, own = _whole_s(space, standing, rules), standing.of(rows)
    total_s = rules.budget_core_s(grid_s)
    before_s = float(standing.core_s.sum()) + standing.others_core_s if spent_before_s is None else spent_before_s
    budget_s = before_s + max(0.0, total_s - before_s) / (len(rules.phases) - phase)
    # A share stays one: what it is taken of is an estimate, as in `decide`.
    share = budget_s / (_whole_s(space.of(rows), own, rules) or 1.0) if rules.share else 0.0
    own_rules = msgspec.structs.replace(
        rules,
        share=share,
        core_hours=0.0 if share else budget_s / 3600,
        confirm=tuple(ConfirmStage(min(stage.top, len(rows)), stage.replicates) for stage in rules.confirm),
    )
    decided = decide(space.of(rows), own, own_rules, seed, wave, jobs, earlier)
    return replace(
        decided,
        moves=tuple(replace(move, configuration=int(rows[move.configuration])) for move in decided.moves),
        finalists=tuple(int(rows[row]) for row in decided.finalists),
        grid_core_s=grid_s,
    )


def _whole_s(space: Space, standing: Standing, rules: RaceRules) -> float:
    """Return what all these configurations are expected to cost, in core-seconds."""
    reached = np.where(standing.reached > 0, np.array(rules.shares)[standing.reached - 1], np.nan)
    expected = costs.forecast(space, reached, standing.starts, standing.core_s, standing.asked_core_s)
    return float(expected.whole_s.sum())
