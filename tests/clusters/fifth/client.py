#!/usr/bin/env -S python3 -S
"""A cluster of one node with the fifth scheduler's commands, by links on PATH; ``$FIFTH_ROOT`` is its folder.

::

    fifth-sub [-N NAME] [-t FIRST-LAST [-tc AT_ONCE]] [-v VARIABLE=VALUE] [-W ID] SCRIPT    → your job qa waits
    fifth-stat [-V | -l | ID …]   → the version, the largest array, or a line of tabs for each task:
                                    id, task (from 1; - where it is none), state, name, exit status (- if deleted)
    fifth-del ID … ID.TASK …      what is unknown, or has ended, is passed over

States: w waits, r runs, z has ended. A job gets FIFTH_JOB, FIFTH_NAME, FIFTH_NODE, and FIFTH_TASK: ``none`` where it is
no array. The file ``slots`` has the number of tasks that run at once; where ``noarrays`` is, -t is refused.
"""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(os.environ["FIFTH_ROOT"])
LARGEST = 64
#: What is deleted and outlives SIGTERM for so long is killed.
KILL_WAIT_S = 5.0


class State:
    """All jobs, locked inside the `with`: id → what was asked, and its tasks by number."""

    def __enter__(self) -> dict[str, Any]:
        self.lock = (ROOT / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        path = ROOT / "state.json"
        self.jobs: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return self.jobs

    def __exit__(self, *_: object) -> None:
        (ROOT / "state.tmp").write_text(json.dumps(self.jobs))
        (ROOT / "state.tmp").replace(ROOT / "state.json")
        self.lock.close()


def fail(code: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def letters(number: int) -> str:
    """Spell a number in letters: qa, qb, … qz, qba."""
    spelled = ""
    while number or not spelled:
        number, digit = divmod(number, 26)
        spelled = chr(ord("a") + digit) + spelled
    return "q" + spelled


def sub(argv: list[str]) -> None:
    script = Path(argv[-1])
    text = script.read_text()
    words = [word for line in text.splitlines() if line.startswith("#FIFTH ") for word in shlex.split(line[7:])]
    words += argv[:-1]
    options = dict(zip(words[::2], words[1::2], strict=True))
    array = options.get("-t")
    if array and (ROOT / "noarrays").exists():
        fail(2, "there are no arrays here")
    first, _, last = (array or "0-0").partition("-")
    if array and not 1 <= int(first) <= int(last) < int(first) + LARGEST:
        fail(2, f"{array!r} is no array: the first task is 1, and there are at most {LARGEST}")
    variables = dict([options["-v"].split("=", 1)]) if "-v" in options else {}
    with State() as jobs:
        job_id = letters(len(jobs))
        jobs[job_id] = {
            "name": options.get("-N", script.name),
            "script": text,
            "environment": {**os.environ, **variables},
            "at_once": int(options.get("-tc", LARGEST)),
            "after": options.get("-W", ""),
            "tasks": {
                str(number) if array else "-": {"state": "w", "code": None}
                for number in range(int(first), int(last) + 1)
            },
        }
    subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "run"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    print(f"your job {job_id} waits")


def stat(argv: list[str]) -> None:
    if argv == ["-V"]:
        print("5.0")
        return
    if argv == ["-l"]:
        print(LARGEST)
        return
    with State() as jobs:
        for job_id in argv or list(jobs):
            for number, task in jobs[job_id]["tasks"].items() if job_id in jobs else ():
                code = "-" if task["code"] is None else task["code"]
                print(job_id, number, task["state"], jobs[job_id]["name"], code, sep="\t")


def delete(argv: list[str]) -> None:
    with State() as jobs:
        for word in argv:
            job_id, _, number = word.partition(".")
            tasks = jobs[job_id]["tasks"] if job_id in jobs else {}
            for task in [tasks[number]] if number in tasks else () if number else tasks.values():
                if task["state"] == "w":
                    task["state"] = "z"
                elif task["state"] == "r":
                    task.setdefault("deleted_at", time.time())


def run() -> None:
    """Start what waits while there are free slots, and see what ends. Only one such process is at work."""
    with (ROOT / "runner").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        while True:
            with State() as jobs:
                end(jobs, processes)
                start(jobs, processes)
                waiting = any(task["state"] == "w" for job in jobs.values() for task in job["tasks"].values())
                if not processes and not waiting:
                    return
            time.sleep(0.05)


def end(jobs: dict[str, Any], processes: dict[tuple[str, str], "subprocess.Popen[bytes]"]) -> None:
    for (job_id, number), process in list(processes.items()):
        task = jobs[job_id]["tasks"][number]
        code = process.poll()
        if code is not None:
            del processes[job_id, number]
            task.update(state="z", code=None if "deleted_at" in task else code if code >= 0 else 128 - code)
        elif "deleted_at" in task:
            overdue = time.time() - task["deleted_at"] > KILL_WAIT_S
            if overdue or not task.get("told"):
                task["told"] = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL if overdue else signal.SIGTERM)


def start(jobs: dict[str, Any], processes: dict[tuple[str, str], "subprocess.Popen[bytes]"]) -> None:
    slots = int((ROOT / "slots").read_text())
    for job_id, job in jobs.items():
        before = jobs.get(job["after"], {"tasks": {}})
        if any(task["state"] != "z" for task in before["tasks"].values()):
            continue
        for number, task in job["tasks"].items():
            running = sum(key[0] == job_id for key in processes)
            if task["state"] != "w" or len(processes) >= slots or running >= job["at_once"]:
                continue
            script = ROOT / f"{job_id}.sh"
            if not script.exists():
                script.write_text(job["script"])
            own = {
                "FIFTH_JOB": job_id,
                "FIFTH_NAME": job["name"],
                "FIFTH_TASK": "none" if number == "-" else number,
                "FIFTH_NODE": "east",
            }
            processes[job_id, number] = subprocess.Popen(
                ["bash", str(script)], cwd=ROOT, env={**job["environment"], **own}, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            task["state"] = "r"


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run()
    else:
        with (ROOT / "calls").open("a") as calls:
            calls.write(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
        {"fifth-sub": sub, "fifth-stat": stat, "fifth-del": delete}[Path(sys.argv[0]).name](sys.argv[1:])
