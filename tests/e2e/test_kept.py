"""The results and answers that are kept with a sweep, and the changes that make them stale."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sweep import __version__
from sweep.state.events import FORMAT, Cancelled
from sweep.store import Store
from sweep.verbs import watch
from tests.conftest import Sandbox
from tests.fakes.clock import FakeClock
from tests.fakes.ended import Ran, ended

UNCHANGED = "nothing has changed since the last report"


@pytest.fixture
def done(sandbox: Sandbox) -> Sandbox:
    """Eight trials that have ended."""
    ran = [Ran({"x": x}, {"segMeasure": x / 10, "f1": 0.5, "history": [{"loss": 1.0}]}) for x in range(8)]
    ended(sandbox.path / "results", "a", ran)
    return sandbox


def folder(sandbox: Sandbox) -> Path:
    return sandbox.path / "results/a"


def edit(sandbox: Sandbox, score: float) -> None:
    path = sorted(folder(sandbox).glob("trials/*/*/segMeasure.json"))[0]
    path.write_text(json.dumps({"segMeasure": score}))


def test_the_same_report_is_not_computed_again(done: Sandbox) -> None:
    first = done.sweep("report", "a")
    again = done.sweep("report", "a")
    assert again.out == first.out
    assert UNCHANGED in again.err
    assert UNCHANGED not in first.err
    for words in (["--top", "3"], ["--by", "x"], ["--json"], ["--csv"], ["--where", "x > 3"], ["--trials"]):
        computed, repeated = done.sweep("report", "a", *words), done.sweep("report", "a", *words)
        assert UNCHANGED not in computed.err
        assert UNCHANGED in repeated.err
        assert computed.out == repeated.out != first.out


def test_another_terminal_width_is_another_report(done: Sandbox) -> None:
    done.sweep("report", "a", env={"COLUMNS": "200"})
    assert UNCHANGED not in done.sweep("report", "a", env={"COLUMNS": "60"}).err


def test_a_result_edited_by_hand_is_seen_by_fresh(done: Sandbox) -> None:
    before = done.sweep("report", "a").out
    edit(done, 5.0)
    assert done.sweep("report", "a").out == before
    assert "5.0" in done.sweep("report", "a", "--fresh").out
    assert "5.0" in done.sweep("report", "a").out  # the fresh report is kept
    assert "5.0" in done.sweep("report", "a", "--top", "2").out


def test_every_write_to_the_sweep_makes_the_kept_report_stale(done: Sandbox) -> None:
    done.sweep("report", "a")
    Store(folder(done)).note(Cancelled(trials=[]))
    assert UNCHANGED not in done.sweep("report", "a").err
    assert UNCHANGED in done.sweep("report", "a").err
    (folder(done) / "leaderboard.csv").unlink()
    assert UNCHANGED not in done.sweep("report", "a").err
    assert (folder(done) / "leaderboard.csv").exists()


def test_a_folder_of_another_format_is_refused_whatever_was_kept(done: Sandbox) -> None:
    done.sweep("report", "a")
    journal = folder(done) / "journal.jsonl"
    status = journal.stat()
    text = journal.read_text()
    journal.write_text(text.replace(f'"format":{FORMAT}', '"format":99'))
    os.utime(journal, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    before = {path: path.stat().st_mtime_ns for path in folder(done).rglob("*")}
    for argv in (["report", "a"], ["status", "a"], ["submit", "a"], ["retry", "--sweep", "a"], ["cancel", "--sweep", "a"],
                 ["confirm", "a"], ["best", "a"], ["page", "a"], ["why", "0", "--sweep", "a"]):  # fmt: skip
        ran = done.sweep(*argv, code=2)
        assert "has format 99" in ran.err
        assert f"hint: use sweep {__version__} or a newer one" in ran.err
    assert {path: path.stat().st_mtime_ns for path in folder(done).rglob("*")} == before


@pytest.mark.parametrize("rubbish", [b"", b"{", b'{"stamp": 3}', b"\xff\x00", b"[1, 2]"])
def test_kept_results_and_answers_may_be_lost_or_torn(done: Sandbox, rubbish: bytes) -> None:
    before = done.sweep("report", "a").out
    for name in (".answers", ".results"):
        (folder(done) / name).write_bytes(rubbish)
    assert done.sweep("report", "a").out == before
    for name in (".answers", ".results"):
        (folder(done) / name).unlink()
    assert done.sweep("report", "a").out == before


def test_results_are_opened_once(done: Sandbox) -> None:
    done.sweep("report", "a")
    for path in folder(done).glob("trials/*/*/segMeasure.json"):
        path.unlink()  # a second read would fail
    assert "8 of 8 trials (8 done)" in done.sweep("report", "a", "--columns", "segMeasure,f1").out
    assert "0.7" in done.sweep("report", "a", "--top", "1").out


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere. To try it: be another user")
def test_a_reader_without_the_right_to_write(done: Sandbox) -> None:
    folder(done).chmod(0o555)
    first, again = done.sweep("report", "a"), done.sweep("report", "a")
    folder(done).chmod(0o755)
    assert first.out == again.out


def test_the_journal_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    for number in range(3):
        other.note(Cancelled(trials=[number], by="x"))
        assert [*store.ledger()[0].cancelled] == [*range(number + 1)]
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "cancelled", "at": 1, "tri')  # a process is still writing this line
    ledger, torn = store.ledger()
    assert len(ledger.cancelled) == 3
    assert len(torn) == 1
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('als": [7]}\n')
    ledger, torn = store.ledger()
    assert [*ledger.cancelled] == [*other.ledger()[0].cancelled] == [0, 1, 2, 7]
    assert torn == ()
    (tmp_path / "journal.jsonl").unlink()
    other.note(Cancelled(trials=[9], by="x"))
    assert [*store.ledger()[0].cancelled] == [9]  # it is another file


def test_watching_waits_longer_the_longer_a_look_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    spent_s, clock = [0.0], FakeClock()

    class FakeReport:
        left, stale, notes = 1, "", ()

        def __init__(self, number: int) -> None:
            self.counts = {"running": number}

    def look() -> Any:
        spent_s[0] += 0.05
        if len(clock.naps) == 3:
            FakeReport.left = 0
        return FakeReport(len(clock.naps))

    monkeypatch.setattr(time, "process_time", lambda: spent_s[0])
    assert len([*watch.watch(look, 5.0, clock)]) == 4
    assert clock.naps == [
        5.0,
        pytest.approx(0.05 / watch.MOST_OF_A_CORE),
        pytest.approx(0.05 / watch.MOST_OF_A_CORE),
    ]


def test_preloading_is_refused_where_it_would_do_nothing(sandbox: Sandbox) -> None:
    grid = "name: a\ncommand: bash t.sh\nparameters: {x: [1]}\nsubmit: {placement: packed, preload: [numpy]}\n"
    sandbox.write("grid.yaml", grid)
    error = sandbox.sweep("plan", "grid.yaml", code=2).err
    assert "grid.yaml:4" in error
    assert "nothing can be preloaded for 'bash t.sh'" in error
    sandbox.write("grid.yaml", grid.replace("bash t.sh", "python t.py").replace("packed", "array"))
    assert "preload means nothing with placement array" in sandbox.sweep("plan", "grid.yaml", code=2).err
    sandbox.write("grid.yaml", grid.replace("bash t.sh", "python t.py").replace("[numpy]", "['os; import x']"))
    assert sandbox.sweep("plan", "grid.yaml", code=2).err
    sandbox.write("grid.yaml", grid.replace("bash t.sh", "python t.py"))
    sandbox.sweep("plan", "grid.yaml")
