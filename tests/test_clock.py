"""Waits by a clock of the test's own: they cost nothing, and are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.errors import SchedulerBusy, SchedulerSilent
from sweep.model import Job, Task
from sweep.shell import Shell
from sweep.state.submissions import Unit
from sweep.steps.send import Sender
from sweep.store import Shelf, Store
from sweep.verbs import follow
from sweep.verbs.submit import SubmitReport
from tests.fakes.clock import FakeClock
from tests.test_store import RESOURCES, planned, trial


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Store:
    path = Shelf(tmp_path).create("toy").path
    store = Store(path, clock)
    offsets = store.add_trials([trial(0)])
    store.write_job(Job("j0001", RESOURCES, (Task(0, 1),)), "#!/bin/sh\n", offsets)
    store.note(planned("j0001"))
    return store


def test_the_driver_tries_for_ten_minutes(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> SubmitReport:
        raise SchedulerSilent("down")

    monkeypatch.setattr(follow, "submit", silent)
    with pytest.raises(SchedulerSilent):
        follow.drive(store, Shell(clock=clock))
    assert sum(clock.naps) == pytest.approx(600, abs=10)


def test_follow_looks_less_often_while_nothing_changes(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [SubmitReport(alive=1, may_come_back=True)] * 30 + [SubmitReport()]
    monkeypatch.setattr(follow, "submit", lambda *_, **__: reports.pop(0))
    assert len([*follow.follow(store, Shell(clock=clock))]) == 31
    assert clock.naps[0] == 5.0
    assert clock.naps == sorted(clock.naps)
    assert max(clock.naps) == 120.0


def test_a_busy_scheduler_is_waited_for_as_long_as_was_said(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(clock=clock)

    def busy(_talk: Any) -> str:
        raise SchedulerBusy("try later")

    monkeypatch.setattr(shell, "converse", busy)
    sender = Sender(store, shell, store.ledger()[0].settings, None, 60.0)
    sender.send(Unit("j0001"))
    assert sender.why_full == "try later"
    assert 45 < sum(clock.naps) <= 60
    assert clock.naps[:3] == [0.5, 1.0, 2.0]
    events, _ = store.journal.read()
    assert {event.at - FakeClock().at for event in events} <= {0.0, *range(61), *(0.5 + n for n in range(60))}


def test_who_is_cancelling_and_has_died_stops_nobody_for_long(store: Store, clock: FakeClock) -> None:
    store.write(".stop", f"{clock.now()} 1 elsewhere eve\n")
    assert store.stopped_by() == "eve on elsewhere"
    clock.sleep(121)
    assert store.stopped_by() == ""
