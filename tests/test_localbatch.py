"""The local batch system, tested through its own commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.localbatch.manager import Manager
from sweep.localbatch.spool import Machine
from tests.conftest import Sandbox


class Queue:
    """A spool of its own, on a machine of four CPUs and 1000 MiB."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.sandbox.env["SWEEP_LOCAL_MEMORY_MIB"] = "1000"

    def run(self, *argv: str, code: int = 0) -> str:
        ran = self.sandbox.run(sys.executable, "-m", "sweep.localbatch", *argv)
        assert ran.code == code, ran.err
        return ran.out.strip() if code == 0 else ran.err

    def submit(self, body: str, *options: str) -> str:
        script = self.sandbox.write("job.sh", f"#!/bin/bash\n{body}\n")
        return self.run("submit", *options, str(script))

    def tasks(self, *ids: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("status", *ids).splitlines()]

    def states(self, *ids: str) -> list[str]:
        return [task["state"] for task in self.tasks(*ids)]

    def until(self, condition: Callable[[], bool], timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.tasks()
            time.sleep(0.05)

    def ended(self, *ids: str) -> bool:
        return all(state not in ("PENDING", "RUNNING") for state in self.states(*ids))

    def manager(self) -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "manage" in line and str(self.sandbox.env["SWEEP_LOCAL_SPOOL"]) in line:
                return process
        return None


@pytest.fixture
def queue(sandbox: Sandbox) -> Queue:
    return Queue(sandbox)


def test_a_job_runs_where_and_as_it_was_submitted(queue: Queue) -> None:
    body = 'echo "$PWD|$SWEEP_LOCAL_JOB_ID|$SWEEP_LOCAL_JOB_NAME|${SWEEP_LOCAL_TASK_ID-none}|$MINE" > out; exit 3'
    job = queue.submit(body, "--name", "a b", "--set", "MINE=x y")
    assert job.startswith("1.")
    queue.until(queue.ended)
    assert (queue.sandbox.path / "out").read_text() == f"{queue.sandbox.path}|{job}|a b|none|x y\n"
    [task] = queue.tasks(job)
    assert (task["state"], task["exit_code"], task["name"], task["index"]) == ("FAILED", 3, "a b", None)
    assert task["elapsed_s"] >= 0
    assert task["cpu_s"] is not None


def test_directives_and_the_command_line(queue: Queue) -> None:
    queue.submit(
        "#LOCAL --array=0-3%2\n#LOCAL --cpus=1 --name=fromscript\ntouch ran.$SWEEP_LOCAL_TASK_ID",
        "--name",
        "given",
    )
    queue.until(queue.ended)
    assert [(task["index"], task["name"], task["state"]) for task in queue.tasks()] == [
        (index, "given", "COMPLETED") for index in range(4)
    ]
    assert len(list(queue.sandbox.path.glob("ran.*"))) == 4


OVERLAP = """
mkdir -p now; touch now/$SWEEP_LOCAL_TASK_ID
ls now | wc -l > most.$SWEEP_LOCAL_TASK_ID; sleep 0.4; rm now/$SWEEP_LOCAL_TASK_ID"""


@pytest.mark.parametrize(
    ("options", "at_once"),
    [
        (["--array=0-7"], 4),
        (["--array=0-5", "--cpus=2"], 2),
        (["--array=0-3", "--memory-mib=600"], 1),
        (["--array=0-4%3"], 3),
    ],
)
def test_cpus_memory_and_throttle_are_kept(queue: Queue, options: list[str], at_once: int) -> None:
    queue.submit(OVERLAP, *options)
    queue.until(queue.ended)
    counts = [int(path.read_text()) for path in queue.sandbox.path.glob("most.*")]
    assert max(counts) <= at_once
    assert max(counts) >= at_once - 1  # the last to start counted the others, except one that may just have ended


def test_a_job_that_never_fits_is_refused(queue: Queue) -> None:
    script = str(queue.sandbox.write("job.sh", "true\n"))
    assert "cpus=5; this machine has 4" in queue.run("submit", "--cpus", "5", script, code=2)
    assert "memory_mib=2000" in queue.run("submit", "--memory-mib", "2000", script, code=2)
    assert "cannot read" in queue.run("submit", "nothing.sh", code=2)
    assert "is not FIRST-LAST" in queue.run("submit", "--array", "3-1", script, code=2)
    assert queue.tasks() == []


def test_walltime_ends_a_job(queue: Queue) -> None:
    queue.submit("sleep 60", "--walltime-s", "1")
    queue.until(queue.ended)
    [task] = queue.tasks()
    assert (task["state"], task["signal"]) == ("TIMEOUT", signal.SIGTERM)
    assert 1 <= task["elapsed_s"] < 10


def test_cancel_whole_jobs_single_tasks_and_unknown_ones(queue: Queue) -> None:
    job = queue.submit("sleep 60", "--array=0-5%2")
    queue.until(lambda: queue.states(job).count("RUNNING") == 2)
    unknown = "999" + job[job.index(".") :]
    queue.run("cancel", f"{job}_0", f"{job}_5", unknown)
    queue.until(lambda: queue.states(job).count("CANCELLED") == 2)
    assert queue.tasks(job)[5]["state"] == "CANCELLED"
    assert not queue.ended(job)
    queue.run("cancel", job)
    queue.until(lambda: set(queue.states(job)) == {"CANCELLED"})
    queue.run("cancel", job)  # safe to repeat
    assert "is not a job id" in queue.run("cancel", "x", code=2)


def test_another_hosts_or_users_queue_does_not_answer_for_ours(queue: Queue) -> None:
    """The sweep's folder is shared and the queue is not. So a queue must not call another queue's job unknown."""
    job = queue.submit("sleep 60")
    there, here = queue.tasks("1.elsewhere-ab12", job)
    assert there == {"id": "1.elsewhere-ab12", "queue": "elsewhere-ab12"}
    assert here["id"] == job
    assert "is in the queue 'elsewhere-ab12'" in queue.run("cancel", "1.elsewhere-ab12", code=3)
    queue.run("cancel", job)


def test_a_task_that_ignores_sigterm_is_killed_with_all_its_children(queue: Queue) -> None:
    body = "trap '' TERM; setsid bash -c \"trap '' TERM; echo \\$\\$ > child; sleep 300\" & sleep 300; sleep 300"
    job = queue.submit(body)
    written = queue.sandbox.path / "child"
    queue.until(lambda: written.exists() and written.read_text() != "")
    child = psutil.Process(int(written.read_text()))
    queue.run("cancel", job)
    queue.until(lambda: queue.states(job) == ["CANCELLED"], timeout_s=30)
    queue.until(lambda: not child.is_running() or child.status() == "zombie")


def test_a_task_that_submits_does_not_pass_on_its_own_index(queue: Queue) -> None:
    queue.sandbox.env["SWEEP_LOCAL_TASK_ID"] = "7"
    queue.submit('echo "${SWEEP_LOCAL_TASK_ID-none}" > out')
    queue.until(queue.ended)
    assert (queue.sandbox.path / "out").read_text() == "none\n"


def test_a_relative_spool_is_where_it_was_named(queue: Queue) -> None:
    queue.sandbox.env["SWEEP_LOCAL_SPOOL"] = "./sp ool"
    queue.submit("true")
    queue.until(queue.ended)
    assert queue.states() == ["COMPLETED"]


def test_a_users_own_modules_do_not_stand_in_for_pythons(queue: Queue) -> None:
    queue.sandbox.write("socket.py", "raise SystemExit('mine')")
    queue.sandbox.write("sweep.py", "raise SystemExit('mine')")
    script = str(queue.sandbox.write("job.sh", "true\n"))
    ran = queue.sandbox.run(sys.executable, "-P", "-m", "sweep.localbatch", "submit", script)
    assert ran.code == 0, ran.err


def test_a_request_that_cannot_be_read_stops_nothing(queue: Queue) -> None:
    queue.submit("true")
    queue.until(queue.ended)
    (Path(queue.sandbox.env["SWEEP_LOCAL_SPOOL"]) / "jobs" / "5.json").write_text("")
    job = queue.submit("true")
    queue.until(lambda: queue.states(job) == ["COMPLETED"])


def test_a_job_outlives_the_terminal(queue: Queue) -> None:
    """The submitting shell's whole process group is killed; the job is not."""
    script = queue.sandbox.write("job.sh", "sleep 1; touch survived\n")
    line = f"{shlex.quote(sys.executable)} -m sweep.localbatch submit '{script.name}'; kill -HUP 0"
    queue.sandbox.run("setsid", "-w", "bash", "-c", line)
    queue.until(lambda: (queue.sandbox.path / "survived").exists())


def test_the_manager_ends_with_the_queue_and_there_is_one(queue: Queue) -> None:
    for _ in range(4):
        queue.submit("sleep 0.5")
    managers = [
        p
        for p in psutil.process_iter(["cmdline"])
        if "manage" in (p.info["cmdline"] or []) and queue.sandbox.env["SWEEP_LOCAL_SPOOL"] in p.info["cmdline"]
    ]
    assert 1 <= len(managers) <= 5  # a manager that finds the lock taken ends
    queue.until(queue.ended)
    queue.until(lambda: queue.manager() is None)


def test_a_killed_manager_is_replaced_and_its_tasks_taken_over(queue: Queue) -> None:
    queue.submit("sleep 2; touch done.$SWEEP_LOCAL_TASK_ID", "--array=0-5")
    queue.until(lambda: queue.states().count("RUNNING") == 4)
    manager = queue.manager()
    assert manager
    manager.kill()
    manager.wait(10)
    assert queue.states().count("RUNNING") == 4  # `status` has started another manager
    queue.until(queue.ended)
    assert len(list(queue.sandbox.path.glob("done.*"))) == 6
    # No manager saw how the first four ended, so their state is UNKNOWN.
    assert sorted(queue.states()) == ["COMPLETED"] * 2 + ["UNKNOWN"] * 4


def test_the_spool_is_private(queue: Queue) -> None:
    queue.submit("true")
    spool = Path(queue.sandbox.env["SWEEP_LOCAL_SPOOL"])
    assert (spool / "jobs" / "1.json").stat().st_mode & 0o077 == 0  # the environment in it may have secrets
    queue.until(queue.ended)


def test_old_jobs_are_forgotten(queue: Queue) -> None:
    queue.submit("true")
    queue.until(queue.ended)
    queue.until(lambda: queue.manager() is None)
    events = Path(queue.sandbox.env["SWEEP_LOCAL_SPOOL"]) / "jobs" / "1.events"
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    lines[-1]["set"]["ended_at"] -= 8 * 86400
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    queue.submit("true")
    queue.until(lambda: [task["id"].partition(".")[0] for task in queue.tasks()] == ["2"])
    assert {name.partition(".")[0] for name in os.listdir(events.parent)} == {"2"}


def test_a_job_with_a_lower_id_may_come_later(queue: Queue) -> None:
    """Two submissions at once: the second may be there first."""
    first = queue.submit("sleep 60")
    folder = Path(queue.sandbox.env["SWEEP_LOCAL_SPOOL"]) / "jobs"
    for number in (3, 2):
        (folder / f"{number}.sh").write_text("#!/bin/bash\ntrue\n")
        request = folder.parent / "request"
        shutil.copy(folder / "1.json", request)
        request.rename(folder / f"{number}.json")
        queue.until(lambda number=number: queue.states(first.replace("1.", f"{number}.")) == ["COMPLETED"])  # type: ignore[misc]
    assert queue.states(first) == ["RUNNING"]
    queue.run("cancel", first)
    queue.until(queue.ended)


def test_a_cancellation_waits_for_its_job(tmp_path: Path) -> None:
    """A job and its cancellation may come between the manager's look at the jobs and its look at cancellations."""
    (tmp_path / "jobs").mkdir()
    manager = Manager(tmp_path)
    manager._take_over_jobs()
    (tmp_path / "jobs/1.json").write_text('{"array": null}')
    (tmp_path / "jobs/1.7.cancel").write_text("all")
    manager._cancel()
    manager._take_over_jobs()
    manager._cancel()
    assert [task.state for task in manager.jobs[1].tasks.values()] == ["CANCELLED"]
    assert not list(tmp_path.glob("jobs/*.cancel"))


def test_a_manager_that_takes_over_knows_whose_gpu_is_whose(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = 'echo "$CUDA_VISIBLE_DEVICES" > gpu.$SWEEP_LOCAL_TASK_ID; sleep 60'
    (tmp_path / "jobs").mkdir()
    environment = {**queue.sandbox.env, "PWD": str(tmp_path)}
    request = {"array": [0, 1], "at_once": 1, "environment": environment, "name": "j", "cwd": str(tmp_path),
               "output": os.devnull, "cpus": 1, "memory_mib": 0, "gpus": 1, "walltime_s": 0}  # fmt: skip
    (tmp_path / "jobs/1.sh").write_text(body)
    (tmp_path / "jobs/1.json").write_text(json.dumps(request))
    two = Machine(cpus=4, memory_mib=1000, gpus=2)
    monkeypatch.setattr("sweep.localbatch.manager.machine", lambda: two)
    first = Manager(tmp_path)
    first._take_over_jobs()
    first._start_tasks()
    second = Manager(tmp_path)
    second._take_over_jobs()
    second.jobs[1].request["at_once"] = 2
    second._start_tasks()
    try:
        paths = [tmp_path / f"gpu.{index}" for index in (0, 1)]
        queue.until(lambda: all(path.exists() and path.read_text() for path in paths))
        assert [path.read_text().strip() for path in paths] == ["0", "1"]
    finally:
        for pid in second.children:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="no /proc here. To try it: run the tests on Linux"
)
def test_what_a_job_leaves_ends_with_it(queue: Queue) -> None:
    queue.submit("setsid sleep 300 & echo $! > left; sleep 0.2")
    queue.until(queue.ended)
    left = queue.sandbox.path / "left"
    queue.until(lambda: not psutil.pid_exists(int(left.read_text())))
