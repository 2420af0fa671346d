"""How far a trial of a race has come, by what its result holds."""

from __future__ import annotations

import pytest

from sweep.model import State
from sweep.state.evidence import PartialResult
from sweep.state.settings import RaceRules
from sweep.steps.standing import judge

RULES = RaceRules(rungs=(1, 3, 9))


def partial(*scores: float | None, own: float | None = None) -> PartialResult:
    return PartialResult("f1", tuple(range(1, len(scores) + 1)), scores, own)


@pytest.mark.parametrize(
    ("state", "so_far", "scores", "ended"),
    [
        (State.HELD, partial(0.1), (0.1,), False),
        (State.HELD, partial(0.1, 0.2, 0.3, 0.4), (0.1, 0.3), False),  # between two rungs: the lower one counts
        (State.HELD, partial(own=0.5), (), False),  # no history
        (State.HELD, None, (), False),
        (State.HELD, partial(None, None, None, own=0.5), (None, 0.5), False),
        (State.DONE, partial(*[0.1] * 9, own=0.7), (0.1, 0.1, 0.7), True),
        (State.DONE, partial(0.1, own=0.7), (0.1, None, 0.7), True),  # it ended early, and is whole
        (State.DONE, partial(own=0.7), (None, None, 0.7), True),
        (State.DONE, None, (None, None, None), True),  # its result cannot be read now
        (State.FAILED, partial(0.1, 0.2), (), True),
        (State.CANCELLED, None, (), True),
        (State.GONE, None, (), True),
    ],
)
def test_a_trial_is_judged_by_what_is_there(
    state: State, so_far: PartialResult | None, scores: tuple[float | None, ...], ended: bool
) -> None:
    judged = judge(3, 2, state, so_far, 60.0, RULES)
    assert (judged.scores, judged.ended) == (scores, ended)
    assert (judged.number, judged.attempt, judged.core_s) == (3, 2, 60.0)
