"""The store reads every key that a node writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sweep.grid.stop import parse
from sweep.model import Job, Resources, Task, Trial
from sweep.node import runner
from sweep.state.events import FORMAT, OLDEST_FORMAT
from sweep.state.evidence import Attempt, OwnLimit, StartFailure
from sweep.store import Shelf, Store, records

KEYS = set(Attempt.__dataclass_fields__)


class Folder:
    """A sweep's folder with one trial of one job, and its node's runner."""

    def __init__(self, path: Path, *argv: str) -> None:
        self.store: Store = Shelf(path).create("toy")
        resources = Resources(60, 100, 1)
        self.trial = Trial(0, "ab" * 8, {"x": 1}, 0, 7, resources, argv)
        self.store.runners.install()
        self.store.add_trials([self.trial])
        self.store.write_job(Job("j0001", resources, (Task(0, 1),)), "#!/bin/sh\n", self.store.trials().offsets)

    def run(self, *options: str) -> dict[str, object]:
        """Run the trial as a job script does. Return the record that the node left."""
        argv = [sys.executable, str(self.store.runners.folder / "node.py"), "--folder", str(self.store.path), "--job", "j0001",
                "--index", "0", "--job-id", "7", "--job-name", "toy.j0001.t", "--workdir", str(self.store.path),
                "--result", "r.json", "--heartbeat-s", "0.3", *options]  # fmt: skip
        subprocess.run(argv, check=False, timeout=60)
        path = self.store.trial_folder(self.trial) / "attempt-1.json"
        record: dict[str, object] = json.loads(path.read_text())
        return record


def strictly(record: dict[str, object]) -> Attempt:
    """Read a record; every key has to be one that `Attempt` knows, with a value of its type."""
    assert record.keys() <= KEYS
    return msgspec.convert(record, Attempt)


@pytest.mark.parametrize(
    ("argv", "options", "failure"),
    [
        (["true"], [], StartFailure.NONE),
        (["sh", "-c", "kill -9 $$"], [], StartFailure.NONE),
        (["sleep", "1.5"], [], StartFailure.NONE),  # long enough for a heartbeat
        (["no-such-program"], [], StartFailure.START),
        (["true"], ["--environment-failed", "3", "module load x"], StartFailure.ENVIRONMENT),
    ],
)
def test_a_node_writes_what_the_store_reads(
    tmp_path: Path, argv: list[str], options: list[str], failure: StartFailure
) -> None:
    folder = Folder(tmp_path, *argv)
    record = folder.run(*options)
    attempt = strictly(record)
    assert attempt == folder.store.attempt(folder.trial, 1)
    assert attempt.ended
    assert attempt.failure is failure
    # A record may lack a heartbeat, and the keys that only a requeue, a cancellation or an unfit node adds.
    assert KEYS - record.keys() <= {"heartbeat_at", "restarts", "cancelled", "given_back", "rule"}


def test_a_node_writes_by_which_rule_it_ended_a_trial(tmp_path: Path) -> None:
    rules = [parse("history[-1] < 0.2 after 2").spelled()]
    code = 'echo \'{"history": [0.5, 0.1]}\' > "$SWEEP_RESULT"; exec sleep 60'
    folder = Folder(tmp_path, "sh", "-c", code)
    attempt = strictly(folder.run("--stop", json.dumps({"metric": "f1", "rules": rules})))
    assert attempt == folder.store.attempt(folder.trial, 1)
    assert (attempt.limit, attempt.rule) == (OwnLimit.RULE, "history[-1] < 0.2 after 2: 0.1 at entry 2")
    assert (attempt.signal, attempt.stopped, attempt.signals) == (15, True, ("SIGTERM",))
    assert (attempt.elapsed_s or 60) < 30


def test_a_withdrawn_attempt_is_read_as_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "true")
    assert folder.store.withdraw(folder.trial, 1)
    path = folder.store.trial_folder(folder.trial) / "attempt-1.json"
    assert strictly(json.loads(path.read_text())).cancelled
    assert not folder.store.withdraw(folder.trial, 1)


def test_nodes_and_store_write_one_format() -> None:
    assert OLDEST_FORMAT <= runner.FORMAT == Attempt().format <= FORMAT


@pytest.mark.parametrize("task", [Task(0, 1), Task(9_999_999_999, 9999)])
def test_a_task_line_has_one_width_and_comes_back(task: Task) -> None:
    lines = records.spelled_tasks([task, task], {task.number: 12345})
    assert [len(line) for line in lines.splitlines(keepends=True)] == [runner.TASK_LINE_BYTES] * 2
    assert records.tasks_of(lines) == (task, task)
