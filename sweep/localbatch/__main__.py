"""The commands submit, status, cancel and info, and the command manage that they start."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

if not __package__:  # run as a file, so that nothing else can be taken for sweep
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from sweep.localbatch.manager import ensure_manager, manage
from sweep.localbatch.spool import Job, NoSpool, Task, job_ids, load, machine, path_of, queue_name, spool

EX_USAGE = 2
EX_OTHER_QUEUE = 3
EX_NO_SPOOL = 4


def _options() -> argparse.ArgumentParser:
    """Return the parser of submit's options, which a script may also give in ``#LOCAL`` lines."""
    parser = argparse.ArgumentParser(prog="submit", allow_abbrev=False)
    parser.add_argument("--name", default="job")
    parser.add_argument("--array", help="FIRST-LAST or FIRST-LAST%%AT_ONCE")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory-mib", type=int, default=0)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--walltime-s", type=int, default=0)
    parser.add_argument("--after", help="start after this job has ended, however it ended")
    parser.add_argument("--output", default=os.devnull)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the job's environment"
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
    available = machine()
    for resource in ("cpus", "memory_mib", "gpus"):
        requested, limit = getattr(options, resource), getattr(available, resource)
        if requested > limit:
            _fail(f"the job asks for {resource}={requested}; this machine has {limit}")
    array, at_once = _array(options.array)
    request = {
        **vars(options),
        "array": array,
        "at_once": at_once,
        "cwd": os.getcwd(),
        "environment": {**_without_task_identity(os.environ), **dict(pair.split("=", 1) for pair in options.set)},
        "submitted_at": time.time(),
    }
    root = spool()
    request["after"] = job_number(options.after, root) if options.after else None
    job_id = _enqueue(root, text, request)
    print(f"{job_id}.{queue_name(root)}")
    ensure_manager(root)


def _without_task_identity(environment: Mapping[str, str]) -> dict[str, str]:
    """Remove the variables that say which task this is: a task may itself submit, and its jobs are other tasks."""
    identity = ("SWEEP_LOCAL_JOB_ID", "SWEEP_LOCAL_JOB_NAME", "SWEEP_LOCAL_TASK_ID")
    return {name: value for name, value in environment.items() if name not in identity}


def _array(text: str | None) -> tuple[list[int] | None, int]:
    """Parse ``FIRST-LAST%AT_ONCE``: the first and the last index, and how many may run at once (0: no limit)."""
    if text is None:
        return None, 0
    match = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", text)
    if not match or int(match[1]) > int(match[2]):
        _fail(f"the array {text!r} is not FIRST-LAST or FIRST-LAST%AT_ONCE")
    return [int(match[1]), int(match[2])], int(match[3] or 0)


def _enqueue(root: Path, script: str, request: dict[str, Any]) -> int:
    """Write the job under the next free id. The request is written last, by a link: with it the job exists."""
    job_id = max([0, *job_ids(root)]) + 1
    while True:
        temporary = root / f"submit.{os.getpid()}.tmp"
        temporary.touch(mode=0o600)  # the environment in it may have secrets
        with temporary.open("w") as out:
            json.dump(request, out)
            out.flush()
            os.fsync(out.fileno())
        try:
            with path_of(root, job_id, "sh").open("x") as out:
                out.write(script)
            os.link(temporary, path_of(root, job_id, "json"))
        except FileExistsError:
            job_id += 1
            continue
        finally:
            temporary.unlink()
        return job_id


def status(arguments: list[str]) -> None:
    """Print a JSON line for each task of the requested jobs, or of all. An unknown job has no line.

    A job of another host's queue has a line that says which queue that is, and nothing else.
    """
    parser = argparse.ArgumentParser(prog="status")
    parser.add_argument("--name", help="only jobs of this name")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args(arguments)
    root = spool()
    elsewhere = [text for text in options.ids if text.partition(".")[2] not in ("", queue_name(root))]
    own = [text for text in options.ids if text not in elsewhere]
    requested = {job_number(text, root) for text in own}
    for text in elsewhere:
        print(json.dumps({"id": text, "queue": text.partition(".")[2]}))
    any_unended = False
    for job_id in job_ids(root):
        if options.ids and job_id not in requested:
            continue
        job = load(root, job_id)
        if job is None or (options.name and job.request["name"] != options.name):
            continue
        any_unended = any_unended or not job.ended
        for task in job.tasks.values():
            print(json.dumps(_status_line(job, task, queue_name(root))))
    if any_unended:
        ensure_manager(root)


def _status_line(job: Job, task: Task, queue: str) -> dict[str, Any]:
    end = task.ended_at or time.time()
    return {
        "id": f"{job.id}.{queue}",
        "index": task.index,
        "name": job.request["name"],
        "state": task.state,
        "exit_code": task.exit_code,
        "signal": task.signal,
        "elapsed_s": round(end - task.started_at, 3) if task.started_at else 0.0,
        "cpu_s": task.cpu_s,
    }


def cancel(arguments: list[str]) -> None:
    """Ask the manager to end jobs (``7.HOST-ab12``) or single tasks (``7.HOST-ab12_3``).

    Jobs and tasks that are unknown or have ended are ignored.
    """
    parser = argparse.ArgumentParser(prog="cancel")
    parser.add_argument("ids", nargs="+")
    root = spool()
    tasks_by_job: dict[int, list[str]] = {}
    for text in parser.parse_args(arguments).ids:
        job, _, index = text.partition("_")
        tasks_by_job.setdefault(job_number(job, root), []).append(index or "all")
    for job_id, tasks in tasks_by_job.items():
        if path_of(root, job_id, "json").exists():
            # A new name each time changes the folder, and a change of the folder makes the manager look.
            temporary = root / f"cancel.{os.getpid()}.tmp"
            temporary.write_text("\n".join(tasks))
            temporary.replace(path_of(root, job_id, f"{time.time_ns()}.cancel"))
    ensure_manager(root)


def info(_arguments: list[str]) -> None:
    """Print the machine's resources and the spool's folder."""
    print(json.dumps({"version": 1, "spool": str(spool()), **vars(machine())}))


def job_number(text: str, root: Path) -> int:
    """Return the number of a job id such as ``7.HOST-ab12``; exit with an error if the job is in another queue."""
    number, _, queue = text.partition(".")
    if not number.isdecimal():
        _fail(f"{text!r} is not a job id such as 7.{queue_name(root)}")
    if queue != queue_name(root):
        _fail(f"job {text} is in the queue {queue!r}; this one is {queue_name(root)!r}", EX_OTHER_QUEUE)
    return int(number)


def _fail(message: str, code: int = EX_USAGE) -> NoReturn:
    print(f"localbatch: {message}", file=sys.stderr)
    raise SystemExit(code)


COMMANDS = {"submit": submit, "status": status, "cancel": cancel, "info": info, "manage": manage}


def main() -> None:
    """``python -m sweep.localbatch COMMAND …``."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        _fail(f"usage: python -m sweep.localbatch {{{','.join(COMMANDS)}}} …")
    try:
        COMMANDS[sys.argv[1]](sys.argv[2:])
    except NoSpool as error:
        _fail(str(error), EX_NO_SPOOL)


if __name__ == "__main__":
    main()
