#!/usr/bin/env python3
"""What runs on the compute node: one trial, claimed, run, and recorded.

Standard library alone, Python 3.6 or newer: it is copied into the sweep's folder, with command.py, and run by
whatever ``python3`` the node has. It knows no scheduler; the job script tells it which job and task it is.

::

    look up the task ─▶ claim the attempt ─▶ run the command ─▶ write the exit record ─▶ end as it ended
                              │
                              └ someone else's: leave, run nothing

A claim is the attempt's record, created by a hard link, which fails where the name exists: one winner,
also on NFS. The exit record replaces it by rename, so that no reader ever sees half of one.
"""

import argparse
import errno
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

if __package__:
    from sweep.command import Command, Limits
else:  # beside it in the sweep's folder
    sys.dont_write_bytecode = True  # files are a quota there
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from command import Command, Limits  # type: ignore[import-not-found, no-redef]


#: ``number attempt offset`` of one task, the offset being that of its line in trials.jsonl.
TASK_LINE_BYTES = 31


Record = Dict[str, Any]


def read_task(folder: str, job: str, index: int) -> Tuple[int, Record]:
    """Look up a task: its attempt's number and its trial, without reading all the others."""
    with open(os.path.join(folder, "jobs", job + ".tasks"), "rb") as tasks:
        tasks.seek(index * TASK_LINE_BYTES)
        line = tasks.read(TASK_LINE_BYTES)
    if len(line) != TASK_LINE_BYTES:
        raise SystemExit("sweep: job %s has no task %d" % (job, index))
    number, attempt, offset = (int(field) for field in line.split())
    with open(os.path.join(folder, "trials.jsonl"), "rb") as trials:
        trials.seek(offset)
        trial = json.loads(trials.readline().decode("utf-8"))  # type: Record
    if trial["number"] != number:
        raise SystemExit("sweep: trials.jsonl was changed by hand; run `sweep plan` again")
    return attempt, trial


def trial_folder(folder: str, trial_id: str) -> str:
    """Trials are sharded by the first two digits of their id: no folder of a hundred thousand entries."""
    return os.path.join(folder, "trials", trial_id[:2], trial_id)


def replace(path: str, record: Record) -> None:
    """Write a whole file by rename, synced: a record that a crash may not take back."""
    temporary = "%s.%s.%d.tmp" % (path, socket.gethostname(), os.getpid())
    try:
        _write(temporary, record)
        os.rename(temporary, path)
    except OSError:
        _remove(temporary)
        raise


def _write(path: str, record: Record) -> None:
    with open(path, "w", encoding="utf-8") as out:
        json.dump(record, out)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def claim(path: str, record: Record, wait_s: float = 0.0) -> bool:
    """Claim an attempt; False if it is someone else's or has ended.

    A requeued task finds its own claim, with the job's id, name and task all the same, and takes it up. It may
    have been started before the old one has quite ended, which is waited for.
    """
    temporary = "%s.%s.%d.tmp" % (path, socket.gethostname(), os.getpid())
    _write(temporary, record)
    try:
        _link(temporary, path)
        return True
    except FileExistsError:
        pass
    finally:
        _remove(temporary)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with open(path, encoding="utf-8") as found:
                other = json.load(found)
        except (OSError, ValueError):
            return False
        if all(other.get(key) == record.get(key) for key in ("host", "pid", "started_at")) and other.get("pid"):
            return True  # our own link, made by a first request whose answer a file server lost
        same = all(other.get(key) == record[key] for key in ("job_id", "job_name", "index"))
        if not same or not record["job_id"]:
            return False
        if _is_over(other):
            break
        if other.get("ended") or time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    record["restarts"] = other.get("restarts", 0) + 1
    replace(path, record)
    return True


def _is_over(other: Record) -> bool:
    """Whether a claim of our own job can be taken up: it was interrupted, and nobody is still at it."""
    if other.get("ended"):
        if other.get("exit_code") == 0 or other.get("stopped"):
            return False
        # A requeue begins by sending SIGTERM. A worker that sent none has seen its trial die by itself.
        return bool(other.get("told") or (other.get("signal") and not other.get("packed")))
    pid = other.get("pid")
    return other.get("host") != socket.gethostname() or not pid or not _runs_node(pid)


def _runs_node(pid: int) -> bool:
    """Whether this process is there and is a runner, as far as this machine tells."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as line:
            return b"node.py" in line.read()
    except OSError:
        return True


def _link(source: str, path: str) -> None:
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES):
            raise
        # A file system without hard links; exclusive creation is as good on a single machine.
        with open(source, "rb") as content:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(handle, "wb") as out:
                out.write(content.read())


def watch(
    command: Command, record: Record, path: str, heartbeat_s: float, limits: Limits, ended: threading.Event
) -> None:
    """Sample the command's memory and refresh its record: often at first, then each heartbeat."""
    pause_s, beat_s, last = 0.2, min(5.0, heartbeat_s), time.monotonic()
    while not ended.wait(pause_s):
        command.sample()
        limits.enforce(command)
        pause_s = min(pause_s * 1.5, 5.0, heartbeat_s)
        if time.monotonic() - last >= beat_s and not ended.is_set():
            beat_s, last = min(beat_s * 2, heartbeat_s), time.monotonic()
            try:
                replace(path, dict(record, heartbeat_at=time.time(), **command.usage()))
            except OSError as error:
                print("sweep: cannot write %s: %s" % (path, error), file=sys.stderr)


def run(
    command: Command,
    argv: List[str],
    options: argparse.Namespace,
    record: Record,
    paths: Tuple[str, str],
    environment: Dict[str, str]
) -> Record:  # fmt: skip
    """Run the command to its end. Returns what the exit record says of it."""
    attempt_path, log_path = paths
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    if record["attempt"] > 1:
        line = "--- attempt %d, %s, job %s ---\n" % (record["attempt"], time.strftime("%F %T"), record["job_id"])
        os.write(log, line.encode("utf-8", "replace"))
    try:
        command.start(argv, options.workdir, environment, log)
    except (OSError, ValueError) as error:
        told = "cannot start %r in %s: %s" % (argv[0], options.workdir, error)
        os.write(log, ("sweep: %s\n" % told).encode("utf-8", "replace"))
        return {
            "exit_code": 127 if isinstance(error, FileNotFoundError) else 126,
            "signal": None,
            "error": told,
        }
    finally:
        os.close(log)
    ended = threading.Event()
    limits = Limits(options.walltime_s, options.memory_mib, cancel_path(attempt_path))
    watcher = threading.Thread(
        target=watch, args=(command, record, attempt_path, options.heartbeat_s, limits, ended), daemon=True
    )
    watcher.start()
    status = command.wait()
    ended.set()
    watcher.join()
    if os.WIFSIGNALED(status):
        return {"exit_code": None, "signal": os.WTERMSIG(status), "error": ""}
    return {"exit_code": os.WEXITSTATUS(status), "signal": None, "error": ""}


def cancel_path(attempt_path: str) -> str:
    """Where to ask that an attempt be ended, if no scheduler can be asked for it alone."""
    return attempt_path[: -len(".json")] + ".cancel"


def trial_environment(trial: Record, attempt: int, own: str, result: str) -> Dict[str, str]:
    """Add to this environment what the command is told of its trial."""
    environment = dict(os.environ)
    environment.update(
        SWEEP_TRIAL=trial["id"],
        SWEEP_NUMBER=str(trial["number"]),
        SWEEP_ATTEMPT=str(attempt),
        SWEEP_FOLDER=own,
        SWEEP_RESULT=os.path.join(own, result),
        SWEEP_SEED=str(trial["seed"]),
        SWEEP_REPLICATE=str(trial["replicate"]),
        SWEEP_CPUS=str(trial["resources"]["cpus"]),
        SWEEP_PARAMS=json.dumps(trial["params"]),
    )
    return environment


def record_end(path: str, record: Record) -> None:
    """Write the exit record, patiently: a full disk may be emptied, a file server come back."""
    for pause_s in (0.5, 2.0, 8.0, None):
        try:
            return replace(path, record)
        except OSError as error:
            print("sweep: cannot write %s: %s" % (path, error), file=sys.stderr)
            if pause_s is not None:
                time.sleep(pause_s)
    return None


def end_as(exit_code: Optional[int], number: Optional[int]) -> None:
    """End this process as the command ended: with its exit code, or by its signal."""
    if number is None:
        sys.exit(exit_code)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    sys.exit(128 + number)  # where the signal does not end a process


def main(arguments: Optional[List[str]] = None) -> None:
    """Run one task of one job; see the top of this file."""
    parser = argparse.ArgumentParser(description="Run one trial of a sweep.")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--job-id", default="")
    parser.add_argument("--job-name", default="")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--result", required=True)
    parser.add_argument("--heartbeat-s", type=float, default=60.0)
    parser.add_argument("--requeue-wait-s", type=float, default=30.0)
    parser.add_argument("--worker", type=int, help="the packed worker that this is run by")
    parser.add_argument("--walltime-s", type=int, default=0, help="end the command after so long")
    parser.add_argument("--memory-mib", type=int, default=0, help="end the command if it uses more")
    parser.add_argument("--environment-failed", nargs=2, metavar=("EXIT_CODE", "LINE"))
    options = parser.parse_args(arguments)

    command = Command()
    command.install()
    attempt, trial = read_task(options.folder, options.job, options.index)
    own = trial_folder(options.folder, trial["id"])
    os.makedirs(own, exist_ok=True)
    attempt_path = os.path.join(own, "attempt-%d.json" % attempt)
    record = {
        "version": 1, "trial": trial["id"], "number": trial["number"], "attempt": attempt,
        "job": options.job, "job_id": options.job_id, "job_name": options.job_name,
        "index": options.index if options.worker is None else options.worker, "packed": options.worker is not None,
        "host": socket.gethostname(), "node": os.environ.get("SLURMD_NODENAME", ""), "pid": os.getpid(),
        "started_at": time.time(), "ended": False,
    }  # type: Record  # fmt: skip
    if not claim(attempt_path, record, options.requeue_wait_s):
        print("sweep: trial %d, attempt %d is claimed by another job; nothing run" % (trial["number"], attempt))
        return
    _remove(os.path.join(own, options.result))  # an earlier attempt's result proves nothing about this one
    if options.environment_failed:
        code, line = options.environment_failed
        told = "the environment line %r ended with exit code %s" % (line, code)
        end = {"exit_code": int(code), "signal": None, "error": told}  # type: Record
    else:
        environment = trial_environment(trial, attempt, own, options.result)
        end = run(
            command, trial["argv"], options, record, (attempt_path, os.path.join(own, "log.txt")), environment
        )
    record.update(end, ended=True, ended_at=time.time(), told=command.told, limit=command.limit)
    record["stopped"] = command.stopped_at is not None
    record.update(command.usage())
    record_end(attempt_path, record)
    _remove(cancel_path(attempt_path))
    end_as(end["exit_code"], end["signal"])


if __name__ == "__main__":
    main()
