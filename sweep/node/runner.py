"""What runs on the compute node: one trial, claimed, run, and recorded.

Standard library alone, Python 3.6 or newer: it is copied into the sweep's folder, with command.py, and run by
whatever ``python3`` the node has; node.py starts it. It knows no scheduler; the job script tells it which job and
task it is.

::

    look up the task ─▶ claim the attempt ─▶ run the command ─▶ write the exit record ─▶ end as it ended
                              │
                              └ someone else's: leave, run nothing

A claim is the attempt's record, created by a hard link, which fails where the name exists: one winner,
also on NFS. The exit record replaces it by rename, so that no reader ever sees half of one.
"""

import errno
import gc
import json
import os
import signal
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Callable, Dict, List, Optional, Tuple

    Record = Dict[str, Any]

if __package__:
    from sweep.node.command import Command, Enforcer
else:  # beside it in the sweep's folder
    from command import Command, Enforcer  # type: ignore[import-not-found, no-redef]


HOST = os.uname()[1]  # as socket.gethostname() says

#: The version of what is written here. docs/formats.md describes it.
FORMAT = 1

#: One task of a job: its trial's number, the attempt, and where in trials.jsonl the trial's line begins, in bytes.
#: All lines have the same width, so that a task is found by seeking.
TASK_LINE = "%010d %04d %014d\n"
TASK_LINE_BYTES = len(TASK_LINE % (0, 0, 0))


def read_task(folder: str, job: str, index: int) -> "Tuple[int, Record]":
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


def replace(path: str, record: "Record") -> None:
    """Write a whole file by rename, synced: a record that a crash may not take back."""
    temporary = "%s.%s.%d.tmp" % (path, HOST, os.getpid())
    try:
        _write(temporary, record)
        os.rename(temporary, path)
    except OSError:
        _remove(temporary)
        raise


def _write(path: str, record: "Record") -> None:
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


def claim(path: str, record: "Record", wait_s: float = 0.0) -> bool:
    """Claim an attempt; False if it is someone else's or has ended.

    A requeued task finds its own claim, with the job's id, name and task all the same, and takes it up. It may
    have been started before the old one has quite ended, which is waited for.
    """
    temporary = "%s.%s.%d.tmp" % (path, HOST, os.getpid())
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


def _is_over(other: "Record") -> bool:
    """Whether a claim of our own job can be taken up: it was interrupted, and nobody is still at it."""
    if other.get("ended"):
        if other.get("exit_code") == 0 or other.get("stopped"):
            return False
        # A requeue begins by sending SIGTERM. A worker that sent none has seen its trial die by itself.
        return bool(other.get("signals") or (other.get("signal") and not other.get("packed")))
    pid = other.get("pid")
    return other.get("host") != HOST or not pid or not _runs_node(pid)


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
            said = line.read()
        return b"node.py" in said or b"worker.py" in said
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
    command: Command, record: "Record", path: str, heartbeat_s: float, enforcer: Enforcer, ended: threading.Event
) -> None:
    """Sample the command's memory and refresh its record: often at first, then each heartbeat."""
    pause_s, beat_s, last = 0.2, min(5.0, heartbeat_s), time.monotonic()
    while not ended.wait(pause_s):
        command.sample()
        enforcer.enforce(command)
        pause_s = min(pause_s * 1.5, 5.0, heartbeat_s)
        if time.monotonic() - last >= beat_s and not ended.is_set():
            beat_s, last = min(beat_s * 2, heartbeat_s), time.monotonic()
            try:
                replace(path, dict(record, heartbeat_at=time.time(), **command.usage()))
            except OSError as error:
                print("sweep: cannot write %s: %s" % (path, error), file=sys.stderr)


def run(
    command: Command,
    argv: "List[str]",
    options: "Options",
    record: "Record",
    paths: "Tuple[str, str]",
    environment: "Dict[str, str]"
) -> "Record":  # fmt: skip
    """Run the command to its end. Returns what the exit record says of it."""
    attempt_path, log_path = paths
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    if record["attempt"] > 1:
        line = "--- attempt %d, %s, job %s ---\n" % (record["attempt"], time.strftime("%F %T"), record["job_id"])
        os.write(log, line.encode("utf-8", "replace"))
    try:
        command.start(argv, options.workdir, environment, log)
    except (OSError, ValueError) as error:
        problem = "cannot start %r in %s: %s" % (argv[0], options.workdir, error)
        os.write(log, ("sweep: %s\n" % problem).encode("utf-8", "replace"))
        return {
            "exit_code": 127 if isinstance(error, FileNotFoundError) else 126,
            "signal": None,
            "failure": "start",
            "error": problem,
        }
    finally:
        os.close(log)
    ended = threading.Event()
    enforcer = Enforcer(options.walltime_s, options.memory_mib, cancel_path(attempt_path))
    watcher = threading.Thread(
        target=watch, args=(command, record, attempt_path, options.heartbeat_s, enforcer, ended), daemon=True
    )
    watcher.start()
    status = command.wait()
    ended.set()
    watcher.join()
    if os.WIFSIGNALED(status):
        return {"exit_code": None, "signal": os.WTERMSIG(status), "failure": "", "error": ""}
    return {"exit_code": os.WEXITSTATUS(status), "signal": None, "failure": "", "error": ""}


def cancel_path(attempt_path: str) -> str:
    """Where to ask that an attempt be ended, if no scheduler can be asked for it alone."""
    return attempt_path[: -len(".json")] + ".cancel"


def trial_environment(trial: "Record", attempt: int, own: str, result: str) -> "Dict[str, str]":
    """Return what the command is told of its trial."""
    return {
        "SWEEP_TRIAL": trial["id"],
        "SWEEP_NUMBER": str(trial["number"]),
        "SWEEP_ATTEMPT": str(attempt),
        "SWEEP_FOLDER": own,
        "SWEEP_RESULT": os.path.join(own, result),
        "SWEEP_SEED": str(trial["seed"]),
        "SWEEP_REPLICATE": str(trial["replicate"]),
        "SWEEP_CPUS": str(trial["resources"]["cpus"]),
        "SWEEP_PARAMS": json.dumps(trial["params"]),
    }


def record_end(path: str, record: "Record") -> None:
    """Write the exit record, patiently: a full disk may be emptied, a file server come back."""
    for pause_s in (0.5, 2.0, 8.0, None):
        try:
            return replace(path, record)
        except OSError as error:
            print("sweep: cannot write %s: %s" % (path, error), file=sys.stderr)
            if pause_s is not None:
                time.sleep(pause_s)
    return None


def end_as(exit_code: "Optional[int]", number: "Optional[int]") -> None:
    """End this process as the command ended: with its exit code, or by its signal."""
    if number is None:
        sys.exit(exit_code)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    sys.exit(128 + number)  # where the signal does not end a process


class Options(object):
    """What the job script says, ``--job-id 7``; argparse would take longer to import than all else here.

    Attributes
    ----------
    folder, workdir : str
        The sweep's, and where the command is run.
    job, job_id, job_name : str
        As the sweep names the job, and as the scheduler does.
    index : int
        The task of the job that is to be run.
    result : str
        The result's file, in the trial's folder.
    heartbeat_s, requeue_wait_s : float
        How often the record is refreshed, and how long the end of an earlier run of this same task is waited for.
    worker : int
        The packed worker that this is run by; -1: none.
    walltime_s, memory_mib : int
        End the command beyond these; 0: the scheduler does.
    environment_failed : list of str
        The exit code and the line of the job's environment that failed.
    """

    def __init__(self, arguments: "List[str]") -> None:
        self.folder = self.job = self.job_id = self.job_name = self.workdir = self.result = ""
        self.index, self.worker, self.walltime_s, self.memory_mib = 0, -1, 0, 0
        self.heartbeat_s, self.requeue_wait_s = 60.0, 30.0
        self.environment_failed = []  # type: List[str]
        rest = list(arguments)
        while rest:
            name = rest.pop(0)[2:].replace("-", "_")
            default = getattr(self, name, None)
            count = 2 if isinstance(default, list) else 1
            if default is None or len(rest) < count:
                raise SystemExit("sweep: node.py cannot take %s" % arguments)
            value = rest[:2] if count == 2 else type(default)(rest[0])
            setattr(self, name, value)
            del rest[:count]


def main(arguments: "Optional[List[str]]" = None) -> None:
    """Run one task of one job; see the top of this file."""
    gc.disable()  # it lives for one trial and makes no cycles
    command = Command()
    command.install()
    end = run_task(command, Options(sys.argv[1:] if arguments is None else arguments), dict(os.environ))
    if end is not None:
        end_as(end["exit_code"], end["signal"])


def run_task(command: Command, options: "Options", environment: "Dict[str, str]") -> "Optional[Record]":
    """Claim a task's trial, run its command in this environment, record how it ended.

    Returns how it did; None if the trial is someone else's.
    """
    attempt, trial = read_task(options.folder, options.job, options.index)
    own = trial_folder(options.folder, trial["id"])
    os.makedirs(own, exist_ok=True)
    attempt_path = os.path.join(own, "attempt-%d.json" % attempt)
    record = {
        "format": FORMAT, "trial": trial["id"], "number": trial["number"], "attempt": attempt,
        "job": options.job, "job_id": options.job_id, "job_name": options.job_name,
        "index": options.index if options.worker < 0 else options.worker, "packed": options.worker >= 0,
        "host": HOST, "node": os.environ.get("SLURMD_NODENAME", ""), "pid": os.getpid(),
        "started_at": time.time(), "ended": False,
    }  # type: Record  # fmt: skip
    if not claim(attempt_path, record, options.requeue_wait_s):
        print("sweep: trial %d, attempt %d is claimed by another job; nothing run" % (trial["number"], attempt))
        return None
    _remove(os.path.join(own, options.result))  # an earlier attempt's result proves nothing about this one
    if options.environment_failed:
        code, line = options.environment_failed
        problem = "the environment line %r ended with exit code %s" % (line, code)
        end = {"exit_code": int(code), "signal": None, "failure": "environment", "error": problem}  # type: Record
    else:
        environment.update(trial_environment(trial, attempt, own, options.result))
        end = run(
            command, trial["argv"], options, record, (attempt_path, os.path.join(own, "log.txt")), environment
        )
    record.update(end, ended=True, ended_at=time.time(), signals=command.signals, limit=command.limit)
    record["stopped"] = command.stopped_s is not None
    record.update(command.usage())
    record_end(attempt_path, record)
    _remove(cancel_path(attempt_path))
    return end


def to_the_end(work: "Callable[[], None]") -> None:
    """Call it and end this process as it did, without taking Python apart first. Never returns."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
