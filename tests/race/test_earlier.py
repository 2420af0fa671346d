"""What earlier sweeps learnt: the forest begins with it, and nothing else goes by it."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.race.decide import decide
from sweep.race.forecast import forecast
from sweep.race.space import encode
from sweep.race.standing import How, Standing
from sweep.state.settings import RaceRules
from sweep.steps.learnt import Run, encoded
from tests.race.test_decide import CONFIGURATIONS, CONFIRM, RUNGS, table

COUNT = len(CONFIGURATIONS)


def runs(*, shift: float = 0.0, sign: float = 1.0, count: int = 300) -> list[Run]:
    """Let an earlier sweep have run some configurations to the end, on data that are easier by `shift`."""
    raced = table()
    known = [row for row in np.random.default_rng(4).permutation(COUNT)[:count] if np.isfinite(raced.truth[row])]
    return [
        Run(1, CONFIGURATIONS[row], tuple(sign * (shift + float(x)) for x in raced.curves[row, 0]))
        for row in known
    ]


@pytest.mark.parametrize("shift", [0.0, 5.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_first_wave_begins_with_what_was_good_before(shift: float, sign: float) -> None:
    raced = table()
    space, earlier = encoded(CONFIGURATIONS, runs(shift=shift, sign=sign), 3, sign)
    rules = RaceRules(share=0.3, rungs=RUNGS, audit=0.0, confirm=CONFIRM)
    wave = decide(space, Standing.blank(COUNT, 3), rules, 5, 1, earlier=earlier)
    begun = [move.configuration for move in wave.moves]
    assert {move.how for move in wave.moves} <= {How.FINISH, How.FORECAST, How.SAMPLED}
    assert np.median(raced.truth[begun]) > np.quantile(raced.truth, 0.85)
    assert wave == decide(space, Standing.blank(COUNT, 3), rules, 5, 1, earlier=earlier)


def test_no_earlier_score_is_a_cutoff_or_makes_a_finalist() -> None:
    standing = Standing.blank(COUNT, 3)
    standing.scores[:30, 0] = np.arange(30)
    standing.scores[:3, 2] = [1, 2, 3]
    standing.reached[:30] = standing.target[:30] = standing.starts[:30] = 1
    standing.reached[:3] = standing.target[:3] = 3
    standing.ended[:3] = True
    standing.core_s[:30] = 1.0
    space, earlier = encoded(CONFIGURATIONS, runs(shift=100.0), 3, 1.0)
    going_on = decide(space, standing, RaceRules(share=0.9, rungs=RUNGS, confirm=CONFIRM), 0, 2, earlier=earlier)
    assert going_on.cutoffs
    assert all(score in range(30) for score in going_on.cutoffs.values())
    spent = RaceRules(core_hours=31 / 3600, rungs=RUNGS, audit=0.0, confirm=CONFIRM)
    over = decide(space, standing, spent, 0, 2, earlier=earlier)
    assert over.over
    assert set(over.finalists) <= {*range(30)}


def test_own_scores_tell_how_far_the_earlier_ones_are_off() -> None:
    """All scores of the earlier sweep are higher by five: what is expected here is at the level of here."""
    raced, scores = table(), np.full((COUNT, 3), np.nan)
    own = np.random.default_rng(5).permutation(COUNT)[:60]
    scores[own] = raced.curves[own, 1]
    space, earlier = encoded(CONFIGURATIONS, runs(shift=5.0), 3, 1.0)
    alone = forecast(encode(CONFIGURATIONS), scores, np.random.default_rng(0))
    both = forecast(space, scores, np.random.default_rng(0), earlier=earlier)
    assert alone is not None
    assert both is not None
    good = np.isfinite(raced.truth)
    assert abs(float(np.median(both.mean[good]) - np.median(raced.truth[good]))) < 0.1
    agreement = [np.corrcoef(each.mean[good], raced.truth[good])[0, 1] for each in (alone, both)]
    assert agreement[1] > agreement[0]


def test_values_that_only_an_earlier_sweep_had_change_nothing_else() -> None:
    odd = [Run(1, {**CONFIGURATIONS[0], "a": -1, "kind": "w"}, (0.5,))]
    space, earlier = encoded(CONFIGURATIONS, odd, 3, 1.0)
    assert (len(space), earlier.features.shape) == (COUNT, (1, space.features.shape[1]))
    assert np.isnan(earlier.scores[0, 1:]).all()
    wave = decide(
        space, Standing.blank(COUNT, 3), RaceRules(share=0.3, rungs=RUNGS, confirm=CONFIRM), 5, 1, 1, earlier
    )
    assert {move.how for move in wave.moves} == {How.FIRST, How.AUDIT}  # one score is nothing to forecast by
