"""What the cluster did over time, summed up by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.leaderboard.timeline import Timeline, timeline
from sweep.model import Resources, State, Submission, Trial, Verdict
from sweep.state.snapshot import TrialStatus
from sweep.state.submissions import TrialSubmission

#: When both trials were sent, in seconds since the epoch.
SENT_AT = 1_790_000_000.0


def status(state: State, *, began_s: float | None = None, took_s: float | None = None) -> TrialStatus:
    """Make a trial of two CPUs and 2 GiB, which used one and a half of one CPU and 1 GiB."""
    verdict = Verdict(
        state,
        "why",
        elapsed_s=took_s,
        cpu_s=None if took_s is None else took_s * 1.5,
        peak_memory_mib=1024.0,
        started_at=None if began_s is None else SENT_AT + began_s,
    )
    submission = TrialSubmission(Submission("t1", "j1", "s.j1.t1", None, SENT_AT), 1, None)
    return TrialStatus(Trial(0, "a", {}, 0, 0, Resources(3600, 2048, 2), ("p",)), verdict, sent=submission)


def at(course: Timeline, seconds: float) -> dict[str, float]:
    """Return the values at the last moment that is no later."""
    index = int(np.searchsorted(course.since_first_s, seconds, side="right")) - 1
    names = ("queued", "running", "ended", "cpus_held", "cpus_used", "memory_held_gib", "memory_used_gib")
    return {name: float(getattr(course, name)[index]) for name in names}


def test_a_trial_that_ran_and_one_that_waits() -> None:
    course = timeline([status(State.DONE, began_s=10, took_s=60), status(State.QUEUED)], SENT_AT + 399)
    assert course
    assert (course.trials, course.duration_s) == (2, 399)
    assert course.since_first_s[:3].tolist() == [0, 1, 2]
    idle = dict.fromkeys(("cpus_held", "cpus_used", "memory_held_gib", "memory_used_gib"), 0.0)
    assert at(course, 5) == {"queued": 2, "running": 0, "ended": 0, **idle}
    assert at(course, 30) == {
        "queued": 1, "running": 1, "ended": 0,
        "cpus_held": 2, "cpus_used": 1.5, "memory_held_gib": 2, "memory_used_gib": 1,
    }  # fmt: skip
    assert at(course, 399) == {"queued": 1, "running": 0, "ended": 1, **idle}


@pytest.mark.parametrize("state", [State.RUNNING, State.SUSPENDED])
def test_a_trial_that_has_not_ended_runs_to_now(state: State) -> None:
    course = timeline([status(state, began_s=10, took_s=20)], SENT_AT + 100)
    assert course
    assert course.duration_s == 100
    assert at(course, 100)["running"] == 1


def test_a_sweep_that_has_ended_ends_with_its_last_trial() -> None:
    course = timeline([status(State.DONE, began_s=10, took_s=20)], SENT_AT + 1e6)
    assert course
    assert course.duration_s == 30


def test_nothing_that_was_sent() -> None:
    assert timeline([], SENT_AT) is None
    assert timeline([status(State.PLANNED)], SENT_AT) is None  # sent once, and it did not begin
