"""The queue on disk: the jobs as they were submitted, and what has happened to each."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def spool() -> Path:
    """Return the folder of this host's queue. It is created if it is missing.

    Raises
    ------
    NoSpool
        There is no place for it.
    """
    path = _chosen_spool().absolute()  # the manager runs in another folder
    try:
        (path / "jobs").mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise NoSpool(f"the local queue cannot be kept in {str(path)!r}: {error.strerror}") from None
    return path


class NoSpool(Exception):
    """The queue has no folder."""


def _chosen_spool() -> Path:
    own = f"local-{socket.gethostname()}"
    if chosen := os.environ.get("SWEEP_LOCAL_SPOOL"):
        return Path(chosen)
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "sweep" / own
    try:
        return Path.home() / ".local" / "state" / "sweep" / own
    except RuntimeError:  # no HOME, and a user whom the machine has no name for, as in some containers
        raise NoSpool("you have no home folder for the local queue to be kept in") from None


def queue_name(root: Path) -> str:
    """Return the queue's name. It is part of every job id, so that no other host or user answers for our jobs."""
    path = root / "name"
    if not path.exists():
        temporary = root / f"name.{os.getpid()}.tmp"
        host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
        temporary.write_text(f"{host}-{secrets.token_hex(2)}")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    return path.read_text()


@dataclass(frozen=True)
class Machine:
    """The resources of a machine that jobs can use."""

    cpus: int
    memory_mib: int
    gpus: int


def machine() -> Machine:
    """Return the resources of this machine: the CPUs we may use, memory and GPUs.

    ``SWEEP_LOCAL_CPUS`` and ``SWEEP_LOCAL_MEMORY_MIB`` override the first two.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return Machine(
        cpus=int(os.environ.get("SWEEP_LOCAL_CPUS", cpus)),
        memory_mib=int(os.environ.get("SWEEP_LOCAL_MEMORY_MIB", memory)),
        gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))),
    )


@dataclass
class Task:
    """One task of a job array, or the only task of another job. Times are in seconds since the epoch."""

    index: int | None
    started_at: float | None = None
    ended_at: float | None = None
    pid: int = 0
    birth: str = ""
    gpus: list[int] = field(default_factory=list)
    state: str = "PENDING"
    exit_code: int | None = None
    signal: int | None = None
    cpu_s: float | None = None


@dataclass
class Job:
    """A job: its request, as submitted, and its tasks, as the manager recorded them."""

    id: int
    request: dict[str, Any]
    tasks: dict[int | None, Task] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether no task of it is waiting or running."""
        return all(task.ended_at is not None for task in self.tasks.values())


def path_of(root: Path, job_id: int, kind: str) -> Path:
    """Return the path of a job's file: ``json``, the request; ``sh``, the script; ``events``, what happened."""
    return root / "jobs" / f"{job_id}.{kind}"


def job_ids(root: Path) -> list[int]:
    """Return the ids of the jobs in the spool, the oldest first."""
    return sorted(int(name[:-5]) for name in os.listdir(root / "jobs") if re.fullmatch(r"\d+\.json", name))


def load(root: Path, job_id: int) -> Job | None:
    """Read a job's request and what has happened to its tasks. None if the request cannot be read."""
    try:
        job = Job(job_id, json.loads(path_of(root, job_id, "json").read_text()))
    except (OSError, ValueError) as error:
        print(f"localbatch: job {job_id} is ignored, its request cannot be read: {error}", file=sys.stderr)
        return None
    array = job.request["array"]
    job.tasks = {index: Task(index) for index in (range(array[0], array[1] + 1) if array else [None])}
    with contextlib.suppress(FileNotFoundError):
        for line in path_of(root, job_id, "events").read_text().splitlines():
            with contextlib.suppress(ValueError):  # half a line, if a manager was killed while it wrote
                event = json.loads(line)
                for name, value in event["set"].items():
                    setattr(job.tasks[event["index"]], name, value)
    return job


def update_task(root: Path, job: Job, task: Task, **changes: Any) -> None:
    """Change a task, on disk and in memory."""
    for name, value in changes.items():
        setattr(task, name, value)
    line = json.dumps({"index": task.index, "set": changes}) + "\n"
    try:
        with path_of(root, job.id, "events").open("a") as events:
            events.write(line)
    except OSError as error:  # the disk may be full: go on with what is in memory
        print(f"localbatch: job {job.id}: cannot record {line.strip()}: {error}", file=sys.stderr)
