"""How far a trial has come: what is read of its result before it is done, and that nobody pays who does not ask."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.model import Objective, ResultProblem
from sweep.report import terminal
from sweep.shell import Shell
from sweep.state.evidence import PartialResult, ReadResult, ResultFault
from sweep.state.results import partial_result
from sweep.steps.observe import observe
from sweep.steps.partial import MOST_BYTES, partial_results
from sweep.steps.select import Selection
from sweep.store import Shelf, Store
from sweep.verbs.why import why
from tests.conftest import Sandbox
from tests.e2e.conftest import until
from tests.fakes.ended import Ran, ended
from tests.test_store import planned, trial

F1 = Objective("f1", file="r.json")

NAN = float("nan")


@pytest.mark.parametrize(
    ("result", "epochs", "scores", "score"),
    [
        ({"f1": 0.7, "history": [{"f1": 0.5}, {"f1": 0.7}]}, (1, 2), (0.5, 0.7), 0.7),
        ({"history": [0.5, 0.75, 1]}, (1, 2, 3), (0.5, 0.75, 1.0), None),
        ({"history": [{"epoch": 5, "f1": 1}, {"epoch": 10, "f1": 2}]}, (5, 10), (1.0, 2.0), None),
        (
            {"history": [{"epoch": 2, "f1": 1}, {"epoch": 1, "f1": 3}, {"epoch": 2, "f1": 4}]},
            (1, 2),
            (3.0, 4.0),
            None,
        ),
        ({"history": [{"epoch": 7, "f1": 1}, {"f1": 2}]}, (1, 2), (1.0, 2.0), None),
        ({"history": [{"epoch": True, "f1": 1}]}, (1,), (1.0,), None),
        (
            {"history": [{"f1": "?"}, {"f1": NAN}, {"f1": 10**400}, {"f1": None}, {}]},
            (1, 2, 3, 4, 5),
            (None,) * 5,
            None,
        ),
        ({"history": ["text", None, [1], {"f1": 1}]}, (1,), (1.0,), None),
        ({"history": {"f1": [1, 2]}, "f1": NAN}, (), (), None),
        ({"history": [], "complete": False, "f1": 0.25}, (), (), 0.25),
        ({}, (), (), None),
    ],
)
def test_how_far_it_has_come(result: Any, epochs: Any, scores: Any, score: float | None) -> None:
    assert partial_result(ReadResult(result), 60.0, F1) == PartialResult("f1", epochs, scores, score, 60.0)


def test_the_scores_are_found_by_the_last_part_of_the_metric() -> None:
    result = {"test": {"f1": 0.5}, "history": [{"f1": 0.25}, {"f1": 0.5}]}
    objective = Objective("test.f1")
    assert partial_result(ReadResult(result), None, objective) == PartialResult("f1", (1, 2), (0.25, 0.5), 0.5)
    nested = {"history": [{"test": {"f1": 0.75}, "f1": 0.25}]}
    assert partial_result(ReadResult(nested), None, objective) == PartialResult("test.f1", (1,), (0.75,))


def test_what_is_no_object_or_is_not_there() -> None:
    partial = partial_result(ReadResult([1, 2]), 60.0, F1)
    assert partial
    assert partial.fault == ResultFault(ResultProblem.NOT_AN_OBJECT, "r.json holds a list, not an object")
    missing = ReadResult(fault=ResultFault(ResultProblem.MISSING, "there is no r.json"))
    assert partial_result(missing, None, F1) is None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Shelf(tmp_path).create("toy")
    store.trial_folder(trial(0)).mkdir(parents=True)
    return store


def write_too_much(path: Path) -> None:
    path.write_bytes(b'{"history": [' + b"1, " * (MOST_BYTES // 3) + b"1]}")


BAD: dict[str, tuple[Callable[[Path], object], ResultProblem]] = {
    "half written": (lambda path: path.write_text('{"history": [{"f1": 0.'), ResultProblem.NOT_JSON),
    "empty": (lambda path: path.touch(), ResultProblem.NOT_JSON),
    "folder": (lambda path: path.mkdir(), ResultProblem.UNREADABLE),
    "pipe": (lambda path: os.mkfifo(path), ResultProblem.UNREADABLE),
    "loop": (lambda path: path.symlink_to(path), ResultProblem.UNREADABLE),
    "too large": (write_too_much, ResultProblem.TOO_LARGE),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_no_error_and_is_said(store: Store, kind: str) -> None:
    make, problem = BAD[kind]
    make(store.trial_folder(trial(0)) / "r.json")
    partial = partial_results(store, [trial(0), trial(1)], F1)[0]
    assert partial.fault
    assert (partial.fault.problem, partial.epochs) == (problem, ())
    assert store.unread == {}  # a command that met it does not end with 1


def test_what_others_may_not_read_is_no_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sweep.store.folder.bytes_of", closed)
    [partial] = partial_results(store, [trial(0)], F1).values()
    assert partial == PartialResult(
        fault=ResultFault(ResultProblem.UNREADABLE, "r.json cannot be read: Permission denied")
    )
    assert store.unread == {}


def test_the_time_is_the_files_own(store: Store) -> None:
    path = store.trial_folder(trial(0)) / "r.json"
    path.write_text('{"history": [0.5]}')
    os.utime(path, (1_000, 2_000))
    assert partial_results(store, [trial(0)], F1) == {0: PartialResult("f1", (1,), (0.5,), None, 2_000.0)}


def test_nobody_pays_who_does_not_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ended(tmp_path, "e", (Ran({"x": n}, {"segMeasure": n, "history": [n]}) for n in range(4)))
    read: list[int] = []
    result_so_far = Store.result_so_far

    def counting(self: Store, asked: Any, *more: Any) -> Any:
        read.append(asked.number)
        return result_so_far(self, asked, *more)

    monkeypatch.setattr(Store, "result_so_far", counting)
    assert observe(store, Shell()).partial_results == {}
    assert read == []
    partial_of_three = observe(store, Shell(), partial_of={3}).partial_results
    assert read == [3]
    assert {number: each.scores for number, each in partial_of_three.items()} == {3: (3.0,)}


def test_a_trial_that_nobody_began_has_none(store: Store) -> None:
    store.add_trials([trial(0), trial(1)])
    store.note(planned())
    (store.trial_folder(trial(0)) / "segMeasure.json").write_text('{"history": [0.5]}')
    assert observe(store, Shell(), partial_of=(0, 1)).partial_results.keys() == {0}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (write_too_much, "not read, segMeasure.json is 1,048,5"),
        (lambda path: path.write_text('{"history": [0.5, {"segMeasure": "?"}]}'), "epoch 2: segMeasure –, "),
    ],
)
def test_why_of_a_failed_trial(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    def leave(folder: Path, _: Ran) -> None:
        make(folder / "segMeasure.json")

    store = ended(tmp_path, "e", [Ran({"x": 1}, None)], leave=leave)
    console = terminal.console()
    with console.capture() as capture:
        console.print(terminal.why(*why(store, Shell(), Selection(("0",)))))
    assert words in capture.get()
    assert "s ago" in capture.get()


#: Writes an epoch, waits for the file `go`, then pauses; the next attempt ends.
IN_EPOCHS = """\
import json, os, sys, time
def write(epochs, **more):
    history = [{"epoch": n, "segMeasure": n / 10} for n in range(1, epochs + 1)]
    with open("partial", "w") as out:
        json.dump({"history": history, **more}, out)
    os.replace("partial", os.environ["SWEEP_RESULT"])
if os.environ["SWEEP_ATTEMPT"] == "1":
    write(3, complete=False)
    while not os.path.exists(os.path.join(sys.argv[1], "go")):
        time.sleep(0.05)
    write(7, complete=False)
    sys.exit(75)
write(9, complete=True, segMeasure=0.9)
"""


def test_why_says_how_far_a_trial_has_come(sandbox: Sandbox, toy: Callable[..., Path]) -> None:
    sandbox.write("trial.py", IN_EPOCHS)
    toy(command="[python3, trial.py, '{{ home }}']", parameters=json.dumps({"home": [str(sandbox.path)]}))
    sandbox.sweep("plan")
    assert sandbox.sweep("why", "0", "--json").json["partial"] is None
    sandbox.sweep("submit")
    until(lambda: (sandbox.sweep("why", "0", "--json").json["partial"] or {}).get("epochs"), [1, 2, 3])
    running = sandbox.sweep("why", "0")
    assert "is running" in running.out
    assert "epoch 3: segMeasure 0.3000, " in running.out
    assert "s ago" in running.out
    sandbox.write("go", "")
    sandbox.follow()
    paused = sandbox.sweep("why", "0", "--json").json
    assert (paused["state"], paused["partial"]["epochs"][-1]) == ("paused", 7)
    assert paused["partial"]["scores"][-1] == pytest.approx(0.7)
    assert 0 <= paused["at"] - paused["partial"]["written_at"] < 120
    assert "epoch 7: segMeasure 0.7000, " in sandbox.sweep("why", "0").out
    sandbox.sweep("submit")
    sandbox.follow()
    done = sandbox.sweep("why", "0")
    assert "is done" in done.out
    assert "epoch 9" not in done.out
