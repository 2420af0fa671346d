"""What a new plan makes of a race that has begun: what stays, what is forgotten, what is drawn anew."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sweep.model import Limits, Objective, Resources, State, Trial, Verdict
from sweep.race.audit import audit_order, chance_drawn
from sweep.state.events import FORMAT, Decided, Event, Planned
from sweep.state.ledger import Ledger, add_up
from sweep.state.racing import Judged, Race, RaceMove, RaceStep
from sweep.state.settings import ConfirmStage, RaceRules, RetryRule, RetryRules, Settings, SubmitSettings
from sweep.state.snapshot import TrialStatus
from sweep.steps import raced
from sweep.steps.standing import _passed

RULES = RaceRules(rungs=(1, 2, 4, 9), confirm=(ConfirmStage(2, 2),))


def planned(rules: RaceRules | None = RULES, configurations: str = "a", metric: str = "f1") -> Planned:
    settings = Settings(
        "local",
        Objective(metric),
        Limits(10),
        SubmitSettings(),
        RetryRules(*[RetryRule(0)] * 5),
        "/somewhere",
        race=rules,
    )
    return Planned(format=FORMAT, jobs=[], settings=settings, configurations=configurations)


def wave(number: int, *, over: str = "", how: str = "audit", moved: tuple[int, ...] = (0, 1)) -> Decided:
    step = RaceStep(
        wave=number,
        judged=[Judged(0, 1, 60.0, ended=False, scores=(0.1, 0.2))],
        moves=[RaceMove(each, 2, 4, how) for each in moved],
        finalists=[1] if over else [],
        over=over,
    )
    return Decided(by="race", race=step)


def changed(**more: object) -> RaceRules:
    return msgspec.structs.replace(RULES, **more)


STAGE = Decided(by="race", race=RaceStep())
TOLD, NOISE = (Decided(by="race", race=RaceStep(closed=word)) for word in ("told", "noise"))
OVER = [planned(), wave(1), wave(2, over="budget"), STAGE, TOLD]


def race_of(*events: Event) -> Race:
    return add_up(events).race


def is_racing(*events: Event) -> bool:
    ledger: Ledger = add_up(events)
    return ledger.is_racing


def test_with_other_rungs_a_race_begins_anew_and_keeps_what_runs() -> None:
    race = race_of(planned(), wave(1), planned(changed(rungs=(4, 9))))
    assert (race.waves, race.judged, race.changed) == ([], {}, "rungs")
    assert set(race.moves) == {0, 1}
    # Also where a plan without a race came between.
    race = race_of(planned(), wave(1), planned(None), planned(changed(rungs=(4, 9))))
    assert (race.waves, race.judged) == ([], {})
    race = race_of(planned(), wave(1), planned(changed(rungs=(4, 9))), wave(1))
    assert (len(race.waves), race.changed) == (1, "")


def test_the_same_rungs_keep_what_was_decided() -> None:
    for again in (planned(), planned(None), planned(changed(share=0.5)), planned(configurations="b")):
        race = race_of(planned(), wave(1), again)
        assert (len(race.waves), set(race.judged), race.changed) == (1, {0}, "")


@pytest.mark.parametrize("again", [planned(changed(share=0.9)), planned(configurations="b")])
def test_what_was_over_takes_up_again_with_another_budget_or_other_trials(again: Planned) -> None:
    assert not is_racing(*OVER)
    assert is_racing(*OVER, again)
    race = race_of(*OVER, again)
    assert race.last is not None
    assert (race.last.over, race.last.finalists, race.stage) == ("", [], 0)
    assert set(race.moves) == {0, 1}


def test_what_was_over_stays_so_with_the_same_plan() -> None:
    assert not is_racing(*OVER, planned())
    assert not is_racing(*OVER, planned(None), planned())


def test_where_nobody_could_tell_another_budget_alone_goes_to_replicates() -> None:
    noisy = [*OVER[:-1], NOISE]
    assert is_racing(*OVER[:-1])  # whether it can be told is not known yet
    assert not is_racing(*noisy)
    assert not is_racing(*noisy, planned())
    race = race_of(*noisy, planned(changed(core_hours=2.0)))
    assert is_racing(*noisy, planned(changed(core_hours=2.0)))
    assert race.last is not None
    assert (race.last.over, race.last.finalists, race.stage, race.closed) == ("budget", [1], 1, "")
    assert race.last.budget_core_s == 7200.0
    for again in (planned(changed(core_hours=2.0), "b"), planned(changed(keep=0.2)), planned(configurations="b")):
        race = race_of(*noisy, again)
        assert race.last is not None
        assert (race.last.over, race.stage, race.closed) == ("", 0, "")


@pytest.mark.parametrize(
    ("until", "rungs", "passed"),
    [(0, (1, 9), 2), (1, (1, 9), 1), (2, (4, 9), 1), (4, (1, 2, 4, 9), 3), (20, (1, 9), 2), (6, (1, 4, 9), 2)],
)
def test_where_what_runs_is_to_stop_by_the_rungs_of_today(until: int, rungs: tuple[int, ...], passed: int) -> None:
    assert _passed(until, RaceRules(rungs=rungs)) == passed


def status(number: int, state: State) -> TrialStatus:
    trial = Trial(number, f"{number:016x}", {"x": number}, 0, 1, Resources(60, 100, 1), ("p",))
    return TrialStatus(trial, Verdict(state, ""))


def test_chance_has_drawn_up_to_the_first_that_has_not_ended() -> None:
    order = audit_order(50, 7)
    ended = np.zeros(50, dtype=bool)
    ended[order[:6]] = ended[order[7:20]] = True
    assert chance_drawn(50, 7, ended).tolist() == order[:6].tolist()
    asked = np.zeros(50, dtype=bool)
    assert chance_drawn(50, 7, ended, asked).tolist() == []
    asked[order[[0, 3, 12]]] = True  # what was run behind the last of the first six was so for its scores
    assert chance_drawn(50, 7, ended, asked).tolist() == order[:6].tolist()
    asked[order[12]] = False
    assert chance_drawn(50, 7, ended, asked).tolist() == order[:4].tolist()


def test_what_a_race_chose_never_counts_as_drawn_after_the_grid_has_changed() -> None:
    """The order is another one then; before, all that had ended in front of what was audited counted."""
    order = [int(row) for row in audit_order(60, 0)]
    audited = order[:5]
    chosen = [number for number in range(60) if number not in audited][:20]
    first = wave(1, moved=tuple(audited))
    second = wave(2, how="finish", moved=tuple(chosen))
    race = race_of(planned(), first, second)
    done = {*audited, *chosen}
    before = [status(each, State.DONE if each in done else State.HELD) for each in range(60)]
    assert raced._drawn(race, before) == audited
    before[audited[2]] = status(audited[2], State.RUNNING)
    assert raced._drawn(race, before) == audited[:2]
    before[audited[2]] = status(audited[2], State.CANCELLED)  # that says nothing of its score
    assert raced._drawn(race, before) == [each for each in audited if each != audited[2]]
    after = [status(each, State.DONE if each in done else State.HELD) for each in range(75)]
    race = race_of(planned(), first, second, planned(configurations="b"))
    assert raced._drawn(race, after) == []
    anew = [int(row) for row in audit_order(75, 0)][:3]
    race = race_of(
        planned(), first, second, planned(configurations="b"), wave(3, moved=tuple(set(anew) - done)),
    )  # fmt: skip
    after = [status(each, State.DONE if each in done | {*anew} else State.HELD) for each in range(75)]
    drawn = raced._drawn(race, after)
    assert drawn == anew[: len(drawn)]
    assert drawn
