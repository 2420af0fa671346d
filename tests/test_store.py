"""The sweep's folder: whole files, appended lines, torn ones, the lock."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from sweep import __version__
from sweep.errors import CannotRead, FormatError, LockHeld, NoSuch, StoreError, UsageError
from sweep.model import (
    Cause,
    Job,
    Limits,
    Objective,
    Raised,
    Resources,
    ResultProblem,
    State,
    Submission,
    Task,
    Trial,
    Verdict,
)
from sweep.state.events import (
    FORMAT,
    OLDEST_FORMAT,
    Cancelled,
    Confirmed,
    Decided,
    Event,
    Exhausted,
    NextAttempt,
    NotCancelled,
    Observed,
    Planned,
    Refused,
    Retried,
    Submitted,
    Submitting,
    TrialEnd,
    Unanswered,
)
from sweep.state.evidence import Attempt
from sweep.state.ledger import add_up
from sweep.state.settings import RetryRule, RetryRules, Settings, SubmitSettings
from sweep.store import Shelf, Store

RESOURCES = Resources(60, 100, 1)


def planned(*jobs: str, metric: str = "acc") -> Planned:
    rules = RetryRules(*[RetryRule(0)] * 5)
    settings = Settings(
        "local", Objective(metric), Limits(10), SubmitSettings(), rules, "/work/ü", ("module load x",)
    )
    return Planned(format=FORMAT, jobs=[*jobs], settings=settings)


def observed(*ends: tuple[int, int, Verdict]) -> Observed:
    return Observed(trials=[TrialEnd(*end) for end in ends])


def trial(number: int, **more: object) -> Trial:
    return Trial(**{"number": number, "id": f"{number:016x}", "params": {"x": number}, "replicate": 0, "seed": 1,
                    "resources": RESOURCES, "argv": ("p", "ü\n")} | more)  # type: ignore[arg-type] # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Shelf(tmp_path).create("toy")


def test_trials_are_read_as_they_were_written(store: Store) -> None:
    store.add_trials([trial(0), trial(1)])
    store.add_trials([trial(1, retired=True)])
    on_disk = store.trials()
    assert on_disk.trials == {0: trial(0), 1: trial(1, retired=True)}
    assert on_disk.active == [trial(0)]
    line = (store.path / "trials.jsonl").read_bytes()[on_disk.offsets[1] :]
    assert json.loads(line)["retired"] is True


def test_torn_lines_are_passed_over_and_reported(store: Store) -> None:
    store.note(planned("j0001"))
    with (store.path / "journal.jsonl").open("a") as out:
        out.write('{"event": "submitt')  # a crash in the middle of an append
    ledger, torn = store.ledger()
    assert ledger.jobs == ["j0001"]
    assert len(torn) == 1
    store.note(Cancelled(trials=[3]))
    ledger, torn = store.ledger()
    assert ledger.cancelled == {3: ""}
    assert "journal.jsonl: the line at byte" in torn[0]


def test_a_reader_never_sees_half_a_file(store: Store) -> None:
    content = ["a" * 200_000, "b" * 200_000]
    store.write("x", content[0])
    code = f"from pathlib import Path; from sweep.store import Store; s = Store(Path({str(store.path)!r}))\nfor i in range(100): s.write('x', 'ab'[i % 2] * 200_000)"
    writer = subprocess.Popen([sys.executable, "-c", code])
    while writer.poll() is None:
        assert store.read("x") in content
    assert writer.returncode == 0
    assert [path.name for path in store.path.glob(".*.tmp")] == []


def test_earlier_grids_are_kept(store: Store) -> None:
    for text in (b"name: a\n", b"name: a\n", b"name: b # \xc3\xbc\n", b"name: c\n"):
        store.keep_grid(text)
    assert (store.path / "grid.yaml").read_bytes() == b"name: c\n"
    assert (store.path / "grid.1.yaml").read_bytes() == b"name: a\n"
    assert (store.path / "grid.2.yaml").read_bytes() == b"name: b # \xc3\xbc\n"
    assert not (store.path / "grid.3.yaml").exists()


def test_jobs_and_their_tasks(store: Store) -> None:
    store.add_trials([trial(n) for n in range(3)])
    store.write_job(Job("j0001", RESOURCES, (Task(2, 1), Task(0, 3))), "#!/bin/sh\n", store.trials().offsets)
    assert store.tasks("j0001") == ((2, 1), (0, 3))
    assert store.script("j0001").stat().st_mode & 0o111
    store.remove_job("j0001")
    assert store.job_names() == []


def test_the_current_sweep_and_unknown_ones(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NoSuch, match="no current sweep"):
        Shelf(tmp_path).find(None)
    store.add_trials([trial(0)])
    Shelf(tmp_path).make_current(store.name)
    assert Shelf(tmp_path).find(None).path == store.path
    assert Shelf(tmp_path).find("toy").path == Shelf(tmp_path).find(str(store.path)).path == store.path
    with pytest.raises(NoSuch) as caught:
        Shelf(tmp_path).find("tow")
    assert "did you mean 'toy'" in caught.value.hint


def test_the_lock_refuses_a_second_process_and_names_the_first(store: Store) -> None:
    code = f"import sys, time; from pathlib import Path; from sweep.store import Store\nwith Store(Path({str(store.path)!r})).lock(): print('in', flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin
    assert first.stdout
    assert first.stdout.readline() == "in\n"
    with pytest.raises(LockHeld, match=f"process {first.pid} on"), store.lock(patience_s=0.3):
        pass
    # The lock ends with its process, however the process dies.
    first.kill()
    first.wait()
    began = time.monotonic()
    with store.lock(patience_s=10):
        assert time.monotonic() - began < 5
    first.stdin.close()
    first.stdout.close()


def test_a_results_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UsageError) as caught:
        Shelf(tmp_path / "results").create("toy")
    assert "cannot be written" in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(store: Store, tmp_path: Path) -> None:
    store.write("x", "old")
    (store.path / "dir").mkdir()
    with pytest.raises(StoreError):
        store.write("dir", "a folder is in the way")
    assert store.read("x") == "old"
    assert not list(store.path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ResultProblem.NOT_JSON),
        (b'{"segMeasure": 0.', ResultProblem.NOT_JSON),
        (b"\xff\xfe\x00", ResultProblem.NOT_JSON),
        (b"[" * 100_000, ResultProblem.NOT_JSON),
        (None, ResultProblem.MISSING),
    ],
)
def test_results_that_cannot_be_read(store: Store, content: bytes | None, problem: ResultProblem) -> None:
    planned_trial = trial(0)
    store.trial_folder(planned_trial).mkdir(parents=True)
    if content is not None:
        (store.trial_folder(planned_trial) / "r.json").write_bytes(content)
    fault = store.result(planned_trial, "r.json").fault
    assert fault
    assert (fault.problem, "r.json" in fault.words) == (problem, True)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing"])
def test_a_result_that_is_no_plain_file_is_never_waited_for(store: Store, kind: str) -> None:
    planned_trial = trial(0)
    store.trial_folder(planned_trial).mkdir(parents=True)
    path = store.trial_folder(planned_trial) / "r.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    fault = store.result(planned_trial, "r.json").fault
    assert fault
    assert fault.problem is (ResultProblem.MISSING if kind == "link to nothing" else ResultProblem.UNREADABLE)


def test_a_huge_result_is_not_read(store: Store) -> None:
    planned_trial = trial(0)
    store.trial_folder(planned_trial).mkdir(parents=True)
    with (store.trial_folder(planned_trial) / "r.json").open("wb") as out:
        out.truncate(100 * 2**20)
    fault = store.result(planned_trial, "r.json").fault
    assert fault
    assert fault.problem is ResultProblem.TOO_LARGE
    assert "bytes long" in fault.words


def test_an_odd_value_in_a_record_loses_only_itself(store: Store) -> None:
    one = trial(0)
    store.trial_folder(one).mkdir(parents=True)
    content = {"ended": True, "exit_code": 0, "host": "n1", "limit": "disk", "cpu_s": "much", "new": 3}
    (store.trial_folder(one) / "attempt-1.json").write_text(json.dumps(content))
    assert store.attempt(one, 1) == Attempt(ended=True, exit_code=0, host="n1")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ended": true, "exit_code": "'])
def test_records_that_cannot_be_read_yet(store: Store, content: str) -> None:
    planned_trial = trial(0)
    store.trial_folder(planned_trial).mkdir(parents=True)
    path = store.trial_folder(planned_trial) / "attempt-1.json"
    assert store.attempt(planned_trial, 1) is None
    path.write_text(content)
    with pytest.raises(CannotRead, match="half written"):  # not: there is none
        store.attempt(planned_trial, 1)
    assert store.unread == {str(path): "it is half written, or no record"}
    path.write_text('{"ended": true}')
    assert store.attempt(planned_trial, 1) == Attempt(ended=True)
    assert store.unread == {}


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_what_is_not_the_files_fault(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("sweep.store.folder.bytes_of", failing)
    with pytest.raises(CannotRead, match=os.strerror(number)):
        store.attempt(trial(0), 1)
    with pytest.raises(CannotRead, match=os.strerror(number)):
        store.result(trial(0), "r.json")
    assert len(store.unread) == 2


def test_a_look_that_overlaps_a_retry_does_not_settle_the_new_attempt() -> None:
    failed = Verdict(State.FAILED, "exit code 3", cause=Cause.ERROR)
    retried = Retried(trials=[NextAttempt(number=0, attempt=2, rule="error")], jobs=["j0002"])
    assert add_up([planned(), retried, observed((0, 1, failed))]).settled == {}
    done = Verdict(State.DONE, "exit code 0 and a valid result")
    assert add_up([retried, observed((0, 2, done))]).settled == {0: (2, done)}


def test_another_objective_judges_the_results_again() -> None:
    settled = observed(
        (0, 1, Verdict(State.FAILED, "r.json has no typo", cause=Cause.BAD_RESULT)),
        (1, 1, Verdict(State.FAILED, "exit code 3", cause=Cause.ERROR)),
        (2, 1, Verdict(State.CANCELLED, "cancelled", cause=Cause.CANCELLED)),
        (3, 1, Verdict(State.DONE, "fine")),
        (4, 1, Verdict(State.FAILED, "there is none", cause=Cause.NO_RESULT)),
    )
    first, same, other = planned(metric="typo"), planned(metric="typo"), planned(metric="acc")
    assert set(add_up([first, settled, same]).settled) == {0, 1, 2, 3, 4}
    assert set(add_up([first, settled, other]).settled) == {1, 2}


def test_the_journal_adds_up() -> None:
    verdict = Verdict(State.DONE, "exit code 0 and a valid result", 5.0, 4.0, 100.0, "n1")
    ledger = add_up(
        [
            planned("j0001", "j0002", "j0003"),
            Submitting(token="a", job="j0001", job_name="toy.j0001.a", at=1.0),
            Submitted(token="a", id="7"),
            Submitting(token="b", job="j0002", job_name="toy.j0002.b", at=1.0),
            Refused(token="b", reason="no such queue"),
            Submitting(token="c", job="j0003", job_name="toy.j0003.c", at=1.0),
            Submitted(token="torn away", id="8"),
            Cancelled(trials=[1]),
            observed((0, 1, verdict), (1, 1, verdict)),
            Retried(trials=[NextAttempt(number=1, attempt=2)], jobs=["j0004"]),
        ]
    )
    assert ledger.jobs == ["j0001", "j0002", "j0003", "j0004"]
    assert [each.job_id for each in ledger.submissions.values() if not each.dead] == ["7", ""]
    assert [submission.token for submission in ledger.doubts] == ["c"]
    assert ledger.settled == {0: (1, verdict)}
    assert ledger.attempts == {1: 2}
    assert ledger.cancelled == {}


def test_a_refusal_without_words_is_a_refusal() -> None:
    ledger = add_up([Submitting(token="a", job="j0001", job_name="n", at=1.0), Refused(token="a")])
    assert ledger.submissions["a"] == Submission("a", "j0001", "n", None, 1.0, refused=True)
    assert ledger.doubts == []


EVENTS: list[Event] = [
    planned("j0001"),
    Submitting(token="a", job="j0001", job_name="toy.j0001.a", span=(0, 3), workers=2, open=4),
    Submitting(token="a", job="j0001", job_name="toy.j0001.a", index=0),
    Submitted(token="a", id="17[].vm", adopted=True),
    Unanswered(token="a"),
    Refused(token="a", reason="qsub: \udce9"),
    Exhausted(token="a"),
    Cancelled(trials=[1, 2], by="eve on login1", everything=True),
    NotCancelled(trials=[1]),
    Retried(
        trials=[NextAttempt(number=1, attempt=2, rule="walltime", raised=Raised(walltime_s=9), avoid=("n1",))],
        jobs=["j2"],
    ),
    Confirmed(trials=[7], jobs=["j0002"], workers={"j0002": 3}, raised={7: Raised(memory_mib=5)}),
    Decided(
        format=FORMAT,
        by="retry",
        saw="00ff",
        jobs=["j0003"],
        workers={"j0003": 2},
        last_job=3,
        dropped=["j0001"],
        attempts=[NextAttempt(number=1, attempt=3, rule="error", variables={"N": "\udce9"})],
        confirming=[8],
        ends=[TrialEnd(1, 2, Verdict(State.FAILED, "exit code 1"))],
        held={4: "not now"},
        released=[5],
    ),
    observed(
        (
            0,
            1,
            Verdict(
                State.FAILED,
                "ü \udce9",
                1.5,
                None,
                3.0,
                "n1",
                Cause.BAD_RESULT,
                "node",
                4.0,
                0,
                None,
                ResultProblem.NOT_JSON,
            ),
        )
    ),
]


def test_every_event_is_read_as_it_was_written(store: Store) -> None:
    assert {type(event) for event in EVENTS} == set(Event.__args__)
    for event in EVENTS:
        store.note(event)
    events, torn = Store(store.path).journal.read()
    assert torn == []
    assert [msgspec.structs.replace(event, at=0.0, version="") for event in events] == EVENTS
    assert all(event.at and event.version == __version__ for event in events)


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ({"event": "planned", "jobs": ["j0001"]}, "has format none; this is sweep", "under another name"),
        ({"event": "planned", "format": 0, "jobs": []}, "has format 0; this is sweep", "under another name"),
        (
            {"event": "planned", "format": FORMAT + 1, "anything": "else"},
            f"has format {FORMAT + 1}; this is sweep",
            "the newer version",
        ),
        (
            {"event": "planned", "format": FORMAT + 1, "version": "7.8.9", "anything": "else"},
            f"has format {FORMAT + 1}, which sweep 7.8.9 wrote; this is sweep {__version__}, which reads format",
            "use sweep 7.8.9 or a newer one",
        ),
        # One that can be read, and that this version would not do right by.
        (
            {"event": "submitted", "token": "ab", "id": "7", "format": FORMAT + 1, "version": "7.8.9"},
            f"has format {FORMAT + 1}, which sweep 7.8.9 wrote",
            "use sweep 7.8.9 or a newer one",
        ),
        # A kind of event that is not known.
        (
            {"event": "raced", "version": "7.8.9"},
            "has an event 'raced', which sweep 7.8.9 wrote",
            "use sweep 7.8.9",
        ),
        ({"event": "raced"}, "has an event 'raced'; this is sweep", "the newer version"),
        ({"event": "raced", "version": "7.8.9", "format": FORMAT + 2}, f"has format {FORMAT + 2}, which", "7.8.9"),
    ],
)
def test_what_another_version_wrote_is_refused(store: Store, line: object, message: str, hint: str) -> None:
    store.append("journal.jsonl", [json.dumps(line).encode()])
    with pytest.raises(FormatError, match=message) as caught:
        store.ledger()
    assert hint in caught.value.hint


def test_a_line_is_of_the_oldest_format_whose_readers_do_right_by_it(store: Store) -> None:
    for cluster, job_id in (("", "7"), ("two", "7;two")):
        store.note(Submitting(token="ab", job="j0001", job_name="toy.j0001.ab", cluster=cluster))
        store.note(Submitted(token="ab", id=job_id))
    lines = [json.loads(line) for line in (store.path / "journal.jsonl").read_text().splitlines()]
    assert [line.get("format", OLDEST_FORMAT) for line in lines] == [1, 1, 2, 2]
    assert [event.format for event in Store(store.path).journal.read()[0]] == [1, 1, 2, 2]


def test_under_the_lock_the_journal_is_as_the_file_server_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system remembers of a file's size may be a minute old: another login node has just submitted."""
    store.note(planned())
    assert not store.ledger()[0].submissions
    remembered = store.stamp_of("journal.jsonl")
    Store(store.path).note(Submitting(token="ab", job="j0001", job_name="toy.j0001.ab"))
    monkeypatch.setattr(Store, "stamp_of", lambda _self, _name: remembered)
    assert not store.ledger()[0].submissions
    with store.lock():
        assert list(store.ledger()[0].submissions) == ["ab"]


def test_what_is_not_known_of_a_known_event_is_passed_over(store: Store) -> None:
    """So a later version may add what an older one need not know."""
    line = {"event": "submitted", "token": "ab", "id": "7", "colour": "blue", "version": "7.8.9"}
    store.append("journal.jsonl", [json.dumps(line).encode()])
    [event] = store.journal.read()[0]
    assert isinstance(event, Submitted)
    assert event.id == "7"


@pytest.mark.parametrize("line", [{"event": "submitted", "token": 7}, {"no": "event"}, {"event": ["planned"]}])
def test_a_whole_line_that_is_no_event_is_an_error(store: Store, line: object) -> None:
    store.append("journal.jsonl", [json.dumps(line).encode()])
    with pytest.raises(FormatError, match="holds a line that is no event"):
        store.ledger()


def test_a_plan_without_jobs_says_so_to_the_oldest_readers(store: Store) -> None:
    """They know no default for the jobs."""
    store.note(planned())
    line = json.loads((store.path / "journal.jsonl").read_text())
    assert line["jobs"] == []
