"""What `sweep race` says of a step: what was spent, what is kept for the confirmation, and which stage it is."""

from __future__ import annotations

from rich.console import Console

from sweep.report import racing
from sweep.verbs.race import RaceReport


def said(**more: object) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(racing.race(RaceReport(**{"wave": 3, "budget_core_h": 10.0, "grid_core_h": 40.0} | more)))  # type: ignore[arg-type]
    return capture.get()


def test_a_stage_of_the_confirmation_would_be_planned_or_is() -> None:
    assert "4 trials would confirm the best (stage 1 of 2)" in said(
        confirming=(7, 8, 9, 10), stage=1, stages=2, over="budget", dry_run=True
    )
    assert "4 trials confirm the best (stage 1 of 2)" in said(
        confirming=(7, 8, 9, 10), stage=1, stages=2, over="budget"
    )
    waiting = said(open=3, stages=1, over="budget")
    assert "3 trials to end first (confirmation: 0 of 1 stages)" in waiting


def test_nothing_is_said_of_what_is_kept_where_nothing_is() -> None:
    kept = said(spent_core_h=9.5, reserved_core_h=0.25, open=1)
    assert "9.5 core-hours spent, 0.5 left (0.25 of it to confirm); the whole grid" in kept
    assert "to confirm" not in said(spent_core_h=9.5, stage=1, stages=1, finished=True, over="budget")


def test_what_runs_is_counted_also_before_the_first_wave() -> None:
    assert "wave 3 runs: 2 left; nothing to decide yet" in said(open=2)
    assert "before the first wave, others run: 2 left; nothing to decide yet" in said(wave=0, open=2)
