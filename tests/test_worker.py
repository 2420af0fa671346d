"""worker.py: runs trials one after another and side by side; what runs again after it is requeued."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.model import Job, Resources, Task, Trial
from sweep.node import worker as node_worker
from sweep.node.worker import task_order
from sweep.store import Shelf

#: A trial's program. It notes that it began, and then sleeps, dies or ends, as its argument says.
PROGRAM = """\
import os, sys, time
os.write(os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND), (sys.argv[1] + "\\n").encode())
if sys.argv[1] == "dies": os.kill(os.getpid(), 11)
if sys.argv[1].endswith("forks") and os.fork() == 0:
    os.setsid()
    os.write(os.open("runs", os.O_WRONLY | os.O_APPEND), b"its child\\n")
if sys.argv[1].startswith("sleeps") and not os.path.exists("no more sleep"): time.sleep(60)
open(os.environ["SWEEP_RESULT"], "w").write("{}")
"""


class Packed:
    """A packed job in a folder, and its worker.

    Parameters
    ----------
    behaviours : str
        The argument of each trial's program.
    """

    def __init__(self, path: Path, *behaviours: str) -> None:
        self.store = Shelf(path).create("toy")
        self.work = path / "it's work"
        self.work.mkdir()
        (self.work / "p.py").write_text(PROGRAM)
        self.resources = Resources(60, 500, 1)
        self.trials = [
            Trial(n, f"{n:016x}", {}, 0, 0, self.resources, (sys.executable, "p.py", behaviour))
            for n, behaviour in enumerate(behaviours)
        ]
        self.store.runners.install()
        self.store.add_trials(self.trials)
        job = Job("j0001", self.resources, tuple(Task(n, 1) for n in range(len(behaviours))))
        self.store.write_job(job, "#!/bin/sh\n", self.store.trials().offsets)

    def start(
        self,
        *,
        job_id: str = "7",
        per_worker: int = 1,
        ends_s: int = 3600,
        preload: str = "",
        visible: str | None = "4,7",
        walltime_s: int = 60,
        memory_mib: int = 500,
    ) -> subprocess.Popen[bytes]:
        argv = [
            sys.executable, "-I", "-S", str(self.store.runners.folder / "worker.py"), "--folder", str(self.store.path),
            "--job", "j0001", "--worker", "0", "--workers", "1", "--per-worker", str(per_worker), "--walltime-s",
            str(walltime_s), "--memory-mib", str(memory_mib), "--gpus", "1", "--ends-s", str(ends_s), "--job-id", job_id, "--job-name", "toy.aa",
            *(["--preload", preload] if preload else []), "--", "--workdir", str(self.work), "--result", "r.json", "--heartbeat-s", "0.2",
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        if visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        return subprocess.Popen(argv, env=environment, start_new_session=True)

    def runs(self) -> list[str]:
        """Return the arguments of the programs that have begun, in order."""
        path = self.work / "runs"
        return path.read_text().splitlines() if path.exists() else []

    def record(self, number: int) -> dict[str, Any]:
        path = self.store.trial_folder(self.trials[number]) / "attempt-1.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def wait_for_runs(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.runs()) < count:
            assert time.monotonic() < deadline, self.runs()
            time.sleep(0.05)


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (7, 3), (3, 8), (100, 7)])
def test_the_workers_look_at_all_tasks_and_begin_at_different_ones(size: int, workers: int) -> None:
    orders = [list(task_order(size, worker, workers)) for worker in range(workers)]
    assert all(sorted(order) == list(range(size)) for order in orders)
    if size >= workers:
        assert len({order[0] for order in orders}) == workers


def test_a_requeued_worker_takes_up_what_its_signal_interrupted_and_nothing_else(tmp_path: Path) -> None:
    job = Packed(tmp_path, "fine", "dies", "sleeps", "never reached")
    first = job.start()
    job.wait_for_runs(3)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == -signal.SIGTERM
    assert job.runs() == ["fine", "dies", "sleeps"]
    assert job.record(2)["signals"] == ["SIGTERM"]
    (job.work / "no more sleep").touch()
    assert job.start().wait(20) == 0
    assert job.runs() == ["fine", "dies", "sleeps", "sleeps", "never reached"]  # "dies" died by itself
    assert job.record(2)["restarts"] == 1
    assert job.start(job_id="8").wait(20) == 0  # another job finds nothing left
    assert len(job.runs()) == 5


def test_a_cancelled_trial_stays_cancelled_when_its_worker_is_requeued(tmp_path: Path) -> None:
    job = Packed(tmp_path, "sleeps", "sleeps too")
    first = job.start()
    job.wait_for_runs(1)
    job.store.ask_to_end(job.trials[0], 1)
    job.wait_for_runs(2)
    first.send_signal(signal.SIGTERM)
    first.wait(20)
    assert job.record(0)["stopped"]
    (job.work / "no more sleep").touch()
    assert job.start().wait(20) == 0
    assert job.runs() == ["sleeps", "sleeps too", "sleeps too"]


def test_trials_side_by_side_see_different_gpus_and_a_slot_is_used_again(tmp_path: Path) -> None:
    job = Packed(tmp_path, "a", "b", "c", "d")
    (job.work / "p.py").write_text(PROGRAM.replace("sys.argv[1] + ", "os.environ['CUDA_VISIBLE_DEVICES'] + "))
    assert job.start(per_worker=2).wait(20) == 0
    assert sorted(set(job.runs())) == ["4", "7"]
    assert len(job.runs()) == 4


@pytest.mark.parametrize("kept", [True, False])
def test_a_worker_that_is_killed_takes_its_trials_with_it(tmp_path: Path, kept: bool) -> None:
    # Without a keeper, the kernel kills the command itself, and the processes in other sessions live.
    job = Packed(tmp_path, "a", "sleeps", "sleeps and forks" if kept else "sleeps, too")
    if not kept:  # its process cannot be started
        (job.store.runners.folder / "keeper.py").write_text(
            (job.store.runners.folder / "keeper.py").read_text().replace("sys.executable,", "'/no/such/python',")
        )
    worker = job.start(per_worker=2)
    job.wait_for_runs(3 + kept)
    assert len(keepers(job)) == 2 * kept
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 20
    while any(is_command(process, job) for process in processes()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job.record(0)["exit_code"] == 0
    assert not job.record(1)[
        "ended"
    ]  # no process is left to record it; the scheduler says that the worker is gone


def test_a_worker_whose_keeper_is_killed_goes_on_with_another(tmp_path: Path) -> None:
    """The trial of the killed one ends with it: nothing would see its end."""
    job = Packed(tmp_path, "sleeps", "b", "sleeps", "d")
    worker = job.start()
    job.wait_for_runs(1)
    [first] = keepers(job)
    first.kill()
    job.wait_for_runs(3)
    [second] = keepers(job)
    assert second.pid != first.pid
    (job.work / "no more sleep").touch()
    second.kill()
    assert worker.wait(20) == 0
    assert [job.record(n)["signal"] for n in range(4)] == [signal.SIGKILL, None, signal.SIGKILL, None]
    assert not any(is_command(process, job) for process in processes())


def test_a_keeper_ends_with_its_worker(tmp_path: Path) -> None:
    job = Packed(tmp_path, "a", "b")
    assert job.start().wait(20) == 0
    deadline = time.monotonic() + 20
    while keepers(job):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes() -> Iterator[psutil.Process]:
    """Yield the processes whose environment and working folder may be read."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ() and process.cwd():
                yield process


def is_command(process: psutil.Process, job: Packed) -> bool:
    try:
        return "SWEEP_TRIAL" in process.environ() and process.cwd() == str(job.work)
    except psutil.Error:  # it has just ended
        return False


def keepers(job: Packed) -> list[psutil.Process]:
    return [process for process in processes() if str(job.store.runners.folder / "keeper.py") in process.cmdline()]


def test_a_trial_is_not_begun_without_the_time_for_it(tmp_path: Path) -> None:
    job = Packed(tmp_path, "a", "b", "c")
    assert job.start(ends_s=60).wait(20) == 0  # the first begins whatever time is left
    assert job.runs() == ["a"]
    assert job.record(1) == {}


def test_a_task_that_cannot_be_read_is_told_and_the_next_one_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = Packed(tmp_path, "one", "two")
    lines = (job.store.path / "trials.jsonl").read_text()
    (job.store.path / "trials.jsonl").write_text(lines.replace('"number":0', '"number":9', 1))
    assert job.start().wait(30) == 0
    assert job.runs() == ["two"]
    assert "cannot run task 0: sweep: trials.jsonl was changed by hand" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("visible", "seen"),
    [("4,7", ["4", "7"]), (None, ["0", "1"]), ("", ["", ""]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"])],
)
def test_the_slots_have_gpus_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list[str]
) -> None:
    """Also where the site does not say which are the job's: a slot may not take all of them."""
    job = Packed(tmp_path, "a", "b")
    (job.work / "p.py").write_text(
        "import os, sys, time\nname = 'gpus-' + sys.argv[1]\n"
        "open(name + '.new', 'w').write(os.environ.get('CUDA_VISIBLE_DEVICES', 'all'))\nos.rename(name + '.new', name)\n"
        "while not (os.path.exists('gpus-a') and os.path.exists('gpus-b')): time.sleep(0.02)\n"
    )
    assert job.start(per_worker=2, visible=visible).wait(60) == 0
    assert sorted((job.work / f"gpus-{name}").read_text() for name in "ab") == seen


# --- jobs that are handed to it -----------------------------------------------------------------------------


def test_the_jobs_that_are_handed_to_a_submission(tmp_path: Path) -> None:
    arguments = ["--folder", str(tmp_path), "--job", "j0001", "--job-id", "7", "--job-name", "toy.j0001.aa[1]"]
    for name in ("worker", "workers", "per-worker", "walltime-s", "memory-mib", "gpus", "ends-s"):
        arguments += [f"--{name}", "1"]
    options, _ = node_worker.parse_arguments([*arguments, "--"])
    assert node_worker.handed_jobs(options) == []
    (tmp_path / "jobs").mkdir()
    lines = [
        {"to": "toy.j0001.bb", "job": "j0002", "variables": ""},  # an earlier submission's workers
        {"to": "toy.j0001.aa", "job": "j0003", "variables": "/a b/j0003.variables"},
        {"to": "toy.j0001.aa", "job": "", "variables": ""},
    ]
    spelled = [json.dumps(line) for line in lines]
    file = tmp_path / "jobs/j0001.handed"
    file.write_text("\n".join([spelled[0], '{"to": "toy.j00', spelled[1], spelled[2]]))
    assert node_worker.handed_jobs(options) == [("j0003", "/a b/j0003.variables")]  # the last line is half written
    file.write_text(file.read_text() + "\n")
    assert node_worker.handed_jobs(options)[1] == ("", "")


def test_each_job_has_variables_of_its_own() -> None:
    own = ["--workdir", "w", "--variables", "mine", "--result", "r"]
    assert node_worker.with_variables(own, "its") == ["--workdir", "w", "--result", "r", "--variables", "its"]
    assert node_worker.with_variables(own, "") == ["--workdir", "w", "--result", "r"]
    assert node_worker.with_variables(["--result", "r"], "its") == ["--result", "r", "--variables", "its"]
