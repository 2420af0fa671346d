#!/usr/bin/env python3
"""A fake cluster with two dialects: the commands of OpenPBS and of Torque, which answer as the captures do.

It is run as qsub, qstat, qdel, qselect, qsig or pbsnodes, by links on PATH. ``$FAKE_PBS`` is its folder;
``$FAKE_PBS_DIALECT`` is ``pbs`` or ``torque``. It really runs the jobs, on four slots.

As the mom of a real one does, it counts CPU and memory, suspends and kills by session: a process that calls setsid has
left its job. Jobs start with umask 0077 and a PATH without its own commands. Each id of a qstat is two connections,
noted in the file ``connections``, and a server has not enough of them for 250 ids.

Its queues: ``workq``, the default; ``small`` (10 minutes) and ``tiny`` (1 minute); ``route``, which leads to these two
and drops what fits neither without a word; ``closed``, which takes the jobs of ``pbsother`` alone.

A file in its folder is a knob that changes what it does:

========================== ===========================================================================
down                       the server does not answer
nohistory                  no ended job is kept, which is OpenPBS's default
badjson                    another user's job makes the JSON invalid
held                       no task starts
limit                      contains the largest number of a user's tasks in the queue
advertised                 the server and its queue say the limit, too
idle_slot_limit            contains how many idle tasks of an array Torque makes (300): the others are in no answer
                           until earlier ones have begun
max_job_array_size         contains the most tasks of an array that Torque takes
max_slot_limit             contains the most tasks of an array that Torque lets run at once
keep_completed             contains the seconds after which Torque forgets a job that has ended
walltime                   contains the seconds after which a running task is ended
memory                     contains the MiB at which a task is killed, as ``$enforce mem`` does
nonsense                   contains what qstat prints instead of an answer
slow                       contains the seconds that qsub takes
hang, garbage, empty, die  what qsub does instead of answering, once it has queued the job; may contain how often
========================== ===========================================================================
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(os.environ["FAKE_PBS"])
TORQUE = os.environ.get("FAKE_PBS_DIALECT") == "torque"
SERVER = "vm:16001" if TORQUE else "vm"
SLOTS = 4
#: Nobody can open more connections at once.
MOST_IDS = 250
#: A task that outlives SIGTERM for so long is killed.
KILL_WAIT_S = 0.02 if TORQUE else 5.0  # Torque's SIGKILL follows at once
#: Queue → its attributes, as OpenPBS's JSON has them.
QUEUES: dict[str, dict[str, Any]] = {
    "workq": {"queue_type": "Execution", "resources_max": {"walltime": "48:00:00"}},
    "small": {"queue_type": "Execution", "resources_max": {"walltime": "00:10:00"}},
    "tiny": {"queue_type": "Execution", "resources_max": {"walltime": "00:01:00"}},
    "route": {"queue_type": "Route", "route_destinations": "small,tiny"},
    "closed": {"queue_type": "Execution", "acl_user_enable": "True", "acl_users": "pbsother@*"},
}
for _queue in QUEUES.values():
    _queue.update(enabled="True", started="True")
DONE = "C" if TORQUE else "F"
#: The state of an array's task that Torque has not made yet.
UNMADE = ""


def fail(code: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def knob(name: str) -> bool:
    return (ROOT / name).exists()


def number_in(name: str, default: float) -> float:
    return float((ROOT / name).read_text()) if knob(name) else default


class State:
    """All jobs, with a lock inside the `with`: id → {name, tasks: {index or "": record}}."""

    def __enter__(self) -> dict[str, Any]:
        self.lock = (ROOT / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        path = ROOT / "state.json"
        self.jobs: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return self.jobs

    def __exit__(self, *_: object) -> None:
        temporary = ROOT / "state.tmp"
        temporary.write_text(json.dumps(self.jobs))
        temporary.replace(ROOT / "state.json")
        self.lock.close()


# --- qsub -----------------------------------------------------------------------------------------------------


def qsub(argv: list[str]) -> None:
    if knob("down"):
        if TORQUE:
            fail(
                111,
                "Cannot connect to specified server host 'vm:16001'.\nqsub: cannot connect to server vm (errno=111) Connection refused",
            )
        fail(162, "Connection refused\nqsub: cannot connect to server vm (errno=15010)")
    script = Path(argv[-1])
    if not script.is_file():
        fail(1, "qsub: script file:: No such file or directory")
    text = script.read_text()
    words = [word for line in text.splitlines() if line.startswith("#PBS ") for word in shlex.split(line[5:])]
    options = dict(pairs(words) + pairs(argv[:-1]))
    asked_s = max((seconds(value) for value in re.findall(r"walltime=([\d:]+)", text)), default=0)
    name, array = options.get("-N", script.name), options.get("-t" if TORQUE else "-J")
    if not re.fullmatch(r"[\w.+-]{1,236}", name):
        fail(2, "qsub: illegal -N value")
    if options.get("-q") == "nosuch":
        fail(
            172 if TORQUE else 170,
            "qsub: submit error (Unknown queue MSG=requested queue not found)"
            if TORQUE
            else "qsub: Unknown queue",
        )
    check_queue(options.get("-q", "workq"), asked_s)
    number = queue(text, name, array, options)
    if options.get("-q") == "route" and asked_s > 600:  # rejected by all destinations, says the server's own log
        with State() as jobs:
            jobs[number]["tasks"] = {}
    if not knob("held"):
        detach("run")
    answer(f"{number}{'[]' if array else ''}.{SERVER}")


def check_queue(name: str, asked_s: int) -> None:
    """Refuse a job that its queue does not take."""
    queue = QUEUES[name]
    if name == "closed":
        fail(159, "qsub: Unauthorized Request")
    limit = queue.get("resources_max", {}).get("walltime")
    if limit and asked_s > seconds(limit):
        fail(188, "qsub: Job violates queue and/or server resource limits")


def seconds(text: str) -> int:
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return total


def queue(text: str, name: str, array: str | None, options: dict[str, str]) -> str:
    """Put a job into the queue, if the limit allows. Returns its number."""
    indices = [""] if array is None else array_indices(array)
    with State() as jobs:
        in_queue = sum(task["state"] != DONE for job in jobs.values() for task in job["tasks"].values())
        if knob("limit") and in_queue + len(indices) > int((ROOT / "limit").read_text()):
            fail(
                200 if TORQUE else 38,
                "qsub: submit error (Maximum number of jobs already in queue MSG=…)"
                if TORQUE
                else "qsub: would exceed complex's per-user limit",
            )
        number = str(len(jobs) + 1)
        environment = {
            **os.environ,
            **dict(pair.split("=", 1) for pair in options.get("-v", "").split(",") if pair),
        }
        made = int(number_in("idle_slot_limit", 300)) if TORQUE and array else len(indices)
        own_folder = str(Path(sys.argv[0]).absolute().parent)
        path = environment.get("PATH", "").split(os.pathsep)
        environment["PATH"] = os.pathsep.join(folder for folder in path if folder != own_folder)
        umask = re.search(r"umask=(\d+)", options.get("-W", ""))
        jobs[number] = {
            "umask": int(umask[1], 8) if umask else 0o077,
            "name": name, "array": array is not None, "script": text, "environment": environment,
            "at_once": int(array.partition("%")[2] or SLOTS) if array else SLOTS,
            "tasks": {index: {"state": "Q" if at < made else UNMADE} for at, index in enumerate(indices)},
            "after": dict(pair.split("=", 1) for pair in [options["-W"]])["depend"].split(":")[1].split(".")[0].rstrip("[]")
            if "depend" in options.get("-W", "") else "",
        }  # fmt: skip
    return number


def answer(job_id: str) -> None:
    """Print a new job's id, or do what a knob says instead."""
    if use("hang"):
        time.sleep(600)
    if knob("slow"):
        time.sleep(float((ROOT / "slow").read_text()))
    if use("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if use("garbage"):
        print("qsub: Bad \x00 thing\nhappened")
    elif not use("empty"):
        print(job_id)


def use(name: str) -> bool:
    """Whether a knob is on. Each use counts down the number in it, and the last use removes it."""
    path = ROOT / name
    if not path.exists():
        return False
    remaining = int(path.read_text() or 10**6) - 1
    path.write_text(str(remaining)) if remaining else path.unlink()
    return True


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(words[::2], words[1::2], strict=True))


def array_indices(array: str) -> list[str]:
    match = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?:%\d+)?", array)
    if (
        not match
        or int(match[2]) < int(match[1])
        or (not TORQUE and match[1] == match[2])
        or (TORQUE and match[3])
    ):
        fail(2, "qsub: illegal -J value\nusage: qsub [-a date_time] …")
    if TORQUE and int(match[2]) - int(match[1]) >= number_in("max_job_array_size", 10_000):
        fail(235, "qsub: submit error (Bad Job Array Request MSG=Requested array size too large, limit is …)")
    if TORQUE and knob("max_slot_limit") and int(array.partition("%")[2] or 0) > number_in("max_slot_limit", 0):
        fail(235, "qsub: submit error (Bad Job Array Request MSG=Requested slot limit invalid, limit is …)")
    if int(match[2]) >= 10_000:
        fail(3, "qsub: Array job exceeds server or queue size limit")
    return [str(index) for index in range(int(match[1]), int(match[2]) + 1, int(match[3] or 1))]


# --- running --------------------------------------------------------------------------------------------------


def detach(verb: str) -> None:
    subprocess.Popen(
        [sys.executable, __file__, verb], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def run() -> None:
    """Start tasks on free slots until none waits. A cluster has at most one such process at work."""
    with (ROOT / "runner").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        while True:
            with State() as jobs:
                sample(jobs, processes)
                end_overdue(jobs, processes)
                reap(jobs, processes)
                start(jobs, processes)
                if not processes and not any(
                    t["state"] in ("Q", UNMADE) for job in jobs.values() for t in job["tasks"].values()
                ):
                    return
            time.sleep(0.05)


def members(session: int) -> list[int]:
    """List the processes of a session."""
    pids = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(int(entry))
        if fields and int(fields[3]) == session and fields[0] != "Z":
            pids.append(int(entry))
    return pids


def stat_fields(pid: int) -> list[str]:
    """Return a process's fields of proc(5), counted from its state; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def signal_session(session: int, number: int) -> None:
    for pid in members(session):
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def sample(jobs: dict[str, Any], processes: dict[tuple[str, str], subprocess.Popen[bytes]]) -> None:
    """Count what the sessions use, twice a second."""
    for (number, index), process in processes.items():
        task = jobs[number]["tasks"][index]
        if time.time() - task.get("sampled", 0.0) < 0.5:
            continue
        task["sampled"] = time.time()
        fields = [fields for pid in members(process.pid) if (fields := stat_fields(pid))]
        ticks = sum(int(field) for own in fields for field in own[11:15])
        pages = sum(int(own[21]) for own in fields)
        task["cpu_s"] = max(task.get("cpu_s", 0.0), ticks / os.sysconf("SC_CLK_TCK"))
        task["memory_kib"] = max(task.get("memory_kib", 0), pages * os.sysconf("SC_PAGE_SIZE") // 1024)


def end_overdue(jobs: dict[str, Any], processes: dict[tuple[str, str], subprocess.Popen[bytes]]) -> None:
    """End tasks that are over a limit or deleted: SIGTERM to the session, and SIGKILL a while later."""
    for (number, index), process in processes.items():
        task = jobs[number]["tasks"][index]
        if knob("walltime") and time.time() - task["began"] > float((ROOT / "walltime").read_text()):
            task.setdefault("over", -11 if TORQUE else -29)
        if knob("memory") and task.get("memory_kib", 0) > 1024 * float((ROOT / "memory").read_text()):
            task.setdefault("over", -10 if TORQUE else -27)
        if not (task.get("over") or task.get("deleted")):
            continue
        if "told" not in task:
            task["told"] = time.time()
            signal_session(process.pid, signal.SIGCONT)
            signal_session(process.pid, signal.SIGTERM)
        elif time.time() - task["told"] > KILL_WAIT_S:
            signal_session(process.pid, signal.SIGKILL)


def reap(jobs: dict[str, Any], processes: dict[tuple[str, str], subprocess.Popen[bytes]]) -> None:
    for (number, index), process in list(processes.items()):
        code = process.poll()
        if code is not None:
            del processes[number, index]
            task = jobs[number]["tasks"][index]
            signal_session(process.pid, signal.SIGKILL)  # what the job left behind
            status = (
                task["over"]
                if task.get("over")
                else 271
                if task.get("deleted")
                else code
                if code >= 0
                else 128 - code
            )
            task.update(
                state=DONE,
                status=status,
                substate=91 if task.get("deleted") else 92 if not code else 93,
                walltime=time.time() - task["began"],
                ended=time.time(),
            )


def make_more(job: dict[str, Any]) -> None:
    """Make idle tasks of an array in place of those that have begun, as Torque's server does."""
    idle = sum(task["state"] == "Q" for task in job["tasks"].values())
    unmade = [task for task in job["tasks"].values() if task["state"] == UNMADE]
    for task in unmade[: max(0, int(number_in("idle_slot_limit", 300)) - idle)]:
        task["state"] = "Q"


def start(jobs: dict[str, Any], processes: dict[tuple[str, str], subprocess.Popen[bytes]]) -> None:
    for number, job in jobs.items():
        before = jobs.get(job["after"])
        if before and any(task["state"] != DONE for task in before["tasks"].values()):
            continue
        make_more(job)
        for index, task in job["tasks"].items():
            job_running = sum(key[0] == number for key in processes)
            if task["state"] != "Q" or len(processes) >= SLOTS or job_running >= job["at_once"]:
                continue
            environment = {
                **job["environment"],
                "PBS_JOBID": full(number, index),
                "PBS_JOBNAME": shown(job, index),
            }
            if index:
                environment["PBS_ARRAYID" if TORQUE else "PBS_ARRAY_INDEX"] = index
            script = ROOT / f"{number}.sh"
            if not script.exists():  # a bash that is running still reads it
                script.write_text(job["script"])
            # A job starts in the home folder, not where it was submitted.
            process = subprocess.Popen(
                ["bash", str(script)], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
                umask=job["umask"],
            )  # fmt: skip
            processes[number, index] = process
            task.update(state="R", pid=process.pid, began=time.time())


def full(number: str, index: str) -> str:
    return f"{number}[{index}].{SERVER}" if index else f"{number}.{SERVER}"


def shown(job: dict[str, Any], index: str) -> str:
    return f"{job['name']}-{index}" if index and TORQUE else str(job["name"])


# --- qstat ----------------------------------------------------------------------------------------------------


def qstat(argv: list[str]) -> None:
    if "--version" in argv:
        print(
            "Version: master\nCommit: " if TORQUE else "pbs_version = 23.06.06",
            file=sys.stderr if TORQUE else sys.stdout,
        )
        return
    ids = [word for word in argv if re.match(r"\d", word)]
    connect(argv, len(ids))
    if {"-B", "-q", "-Q"} & set(argv):
        show_attributes(argv)
    elif knob("nonsense"):
        print((ROOT / "nonsense").read_text())
    elif "-x" in argv and not TORQUE and knob("nohistory"):
        print(json.dumps(DOCUMENT, indent="\t"))
        print("qstat: PBS is not configured to maintain job history ", file=sys.stderr)
    else:
        show_jobs(argv, ids)


DOCUMENT: dict[str, Any] = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": "vm"}


def connect(argv: list[str], ids: int) -> None:
    """Note the connections of a call, and fail where the server does not answer."""
    with (ROOT / "connections").open("a") as connections:
        connections.write(f"{2 * max(1, ids)}\n")
    if knob("down"):
        if "-F" in argv:
            print(json.dumps(DOCUMENT, indent="\t"))
        fail(111 if TORQUE else 255, "Connection refused\nqstat: cannot connect to server vm (errno=15010)")
    if ids > MOST_IDS:
        fail(255, "qstat: cannot connect to server vm (errno=15010)")


def show_attributes(argv: list[str]) -> None:
    unknown = [name for name in argv if "-Q" in argv and name[:1] != "-" and name not in (*QUEUES, "json", "")]
    if unknown:
        if TORQUE:
            fail(172, "qstat: Unknown queue MSG=cannot locate queue")
        fail(170, f"qstat: Unknown queue {unknown[0]}")
    print(about(argv) if TORQUE else json.dumps({**DOCUMENT, **about_json(argv)}, indent="\t"))


def show_jobs(argv: list[str], ids: list[str]) -> NoReturn:
    if not ids and "-x" in argv and "-t" in argv:
        fail(1, "qstat: server-wide -x -t never ends")
    records, code = looked_up(ids, "-x" in argv or TORQUE, subjobs="-t" in argv)
    if "-F" in argv:
        document = dict(DOCUMENT)
        if records:
            # Several ids: the current development version writes the first only.
            first = dict(list(records.items())[:1]) if len(ids) > 1 else records
            document["Jobs"] = {job: nested(record) for job, record in first.items()}
        text = json.dumps(document, indent="\t")
        print(text.replace('"Job_Name":', '"Job_Owner": nan, "Job_Name":') if knob("badjson") else text)
    else:
        print(
            "\n".join(
                f"Job Id: {job}\n" + "".join(folded(k, v) for k, v in record.items())
                for job, record in records.items()
            )
        )
    sys.exit(code)


def about(argv: list[str]) -> str:
    """Return the attributes of the server and its queue, as Torque prints them."""
    if "-Q" in argv:
        named = [name for name in argv if name in QUEUES] or list(QUEUES)
        return "\n\n".join(
            f"Queue: {name}\n" + "\n".join(f"    {key} = {value}" for key, value in flat(QUEUES[name]).items())
            for name in named
        )
    if "-f" not in argv:
        return "vm  Active"
    text = "Server: vm\n    default_queue = workq\n    pbs_version = 6.1.3.h5"
    for name in ("idle_slot_limit", "max_job_array_size", "max_slot_limit", "keep_completed"):
        if knob(name):
            text += f"\n    {name} = {(ROOT / name).read_text().strip()}"
    if knob("limit") and knob("advertised"):
        text += f"\n    max_user_queuable = {(ROOT / 'limit').read_text().strip()}"
    return text


def flat(queue: dict[str, Any]) -> dict[str, str]:
    nested = {
        f"{name}.{inner}": value for name in ("resources_max",) for inner, value in queue.get(name, {}).items()
    }
    return {name: value for name, value in queue.items() if not isinstance(value, dict)} | nested


def about_json(argv: list[str]) -> dict[str, Any]:
    """Return the attributes of the server and its queue, as OpenPBS's JSON."""
    server: dict[str, Any] = {"server_state": "Active", "default_queue": "workq", "max_array_size": 10000}
    if knob("limit") and knob("advertised"):
        server["max_queued"] = f"[u:PBS_GENERIC={(ROOT / 'limit').read_text().strip()}]"
    named = [name for name in argv if name in QUEUES] or list(QUEUES)
    return {"Server": {"vm": server}, "Queue": {name: QUEUES[name] for name in named}}


def looked_up(ids: list[str], history: bool, *, subjobs: bool) -> tuple[dict[str, dict[str, str]], int]:
    """Return (the records of these jobs, or of all, qstat's exit code)."""
    records: dict[str, dict[str, str]] = {}
    code = 0
    with State() as jobs:
        if not ids:
            for number in jobs:
                shown_records = dict(listed(jobs, number, history))
                keep = subjobs or TORQUE
                records.update({k: v for k, v in shown_records.items() if keep or not re.search(r"\[\d", k)})
        for job_id in ids:
            matches = list(listed(jobs, job_id, history))
            records.update(matches)
            if not matches:
                code = 153
                print(f"qstat: Unknown Job Id {'Error ' if TORQUE else ''}{job_id}", file=sys.stderr)
    return records, code


def listed(jobs: dict[str, Any], job_id: str, history: bool) -> Any:
    match = re.match(r"(\d+)", job_id)
    job = jobs.get(match[1]) if match else None
    if not match or not job or not job["tasks"]:  # unknown, or dropped by the server
        return
    number = match[1]
    ended = all(task["state"] == DONE for task in job["tasks"].values())
    if ended and not history:
        return
    if job["array"] and not TORQUE:
        yield (
            f"{number}[].{SERVER}",
            {"Job_Name": job["name"], "job_state": "F" if ended else "B", "Exit_status": "0", "array": "True"},
        )
    for index, task in job["tasks"].items():
        if named(job_id, index, task):
            yield full(number, index), record_of(job, index, task, array_ended=ended)


def record_of(job: dict[str, Any], index: str, task: dict[str, Any], *, array_ended: bool) -> dict[str, str]:
    state = "X" if task["state"] == "F" and index and not array_ended else task["state"]
    record = {"Job_Name": shown(job, index), "job_state": state}
    if index and task["state"] == "Q" and not TORQUE:
        record["Exit_status"] = "0"  # the parent's, which OpenPBS prints for a queued subjob
    elif index and not TORQUE and "began" in task:
        record["array_index"] = index
    if "status" in task:
        record["exit_status" if TORQUE else "Exit_status"] = str(task["status"])
        record["resources_used.walltime"] = time.strftime("%H:%M:%S", time.gmtime(task["walltime"]))
    if "cpu_s" in task:
        record["resources_used.cput"] = time.strftime("%H:%M:%S", time.gmtime(task["cpu_s"]))
        record["resources_used.mem"] = f"{task['memory_kib']}kb"
    if "substate" in task:
        record["substate"] = str(task["substate"])
    record["Variable_List"] = (
        "PBS_O_HOME=/home/pbsuser,PBS_O_PATH=/opt/pbs/bin:/usr/bin:/bin:/usr/local/bin,PBS_O_SHELL=/bin/bash"
    )
    return record


def named(job_id: str, index: str, task: dict[str, Any]) -> bool:
    """Whether qstat names a task where it is asked for an id, which may be that of a single subjob."""
    asked = re.match(r"\d+\[(\d+)\]", job_id)
    forgotten = TORQUE and time.time() - task.get("ended", time.time()) > number_in("keep_completed", 300)
    return task["state"] != UNMADE and not forgotten and (not asked or asked[1] == index)


def nested(record: dict[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in record.items():
        if "." in name:
            outer, inner = name.split(".", 1)
            out.setdefault(outer, {})[inner] = value
        else:
            out[name] = int(value) if value.isdigit() and name not in ("Job_Name",) else value  # types are guessed
    return out


def folded(name: str, value: str) -> str:
    """Break a long line with a newline and a tab, also in the middle of a word."""
    line = f"    {name} = {value}"
    return "\n\t".join(line[start : start + 78] for start in range(0, len(line), 78)) + "\n"


# --- qdel, qselect --------------------------------------------------------------------------------------------


def qdel(ids: list[str]) -> None:
    if knob("down"):
        fail(111 if TORQUE else 162, "Connection refused\nCouldn't connect to cluster: vm")
    if not TORQUE and len({"[]" in job_id for job_id in ids}) == 2:
        print("double free or corruption (fasttop)", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGABRT)
    code = 0
    with State() as jobs:
        for job_id in ids:
            match = re.match(r"(\d+)(?:\[(\d*)\])?", job_id)
            job = jobs.get(match[1]) if match else None
            tasks = job["tasks"] if job else {}
            if match and match[2]:
                tasks = {index: t for index, t in tasks.items() if index == match[2] and t["state"] != UNMADE}
            if not tasks:
                code = 153
                print(f"qdel: {'nonexistent job id:' if TORQUE else 'Unknown Job Id'} {job_id}", file=sys.stderr)
                continue
            if all(task["state"] == DONE for task in tasks.values()):
                code = 170 if TORQUE else 35
            for task in tasks.values():
                if task["state"] in ("Q", UNMADE):
                    task.update(state=DONE, substate=91, ended=time.time())
                elif task["state"] in ("R", "S"):
                    task["deleted"] = True
    sys.exit(code)


def pbsnodes(_argv: list[str]) -> None:
    if TORQUE:
        print(
            "vm\n     state = free\n     np = 16\n     ntype = cluster\n     status = physmem=24684096kb,ncpus=2\n"
        )
        return
    resources = {"arch": "linux", "host": "vm", "mem": "24684096kb", "ncpus": 16, "vnode": "vm"}
    print(json.dumps({"pbs_server": "vm", "nodes": {"vm": {"resources_available": resources}}}, indent="\t"))


def qselect(argv: list[str]) -> None:
    if knob("down"):
        fail(111 if TORQUE else 162, "Connection refused")
    name = argv[argv.index("-N") + 1] if "-N" in argv else None
    states = argv[argv.index("-s") + 1] if "-s" in argv else None
    with State() as jobs:
        for number, job in jobs.items():
            if TORQUE and job["array"]:  # its tasks are called NAME-3, and the array itself is in no list
                for index, task in job["tasks"].items():
                    asked = task["state"] != DONE if name is None else shown(job, index) == name
                    if asked and named(number, index, task):
                        print(full(number, index))
                continue
            if name is not None and job["name"] != name:
                continue
            living = [index for index, task in job["tasks"].items() if task["state"] != DONE]
            if job["array"] and "-T" in argv:
                print(*[full(number, index) for index in living], sep="\n", end="\n" if living else "")
            elif name is not None or living or states is None:
                print(f"{number}{'[]' if job['array'] else ''}.{SERVER}")


def qsig(argv: list[str]) -> None:
    """Suspend or resume a task: ``qsig -s suspend 3[0].vm``."""
    suspend = argv[argv.index("-s") + 1] == "suspend"
    match = re.match(r"(\d+)(?:\[(\d*)\])?", argv[-1])
    assert match
    with State() as jobs:
        task = jobs[match[1]]["tasks"][match[2] or ""]
        task["state"] = "S" if suspend else "R"
        signal_session(task["pid"], signal.SIGSTOP if suspend else signal.SIGCONT)


VERBS: dict[str, Any] = {
    "qsub": qsub,
    "qstat": qstat,
    "qdel": qdel,
    "qselect": qselect,
    "qsig": qsig,
    "pbsnodes": pbsnodes,
}


def main() -> None:
    """Do what the name says under which this was run."""
    verb = Path(sys.argv[0]).name
    if sys.argv[1:] == ["run"]:
        run()
    else:
        with (ROOT / "calls").open("a") as calls:
            calls.write(json.dumps([verb, *sys.argv[1:]]) + "\n")
        VERBS[verb](sys.argv[1:])


if __name__ == "__main__":
    main()
