"""preload.py: trials that are forked from a process with their modules are as separate as trials that are started."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.test_worker import Packed

#: A module that is preloaded. It notes each process that imports it.
MODULE = "import os\nopen('imported', 'a').write('%d\\n' % os.getpid())\narguments = []\n"

PROGRAM = """\
import json, os, sys, time
import heavy
heavy.arguments.append(sys.argv[1])
os.write(os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND), (sys.argv[1] + "\\n").encode())
print("out of", sys.argv[1])
if sys.argv[1] == "dies": os.kill(os.getpid(), 11)
if sys.argv[1] == "fails": raise ValueError("on purpose")
if sys.argv[1] == "exits": sys.exit(3)
if sys.argv[1] == "kills its keeper": os.kill(os.getppid(), 9); time.sleep(60)
if sys.argv[1] == "kills what forks":
    os.kill(int(open("/proc/%d/stat" % os.getppid()).read().rpartition(")")[2].split()[1]), 9)
if sys.argv[1].startswith("sleeps") and not os.path.exists("no more sleep"): time.sleep(60)
report = {"argv": sys.argv, "arguments": heavy.arguments, "main": __name__, "path": sys.path[0], "parent": os.getppid(),
        "session": os.getsid(0) == os.getpid(), "seed": os.environ["SWEEP_SEED"], "stdin": sys.stdin.read(),
        "gpus": os.environ["CUDA_VISIBLE_DEVICES"], "cwd": os.getcwd(), "open": len(os.listdir("/proc/self/fd"))}
if "numpy" in sys.modules: report["number"] = float(sys.modules["numpy"].random.rand())
json.dump(report, open(os.environ["SWEEP_RESULT"], "w"))
"""


def make_job(path: Path, *behaviours: str) -> Packed:
    job = Packed(path, *behaviours)
    (job.work / "p.py").write_text(PROGRAM)
    (job.work / "heavy.py").write_text(MODULE)
    return job


def report_of(job: Packed, number: int) -> dict[str, Any]:
    """Return what a trial's program reports about its environment."""
    report: dict[str, Any] = json.loads((job.store.trial_folder(job.trials[number]) / "r.json").read_text())
    return report


def count_imports(job: Packed) -> int:
    return len((job.work / "imported").read_text().splitlines())


def test_each_trial_finds_what_a_fresh_interpreter_would_have(tmp_path: Path) -> None:
    started, forked = make_job(tmp_path / "a", "x", "y"), make_job(tmp_path / "b", "x", "y", "z")
    assert started.start().wait(30) == 0
    assert forked.start(preload="heavy").wait(30) == 0
    assert (count_imports(started), count_imports(forked)) == (2, 1)
    for number, argument in enumerate(("x", "y")):
        expected, report = report_of(started, number), report_of(forked, number)
        assert report["arguments"] == [argument]  # nothing is left of the trial before
        for key in ("argv", "main", "session", "seed", "stdin", "gpus", "open"):
            assert report[key] == expected[key], key
        assert report["path"] == report["cwd"] == str(forked.work)
        log = (forked.store.trial_folder(forked.trials[number]) / "log.txt").read_text()
        assert log == f"out of {argument}\n"


def test_a_command_with_m_runs_its_module(tmp_path: Path) -> None:
    job = make_job(tmp_path, "x")
    (job.work / "tool").mkdir()
    (job.work / "tool/__main__.py").write_text(PROGRAM)
    trial = job.trials[0]
    argv = (trial.argv[0], "-m", "tool", "x")
    job.store.add_trials(
        [type(trial)(**{name: getattr(trial, name) for name in trial.__slots__} | {"argv": argv})]
    )
    path = job.store.path / "trials.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[-1])  # at the offset that the job's task line has
    assert job.start(preload="heavy").wait(30) == 0
    report = report_of(job, 0)
    assert report["main"] == "__main__"
    assert report["argv"] == [str(job.work / "tool/__main__.py"), "x"]


def test_a_trial_that_crashes_ends_no_other(tmp_path: Path) -> None:
    job = make_job(tmp_path, "dies", "fails", "exits", "fine")
    assert job.start(preload="heavy").wait(30) == 0
    ends = [(job.record(n)["exit_code"], job.record(n)["signal"]) for n in range(4)]
    assert ends == [(None, 11), (1, None), (3, None), (0, None)]
    assert count_imports(job) == 1
    assert "ValueError: on purpose" in (job.store.trial_folder(job.trials[1]) / "log.txt").read_text()
    assert all(job.record(n)["cpu_s"] > 0 and job.record(n)["peak_memory_mib"] > 1 for n in range(4))


@pytest.mark.parametrize("busy", ["", "import time\nos.register_at_fork(after_in_parent=lambda: time.sleep(1))\n"])
def test_without_the_process_that_forks_trials_are_started(tmp_path: Path, busy: str) -> None:
    """A trial that runs meanwhile goes on, and none begins twice: also where a process is killed after its fork."""
    job = make_job(tmp_path, "kills its keeper", "kills what forks", "fine", "fine too")
    (job.work / "heavy.py").write_text(MODULE + busy)
    assert job.start(preload="heavy").wait(30) == 0
    assert [job.record(n)["signal"] for n in range(4)] == [signal.SIGKILL, None, None, None]
    assert job.runs() == ["kills its keeper", "kills what forks", "fine", "fine too"]
    assert report_of(job, 2)["arguments"] == ["fine"]
    assert count_imports(job) == 3  # the last two imported it themselves


@pytest.mark.parametrize("preload", ["no_such_module", "heavy,broken"])
def test_a_module_that_cannot_be_imported(tmp_path: Path, preload: str) -> None:
    job = make_job(tmp_path, "x", "y")
    (job.work / "broken.py").write_text("1 / 0")
    assert job.start(preload=preload).wait(30) == 0
    assert [job.record(n)["exit_code"] for n in (0, 1)] == [0, 0]


def test_a_signal_reaches_the_trial_and_only_the_trial(tmp_path: Path) -> None:
    job = make_job(tmp_path, "sleeps")
    worker = job.start(preload="heavy")
    job.wait_for_runs(1)
    os.killpg(worker.pid, signal.SIGTERM)  # a scheduler signals all processes of the job
    assert worker.wait(20) == -signal.SIGTERM
    assert job.record(0)["signal"] == signal.SIGTERM
    assert job.record(0)["signals"] == ["SIGTERM"]


def test_a_worker_that_is_killed_ends_all_that_it_started(tmp_path: Path) -> None:
    job = make_job(tmp_path, "sleeps")
    worker = job.start(preload="heavy")
    job.wait_for_runs(1)
    below = psutil.Process(worker.pid).children(recursive=True)
    assert len(below) >= 2
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive


def test_no_two_trials_draw_the_same_numbers(tmp_path: Path) -> None:
    job = make_job(tmp_path, "x", "y", "z")
    assert job.start(preload="numpy").wait(60) == 0
    assert len({report_of(job, n)["number"] for n in range(3)}) == 3


def test_nothing_grows_over_fifty_trials(tmp_path: Path) -> None:
    """Measured twice in the same state: while it waits for a trial that sleeps."""
    job = make_job(tmp_path, *(f"n{n}" for n in range(5)), "sleeps", *(f"n{n}" for n in range(50)), "sleeps too")
    worker = job.start(preload="heavy")
    memory_mib, descriptors = [], []
    for trials in (6, 57):
        job.wait_for_runs(trials)
        children = psutil.Process(worker.pid).children()
        [forker] = [child for child in children if "preload.py" in " ".join(child.cmdline())]
        memory_mib.append(forker.memory_info().rss / 2**20)
        descriptors.append(forker.num_fds())
        for keeper in forker.children():
            for trial in keeper.children():
                trial.kill()
    assert count_imports(job) == 1
    assert memory_mib[1] - memory_mib[0] < 1, memory_mib  # 20 KiB a trial
    assert descriptors[1] == descriptors[0]
    worker.kill()
    worker.wait()
