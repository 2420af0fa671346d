"""node.py and runner.py: claims, signals, records. They run as on a node: copied files and a bare python3."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.model import Job, Resources, Task, Trial
from sweep.node import claim as claims
from sweep.node import command as node_command
from sweep.node import runner
from sweep.store import Shelf, Store
from tests.conftest import AWKWARD


class Folder:
    """A sweep's folder with one trial in it."""

    def __init__(self, path: Path) -> None:
        self.store: Store = Shelf(path).create("toy")
        self.work = path / AWKWARD
        self.work.mkdir()

    def plan(self, *argv: str) -> None:
        resources = Resources(60, 100, 2)
        filler = [Trial(n, f"{n:016x}", {}, 0, 0, resources, ("true",)) for n in range(5)]
        self.trial = Trial(5, "ab34" * 4, {"x": "ü'\n"}, 2, 77, resources, argv)
        self.store.runners.install()
        self.store.add_trials([*filler, self.trial])
        self.store.write_job(
            Job("j0001", resources, (Task(1, 1), Task(5, 1))), "#!/bin/sh\n", self.store.trials().offsets
        )

    def argv(self, **options: str) -> list[str]:
        options = {
            "folder": str(self.store.path), "job": "j0001", "index": "1", "workdir": str(self.work),
            "result": "segMeasure.json", "job-id": "9", "job-name": "toy.j0001.aa", "heartbeat-s": "0.2",
        } | options  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [sys.executable, "-I", "-S", str(self.store.runners.folder / "node.py"), *words]

    def run(self, **options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(**options), capture_output=True, text=True, timeout=60, check=False)

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.store.trial_folder(self.trial) / "attempt-1.json").read_text())  # type: ignore[no-any-return]

    @property
    def log(self) -> str:
        return self.store.trial_log(self.trial).read_text()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the condition is not met after 20 s"
            time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


PYTHON = sys.executable


def test_a_trial_is_run_and_recorded_and_knows_itself(folder: Folder) -> None:
    code = "import os, json; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('SWEEP')})); print(os.getcwd())"
    folder.plan(PYTHON, "-c", code)
    done = folder.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    variables, cwd = folder.log.splitlines()
    env = json.loads(variables)
    own = folder.store.trial_folder(folder.trial)
    assert env["SWEEP_TRIAL"] == folder.trial.id
    assert env["SWEEP_FOLDER"] == str(own)
    assert env["SWEEP_RESULT"] == str(own / "segMeasure.json")
    assert (env["SWEEP_SEED"], env["SWEEP_REPLICATE"], env["SWEEP_CPUS"]) == ("77", "2", "2")
    assert json.loads(env["SWEEP_PARAMS"]) == {"x": "ü'\n"}
    assert cwd == str(folder.work)
    record = folder.record
    assert (record["exit_code"], record["signal"], record["ended"]) == (0, None, True)
    assert (record["job_id"], record["job_name"], record["index"], record["host"]) == (
        "9",
        "toy.j0001.aa",
        1,
        os.uname().nodename,
    )
    assert {path.name for path in own.iterdir()} == {"attempt-1.json", "log.txt"}


def test_cpu_and_memory_of_the_whole_tree_are_measured(folder: Folder) -> None:
    burn = "import time; b = bytearray(60_000_000); t = time.process_time()\nwhile time.process_time() - t < 0.7: pass"
    folder.plan(
        PYTHON,
        "-c",
        f"import subprocess, sys; [p.wait() for p in [subprocess.Popen([sys.executable, '-c', {burn!r}]) for _ in 'ab']]",
    )
    assert folder.run().returncode == 0
    record = folder.record
    assert 1.4 <= record["cpu_s"] < 4
    assert record["elapsed_s"] >= 0.7
    assert record["peak_memory_mib"] > 2 * 57  # two children of 57 MiB each, side by side


def test_exit_codes_are_passed_on(folder: Folder) -> None:
    folder.plan("sh", "-c", "echo said >&2; exit 7")
    assert folder.run().returncode == 7
    assert folder.record["exit_code"] == 7
    assert folder.log == "said\n"


def test_ending_by_a_signal_is_passed_on(folder: Folder) -> None:
    folder.plan("sh", "-c", "kill -SEGV $$")
    assert folder.run().returncode == -signal.SIGSEGV
    assert (folder.record["exit_code"], folder.record["signal"]) == (None, signal.SIGSEGV)


@pytest.mark.parametrize(("argv", "code"), [(("/no/such/program",), 127), (("/etc/passwd",), 126)])
def test_a_command_that_cannot_start_says_so(folder: Folder, argv: tuple[str, ...], code: int) -> None:
    folder.plan(*argv)
    assert folder.run().returncode == code
    assert "cannot start" in folder.record["error"]
    assert "cannot start" in folder.log


def test_a_missing_workdir_says_so(folder: Folder) -> None:
    folder.plan("true")
    assert folder.run(workdir="/no/such/folder").returncode != 0
    assert "/no/such/folder" in folder.record["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_reach_the_command_and_are_noted(folder: Folder, number: signal.Signals) -> None:
    code = f"import signal, sys, time; signal.signal({int(number)}, lambda *_: sys.exit(75)); print('ready', flush=True); time.sleep(60)"
    folder.plan(PYTHON, "-c", code)
    process = subprocess.Popen(folder.argv())
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and "ready" in folder.log)
    process.send_signal(number)
    assert process.wait(20) == 75
    assert folder.record["signals"] == [number.name]
    assert folder.record["exit_code"] == 75


@pytest.mark.parametrize("all_processes", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_command_gets_each_signal_once(folder: Folder, number: signal.Signals, *, all_processes: bool) -> None:
    """PBS signals all processes of a job; Slurm, where it warns, the first one alone."""
    process, members = saving(folder)
    for pid in reversed(members) if all_processes else [process.pid]:
        os.kill(pid, number)
    assert process.wait(20) == 75
    assert folder.log.split() == ["ready", number.name]
    assert folder.record["signals"] == [number.name]


def test_two_signals_at_once_each_come_once(folder: Folder) -> None:
    """At its walltime Slurm's warning and its SIGTERM may come together."""
    process, members = saving(folder)
    for pid in reversed(members):
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGTERM)
    assert process.wait(20) == 75
    assert sorted(folder.log.split()) == ["SIGTERM", "SIGUSR1", "ready"]
    assert sorted(folder.record["signals"]) == ["SIGTERM", "SIGUSR1"]


#: A process with a bystander, which counts the signals that the bystander has not got. `other` is its process.
WITH_BYSTANDER = """\
import os, signal, time
import psutil
from sweep.node import bystander as module
module.ALL_TOLD_S = {all_told_s}
bystander, numbers, handled, passed_on = module.Bystander(), (signal.SIGUSR1, signal.SIGTERM), [], []
bystander.begin()
def forward(number, frame):
    handled.append(number)
    bystander.unless_all_got(number, lambda: passed_on.append(number))
for number in numbers:
    signal.signal(number, forward)
[other] = [each.pid for each in psutil.Process().children()]
"""

#: Twenty times, each process is sent both. The next turn begins when both are dealt with: else two would be one.
INTERRUPTED = """\
dealt_with, told = os.pipe()
def forward_and_tell(number, frame):
    forward(number, frame)
    os.write(told, b".")
for number in numbers:
    signal.signal(number, forward_and_tell)
if os.fork() == 0:
    for turn in range(20):
        for pid in (os.getppid(), other):
            for number in numbers:
                time.sleep(0.01)
                os.kill(pid, number)
        for number in numbers:
            os.read(dealt_with, 1)
    os._exit(0)
while len(handled) < 40:
    time.sleep(0.01)
print(len(passed_on))
"""

BUSY = """\
os.kill(other, signal.SIGSTOP)
if os.fork() == 0:
    time.sleep(1)
    os.kill(other, signal.SIGCONT)
    os._exit(0)
os.kill(other, signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGUSR1)
print(*passed_on)
"""


#: Both processes stand still for longer than one waits for the other, and the bystander goes on last.
FROZEN = """\
module.LATE_S = 3.0
runner = os.getpid()
if os.fork() == 0:
    os.kill(other, signal.SIGSTOP)
    for pid in (runner, other):
        os.kill(pid, signal.SIGUSR1)
    time.sleep(0.5)
    os.kill(runner, signal.SIGSTOP)
    time.sleep(3.5)
    os.kill(runner, signal.SIGCONT)
    time.sleep(0.3)
    os.kill(other, signal.SIGCONT)
    os._exit(0)
while not handled:
    time.sleep(0.01)
print(len(passed_on))
"""


@pytest.mark.parametrize(
    ("all_told_s", "code", "passed_on"),
    [(10, INTERRUPTED, "0"), (0.1, BUSY, str(int(signal.SIGUSR1))), (0.1, FROZEN, "0")],
    ids=["interrupted", "busy", "frozen"],
)
def test_a_signal_that_all_processes_got_is_not_passed_on(all_told_s: float, code: str, passed_on: str) -> None:
    """Also where a second one comes meanwhile, where the node is too busy to run all of them at once, and where it freezes."""
    code = WITH_BYSTANDER.replace("{all_told_s}", str(all_told_s)) + code
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == [passed_on]


def test_a_bystander_that_begins_late_misses_no_signal() -> None:
    code = """
import os, signal, time
from sweep.node.bystander import Bystander
class Late(Bystander):
    @staticmethod
    def _stand_by(*arguments):
        until_s = time.monotonic() + 1
        while time.monotonic() < until_s:
            pass
        Bystander._stand_by(*arguments)
bystander, passed_on = Late(), []
bystander.begin()
for number in (signal.SIGUSR1, signal.SIGTERM):
    os.kill(bystander.pid, number)
    bystander.unless_all_got(number, lambda: passed_on.append(number))
print(passed_on)
"""
    assert subprocess.check_output([PYTHON, "-c", code], text=True) == "[]\n"


def saving(folder: Folder) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a trial that prints the signals it gets, and saves; with it, all processes of its job."""
    code = (
        "import signal, sys, time\n"
        "got = []\n"
        "def note(number, _):\n"
        "    got.append(number)\n"
        "    print(signal.Signals(number).name, flush=True)\n"
        "for number in (signal.SIGUSR1, signal.SIGTERM):\n"
        "    signal.signal(number, note)\n"
        "print('ready', flush=True)\n"
        "while not got:\n"
        "    time.sleep(0.05)\n"
        "time.sleep(2)\n"
        "sys.exit(75)\n"
    )
    folder.plan(PYTHON, "-c", code)
    process = subprocess.Popen(folder.argv(), start_new_session=True)
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and "ready" in folder.log)
    members = [pid for pid in psutil.pids() if session_of(pid) == process.pid]
    assert len(members) >= 3  # the runner, its bystander, and the command
    return process, members


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:  # it has just ended
        return 0


def test_a_command_that_ends_before_its_runner_is_told_was_told(folder: Folder) -> None:
    folder.plan(PYTHON, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    bystander = folder.store.runners.folder / "bystander.py"
    patient = bystander.read_text().replace("ALL_TOLD_S = 0.3", "ALL_TOLD_S = 3.0")  # this test, too, may be slow
    assert patient != bystander.read_text()
    bystander.write_text(patient)
    process = subprocess.Popen(folder.argv())
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and folder.log.strip().isdigit())
    os.kill(int(folder.log), signal.SIGTERM)
    folder.wait_until(lambda: not psutil.pid_exists(int(folder.log)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert folder.record["signals"] == ["SIGTERM"]


def test_the_record_of_a_running_trial_shows_its_use(folder: Folder) -> None:
    folder.plan(PYTHON, "-c", "b = bytearray(50_000_000)\nwhile True: pass")
    process = subprocess.Popen(folder.argv())
    own = folder.store.trial_folder(folder.trial) / "attempt-1.json"
    folder.wait_until(
        lambda: own.exists() and folder.record.get("memory_mib", 0) > 48 and folder.record["cpu_s"] > 0.1
    )
    assert folder.record["ended"] is False
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM


def test_killing_the_runner_kills_the_command(folder: Folder) -> None:
    folder.plan(PYTHON, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    process = subprocess.Popen(folder.argv())
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and folder.log.strip().isdigit())
    child = psutil.Process(int(folder.log))
    process.kill()
    process.wait()
    child.wait(10)
    assert folder.record["ended"] is False  # no process is left to record the end; the claim stays


def test_what_the_command_left_running_is_ended(folder: Folder) -> None:
    folder.plan("sh", "-c", "sleep 300 & echo $!")
    assert folder.run().returncode == 0
    folder.wait_until(
        lambda: not psutil.pid_exists(int(folder.log)) or psutil.Process(int(folder.log)).status() == "zombie"
    )


def test_a_second_job_runs_nothing(folder: Folder) -> None:
    folder.plan("sh", "-c", "echo ran")
    assert folder.run().returncode == 0
    other = folder.run(**{"job-id": "10"})
    assert other.returncode == 0
    assert "claimed by another job" in other.stdout
    assert folder.log == "ran\n"
    assert folder.record["job_id"] == "9"
    # The same job does not run it a second time either.
    folder.run()
    assert folder.log == "ran\n"


def test_one_of_many_simultaneous_jobs_runs_the_trial(folder: Folder) -> None:
    folder.plan("sh", "-c", "echo ran; sleep 0.5")
    processes = [subprocess.Popen(folder.argv(**{"job-id": str(n)}), stdout=subprocess.DEVNULL) for n in range(12)]
    assert {process.wait(60) for process in processes} == {0}
    assert folder.log == "ran\n"


def test_a_requeued_task_takes_up_its_own_claim(folder: Folder) -> None:
    folder.plan("sh", "-c", "echo ran")
    own = folder.store.trial_folder(folder.trial)
    own.mkdir(parents=True)
    claim = {"job_id": "9", "job_name": "toy.j0001.aa", "index": 1, "ended": False}
    (own / "attempt-1.json").write_text(json.dumps(claim))
    folder.run(**{"job-name": "toy.j0001.bb"})  # another job with the same id: the counter began again
    assert not (own / "log.txt").exists()
    folder.run()
    assert folder.log == "ran\n"
    assert folder.record["restarts"] == 1


def test_a_requeue_begins_with_a_signal_and_the_rerun_takes_the_claim_up(folder: Folder) -> None:
    """Slurm requeues and pre-empts with SIGTERM: the record says how the first run ended, then the task runs again."""
    code = "import os, signal, sys, time; print('ran', flush=True)\nif not os.path.exists('again'): open('again', 'w').close(); time.sleep(60)"
    folder.plan(PYTHON, "-c", code)
    process = subprocess.Popen(folder.argv())
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and "ran" in folder.log)
    folder.wait_until(lambda: (folder.work / "again").exists())
    process.terminate()
    process.wait(20)
    assert folder.record["ended"] is True
    assert folder.run(**{"job-id": "10"}).returncode == 0  # another job runs nothing
    assert folder.log == "ran\n"
    assert folder.run().returncode == 0
    assert folder.log == "ran\nran\n"
    assert (folder.record["restarts"], folder.record["exit_code"], folder.record["signals"]) == (1, 0, [])


def test_a_claim_whose_runner_lives_is_not_taken_up(folder: Folder) -> None:
    code = "import os, time; print('ran', flush=True)\nwhile not os.path.exists('enough'): time.sleep(0.05)"
    folder.plan(PYTHON, "-c", code)
    first = subprocess.Popen(folder.argv())
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and "ran" in folder.log)
    assert (
        "nothing run" in folder.run(**{"requeue-wait-s": "2"}).stdout
    )  # the same job id, name and task, started twice
    (folder.work / "enough").touch()
    assert first.wait(20) == 0
    assert folder.log == "ran\n"


def test_a_claim_of_another_host_is_taken_up_once_it_stands_still(folder: Folder) -> None:
    """Its node may only be cut off from the scheduler. Its clock is wrong, and does not matter."""
    folder.plan("sh", "-c", "echo ran")
    own = folder.store.trial_folder(folder.trial)
    own.mkdir(parents=True)
    claim = {"job_id": "9", "job_name": "toy.j0001.aa", "index": 1, "ended": False, "host": "elsewhere", "pid": 7}
    second = None
    for beat in range(12):  # it lives
        claims.replace(str(own / "attempt-1.json"), {**claim, "heartbeat_at": 5e9 + beat})
        second = second or subprocess.Popen(folder.argv(**{"heartbeat-s": "1"}))
        time.sleep(0.4)
        assert second.poll() is None
        assert not (own / "log.txt").exists()
    assert second
    assert second.wait(20) == 0
    assert folder.log == "ran\n"
    assert folder.record["restarts"] == 1


def test_a_claim_of_another_host_that_ends_is_not_taken_up(folder: Folder) -> None:
    folder.plan("sh", "-c", "echo ran")
    own = folder.store.trial_folder(folder.trial)
    own.mkdir(parents=True)
    claim = {"job_id": "9", "job_name": "toy.j0001.aa", "index": 1, "ended": False, "host": "elsewhere", "pid": 7}
    claims.replace(str(own / "attempt-1.json"), claim)
    second = subprocess.Popen(folder.argv(**{"heartbeat-s": "10"}))
    time.sleep(0.5)
    end = {**claim, "ended": True, "exit_code": 0, "signal": None}
    claims.replace(str(own / "attempt-1.json"), end)
    assert second.wait(20) == 0
    assert not (own / "log.txt").exists()
    assert folder.record == end


@pytest.mark.parametrize("how", ["while it runs", "at its end"])
def test_who_finds_its_claim_to_be_anothers_writes_nothing(folder: Folder, how: str) -> None:
    folder.plan(PYTHON, "-c", "import time, signal; signal.signal(15, signal.SIG_IGN); print('ran', flush=True)\n"
                f"time.sleep({60 if how == 'while it runs' else 2})")  # fmt: skip
    heartbeat_s = {"heartbeat-s": "0.2" if how == "while it runs" else "60"}
    process = subprocess.Popen(folder.argv(**heartbeat_s), stderr=subprocess.PIPE, text=True)
    folder.wait_until(lambda: folder.store.trial_log(folder.trial).exists() and "ran" in folder.log)
    path = folder.store.trial_folder(folder.trial) / "attempt-1.json"
    others = {**folder.record, "host": "elsewhere", "pid": 7, "restarts": 1}
    claims.replace(str(path), others)
    while folder.record != others:  # a refresh that had been begun before
        claims.replace(str(path), others)
        time.sleep(0.05)
    _, error = process.communicate(timeout=40)
    assert folder.record == others
    assert "was taken up by the same task on another host" in error


def test_an_earlier_result_is_removed(folder: Folder) -> None:
    folder.plan("true")
    own = folder.store.trial_folder(folder.trial)
    own.mkdir(parents=True)
    (own / "segMeasure.json").write_text('{"segMeasure": 1}')
    folder.run()
    assert not (own / "segMeasure.json").exists()


def test_a_failed_environment_line_is_recorded(folder: Folder) -> None:
    folder.plan("true")
    done = subprocess.run([*folder.argv(), "--environment-failed", "127", "module load it's"], check=False)
    assert done.returncode == 127
    assert folder.record["error"] == 'the environment line "module load it\'s" ended with exit code 127'
    assert folder.record["ended"] is True


def test_a_task_that_is_not_there(folder: Folder) -> None:
    folder.plan("true")
    done = folder.run(index="2")
    assert done.returncode == 1
    assert "has no task 2" in done.stderr


def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pauses: list[float] = []
    original, failures = claims.replace, [OSError(28, "No space left on device")] * 2

    def replace(path: str, record: dict[str, Any]) -> None:
        if failures:
            raise failures.pop()
        original(path, record)

    monkeypatch.setattr(claims, "replace", replace)
    monkeypatch.setattr(time, "sleep", pauses.append)
    claims.write_exit_record(str(tmp_path / "r.json"), {"exit_code": 0})
    assert json.loads((tmp_path / "r.json").read_text()) == {"exit_code": 0}
    assert pauses == [0.5, 2.0]


def _old_python() -> str | None:
    """Find the oldest python3 on PATH, from 3.6 on, that is older than the one that runs the tests."""
    for minor in range(6, sys.version_info.minor):
        python = shutil.which(f"python3.{minor}")
        if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


def test_it_runs_on_an_old_python(folder: Folder) -> None:
    old = _old_python()
    if old is None:
        pytest.skip("no python3.6 to python3.10 on PATH. To try it: install one, with uv or pyenv")
    folder.plan("sh", "-c", 'printf %s "$SWEEP_PARAMS"; sleep 0.4; exit 3')
    done = subprocess.run([old, *folder.argv()[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert json.loads(folder.log) == {"x": "ü'\n"}
    assert folder.record["exit_code"] == 3
    assert folder.record["peak_memory_mib"] > 0


def test_the_task_lines_are_as_wide_as_the_store_writes_them(folder: Folder) -> None:
    folder.plan("true")
    table = (folder.store.path / "jobs" / "j0001.tasks").read_bytes()
    assert len(table) == 2 * runner.TASK_LINE_BYTES
    assert runner.read_task(str(folder.store.path), "j0001", 1)[1]["id"] == folder.trial.id


def test_a_claim_and_an_exit_record_have_the_keys_that_new_record_lists(folder: Folder) -> None:
    folder.plan("sh", "-c", 'cat "$SWEEP_FOLDER/attempt-1.json"')
    folder.run()
    assert runner.new_record.__doc__
    listed = set(re.findall(r"``(\w+)``(?=.* : )", runner.new_record.__doc__))
    claim, record = json.loads(folder.log), folder.record
    assert claim.keys() < record.keys()
    assert record.keys() | {"restarts", "heartbeat_at", "given_back", "rule"} == listed


def test_a_record_of_a_withdrawn_attempt_has_the_keys_of_a_record(folder: Folder) -> None:
    folder.plan("true")
    assert folder.store.withdraw(folder.trial, 1)
    assert folder.record == runner.withdrawn_record(folder.trial.id, 5, 1)
    assert "nothing run" in folder.run().stdout


def test_the_variables_of_a_trial_alone_are_among_those_of_its_command(folder: Folder) -> None:
    folder.plan("true")
    trial = dataclasses.asdict(folder.trial)
    variables = node_command.variables_of_trial(trial, "/trial")
    assert variables.keys() == {"SWEEP_SEED", "SWEEP_REPLICATE", "SWEEP_CPUS", "SWEEP_PARAMS"}
    assert variables.items() <= node_command.variables_of_command(trial, 1, "/trial", "r.json").items()


def test_a_later_attempt_is_marked_in_the_log(folder: Folder) -> None:
    folder.plan("echo", "said")
    job = Job("j0001", folder.trial.resources, (Task(1, 1), Task(5, 2)))
    folder.store.write_job(job, "#!/bin/sh\n", folder.store.trials().offsets)
    folder.run()
    mark, printed = folder.log.splitlines()
    assert mark.startswith(f"{runner.ATTEMPT_MARK}2, ")
    assert mark.endswith(", job 9 ---")
    assert printed == "said"


def test_an_option_that_is_not_there_is_named(folder: Folder) -> None:
    folder.plan("true")
    done = folder.run(workers="3")
    assert done.returncode == 1
    assert "cannot take the option --workers" in done.stderr


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="no /proc here. To try it: run the tests on Linux"
)
def test_what_a_thread_started_is_counted(folder: Folder) -> None:
    """Linux lists a process's children by the thread that forked them."""
    grandchild = "x = bytearray(80 << 20); x[::4096] = b'x' * len(x[::4096]); import time; time.sleep(60)"
    folder.plan(
        sys.executable, "-c",
        "import subprocess, sys, threading, time\n"
        f"start = lambda: subprocess.Popen([sys.executable, '-c', {grandchild!r}])\n"
        "thread = threading.Thread(target=lambda: (start(), time.sleep(60)), daemon=True)\n"
        "thread.start(); time.sleep(60)",
    )  # fmt: skip
    process = subprocess.Popen(folder.argv())
    try:
        path = folder.store.trial_folder(folder.trial) / "attempt-1.json"
        folder.wait_until(lambda: path.exists() and (folder.record.get("memory_mib") or 0) > 80)
    finally:
        process.terminate()
        process.wait(30)
    assert folder.record["peak_memory_mib"] > 80
