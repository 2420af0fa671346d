"""``--where``: which trials an expression selects, what it says of a mistake, and the verbs that take it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import UsageError
from sweep.leaderboard.entries import Entry
from sweep.leaderboard.selection import TrialPredicate
from sweep.model import Cause, Objective, Resources, State, Trial, Verdict
from sweep.shell import Shell
from sweep.steps.observe import observe
from sweep.steps.select import ALL, Selection, selected
from tests.conftest import Sandbox
from tests.e2e.conftest import until
from tests.fakes.ended import Ran, ended

Toy = Callable[..., Path]

SCORE = Objective("score")


def entry(number: int, verdict: Verdict, result: dict[str, Any] | None = None, **params: Any) -> Entry:
    trial = Trial(number, f"{number:016x}", params, number % 2, 7, Resources(60, 1000, 2), ("p",))
    return Entry(trial, verdict, result or {})


DONE = Verdict(State.DONE, "ok", 100.0, 150.0, 500.0, "n1")
ERROR = Verdict(State.FAILED, "exit code 3", 5.0, cause=Cause.ERROR)
MEMORY = Verdict(State.FAILED, "out of memory", 9.0, host="n2", cause=Cause.OUT_OF_MEMORY)

TRIALS = [
    entry(0, DONE, {"score": 0.5, "f1": 0.9, "test": {"f1": 0.8}}, lr=0.01, model="UNet"),
    entry(1, DONE, {"score": 0.75}, lr=0.1, model="small"),
    entry(2, ERROR, lr=0.2, model="UNet"),
    entry(3, MEMORY, lr=0.3, model=None),
    entry(4, Verdict(State.QUEUED, "waits"), lr=0.3, model="UNet"),
]


def numbers(where: str, entries: list[Entry] = TRIALS) -> list[int]:
    predicate = TrialPredicate(where, [each.trial for each in entries])
    return [each.trial.number for each in predicate(entries, SCORE)]


@pytest.mark.parametrize(
    ("where", "selected_numbers"),
    [
        ("state == 'failed' and lr > 0.1", [2, 3]),
        ("cause == 'out of memory' or host == 'n1'", [0, 1, 3]),
        ("trial in [1, 4]", [1, 4]),
        ("trial in range(2)", [0, 1]),
        ("id == '0000000000000003'", [3]),
        ("params['lr'] >= 0.3 and replicate == 1", [3]),
        ("cpu_percent == 75 and memory_percent == 50", [0, 1]),
        ("model is none", [3]),
        ("lr", [0, 1, 2, 3, 4]),
        # a trial without a result, or without this number in it, is neither above nor below
        ("score > 0.6", [1]),
        ("score < 0.6 or score >= 0.6", [0, 1]),
        ("f1 > 0", [0]),
        ("elapsed_s < 1000", [0, 1, 2, 3]),
        ("not f1 > 0 and state == 'done'", [1]),
        ("state == 'lost'", []),
    ],
)
def test_what_an_expression_selects(where: str, selected_numbers: list[int]) -> None:
    assert numbers(where) == selected_numbers


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        # names
        ("stat == 'failed'", "names 'stat', which is no parameter", "did you mean 'state'?"),
        ("learning_rate > 1", "names 'learning_rate', which is no parameter", "there are: "),
        ("scores > 0.5", "names 'scores', which is no parameter", "did you mean 'score'?"),
        # texts
        ("state == failed", "names 'failed'", "put texts in quotes: 'failed'"),
        ("model == UNet", "names 'UNet'", "put texts in quotes: 'UNet'"),
        ("state = 'failed'", "does not parse", "write == to compare"),
        ("model == 'x=y' and lrr > 1", "names 'lrr'", "did you mean 'lr'?"),  # what is in quotes is no mistake
        ('model == "UNet" and stat == 1', "names 'stat'", "did you mean 'state'?"),
        # a text against a number
        ("model > 3", "TypeError", "in trial 0, model is 'UNet'"),
        ("state > 1", "TypeError", "in trial 0, state is 'done'"),
        ("trial > 0 and model < 2", "TypeError", "in trial 1, "),
        # what is no expression
        ("", "does not parse", "such as"),
        ("lr >", "does not parse", "such as"),
        ("lr.__class__", "SecurityError", "in trial 0, lr is 0.01"),
    ],
)
def test_what_is_said_of_a_mistake(where: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        numbers(where)
    assert str(caught.value).startswith("--where: ")
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_parameter_that_a_trial_lacks_is_neither_more_nor_less() -> None:
    """As after a grid got a parameter: its earlier trials have none."""
    entries = [entry(0, DONE, x=1), entry(1, DONE, x=1, w=2)]
    for where, selected_numbers in (("w > 1", [1]), ("not w > 1", [0]), ("x == 1", [0, 1])):
        predicate = TrialPredicate(where, [each.trial for each in entries])
        assert [each.trial.number for each in predicate(entries, SCORE)] == selected_numbers


def test_a_field_wins_and_the_parameter_is_in_params() -> None:
    named = [entry(0, DONE, state="hot", host=1), entry(1, DONE, state="done", host=2)]
    predicate = TrialPredicate("state == 'done' and params['host'] == 2", [each.trial for each in named])
    assert [each.trial.number for each in predicate(named, SCORE)] == [1]
    assert predicate.hidden == ["state"]
    assert TrialPredicate("params['state'] == 'hot'", [each.trial for each in named]).hidden == []
    assert numbers("params['state'] == 'hot'", named) == [0]


@pytest.mark.parametrize("name", ["range", "flags", "f1"])
def test_a_parameter_wins_over_the_language_and_over_results(name: str) -> None:
    entries = [entry(n, DONE, {"f1": 9.0}, **{name: n}) for n in range(3)]
    assert numbers(f"{name} == 1", entries) == [1]


def test_results_are_read_only_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = (Ran({"x": n, "host": "a"}, {"segMeasure": n / 10} if n < 3 else None) for n in range(4))
    store = ended(tmp_path, "e", ran)
    snapshot, said = observe(store, Shell()), list[str]()

    def select(where: str) -> list[int]:
        chosen = selected(store, snapshot, Selection(where=where, say=said.append), snapshot.active)
        return [status.trial.number for status in chosen]

    assert select("segMeasure > 0.1") == [2]
    with monkeypatch.context() as patch:
        patch.setattr("sweep.steps.collect.entries", None)
        assert select("x > 1 and state == 'done'") == [2]
        assert select("host != 'a' and x == 0") == [0]
    assert said == ["--where: host is how a trial stands; the parameter is params['host']"]
    with pytest.raises(UsageError, match="fits none of 4 trials") as caught:
        select("x > 9")
    assert caught.value.hint == "loosen it; there are: 3 done, 1 failed"
    assert selected(store, snapshot, ALL, snapshot.active) == snapshot.active


def test_the_verbs_that_look(sandbox: Sandbox) -> None:
    def leave(folder: Path, spec: Ran) -> None:
        (folder / "log.txt").write_text(f"x is {spec.params['x']}\n")

    ran = [Ran({"x": n, "state": "on"}, {"segMeasure": n / 10} if n != 2 else None) for n in range(4)]
    ended(sandbox.path / "results", "a", ran, leave=leave)
    status = sandbox.sweep("status", "a", "--where", "x > 0 and segMeasure < 0.2 or state == 'failed'")
    assert "1 done, 1 failed" in status.out
    assert "this is about 2 of 4 trials" in status.err
    assert "the parameter is params['state']" in status.err
    nothing = sandbox.sweep("status", "a", "--where", "x > 9", "--json")
    assert (nothing.json["trials"], nothing.json["counts"]) == (0, {})
    logs = sandbox.sweep("logs", "-s", "a", "--where", "x in [1, 3]", "-n", "1")
    assert logs.out == "==> trial 1 <==\nx is 1\n==> trial 3 <==\nx is 3\n"
    documents = sandbox.sweep("logs", "-s", "a", "--where", "x == 3", "--json").json
    assert [(each["trial"], each["lines"]) for each in documents] == [(3, ["x is 3"])]
    assert [each["trial"] for each in sandbox.sweep("why", "-s", "a", "--where", "x < 2", "--json").json] == [0, 1]
    assert "trial 2 (" in sandbox.sweep("why", "-s", "a", "--where", "params['state'] == 'on' and x == 2").out
    for argv, message in [
        (["why", "-s", "a", "--where", "x > 9"], "fits none of 4 trials"),
        (["logs", "-s", "a", "--where", "xx > 9"], "did you mean 'x'?"),
        (["status", "a", "--where", "y > 9"], "names 'y'"),
        (["why", "0", "-s", "a", "--where", "x > 1"], "exclude each other"),
        (["logs", "-s", "a"], "which trial?"),
        (["cancel", "-s", "a", "--where", " "], "--where is empty"),
        (["confirm", "a", "--where", "x > 9"], "fits none of 4 configurations"),
    ]:
        assert message in sandbox.sweep(*argv, code=2).err, argv


def test_retry_and_confirm_only_some(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1, 2, 3], how: [fail, ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    rows = sandbox.sweep("report", "--trials", "--json").json
    failed = {row["trial"]: row["x"] for row in rows if row["state"] == "failed"}
    assert sandbox.sweep("retry", "--where", "x == 1 and state == 'done'", "--json").json["trials"] == []
    assert "fits none of 6 trials" in sandbox.sweep("retry", "--where", "x > 9", code=2).err
    retried = sandbox.sweep("retry", "--where", "x > 1", "--plan-only", "--json").json
    assert sorted(failed[number] for number in retried["trials"]) == [2, 3]
    assert sandbox.sweep("retry", "--where", "x > 1", "--plan-only", "--json").json["trials"] == []  # repeated
    few = ["--top", "1", "--replicates", "1", "--plan-only", "--json"]
    confirmed = sandbox.sweep("confirm", "--where", "x == 2 and state == 'done'", *few).json
    assert [each["parameters"]["x"] for each in confirmed["configurations"]] == [2]
    assert len(confirmed["trials"]) == 1


def test_cancel_only_some(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [60, 61, 62], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 3)
    assert "names 'z'" in sandbox.sweep("cancel", "--where", "z > 1", code=2).err
    cancelled = sandbox.sweep("cancel", "--where", "state == 'running' and x > 60", "--json").json
    assert cancelled["trials"] == [1, 2]
    until(sandbox.states, {"running": 1, "cancelled": 2})
    assert sandbox.sweep("cancel", "--where", "state == 'cancelled'", "--json").json["trials"] == []
    sandbox.sweep("cancel")
    sandbox.follow()
