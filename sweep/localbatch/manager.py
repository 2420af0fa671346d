"""The manager starts tasks in order, ends them at their walltime or on request, and records their end."""

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
from sweep.localbatch.spool import Job, Task, job_ids, load, machine, path_of, queue_name, update_task
from sweep.node import processes as node

#: A task that still runs so long after SIGTERM gets SIGKILL.
KILL_WAIT_S = 10.0
#: A new job or a cancellation is seen after this time at the latest.
TICK_S = 0.1
#: A job that ended is deleted after this time.
FORGET_AFTER_S = 7 * 86400.0
#: The clock behind a folder's time of change is coarse. Only after this time is a further change sure to move it.
SETTLED_NS = 1_000_000_000


def ensure_manager(root: Path) -> None:
    """Start a manager that outlives this process, unless one is alive.

    A manager looks for new jobs once more after it has released the lock, so none is missed.
    """
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    with (root / "manager.log").open("a") as log:
        subprocess.Popen(
            # A file such as socket.py, here or on PYTHONPATH, must not replace one of Python's own modules.
            [sys.executable, "-E", "-P", str(Path(__file__).with_name("__main__.py")), "manage", str(root)],
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
        # The loop's condition sees a job that came between the manager's last look and the release of the lock.


def _unended(root: Path) -> bool:
    jobs = (load(root, job_id) for job_id in reversed(job_ids(root)))
    return any(job is not None and not job.ended for job in jobs)


class Manager:
    """Runs the queue of one spool.

    Attributes
    ----------
    jobs : dict
        Id → job, of the jobs that have not ended.
    children : dict
        Pid → its job and task, of the tasks that run.
    ending : dict
        Pid → the state that the task will have and the time of its SIGTERM, of the tasks that have to end.
    taken_over : set of int
        The ids of the jobs that have been looked at. A lower id may come later than a higher one.
    changed_ns : int
        The folder's time of change at the last look; 0 if another change might have the same time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = machine()
        self.jobs: dict[int, Job] = {}
        self.children: dict[int, tuple[Job, Task]] = {}
        self.ending: dict[int, tuple[str, float]] = {}
        self.taken_over: set[int] = set()
        self.changed_ns = 0

    def run(self) -> None:
        """Run tasks until none is waiting or running."""
        wake, poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(poke, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
        node.adopt_orphans(node.c_library())
        self._delete_old_jobs()
        while True:
            changed_ns = (self.root / "jobs").stat().st_mtime_ns
            self._reap()  # first: the pid of an ended task may belong to another process, and must get no signal
            node.end_descendants(self.children, at_most_s=0.0)  # what ended tasks have left
            if changed_ns != self.changed_ns:
                self._take_over_jobs()
                self._cancel()
                self.changed_ns = changed_ns if time.time_ns() - changed_ns > SETTLED_NS else 0
            self._enforce()
            self._start_tasks()
            self.jobs = {job_id: job for job_id, job in self.jobs.items() if not job.ended}
            if not self.jobs:
                return
            if select.select([wake], [], [], TICK_S)[0]:
                os.read(wake, 4096)

    def _delete_old_jobs(self) -> None:
        for job_id in job_ids(self.root)[:-1]:  # the last id stays, so that no later job gets it again
            job = load(self.root, job_id)
            ended_at = max((task.ended_at or 0.0 for task in job.tasks.values()), default=0.0) if job else 0.0
            if job and job.ended and ended_at < time.time() - FORGET_AFTER_S:
                for kind in ("json", "events", "sh"):
                    path_of(self.root, job_id, kind).unlink(missing_ok=True)

    def _take_over_jobs(self) -> None:
        """Take over new jobs, and running tasks of an earlier manager. The oldest come first."""
        for job_id in job_ids(self.root):
            if job_id in self.taken_over:
                continue
            self.taken_over.add(job_id)
            job = load(self.root, job_id)
            if job is None or job.ended:
                continue
            self.jobs[job_id] = job
            for task in job.tasks.values():
                if task.started_at is not None and task.ended_at is None:
                    if task.pid:
                        self.children[task.pid] = (job, task)
                    else:  # the earlier manager was killed while it started the task: nobody saw whether it began
                        update_task(self.root, job, task, state="UNKNOWN", ended_at=time.time())
        self.jobs = dict(sorted(self.jobs.items()))

    def _cancel(self) -> None:
        for path in sorted((self.root / "jobs").glob("*.cancel")):
            job_id = int(path.name.partition(".")[0])
            if job_id not in self.taken_over and path_of(self.root, job_id, "json").exists():
                continue  # it came after the look at the jobs: the next look takes it over
            job = self.jobs.get(job_id)
            for index in path.read_text().split() if job else []:
                assert job
                for task in job.tasks.values() if index == "all" else [job.tasks.get(int(index))]:
                    self._cancel_task(job, task)
            path.unlink()

    def _cancel_task(self, job: Job, task: Task | None) -> None:
        if task is None or task.ended_at is not None:
            return
        if task.started_at is None:
            update_task(self.root, job, task, state="CANCELLED", ended_at=time.time())
        else:
            self._end_task(task, "CANCELLED")

    def _end_task(self, task: Task, state: str) -> None:
        """Send SIGTERM, once. The task gets this state when it has ended."""
        if task.pid not in self.ending:
            self.ending[task.pid] = (state, time.time())
            signal_group(task.pid, signal.SIGTERM)

    def _enforce(self) -> None:
        """End tasks that are past their walltime, and kill those that ignore SIGTERM."""
        now = time.time()
        for job, task in list(self.children.values()):
            limit = job.request["walltime_s"]
            if limit and now - (task.started_at or now) > limit:
                self._end_task(task, "TIMEOUT")
            signalled_at = self.ending.get(task.pid, ("", now))[1]
            if now - signalled_at > KILL_WAIT_S:
                for pid in [*descendants(task.pid), task.pid]:
                    signal_group(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Record the tasks that have ended."""
        for pid, (job, task) in list(self.children.items()):
            try:
                reaped, wait_status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                # A child of an earlier manager: we see that it ended, but not how.
                if birth(pid) != task.birth:
                    self._record_end(job, task, {"state": "UNKNOWN"})
                continue
            if reaped:
                code = os.waitstatus_to_exitcode(wait_status)
                end = {
                    "exit_code": code if code >= 0 else None,
                    "signal": -code if code < 0 else None,
                    "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
                    "state": "COMPLETED" if code == 0 else "FAILED",
                }
                self._record_end(job, task, end)

    def _record_end(self, job: Job, task: Task, end: dict[str, Any]) -> None:
        if task.pid in self.ending:
            end["state"], _ = self.ending.pop(task.pid)
        self.children.pop(task.pid)
        update_task(self.root, job, task, ended_at=time.time(), **end)

    def _startable(self) -> Iterator[tuple[Job, Task]]:
        """Yield the waiting tasks in their order, as far as their jobs' own limits let them start."""
        for job in self.jobs.values():
            if job.request.get("after") in self.jobs:  # self.jobs has only jobs that have not ended
                continue
            running = sum(1 for other, _ in self.children.values() if other is job)
            at_once = job.request["at_once"] or len(job.tasks)
            for task in job.tasks.values():
                if task.started_at is None and task.ended_at is None:
                    if running >= at_once:
                        break
                    running += 1
                    yield job, task

    def _start_tasks(self) -> None:
        """Start tasks in their order. If one does not fit, it waits, and so do all tasks behind it."""
        free = {
            resource: amount - sum(job.request[resource] for job, _ in self.children.values())
            for resource, amount in vars(self.machine).items()
        }
        for job, task in self._startable():
            if any(job.request[resource] > free[resource] for resource in free):
                return
            for resource in free:
                free[resource] -= job.request[resource]
            self._start_task(job, task)

    def _start_task(self, job: Job, task: Task) -> None:
        request = job.request
        environment = {**request["environment"], "SWEEP_LOCAL_JOB_ID": f"{job.id}.{queue_name(self.root)}"}
        environment["SWEEP_LOCAL_JOB_NAME"] = request["name"]
        if task.index is not None:
            environment["SWEEP_LOCAL_TASK_ID"] = str(task.index)
        taken = {gpu for _, other in self.children.values() for gpu in other.gpus}
        gpus = [gpu for gpu in range(self.machine.gpus) if gpu not in taken][: request["gpus"]]
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        # Recorded before the start: a task that may have begun is never started again.
        update_task(self.root, job, task, state="RUNNING", started_at=time.time(), gpus=gpus)
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
            update_task(self.root, job, task, state="LAUNCH_FAILED", ended_at=time.time())
            return
        process.returncode = 0  # _reap calls wait4 for its usage; Popen must not wait for it as well
        self.children[process.pid] = (job, task)
        update_task(self.root, job, task, pid=process.pid, birth=birth(process.pid))
