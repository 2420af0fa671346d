"""The sweep's folder: whole files, appended lines, torn ones, the lock."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.errors import LockHeld, NoSuch, StoreError, UsageError
from sweep.ledger import add_up, observed
from sweep.model import Job, Resources, State, Trial, Verdict
from sweep.store import Store, create, find

RESOURCES = Resources(60, 100, 1)


def trial(number: int, **more: object) -> Trial:
    return Trial(**{"number": number, "id": f"{number:016x}", "params": {"x": number}, "replicate": 0, "seed": 1,
                    "resources": RESOURCES, "argv": ("p", "ü\n")} | more)  # type: ignore[arg-type] # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create(tmp_path, "toy")


def test_trials_come_back_as_they_went(store: Store) -> None:
    store.add_trials([trial(0), trial(1)])
    store.add_trials([trial(1, retired=True)])
    planned = store.trials()
    assert planned.trials == {0: trial(0), 1: trial(1, retired=True)}
    assert planned.active == [trial(0)]
    line = (store.path / "trials.jsonl").read_bytes()[planned.offsets[1] :]
    assert json.loads(line)["retired"] is True


def test_torn_lines_are_passed_over_and_reported(store: Store) -> None:
    store.note(event="planned", jobs=["j0001"])
    with (store.path / "journal.jsonl").open("a") as out:
        out.write('{"event": "submitt')  # a crash in the middle of an append
    ledger, torn = store.ledger()
    assert ledger.jobs == ["j0001"]
    assert len(torn) == 1
    store.note(event="cancelled", trials=[3])
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
    store.write_job(Job("j0001", RESOURCES, ((2, 1), (0, 3))), "#!/bin/sh\n", store.trials().offsets)
    assert store.tasks("j0001") == ((2, 1), (0, 3))
    assert store.script("j0001").stat().st_mode & 0o111
    store.remove_job("j0001")
    assert store.job_names() == []


def test_the_current_sweep_and_unknown_ones(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NoSuch, match="no current sweep"):
        find(tmp_path, None)
    store.add_trials([trial(0)])
    store.make_current()
    assert find(tmp_path, None).path == store.path
    assert find(tmp_path, "toy").path == find(tmp_path, str(store.path)).path == store.path
    with pytest.raises(NoSuch) as caught:
        find(tmp_path, "tow")
    assert "did you mean 'toy'" in caught.value.hint


def test_the_lock_keeps_a_second_one_out_and_names_the_first(store: Store) -> None:
    code = f"import sys, time; from pathlib import Path; from sweep.store import Store\nwith Store(Path({str(store.path)!r})).lock(): print('in', flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin
    assert first.stdout
    assert first.stdout.readline() == "in\n"
    with pytest.raises(LockHeld, match=f"process {first.pid} on"), store.lock(patience_s=0.3):
        pass
    # The lock goes with its process, however it dies.
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
        create(tmp_path / "results", "toy")
    assert "cannot be written" in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(store: Store, tmp_path: Path) -> None:
    store.write("x", "old")
    (store.path / "dir").mkdir()
    with pytest.raises(StoreError):
        store.write("dir", "a folder is in the way")
    assert store.read("x") == "old"
    assert not list(store.path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b'{"segMeasure": 0.', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (None, "there is no"),
    ],
)
def test_results_that_cannot_be_read(store: Store, content: bytes | None, said: str) -> None:
    one = trial(0)
    store.trial_folder(one).mkdir(parents=True)
    if content is not None:
        (store.trial_folder(one) / "r.json").write_bytes(content)
    assert said in store.result(one, "r.json")[1]


def test_a_huge_result_is_not_read(store: Store) -> None:
    one = trial(0)
    store.trial_folder(one).mkdir(parents=True)
    with (store.trial_folder(one) / "r.json").open("wb") as out:
        out.truncate(100 * 2**20)
    assert "bytes long" in store.result(one, "r.json")[1]


@pytest.mark.parametrize(
    ("content", "is_read"), [("", False), ("{", False), ("[]", False), ('{"ended": true}', True)]
)
def test_records_that_cannot_be_read_yet(store: Store, content: str, is_read: bool) -> None:
    one = trial(0)
    store.trial_folder(one).mkdir(parents=True)
    (store.trial_folder(one) / "attempt-1.json").write_text(content)
    attempt = store.attempt(one, 1)
    assert (attempt is not None) == is_read
    assert attempt is None or (attempt.number, attempt.ended) == (1, True)


def test_a_look_that_overlaps_a_retry_does_not_settle_the_new_attempt() -> None:
    failed = Verdict(State.FAILED, "exit code 3")
    retried = {"event": "retried", "trials": [[0, 2]], "jobs": ["j0002"]}
    ledger = add_up([{"event": "planned", "jobs": []}, retried, observed([(0, 1, failed)])])
    assert ledger.settled == {}
    done = Verdict(State.DONE, "exit code 0 and a valid result")
    assert add_up([retried, observed([(0, 2, done)])]).settled == {0: (2, done)}


def test_another_objective_judges_the_results_again() -> None:
    plans = [
        {"event": "planned", "jobs": [], "objective": {"metric": metric}} for metric in ("typo", "typo", "acc")
    ]
    settled = observed(
        [
            (0, 1, Verdict(State.FAILED, "exit code 0, but r.json has no typo")),
            (1, 1, Verdict(State.FAILED, "exit code 3")),
            (2, 1, Verdict(State.CANCELLED, "cancelled")),
        ]
    )
    assert set(add_up([plans[0], settled, plans[1]]).settled) == {0, 1, 2}
    assert set(add_up([plans[0], settled, plans[2]]).settled) == {1, 2}


def test_the_journal_adds_up() -> None:
    submitting = {"event": "submitting", "at": 1.0, "index": None}
    verdict = Verdict(State.DONE, "exit code 0 and a valid result", 5.0, 4.0, 100.0, "n1")
    ledger = add_up(
        [
            {"event": "planned", "jobs": ["j0001", "j0002", "j0003"]},
            {**submitting, "token": "a", "job": "j0001", "job_name": "toy.j0001.a"},
            {"event": "submitted", "token": "a", "id": "7"},
            {**submitting, "token": "b", "job": "j0002", "job_name": "toy.j0002.b"},
            {"event": "refused", "token": "b", "reason": "no such queue"},
            {**submitting, "token": "c", "job": "j0003", "job_name": "toy.j0003.c"},
            {"event": "from a newer version"},
            {"event": "submitted", "token": "torn away", "id": "8"},
            {"event": "cancelled", "trials": [1]},
            observed([(0, 1, verdict), (1, 1, verdict)]),
            {"event": "retried", "trials": [[1, 2]], "jobs": ["j0004"]},
        ]
    )
    assert ledger.jobs == ["j0001", "j0002", "j0003", "j0004"]
    assert [one.job_id for one in ledger.sent("j0001")] == ["7"]
    assert ledger.sent("j0002") == []
    assert [one.token for one in ledger.doubts] == ["c"]
    assert ledger.settled == {0: (1, verdict)}
    assert ledger.attempts == {1: 2}
    assert ledger.cancelled == {}
