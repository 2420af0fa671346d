"""An attempt's record as a file: it is created by one claim, replaced whole, and known to be whose.

What it says of the code that it is about to run is read here, too: the commit of the working folder, and the
digest of the script. Both are read from files: a process for each trial would take longer than all the rest.

Standard library alone, Python 3.6 or newer, as node.py.
"""

import errno
import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Dict, Iterator, Optional, Sequence

    Record = Dict[str, Any]

if __package__:
    from sweep.node.command import ENDING, MIB
else:  # beside it in the sweep's folder
    from command import ENDING, MIB  # type: ignore[import-not-found, no-redef]

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


# --- the code that a trial runs ---------------------------------------------------------------------------

#: Programs that run what a later word of the command names. Digits and points behind a name are its version.
INTERPRETERS = frozenset(("python", "pypy", "ipython", "bash", "sh", "dash", "zsh", "ksh", "perl", "ruby", "lua",
                          "julia", "Rscript", "R", "octave", "matlab", "node", "php", "java"))  # fmt: skip
LAUNCHERS = frozenset(("srun", "mpirun", "mpiexec", "env", "time", "nice", "timeout", "numactl", "taskset",
                       "uv", "poetry", "pixi", "conda", "mamba", "micromamba", "torchrun", "accelerate",
                       "apptainer", "singularity"))  # fmt: skip

#: How a script's name ends.
SCRIPTS = (".py", ".sh", ".bash", ".pl", ".rb", ".lua", ".jl", ".R", ".r", ".m", ".js", ".php")

#: A larger file is no script, but a container's image or data.
MOST_SCRIPT_BYTES = 16 * MIB

#: How many steps a symbolic ref of git may take.
MOST_REFS = 5


def code_of(argv: "Sequence[str]", workdir: str) -> "Record":
    """Tell which code a command is about to run: ``commit``, ``script`` and ``script_sha256``, empty if not known.

    Parameters
    ----------
    argv : sequence of str
        The trial's command.
    workdir : str
        The folder in which it runs.
    """
    script = script_of(argv, workdir)
    digest = digest_of(os.path.join(workdir, script)) if script else ""
    return {"commit": commit_of(workdir), "script": script, "script_sha256": digest}


def script_of(argv: "Sequence[str]", workdir: str) -> str:
    """Return the script that a command names, as it spells it; for ``-m``, the module's file. Empty: none.

    Parameters
    ----------
    argv : sequence of str
        The trial's command.
    workdir : str
        The folder in which it runs, and in which a module is looked for: installed ones are no script.
    """
    interpreter = ""
    for place, word in enumerate(argv):
        name = os.path.basename(word).rstrip("0123456789.")
        if name in INTERPRETERS:
            interpreter = name
        elif name in LAUNCHERS:
            interpreter = ""
        elif place == 0:  # a program of its own; without a slash it is an installed one
            return word if "/" in word and _is_script(os.path.join(workdir, word)) else ""
        elif interpreter and word in ("-c", "-e"):
            return ""
        elif interpreter == "python" and word == "-m":
            file = _module_file(argv[place + 1 :], workdir)
            if file:
                return file
            interpreter = ""  # an installed module, which may run a script: torch.distributed.run train.py
        elif not word.startswith("-") and _is_run(os.path.join(workdir, word), by=interpreter):
            return word
    return ""


def _module_file(words: "Sequence[str]", workdir: str) -> str:
    """Return the file of the module that the first word names, if it is in the folder."""
    module = words[0].replace(".", "/") if words else ""
    files = [module + "/__main__.py", module + ".py"] if module else []
    return ([file for file in files if os.path.isfile(os.path.join(workdir, file))] or [""])[0]


def _is_run(path: str, by: str) -> bool:
    """Whether a file is what a command runs. What a launcher names may be its own: hosts, a configuration."""
    return _is_script(path) and (bool(by) or path.endswith(SCRIPTS) or os.access(path, os.X_OK))


def _is_script(path: str) -> bool:
    try:
        return os.path.isfile(path) and os.path.getsize(path) <= MOST_SCRIPT_BYTES
    except (OSError, ValueError):
        return False


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file, in hex; empty where it cannot be read."""
    for name in ("_sha2", "_sha256", "hashlib"):  # hashlib loads OpenSSL, which takes longer than all the rest
        try:
            sha256 = __import__(name).sha256
            break
        except ImportError:
            continue
    try:
        with open(path, "rb") as script:
            return str(sha256(script.read(MOST_SCRIPT_BYTES)).hexdigest())
    except OSError:
        return ""


def commit_of(folder: str) -> str:
    """Return the commit that a folder's repository is at, by git's own files (gitrepository-layout(5)).

    Empty where it is not known: there is no repository, or no commit in it, or it keeps its refs in another form.
    """
    try:
        for git in _git_folders(os.path.realpath(folder)):
            commit = _commit_in(git)
            if commit is not None:
                return commit
    except (OSError, ValueError):
        pass
    return ""


def _git_folders(folder: str) -> "Iterator[str]":
    """Yield what may be the repository's folder, here and above. Of a worktree or a submodule, a file names it."""
    while True:
        path = os.path.join(folder, ".git")
        if os.path.isdir(path):
            yield path
        elif os.path.isfile(path):
            line = _first_line(path)
            if line.startswith("gitdir: "):
                yield os.path.join(folder, line[len("gitdir: ") :])
        if folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


def _commit_in(git: str) -> "Optional[str]":
    """Return the commit that HEAD leads to; empty where there is none yet, None where this is no repository."""
    if not os.path.isfile(os.path.join(git, "HEAD")):
        return None
    common = git  # a worktree has its own HEAD, and shares the branches
    if os.path.isfile(os.path.join(git, "commondir")):
        common = os.path.join(git, _first_line(os.path.join(git, "commondir")))
    line = _first_line(os.path.join(git, "HEAD"))
    for _ in range(MOST_REFS):
        if not line.startswith("ref:"):
            return line if len(line) in (40, 64) and not line.strip("abcdef0123456789") else ""
        line = _ref(line[len("ref:") :].strip(), git, common)
    return ""


def _ref(name: str, git: str, common: str) -> str:
    """Look a ref up: a file of its own, or a line of packed-refs. Empty where it is not there."""
    for folder in (git, common):
        if os.path.isfile(os.path.join(folder, name)):
            return _first_line(os.path.join(folder, name))
    if os.path.isfile(os.path.join(common, "packed-refs")):
        with open(os.path.join(common, "packed-refs"), "rb") as refs:
            for line in refs:
                fields = line.split()
                if len(fields) == 2 and fields[1] == name.encode("utf-8", "surrogateescape"):
                    return fields[0].decode("ascii", "replace")
    return ""


def _first_line(path: str) -> str:
    with open(path, "rb") as stream:
        return stream.read(4096).split(b"\n")[0].rstrip().decode("utf-8", "surrogateescape")
