"""An attempt's record as a file: it is created by one claim, replaced whole, and known to be whose.

Standard library alone, Python 3.6 or newer, as node.py.
"""

import errno
import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Dict

    Record = Dict[str, Any]

if __package__:
    from sweep.node.command import ENDING
else:  # beside it in the sweep's folder
    from command import ENDING  # type: ignore[import-not-found, no-redef]

HOST = os.uname()[1]  # what socket.gethostname() returns, without the import


def node_name() -> str:
    """Return the scheduler's own name for this machine, which the job script exports. Empty: it has none."""
    return os.environ.get("SWEEP_NODE") or os.environ.get("SLURMD_NODENAME", "")  # Slurm says so in every job


def replace(path: str, record: "Record") -> None:
    """Write a whole file by rename. It is synced first, so that a crash of the machine does not undo it."""
    temporary = "%s.%s.%d.tmp" % (path, HOST, os.getpid())
    try:
        write(temporary, record)
        os.rename(temporary, path)
    except OSError:
        remove(temporary)
        raise


def write(path: str, record: "Record") -> None:
    """Write a record, and wait until it is on the disk."""
    with open(path, "w", encoding="utf-8") as out:
        json.dump(record, out)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())


def remove(path: str) -> None:
    """Remove a file, if it is there and can be removed."""
    try:
        os.unlink(path)
    except OSError:
        pass


#: A runner on another host is dead once its record has stood still for so many heartbeats.
STILL_BEATS = 3


def claim(path: str, record: "Record", wait_s: float = 0.0, heartbeat_s: float = 0.0) -> bool:
    """Claim an attempt; False if another job has claimed it, or it has ended.

    A requeued task finds its own claim, which has the same job id, job name and task, and takes it up. It may have
    been started before its earlier run has quite ended. On another host, that run may go on: the node may only be
    cut off from its scheduler. No two hosts' clocks are compared: the record has to stand still for `STILL_BEATS`.

    Parameters
    ----------
    path : str
        The attempt's record.
    wait_s : float
        How long to wait for the end of the task's earlier run on this host.
    heartbeat_s : float
        How often a runner refreshes its record.
    """
    temporary = "%s.%s.%d.tmp" % (path, HOST, os.getpid())
    write(temporary, record)
    try:
        _link(temporary, path)
        return True
    except FileExistsError:
        pass
    finally:
        remove(temporary)
    deadline, still = time.monotonic() + wait_s, _Stillness(STILL_BEATS * heartbeat_s)
    while True:
        earlier = _read(path)
        if _is_own(earlier, record):
            return True  # our own link: the file server made it, but its reply was lost and the request repeated
        same_task = all(earlier.get(key) == record[key] for key in ("job_id", "job_name", "index"))
        if not same_task or not record["job_id"]:
            return False
        elsewhere = earlier.get("host") != HOST and earlier.get("pid") and not earlier.get("ended")
        if still.is_long(earlier) if elsewhere else _can_be_taken_up(earlier):
            break
        if not elsewhere and (earlier.get("ended") or time.monotonic() > deadline):
            return False
        time.sleep(0.5)
    record["restarts"] = earlier.get("restarts", 0) + 1
    replace(path, record)
    return True


class _Stillness(object):
    """Tells whether what is shown to it again and again has been the same for so many seconds."""

    def __init__(self, long_s: float) -> None:
        self.long_s, self.since_s = long_s, 0.0
        self.shown = {}  # type: Record

    def is_long(self, shown: "Record") -> bool:
        if shown != self.shown:
            self.shown, self.since_s = shown, time.monotonic()
        return time.monotonic() - self.since_s > self.long_s


def _read(path: str) -> "Record":
    """Read a record. What cannot be read is empty."""
    record = {}  # type: Record
    try:
        with open(path, encoding="utf-8") as stream:
            record = json.load(stream)
    except (OSError, ValueError):
        pass
    return record


def _is_own(present: "Record", record: "Record") -> bool:
    """Whether the record that is there is this process's own, of this run."""
    same = all(present.get(key) == record.get(key) for key in ("host", "pid", "started_at"))
    return same and bool(present.get("pid"))


def is_anothers(path: str, record: "Record") -> bool:
    """Whether another process has taken up the claim. What cannot be read is still this process's own."""
    present = _read(path)
    return bool(present) and not _is_own(present, record)


def _can_be_taken_up(earlier: "Record") -> bool:
    """Whether a claim of this same task was interrupted, and no process is at work on it."""
    if earlier.get("ended"):
        told_to_end = not ENDING.isdisjoint(earlier.get("signals") or ())
        if earlier.get("stopped") or (earlier.get("exit_code") == 0 and not told_to_end):
            return False
        # A requeue begins with SIGTERM. If a worker noted no signal, its trial died by itself.
        return bool(earlier.get("signals") or (earlier.get("signal") and not earlier.get("packed")))
    pid = earlier.get("pid")
    return earlier.get("host") != HOST or not pid or not _is_runner(pid)


def _is_runner(pid: int) -> bool:
    """Whether a process of this machine exists and is a runner. Where this is not known: yes."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as line:
            command_line = line.read()
        return b"node.py" in command_line or b"worker.py" in command_line
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
        # The file system has no hard links. Exclusive creation is as good on a single machine.
        with open(source, "rb") as content:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(handle, "wb") as out:
                out.write(content.read())


def write_exit_record(path: str, record: "Record") -> None:
    """Write the exit record, with four tries in ten seconds: a full disk or a lost file server may recover."""
    for pause_s in (0.5, 2.0, 8.0, None):
        try:
            return replace(path, record)
        except OSError as error:
            print("sweep: cannot write %s: %s" % (path, error), file=sys.stderr)
            if pause_s is not None:
                time.sleep(pause_s)
    return None
