"""preload.py: trials that are forked from a process that has imported, as separate as if each were started."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.test_worker import Packed

#: Imported beforehand; says so, and once for each process that imports it.
MODULE = "import os\nopen('imported', 'a').write('%d\\n' % os.getpid())\nkept = []\n"

PROGRAM = """\
import json, os, sys, time
import heavy
heavy.kept.append(sys.argv[1])
os.write(os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND), (sys.argv[1] + "\\n").encode())
print("out of", sys.argv[1])
if sys.argv[1] == "dies": os.kill(os.getpid(), 11)
if sys.argv[1] == "fails": raise ValueError("as told")
if sys.argv[1] == "exits": sys.exit(3)
if sys.argv[1] == "kills its parent": os.kill(os.getppid(), 9); time.sleep(60)
if sys.argv[1].startswith("sleeps") and not os.path.exists("no more sleep"): time.sleep(60)
told = {"argv": sys.argv, "kept": heavy.kept, "main": __name__, "path": sys.path[0], "parent": os.getppid(),
        "session": os.getsid(0) == os.getpid(), "seed": os.environ["SWEEP_SEED"], "stdin": sys.stdin.read(),
        "gpus": os.environ["CUDA_VISIBLE_DEVICES"], "cwd": os.getcwd(), "open": len(os.listdir("/proc/self/fd"))}
if "numpy" in sys.modules: told["drawn"] = float(sys.modules["numpy"].random.rand())
json.dump(told, open(os.environ["SWEEP_RESULT"], "w"))
"""


def job_of(path: Path, *ways: str) -> Packed:
    job = Packed(path, *ways)
    (job.work / "p.py").write_text(PROGRAM)
    (job.work / "heavy.py").write_text(MODULE)
    return job


def told(job: Packed, number: int) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((job.store.trial_folder(job.trials[number]) / "r.json").read_text())
    return made


def imports(job: Packed) -> int:
    return len((job.work / "imported").read_text().splitlines())


def test_each_trial_finds_what_a_fresh_interpreter_would_have(tmp_path: Path) -> None:
    fresh, forked = job_of(tmp_path / "a", "x", "y"), job_of(tmp_path / "b", "x", "y", "z")
    assert fresh.start().wait(30) == 0
    assert forked.start(preload="heavy").wait(30) == 0
    assert (imports(fresh), imports(forked)) == (2, 1)
    for number, way in enumerate(("x", "y")):
        one, other = told(fresh, number), told(forked, number)
        assert other["kept"] == [way]  # nothing is left of the trial before
        for same in ("argv", "main", "session", "seed", "stdin", "gpus", "open"):
            assert one[same] == other[same], same
        assert other["path"] == other["cwd"] == str(forked.work)
        log = (forked.store.trial_folder(forked.trials[number]) / "log.txt").read_text()
        assert log == f"out of {way}\n"


def test_a_module_is_run_as_one(tmp_path: Path) -> None:
    job = job_of(tmp_path, "x")
    (job.work / "tool").mkdir()
    (job.work / "tool/__main__.py").write_text(PROGRAM)
    trial = job.trials[0]
    argv = (trial.argv[0], "-m", "tool", "x")
    job.store.add_trials(
        [type(trial)(**{name: getattr(trial, name) for name in trial.__slots__} | {"argv": argv})]
    )
    path = job.store.path / "trials.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[-1])  # at the offset that the job's table has
    assert job.start(preload="heavy").wait(30) == 0
    made = told(job, 0)
    assert made["main"] == "__main__"
    assert made["argv"] == [str(job.work / "tool/__main__.py"), "x"]


def test_one_that_crashes_takes_no_other_along(tmp_path: Path) -> None:
    job = job_of(tmp_path, "dies", "fails", "exits", "fine")
    assert job.start(preload="heavy").wait(30) == 0
    ends = [(job.record(n)["exit_code"], job.record(n)["signal"]) for n in range(4)]
    assert ends == [(None, 11), (1, None), (3, None), (0, None)]
    assert imports(job) == 1
    assert "ValueError: as told" in (job.store.trial_folder(job.trials[1]) / "log.txt").read_text()
    assert all(job.record(n)["cpu_s"] > 0 and job.record(n)["peak_memory_mib"] > 1 for n in range(4))


def test_without_the_process_that_forks_trials_start_by_themselves(tmp_path: Path) -> None:
    job = job_of(tmp_path, "kills its parent", "fine", "fine too")
    assert job.start(preload="heavy").wait(30) == 0
    assert job.record(0)["signal"] == signal.SIGKILL
    assert [job.record(n)["exit_code"] for n in (1, 2)] == [0, 0]
    assert told(job, 1)["kept"] == ["fine"]


@pytest.mark.parametrize("preload", ["no_such_module", "heavy,broken"])
def test_a_module_that_cannot_be_imported(tmp_path: Path, preload: str) -> None:
    job = job_of(tmp_path, "x", "y")
    (job.work / "broken.py").write_text("1 / 0")
    assert job.start(preload=preload).wait(30) == 0
    assert [job.record(n)["exit_code"] for n in (0, 1)] == [0, 0]


def test_a_signal_reaches_the_trial_and_only_the_trial(tmp_path: Path) -> None:
    job = job_of(tmp_path, "sleeps")
    worker = job.start(preload="heavy")
    job.until(1)
    os.killpg(worker.pid, signal.SIGTERM)  # as a scheduler does, to all that it sees
    assert worker.wait(20) == -signal.SIGTERM
    assert job.record(0)["signal"] == signal.SIGTERM
    assert job.record(0)["told"] == ["SIGTERM"]


def test_a_worker_that_is_killed_takes_all_with_it(tmp_path: Path) -> None:
    job = job_of(tmp_path, "sleeps")
    worker = job.start(preload="heavy")
    job.until(1)
    below = psutil.Process(worker.pid).children(recursive=True)
    assert len(below) >= 2
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive


def test_no_two_trials_draw_the_same_numbers(tmp_path: Path) -> None:
    job = job_of(tmp_path, "x", "y", "z")
    assert job.start(preload="numpy").wait(60) == 0
    assert len({told(job, n)["drawn"] for n in range(3)}) == 3


def test_nothing_grows_over_fifty_trials(tmp_path: Path) -> None:
    """Measured twice in the same state: while it waits for a trial that sleeps."""
    job = job_of(tmp_path, *(f"n{n}" for n in range(5)), "sleeps", *(f"n{n}" for n in range(50)), "sleeps too")
    worker = job.start(preload="heavy")
    memory_mib, descriptors = [], []
    for trials in (6, 57):
        job.until(trials)
        [server] = [
            child for child in psutil.Process(worker.pid).children() if "preload.py" in " ".join(child.cmdline())
        ]
        memory_mib.append(server.memory_info().rss / 2**20)
        descriptors.append(server.num_fds())
        for trial in server.children():
            trial.kill()
    assert imports(job) == 1
    assert memory_mib[1] - memory_mib[0] < 1, memory_mib  # 20 KiB a trial
    assert descriptors[1] == descriptors[0]
    worker.kill()
    worker.wait()
