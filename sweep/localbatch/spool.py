"""The queue on disk: its jobs, as submitted, and what has happened to each."""

from __future__ import annotations

import contextlib
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
    """The folder that holds this host's queue; made if need be."""
    given = os.environ.get("SWEEP_LOCAL_SPOOL")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(given) if given else Path(state) / "sweep" / f"local-{socket.gethostname()}"
    path = path.absolute()  # the manager runs elsewhere
    (path / "jobs").mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def queue_name(root: Path) -> str:
    """Name this queue: every job's id carries it, so that no other host's or user's queue answers for it."""
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


def path_of(root: Path, job_id: int, kind: str) -> Path:
    """Name a job's file: ``json`` the request, ``sh`` the script, ``events`` what happened."""
    return root / "jobs" / f"{job_id}.{kind}"


def job_ids(root: Path) -> list[int]:
    """The ids of the jobs that the spool still knows, oldest first."""
    return sorted(int(name[:-5]) for name in os.listdir(root / "jobs") if re.fullmatch(r"\d+\.json", name))


def load(root: Path, job_id: int) -> Job | None:
    """Read a job's request and all that has happened to it; None if the request cannot be read."""
    try:
        job = Job(job_id, json.loads(path_of(root, job_id, "json").read_text()))
    except (OSError, ValueError) as error:
        print(f"localbatch: job {job_id} is passed over: {error}", file=sys.stderr)
        return None
    array = job.request["array"]
    job.tasks = {index: Task(index) for index in (range(array[0], array[1] + 1) if array else [None])}
    with contextlib.suppress(FileNotFoundError):
        for line in path_of(root, job_id, "events").read_text().splitlines():
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
    try:
        with path_of(root, job.id, "events").open("a") as events:
            events.write(line)
    except OSError as error:  # a full disk: go on, with what is in memory
        print(f"localbatch: job {job.id}: cannot note {line.strip()}: {error}", file=sys.stderr)
