"""What descends from a trial ends with it, wherever it has placed itself and however the trial is run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sweep.node import processes
from tests.test_worker import Packed

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="no /proc here. To try it: run the tests on Linux"
)

#: What gets away from a trial: it takes memory, notes its pid and sleeps. It ignores the signals that ask it to end.
RUNAWAY = """\
import os, signal, sys, time
for name in ("SIGTERM", "SIGINT", "SIGHUP"): signal.signal(getattr(signal, name), signal.SIG_IGN)
_, folder, way, mib = sys.argv
hog = bytearray(int(mib) << 20)
hog[::4096] = b"x" * len(hog[::4096])
os.chdir(folder)
with open(way + ".new", "w") as out: out.write(str(os.getpid()))
os.rename(way + ".new", way + ".runaway")
time.sleep(120)
"""

#: A trial's program lets a process get away in each of these ways. Its argument: whether it ends; MiB for each.
PROGRAM = """\
import os, subprocess, sys, threading, time
then, mib = sys.argv[1].split()
here = os.getcwd()
def runaway(way): return [sys.executable, os.path.join(here, "runaway.py"), here, way, mib]
def fork_twice(way, environment):
    argv = runaway(way)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 100)
            os.chdir("/")
            os.execve(argv[0], argv, environment)
        os._exit(0)
    os.wait()
def from_a_thread(way):
    start = lambda: (subprocess.Popen(runaway(way), start_new_session=True), time.sleep(120))
    threading.Thread(target=start, daemon=True).start()
def bash(way, line):
    subprocess.Popen(["bash", "-c", line, "bash", *runaway(way)])
ways = {
    "background": lambda way: subprocess.Popen(runaway(way)),
    "group": lambda way: subprocess.Popen(runaway(way), preexec_fn=os.setpgrp),
    "session": lambda way: subprocess.Popen(runaway(way), start_new_session=True),
    "job control": lambda way: bash(way, 'set -m; "$@" & wait'),
    "timeout": lambda way: bash(way, 'timeout 120 "$@"; true'),
    "nohup setsid": lambda way: bash(way, 'nohup setsid "$@" >/dev/null 2>&1 &'),
    "double fork": lambda way: fork_twice(way, dict(os.environ)),
    "double fork without variables": lambda way: fork_twice(way, {}),
    "thread": from_a_thread,
}
for way, start in ways.items(): start(way)
while sum(name.endswith(".runaway") for name in os.listdir(here)) < len(ways): time.sleep(0.02)
if then == "stays": time.sleep(120)
open(os.environ["SWEEP_RESULT"], "w").write("{}")
"""

WAYS = 9


class Runaways(Packed):
    """A job whose first trial lets a process get away in each way."""

    def __init__(self, path: Path, argument: str) -> None:
        super().__init__(path, argument)
        (self.work / "p.py").write_text(PROGRAM)
        (self.work / "runaway.py").write_text(RUNAWAY)
        (self.work / "heavy.py").write_text("")

    def run(self, how: str, *, walltime_s: int = 60, memory_mib: int = 1000) -> subprocess.Popen[bytes]:
        """Start the job's node.py, or its worker."""
        if how != "alone":
            preload = "heavy" if how == "preloaded" else ""
            return self.start(preload=preload, walltime_s=walltime_s, memory_mib=memory_mib)
        argv = [
            sys.executable, "-I", "-S", str(self.store.runners.folder / "node.py"), "--folder", str(self.store.path), "--job",
            "j0001", "--index", "0", "--workdir", str(self.work), "--result", "r.json", "--heartbeat-s", "0.2",
        ]  # fmt: skip
        return subprocess.Popen(argv, start_new_session=True)

    def runaways(self) -> dict[str, psutil.Process]:
        """Return the process that got away in each way, once all have."""
        until(lambda: len(list(self.work.glob("*.runaway"))) == WAYS)
        return {path.stem: psutil.Process(int(path.read_text())) for path in self.work.glob("*.runaway")}


def until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def alive(runaways: dict[str, psutil.Process]) -> list[str]:
    return sorted(way for way, process in runaways.items() if lives(process))


HOW = pytest.mark.parametrize("how", ["alone", "packed", "preloaded"])


@HOW
def test_with_its_end(tmp_path: Path, how: str) -> None:
    job = Runaways(tmp_path, "ends 1")
    assert job.run(how).wait(60) == 0
    pids = {path.stem: int(path.read_text()) for path in job.work.glob("*.runaway")}
    assert len(pids) == WAYS
    assert not [way for way, pid in pids.items() if psutil.pid_exists(pid)]
    assert (job.record(0)["exit_code"], job.record(0)["stopped"]) == (0, False)


@HOW
def test_with_its_job(tmp_path: Path, how: str) -> None:
    """The scheduler ends the job: by SIGTERM to its first process, at first."""
    job = Runaways(tmp_path, "stays 1")
    process = job.run(how)
    runaways = job.runaways()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    assert not alive(runaways)
    assert job.record(0)["signals"] == ["SIGTERM"]


@pytest.mark.parametrize("how", ["packed", "preloaded"])
@pytest.mark.parametrize("why", ["cancel", "walltime", "memory"])
def test_when_a_worker_ends_it(tmp_path: Path, how: str, why: str) -> None:
    job = Runaways(tmp_path, "stays 30" if why == "memory" else "stays 1")
    process = job.run(how, walltime_s=6 if why == "walltime" else 60, memory_mib=200 if why == "memory" else 1000)
    if why != "memory":  # it may be over before all have got away
        runaways = job.runaways()
    if why == "cancel":
        job.store.ask_to_end(job.trials[0], 1)
    assert process.wait(60) == 0
    if why == "memory":
        assert not [path for path in job.work.glob("*.runaway") if psutil.pid_exists(int(path.read_text()))]
    else:
        assert not alive(runaways)
    assert job.record(0)["stopped"]
    assert job.record(0)["limit"] == ("" if why == "cancel" else why)


@HOW
def test_with_its_runner_or_worker(tmp_path: Path, how: str) -> None:
    """SIGKILL, which nothing can catch."""
    job = Runaways(tmp_path, "stays 1")
    process = job.run(how)
    runaways = job.runaways()
    until(lambda: bool(job.record(0).get("heartbeat_at")))
    process.kill()
    process.wait()
    until(lambda: not alive(runaways))
    assert not job.record(0)["ended"]


@HOW
def test_its_use_is_that_of_all(tmp_path: Path, how: str) -> None:
    job = Runaways(tmp_path, "stays 30")
    process = job.run(how)
    job.runaways()
    until(lambda: job.record(0).get("memory_mib", 0) > WAYS * 30)
    process.terminate()
    process.wait(30)
    assert job.record(0)["peak_memory_mib"] > WAYS * 30


@HOW
def test_with_the_whole_session(tmp_path: Path, how: str) -> None:
    """PBS kills all of a job's session at once, and nothing else."""
    job = Runaways(tmp_path, "stays 1")
    process = job.run(how)
    runaways = job.runaways()
    until(lambda: bool(job.record(0).get("heartbeat_at")))
    for other in psutil.process_iter():
        if session_of(other.pid) == process.pid:
            other.kill()
    process.wait()
    until(lambda: not alive(runaways))


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


@HOW
def test_the_local_queue_outlives_the_trial_that_started_it(tmp_path: Path, how: str) -> None:
    """Its manager runs the jobs of others, too; so does what it runs."""
    job = Runaways(tmp_path, "ends 1")
    (job.work / "job.sh").write_text("sleep 2; touch survived\n")
    (job.work / "p.py").write_text(
        "import os, subprocess, sys\n"
        f"os.environ['SWEEP_LOCAL_SPOOL'] = {str(tmp_path / 'spool')!r}\n"
        f"subprocess.run([sys.executable, '-m', 'sweep.localbatch', 'submit', 'job.sh'], check=True,\n"
        f"               env=dict(os.environ, PYTHONPATH={str(Path(__file__).parent.parent)!r}))\n"
        "open(os.environ['SWEEP_RESULT'], 'w').write('{}')\n"
    )
    assert job.run(how).wait(60) == 0
    assert job.record(0)["exit_code"] == 0
    assert not (job.work / "survived").exists()
    until(lambda: (job.work / "survived").exists())


@pytest.mark.parametrize("again", [False, True])
def test_a_process_that_has_the_pid_of_another_is_left_alone(again: bool) -> None:
    process = subprocess.Popen(["sleep", "60"])
    reading, writing = os.pipe()
    line = b"%d %s\n" % (process.pid, processes.birth(process.pid).encode())
    os.write(writing, line[:3])
    os.write(writing, line[3:] if again else b"")
    os.close(writing)
    processes.end_at_eof(reading, b"%d 1\n" % process.pid)
    if not again:
        assert process.poll() is None
        process.kill()
    assert process.wait(10) == -signal.SIGKILL


def test_a_manager_that_was_seen_before_it_was_one_is_spared(tmp_path: Path) -> None:
    """Between its fork and its exec it looks like the trial's own process: a sample may fall there."""
    program = tmp_path / "localbatch" / "__main__.py"
    program.parent.mkdir()
    program.write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    manager = subprocess.Popen([sys.executable, str(program), "manage", "spool"], stdout=subprocess.PIPE)
    assert manager.stdout
    assert manager.stdout.readline() == b"ready\n"
    reading, writing = os.pipe()
    os.close(writing)
    processes.end_at_eof(reading, b"%d %s\n" % (manager.pid, processes.birth(manager.pid).encode()))
    os.close(reading)
    assert manager.poll() is None
    manager.kill()
    manager.wait(10)
