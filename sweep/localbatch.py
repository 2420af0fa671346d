"""A small batch system for one machine, with three commands of its own: submit, status, cancel.

``python -m sweep.localbatch submit SCRIPT`` prints a job id, as ``sbatch`` does; the job runs when its CPUs,
memory and GPUs are free, outlives the terminal, and ends at its wall time. ``sweep`` talks to it as it talks
to any other scheduler. Standard library alone; it imports nothing of the rest.

::

    submit ──▶ spool/jobs/7.json ──▶ manager (one process a spool, ends with the queue) ──▶ bash 7.sh
    cancel ──▶ spool/jobs/7.cancel ──▶    │
    status ◀── spool/jobs/7.events  ◀─────┘   appended: start, end

The manager holds the spool's lock while it lives. If it is killed, its tasks run on; the next command starts
another one, which takes them up. The spool is ``$SWEEP_LOCAL_SPOOL``, else one a host under
``$XDG_STATE_HOME`` or ``~/.local/state``. Ended jobs are forgotten after a week.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

#: How long a task may take to end after SIGTERM.
KILL_WAIT_S = 10.0
#: How soon a new job or a cancellation is seen.
TICK_S = 0.1
FORGET_AFTER_S = 7 * 86400.0

EX_USAGE = 2


def spool() -> Path:
    """The folder that holds this host's queue; made if need be."""
    given = os.environ.get("SWEEP_LOCAL_SPOOL")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(given) if given else Path(state) / "sweep" / f"local-{socket.gethostname()}"
    (path / "jobs").mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


@dataclass(frozen=True)
class Machine:
    """What this machine has to give."""

    cpus: int
    memory_mib: int
    gpus: int


def machine() -> Machine:
    """Count CPUs (those we may use), memory and GPUs; ``SWEEP_LOCAL_CPUS`` and ``…_MEMORY_MIB`` override."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return Machine(
        cpus=int(os.environ.get("SWEEP_LOCAL_CPUS", cpus)),
        memory_mib=int(os.environ.get("SWEEP_LOCAL_MEMORY_MIB", memory)),
        gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))),
    )


# --- the jobs and their records ---------------------------------------------------------------------------


@dataclass
class Task:
    """One element of a job, or the whole of a job that is no array. Times are seconds since the epoch."""

    index: int | None
    started_at: float | None = None
    ended_at: float | None = None
    pid: int = 0
    birth: str = ""
    state: str = "PENDING"
    exit_code: int | None = None
    signal: int | None = None
    cpu_s: float | None = None


@dataclass
class Job:
    """One submission: its request, as submitted, and its tasks' records, as the manager wrote them."""

    id: int
    request: dict[str, Any]
    tasks: dict[int | None, Task] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing of it is waiting or running."""
        return all(task.ended_at is not None for task in self.tasks.values())


def _path(root: Path, job_id: int, kind: str) -> Path:
    return root / "jobs" / f"{job_id}.{kind}"


def job_ids(root: Path) -> list[int]:
    """The ids of the jobs that the spool still knows, oldest first."""
    return sorted(int(name[:-5]) for name in os.listdir(root / "jobs") if re.fullmatch(r"\d+\.json", name))


def load(root: Path, job_id: int) -> Job:
    """Read a job's request and all that has happened to it."""
    job = Job(job_id, json.loads(_path(root, job_id, "json").read_text()))
    array = job.request["array"]
    job.tasks = {index: Task(index) for index in (range(array[0], array[1] + 1) if array else [None])}
    with contextlib.suppress(FileNotFoundError):
        for line in _path(root, job_id, "events").read_text().splitlines():
            with contextlib.suppress(ValueError):  # a torn line of a manager that was killed
                event = json.loads(line)
                for name, value in event["set"].items():
                    setattr(job.tasks[event["index"]], name, value)
    return job


def note(root: Path, job: Job, task: Task, **changes: Any) -> None:
    """Change a task's record, on disk and in memory."""
    for name, value in changes.items():
        setattr(task, name, value)
    line = json.dumps({"index": task.index, "set": changes}) + "\n"
    with _path(root, job.id, "events").open("a") as events:
        events.write(line)


# --- the three commands -----------------------------------------------------------------------------------


def _options() -> argparse.ArgumentParser:
    """What `submit` takes, on the command line or in the script's ``#LOCAL`` lines."""
    parser = argparse.ArgumentParser(prog="submit", allow_abbrev=False)
    parser.add_argument("--name", default="job")
    parser.add_argument("--array", help="FIRST-LAST or FIRST-LAST%%AT_ONCE")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory-mib", type=int, default=0)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--walltime-s", type=int, default=0)
    parser.add_argument("--output", default=os.devnull)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for the job's environment"
    )
    parser.add_argument("script")
    return parser


def submit(arguments: list[str]) -> None:
    """Queue a script and print the job's id."""
    script = Path(_options().parse_args(arguments).script)
    try:
        text = script.read_text()
    except OSError as error:
        _fail(f"cannot read {str(script)!r}: {error.strerror}")
    directives = [line[len("#LOCAL ") :] for line in text.splitlines() if line.startswith("#LOCAL ")]
    options = _options().parse_args([word for line in directives for word in shlex.split(line)] + arguments)
    has = machine()
    for what in ("cpus", "memory_mib", "gpus"):
        if getattr(options, what) > getattr(has, what):
            _fail(f"the job asks for {what}={getattr(options, what)}; this machine has {getattr(has, what)}")
    array, at_once = _array(options.array)
    request = {
        **vars(options),
        "array": array,
        "at_once": at_once,
        "cwd": os.getcwd(),
        "environment": {**os.environ, **dict(pair.split("=", 1) for pair in options.set)},
        "submitted_at": time.time(),
    }
    root = spool()
    job_id = _enqueue(root, text, request)
    print(job_id)
    ensure_manager(root)


def _array(text: str | None) -> tuple[list[int] | None, int]:
    if text is None:
        return None, 0
    found = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", text)
    if not found or int(found[1]) > int(found[2]):
        _fail(f"the array {text!r} is not FIRST-LAST or FIRST-LAST%AT_ONCE")
    return [int(found[1]), int(found[2])], int(found[3] or 0)


def _enqueue(root: Path, script: str, request: dict[str, Any]) -> int:
    """Give the job the next id. The request appears last and whole, and makes the job exist."""
    job_id = max([0, *job_ids(root)]) + 1
    while True:
        temporary = root / f"submit.{os.getpid()}.tmp"
        temporary.touch(mode=0o600)  # it holds the environment
        temporary.write_text(json.dumps(request))
        try:
            with _path(root, job_id, "sh").open("x") as out:
                out.write(script)
            os.link(temporary, _path(root, job_id, "json"))
        except FileExistsError:
            job_id += 1
            continue
        finally:
            temporary.unlink()
        return job_id


def status(arguments: list[str]) -> None:
    """Print one JSON line a task of the jobs asked for; a job that is not known is not named."""
    parser = argparse.ArgumentParser(prog="status")
    parser.add_argument("--name", help="only jobs of this name")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args(arguments)
    root = spool()
    wanted = {int(text) for text in options.ids if text.isdigit()}
    waiting = False
    for job_id in job_ids(root):
        if options.ids and job_id not in wanted:
            continue
        job = load(root, job_id)
        if options.name and job.request["name"] != options.name:
            continue
        waiting = waiting or not job.ended
        for task in job.tasks.values():
            print(json.dumps(_described(job, task)))
    if waiting:
        ensure_manager(root)


def _described(job: Job, task: Task) -> dict[str, Any]:
    end = task.ended_at or time.time()
    return {
        "id": str(job.id),
        "index": task.index,
        "name": job.request["name"],
        "state": task.state,
        "exit_code": task.exit_code,
        "signal": task.signal,
        "elapsed_s": round(end - task.started_at, 3) if task.started_at else 0.0,
        "cpu_s": task.cpu_s,
    }


def cancel(arguments: list[str]) -> None:
    """Ask the manager to end jobs (``7``) or single tasks (``7_3``). Unknown and ended ones are ignored."""
    parser = argparse.ArgumentParser(prog="cancel")
    parser.add_argument("ids", nargs="+")
    root = spool()
    for text in parser.parse_args(arguments).ids:
        found = re.fullmatch(r"(\d+)(?:_(\d+))?", text)
        if not found:
            _fail(f"{text!r} is not a job id such as 7 or 7_3")
        if _path(root, int(found[1]), "json").exists():
            with _path(root, int(found[1]), "cancel").open("a") as asked:
                asked.write((found[2] or "all") + "\n")
    ensure_manager(root)


def info(_arguments: list[str]) -> None:
    """Print what the machine has, and where the spool is."""
    print(json.dumps({"version": 1, "spool": str(spool()), **vars(machine())}))


def _fail(message: str) -> NoReturn:
    print(f"localbatch: {message}", file=sys.stderr)
    raise SystemExit(EX_USAGE)


# --- the manager ------------------------------------------------------------------------------------------


def ensure_manager(root: Path) -> None:
    """Start a manager that outlives this process. If one is alive, the new one ends at once."""
    subprocess.Popen(
        [sys.executable, "-m", "sweep.localbatch", "manage", str(root)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(root / "manager.log").open("a"),
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in sys.path if p)},
    )


def manage(arguments: list[str]) -> None:
    """Run the queue until it is empty."""
    root = Path(arguments[0])
    while any(not load(root, job_id).ended for job_id in job_ids(root)):
        with (root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            Manager(root).run()
        # A job that came between the last look and the unlocking is seen by the loop's condition.


class Manager:
    """Starts what fits, in the order it came; reaps, times out, cancels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.has = machine()
        self.jobs: dict[int, Job] = {}
        self.children: dict[int, tuple[Job, Task]] = {}
        self.told: dict[int, tuple[str, float]] = {}  # pid → (why it is to end, since when)
        self.gpus_of: dict[int, list[int]] = {}
        self.cancels_read: dict[int, int] = {}

    def run(self) -> None:
        """Serve until nothing is waiting or running."""
        wake, poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(poke, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
        self._forget()
        while True:
            self._look()
            self._cancel()
            self._enforce()
            self._reap()
            self._start()
            if all(job.ended for job in self.jobs.values()):
                return
            if select.select([wake], [], [], TICK_S)[0]:
                os.read(wake, 4096)

    def _forget(self) -> None:
        for job_id in job_ids(self.root):
            job = load(self.root, job_id)
            last = max((task.ended_at or 0.0 for task in job.tasks.values()), default=0.0)
            if job.ended and last < time.time() - FORGET_AFTER_S:
                for kind in ("json", "events", "cancel", "sh"):
                    _path(self.root, job_id, kind).unlink(missing_ok=True)

    def _look(self) -> None:
        """Take up jobs that are new to this manager, and tasks that an earlier one left running."""
        for job_id in job_ids(self.root):
            if job_id in self.jobs:
                continue
            job = self.jobs[job_id] = load(self.root, job_id)
            for task in job.tasks.values():
                if task.started_at is not None and task.ended_at is None:
                    self.children[task.pid] = (job, task)

    def _cancel(self) -> None:
        for job in self.jobs.values():
            with contextlib.suppress(FileNotFoundError):
                asked = _path(self.root, job.id, "cancel").read_text().split()
                for word in asked[self.cancels_read.get(job.id, 0) :]:
                    for task in job.tasks.values() if word == "all" else [job.tasks.get(int(word))]:
                        self._cancel_task(job, task)
                self.cancels_read[job.id] = len(asked)

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
            _signal(task.pid, signal.SIGTERM)

    def _enforce(self) -> None:
        now = time.time()
        for job, task in list(self.children.values()):
            limit = job.request["walltime_s"]
            if limit and now - (task.started_at or now) > limit:
                self._tell(task, "TIMEOUT")
            since = self.told.get(task.pid, ("", now))[1]
            if now - since > KILL_WAIT_S:
                _signal(task.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid, (job, task) in list(self.children.items()):
            try:
                reaped, wait_status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                # Another manager's child: its end can be seen, not how it ended.
                if _birth(pid) != task.birth:
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
        environment = {**request["environment"], "SWEEP_LOCAL_JOB_ID": str(job.id)}
        environment["SWEEP_LOCAL_JOB_NAME"] = request["name"]
        if task.index is not None:
            environment["SWEEP_LOCAL_TASK_ID"] = str(task.index)
        taken = {gpu for gpus in self.gpus_of.values() for gpu in gpus}
        gpus = [gpu for gpu in range(self.has.gpus) if gpu not in taken][: request["gpus"]]
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        try:
            with Path(request["output"]).open("ab") as output:
                process = subprocess.Popen(
                    ["bash", str(_path(self.root, job.id, "sh"))],
                    cwd=request["cwd"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            print(f"job {job.id}: {error}", file=sys.stderr)
            now = time.time()
            note(self.root, job, task, state="LAUNCH_FAILED", started_at=now, ended_at=now)
            return
        process.returncode = 0  # reaped by wait4, for its usage
        self.children[process.pid] = (job, task)
        self.gpus_of[process.pid] = gpus
        birth = _birth(process.pid)
        note(self.root, job, task, state="RUNNING", started_at=time.time(), pid=process.pid, birth=birth)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def _birth(pid: int) -> str:
    """What tells a process from a later one of the same pid: its start; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()


COMMANDS = {"submit": submit, "status": status, "cancel": cancel, "info": info, "manage": manage}


def main() -> None:
    """``python -m sweep.localbatch COMMAND …``."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        _fail(f"usage: python -m sweep.localbatch {{{','.join(COMMANDS)}}} …")
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
