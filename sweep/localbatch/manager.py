"""The manager: starts what fits, in the order it came; reaps, times out, cancels; ends with the queue."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.localbatch.processes import birth, descendants, signal_group
from sweep.localbatch.spool import Job, Task, job_ids, load, machine, note, path_of, queue_name

#: How long a task may take to end after SIGTERM.
KILL_WAIT_S = 10.0
#: How soon a new job or a cancellation is seen.
TICK_S = 0.1
FORGET_AFTER_S = 7 * 86400.0
#: A change this old has no other one beside it with the same time.
SETTLED_NS = 1_000_000_000


def ensure_manager(root: Path) -> None:
    """Start a manager that outlives this process, unless one is alive: it looks once more before it ends."""
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    with (root / "manager.log").open("a") as log:
        subprocess.Popen(
            # -P: no module of the user's own, in the folder where she is, stands in for one of Python's.
            [sys.executable, "-P", "-m", "sweep.localbatch", "manage", str(root)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )


def manage(arguments: list[str]) -> None:
    """Run the queue until it is empty."""
    root = Path(arguments[0])
    while _unended(root):
        with (root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            Manager(root).run()
        # A job that came between the last look and the unlocking is seen by the loop's condition.


def _unended(root: Path) -> bool:
    jobs = (load(root, job_id) for job_id in reversed(job_ids(root)))
    return any(job is not None and not job.ended for job in jobs)


class Manager:
    """Starts what fits, in the order it came; reaps, times out, cancels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.has = machine()
        self.jobs: dict[int, Job] = {}
        self.children: dict[int, tuple[Job, Task]] = {}
        self.told: dict[int, tuple[str, float]] = {}  # pid → (why it is to end, since when)
        self.gpus_of: dict[int, list[int]] = {}
        self.known = 0  # the highest id taken up
        self.changed_ns = 0

    def run(self) -> None:
        """Serve until nothing is waiting or running."""
        wake, poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(poke, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
        self._forget()
        while True:
            changed_ns = (self.root / "jobs").stat().st_mtime_ns
            self._reap()  # first: what has ended is not signalled, its pid may be someone else's by now
            if changed_ns != self.changed_ns:
                self._look()
                self._cancel()
                # The clock behind a folder's time is coarse: a change just seen may hide another one.
                self.changed_ns = changed_ns if time.time_ns() - changed_ns > SETTLED_NS else 0
            self._enforce()
            self._start()
            self.jobs = {job_id: job for job_id, job in self.jobs.items() if not job.ended}
            if not self.jobs:
                return
            if select.select([wake], [], [], TICK_S)[0]:
                os.read(wake, 4096)

    def _forget(self) -> None:
        for job_id in job_ids(self.root)[:-1]:  # the last one's number must not be given again
            job = load(self.root, job_id)
            last = max((task.ended_at or 0.0 for task in job.tasks.values()), default=0.0) if job else 0.0
            if job and job.ended and last < time.time() - FORGET_AFTER_S:
                for kind in ("json", "events", "sh"):
                    path_of(self.root, job_id, kind).unlink(missing_ok=True)

    def _look(self) -> None:
        """Take up jobs that are new to this manager, and tasks that an earlier one left running."""
        for job_id in job_ids(self.root):
            job = load(self.root, job_id) if job_id > self.known else None
            self.known = max(self.known, job_id)
            if job is None or job.ended:
                continue
            self.jobs[job_id] = job
            for task in job.tasks.values():
                if task.started_at is not None and task.ended_at is None:
                    if task.pid:
                        self.children[task.pid] = (job, task)
                    else:  # the manager was killed as it started it: whether it began, nobody saw
                        note(self.root, job, task, state="UNKNOWN", ended_at=time.time())

    def _cancel(self) -> None:
        for path in sorted((self.root / "jobs").glob("*.cancel")):
            job = self.jobs.get(int(path.name.partition(".")[0]))
            for word in path.read_text().split() if job else []:
                assert job
                for task in job.tasks.values() if word == "all" else [job.tasks.get(int(word))]:
                    self._cancel_task(job, task)
            path.unlink()

    def _cancel_task(self, job: Job, task: Task | None) -> None:
        if task is None or task.ended_at is not None:
            return
        if task.started_at is None:
            note(self.root, job, task, state="CANCELLED", ended_at=time.time())
        else:
            self._tell(task, "CANCELLED")

    def _tell(self, task: Task, why: str) -> None:
        if task.pid not in self.told:
            self.told[task.pid] = (why, time.time())
            signal_group(task.pid, signal.SIGTERM)

    def _enforce(self) -> None:
        now = time.time()
        for job, task in list(self.children.values()):
            limit = job.request["walltime_s"]
            if limit and now - (task.started_at or now) > limit:
                self._tell(task, "TIMEOUT")
            since = self.told.get(task.pid, ("", now))[1]
            if now - since > KILL_WAIT_S:
                for pid in [*descendants(task.pid), task.pid]:
                    signal_group(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid, (job, task) in list(self.children.items()):
            try:
                reaped, wait_status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                # Another manager's child: its end can be seen, not how it ended.
                if birth(pid) != task.birth:
                    self._ended(job, task, {"state": "UNKNOWN"})
                continue
            if reaped:
                code = os.waitstatus_to_exitcode(wait_status)
                end = {
                    "exit_code": code if code >= 0 else None,
                    "signal": -code if code < 0 else None,
                    "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
                    "state": "COMPLETED" if code == 0 else "FAILED",
                }
                self._ended(job, task, end)

    def _ended(self, job: Job, task: Task, end: dict[str, Any]) -> None:
        why = self.told.pop(task.pid, None)
        if why:
            end["state"] = why[0]
        self.children.pop(task.pid)
        self.gpus_of.pop(task.pid, None)
        note(self.root, job, task, ended_at=time.time(), **end)

    def _waiting(self) -> Iterator[tuple[Job, Task]]:
        """The next task of each job in turn, those of a throttled job left out."""
        for job in self.jobs.values():
            if job.request.get("after") in self.jobs:  # which holds those that have not ended
                continue
            running = sum(1 for other, _ in self.children.values() if other is job)
            at_once = job.request["at_once"] or len(job.tasks)
            for task in job.tasks.values():
                if task.started_at is None and task.ended_at is None:
                    if running >= at_once:
                        break
                    running += 1
                    yield job, task

    def _start(self) -> None:
        """Start tasks in their order; one that does not fit waits, and those behind it do too."""
        free = {
            what: getattr(self.has, what) - sum(job.request[what] for job, _ in self.children.values())
            for what in ("cpus", "memory_mib", "gpus")
        }
        for job, task in self._waiting():
            if any(job.request[what] > free[what] for what in free):
                return
            for what in free:
                free[what] -= job.request[what]
            self._launch(job, task)

    def _launch(self, job: Job, task: Task) -> None:
        request = job.request
        environment = {**request["environment"], "SWEEP_LOCAL_JOB_ID": f"{job.id}.{queue_name(self.root)}"}
        environment["SWEEP_LOCAL_JOB_NAME"] = request["name"]
        if task.index is not None:
            environment["SWEEP_LOCAL_TASK_ID"] = str(task.index)
        taken = {gpu for gpus in self.gpus_of.values() for gpu in gpus}
        gpus = [gpu for gpu in range(self.has.gpus) if gpu not in taken][: request["gpus"]]
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        # Noted before it starts: a task of which nobody knows whether it began is never started again.
        note(self.root, job, task, state="RUNNING", started_at=time.time())
        try:
            with Path(request["output"]).open("ab") as output:
                process = subprocess.Popen(
                    ["bash", str(path_of(self.root, job.id, "sh"))],
                    cwd=request["cwd"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            print(f"job {job.id}: {error}", file=sys.stderr)
            note(self.root, job, task, state="LAUNCH_FAILED", ended_at=time.time())
            return
        process.returncode = 0  # reaped by wait4, for its usage
        self.children[process.pid] = (job, task)
        self.gpus_of[process.pid] = gpus
        note(self.root, job, task, pid=process.pid, birth=birth(process.pid))
