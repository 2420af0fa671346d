"""The commands: submit, status, cancel, info; and manage, which they start."""

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

from sweep.localbatch.manager import ensure_manager, manage
from sweep.localbatch.spool import Job, Task, job_ids, load, machine, path_of, queue_name, spool

EX_USAGE = 2
EX_OTHER_QUEUE = 3


def _options() -> argparse.ArgumentParser:
    """What `submit` takes, on the command line or in the script's ``#LOCAL`` lines."""
    parser = argparse.ArgumentParser(prog="submit", allow_abbrev=False)
    parser.add_argument("--name", default="job")
    parser.add_argument("--array", help="FIRST-LAST or FIRST-LAST%%AT_ONCE")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory-mib", type=int, default=0)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--walltime-s", type=int, default=0)
    parser.add_argument("--after", help="a job that is to end first, however it ends")
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
        "environment": {**_clean(os.environ), **dict(pair.split("=", 1) for pair in options.set)},
        "submitted_at": time.time(),
    }
    root = spool()
    request["after"] = job_number(options.after, root) if options.after else None
    job_id = _enqueue(root, text, request)
    print(f"{job_id}.{queue_name(root)}")
    ensure_manager(root)


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what told a task which one it is, where it is itself that submits."""
    told = ("SWEEP_LOCAL_JOB_ID", "SWEEP_LOCAL_JOB_NAME", "SWEEP_LOCAL_TASK_ID")
    return {name: value for name, value in environment.items() if name not in told}


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
    """Print one JSON line a task of the jobs asked for; a job that is not known is not named."""
    parser = argparse.ArgumentParser(prog="status")
    parser.add_argument("--name", help="only jobs of this name")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args(arguments)
    root = spool()
    wanted = {job_number(text, root) for text in options.ids}
    waiting = False
    for job_id in job_ids(root):
        if options.ids and job_id not in wanted:
            continue
        job = load(root, job_id)
        if job is None or (options.name and job.request["name"] != options.name):
            continue
        waiting = waiting or not job.ended
        for task in job.tasks.values():
            print(json.dumps(_described(job, task, queue_name(root))))
    if waiting:
        ensure_manager(root)


def _described(job: Job, task: Task, queue: str) -> dict[str, Any]:
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

    Unknown and ended ones are ignored.
    """
    parser = argparse.ArgumentParser(prog="cancel")
    parser.add_argument("ids", nargs="+")
    root = spool()
    asked: dict[int, list[str]] = {}
    for text in parser.parse_args(arguments).ids:
        job, _, index = text.partition("_")
        asked.setdefault(job_number(job, root), []).append(index or "all")
    for job_id, words in asked.items():
        if path_of(root, job_id, "json").exists():
            # A new name each time: the manager looks when the folder changes.
            temporary = root / f"cancel.{os.getpid()}.tmp"
            temporary.write_text("\n".join(words))
            temporary.replace(path_of(root, job_id, f"{time.time_ns()}.cancel"))
    ensure_manager(root)


def info(_arguments: list[str]) -> None:
    """Print what the machine has, and where the spool is."""
    print(json.dumps({"version": 1, "spool": str(spool()), **vars(machine())}))


def job_number(text: str, root: Path) -> int:
    """Read a job's id, ``7.HOST-ab12``; end with an error if it is another queue's."""
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
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
