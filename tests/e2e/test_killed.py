"""`kill -9` and a full disk at every step that changes something outside `sweep`; after each, the sentence holds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]
MakeFake = Callable[[str], Cluster]

#: The seconds after which a killed submission has arrived or never will. The fakes answer within one second.
SOON = {"DYING_IN_FLIGHT_S": "2"}


def steps_of(sandbox: Sandbox, *argv: str, how: str = "count") -> int:
    """Count the steps of a command that change something outside of it."""
    ran = sandbox.dying(how, 0, *argv)
    assert ran.code == 0, ran.err
    return int(ran.err.splitlines()[-1])


def ends_in_journal(sandbox: Sandbox) -> set[int]:
    """Look at the sweep, which settles what the scheduler says is gone; returns the trials that are settled."""
    sandbox.sweep("status")
    lines = (sandbox.path / "results" / "toy" / "journal.jsonl").read_text().splitlines()
    observed = [event for event in map(json.loads, lines) if event["event"] == "observed"]
    return {end[0] for event in observed for end in event["trials"]}


def until_sent(sandbox: Sandbox) -> None:
    """Repeat `sweep submit`, as its message asks, until it ends well."""
    for _ in range(20):
        ran = sandbox.dying("count", 0, "submit", "--json", **SOON)
        if ran.code == 0:
            return
        assert "may still be on its way" in ran.err, ran.err
        time.sleep(0.5)
    raise AssertionError(ran.err)


def kill_at_every_step(sandbox: Sandbox, how: str) -> list[str]:
    """Kill a `sweep submit` at each of its steps, each time in a sweep of its own."""
    first = sandbox.room("undisturbed")
    first.sweep("plan")
    rooms = [sandbox.room(f"step {step}") for step in range(1, steps_of(first, "submit") + 1)]
    for step, room in enumerate(rooms, 1):
        room.sweep("plan")
        killed = room.dying(how, step, "submit")
        assert killed.code == -9, f"step {step}: {killed.err}"
    for room in rooms:
        until_sent(room)
    sentences = []
    for room in rooms:
        room.follow()
        sentences.append(room.accounted_for())
    return sentences


@pytest.mark.parametrize("how", ["half", "after"])  # "before a step" is the same as "after the step before"
@pytest.mark.parametrize("placement", ["array", "each", "packed"])
def test_submit_killed_at_every_step(make_fake: MakeFake, toy: Toy, placement: str, how: str) -> None:
    sandbox = make_fake("pbs").sandbox
    toy(scheduler="{kind: pbs}", parameters="{x: [1, 2], how: [ok]}", submit=f"{{placement: {placement}}}")
    sentences = kill_at_every_step(sandbox, how)
    assert len(sentences) >= (7 if placement == "each" else 4)
    assert set(sentences) == {"2 trials: 2 ran exactly once to a recorded end (2 done, 0 failed)"}


@pytest.mark.parametrize("how", ["half", "after"])
def test_submit_killed_at_every_step_on_a_real_slurm(sandbox: Sandbox, slurm: None, toy: Toy, how: str) -> None:
    toy(scheduler="{kind: slurm}", parameters="{x: [1, 2], how: [ok]}")
    sentences = kill_at_every_step(sandbox, how)
    assert set(sentences) == {"2 trials: 2 ran exactly once to a recorded end (2 done, 0 failed)"}


@pytest.mark.parametrize("command", ["plan", "retry", "status", "cancel"])
def test_the_other_commands_killed_at_every_step(make_fake: MakeFake, toy: Toy, command: str) -> None:
    """After it was killed, each command is run again."""
    sandbox = make_fake("torque").sandbox
    lasting = command in ("status", "cancel")
    toy(
        scheduler="{kind: torque}",
        parameters=f"{{x: [{'6, 7' if lasting else '1, 2'}], how: [{'sleep' if lasting else 'fail'}]}}",
    )
    argv = {"retry": ("retry", "--errors"), "plan": ("plan", "--set", "x=[1,2,3]")}.get(command, (command,))

    def send(room: Sandbox) -> None:
        room.sweep("plan")
        room.sweep("submit")

    def end(room: Sandbox) -> None:
        room.follow()
        until(lambda: ends_in_journal(room), {0, 1})  # else this command is the one that writes them there

    first = sandbox.room("undisturbed")
    send(first)
    if not lasting:
        end(first)
    steps = steps_of(first, *argv)
    assert steps
    rooms = [sandbox.room(f"step {step}") for step in range(1, steps + 1)]
    if not lasting:  # they run beside each other
        for room in rooms:
            send(room)
    for step, room in enumerate(rooms, 1):
        send(room) if lasting else end(room)
        killed = room.dying("half", step, *argv)
        assert killed.code == -9 or command == "status", killed.err  # status asks for no settled trials
        # A submission of `retry`'s that is in flight is waited for.
        room.dying("count", 0, *argv, **SOON)
        until_sent(room)
    for room in rooms:
        room.follow()
        assert room.accounted_for().startswith("3 trials" if command == "plan" else "2 trials")


def test_cancel_of_packed_trials_killed_at_every_step(make_fake: MakeFake, toy: Toy) -> None:
    sandbox = make_fake("pbs").sandbox
    toy(scheduler="{kind: pbs}", parameters="{x: [60, 61, 62], how: [sleep]}", submit="{placement: packed}")
    step, killed_at = 1, []
    while True:
        room = sandbox.room(f"step {step}")
        room.sweep("plan")
        room.sweep("submit")
        killed = room.dying("after", step, "cancel", "0", "1")
        room.sweep("cancel")
        room.follow()
        assert room.states() == {"cancelled": 3}
        room.accounted_for()
        if killed.code != -9:
            break
        killed_at.append(step)
        step += 1
    assert len(killed_at) >= 4  # the poll, the journal, and each trial


@pytest.mark.parametrize("command", ["plan", "submit", "status", "retry"])
def test_the_disk_full_at_each_write(make_fake: MakeFake, toy: Toy, command: str) -> None:
    sandbox = make_fake("pbs").sandbox
    toy(scheduler="{kind: pbs}", parameters="{x: [1, 2], how: [ok, fail]}", submit="{placement: each}")
    argv = ("retry", "--errors") if command == "retry" else (command,)

    def send(room: Sandbox) -> None:
        for verb in {"plan": [], "submit": ["plan"]}.get(command, ["plan", "submit"]):
            room.sweep(verb)

    def end(room: Sandbox) -> None:
        if command == "retry":
            room.follow()

    first = sandbox.room("undisturbed")
    send(first)
    end(first)
    rooms = [sandbox.room(f"write {step}") for step in range(1, steps_of(first, *argv, how="full") + 1)]
    for room in rooms:
        send(room)
    for step, room in enumerate(rooms, 1):
        end(room)
        ran = room.dying("full", step, *argv)
        assert "Traceback" not in ran.err
        assert (ran.code == 1) == ("cannot write" in ran.err and "No space left" in ran.err), ran.err
        room.sweep("plan")
        until_sent(room)
    for room in rooms:
        room.follow()
        room.sweep("retry", "--errors", "--plan-only")
        assert room.accounted_for().startswith("4 trials: 2 ran" if command != "plan" else "4 trials")


def test_confirm_killed_at_every_step_and_repeated_with_other_options(sandbox: Sandbox, toy: Toy) -> None:
    """Trials that have no line in the journal yet are taken up or retired by the next confirmation."""
    toy(parameters="{x: [1, 2, 3], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    words = ["confirm", "--top", "2", "--replicates", "2", "--plan-only"]
    saved_files = {path: path.read_bytes() for path in (sandbox.path / "results").rglob("*") if path.is_file()}

    def restored() -> None:
        for path in [path for path in (sandbox.path / "results").rglob("*") if path.is_file()]:
            path.unlink()
        for path, data in saved_files.items():
            path.write_bytes(data)

    steps = steps_of(sandbox, *words)
    assert steps >= 4
    for step in range(1, steps + 1):
        restored()
        assert sandbox.dying("half", step, *words).code == -9
        sandbox.sweep("confirm", "--top", "1", "--replicates", "1", "--plan-only")
        planned = sandbox.states().get("planned", 0)
        assert planned in (1, 4), step  # only what is asked for now, or what was journalled
        assert sandbox.sweep("submit", "--dry-run").out.splitlines()[-1].startswith(f"# {planned} trial")
    sandbox.sweep("submit")
    sandbox.follow()
    assert "0 failed" in sandbox.accounted_for()
