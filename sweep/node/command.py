"""A trial's command: started, watched, signalled, kept to its limits, reaped.

It runs on the compute node, beside node.py and by the same rules: standard library alone, Python 3.6 or newer.
"""

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Dict, List, Optional, Tuple

    Record = Dict[str, Any]

#: What a scheduler or a person may send a job; all of it is the command's business.
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")

#: Sent some time before the end, by schedulers that warn. It would kill a command that does not expect it.
WARNING = "SIGUSR1"

#: How long a command may take to end after SIGTERM, where this runner is the one to end it.
KILL_WAIT_S = 10.0

MIB = 1024 * 1024


class Command(object):
    """The trial's command: started, watched, signalled, reaped."""

    def __init__(self) -> None:
        self.pid = 0
        self.starter = None  # type: Any
        self.process = None  # type: Any
        self.signals = []  # type: List[str]
        self.limit = ""
        self.stopped_at = None  # type: Optional[float]
        self.started = time.monotonic()
        self.cpu_s = 0.0
        self.memory_mib = 0.0
        self.peak_memory_mib = 0.0

    def install(self) -> None:
        """Take over the signals that are to reach the command."""
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self.forward)

    def forward(self, number: int, _frame: "Any" = None) -> None:
        """Pass a signal on, now or once the command is there."""
        name = signal.Signals(number).name
        self.signals.append(name)
        if name == WARNING:
            self.warn()
        elif self.pid:
            self._signal(number)

    def warn(self) -> None:
        """Pass the warning on to those of the command's processes that wait for it, and to no other."""
        for pid in _tree(self.pid) if self.pid else []:
            if _catches(pid, getattr(signal, WARNING)):
                try:
                    os.kill(pid, getattr(signal, WARNING))
                except OSError:  # it has just ended, or runs as someone else
                    continue

    def stop(self, limit: str = "") -> None:
        """End it: with SIGTERM, and with SIGKILL if that does not do."""
        now = time.monotonic()
        if self.stopped_at is None:
            self.stopped_at, self.limit = now, limit
            self.signals.append("SIGTERM")
            self._signal(signal.SIGTERM)
        elif now - self.stopped_at > KILL_WAIT_S:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        end_session(self.pid, number)

    def start(self, argv: "List[str]", workdir: str, environment: "Dict[str, str]", log: int) -> None:
        """Start it in a session of its own, so that one call reaches all of its processes. OSError, ValueError."""
        if self.starter is not None:
            self.process = self.starter.start(argv, workdir, environment, log)
        self.pid = self.process.pid if self.process else _spawned(argv, workdir, environment, log)
        self._tell()

    def _tell(self) -> None:
        """Pass on what came while it was being started."""
        for name in self.signals:
            if name != WARNING:
                self._signal(getattr(signal, name))

    def wait(self) -> int:
        """Reap it. Its wait status; the usage is noted. What it left running is killed."""
        if self.process:
            return self._ended(*self.process.wait())
        _, status, usage = os.wait4(self.pid, 0)
        return self._ended(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)

    def _ended(self, status: int, cpu_s: float, most_resident: int) -> int:
        self._signal(signal.SIGKILL)
        self.cpu_s = cpu_s
        unit = 1 if sys.platform == "darwin" else 1024
        self.peak_memory_mib = max(self.peak_memory_mib, most_resident * unit / MIB)
        return int(status)

    def sample(self) -> None:
        """Note what the process tree uses just now (Linux; elsewhere only the end says)."""
        ticks, pages = _tree_usage(self.pid)
        self.cpu_s = max(self.cpu_s, ticks / os.sysconf("SC_CLK_TCK"))
        self.memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / MIB
        self.peak_memory_mib = max(self.peak_memory_mib, self.memory_mib)

    def usage(self) -> "Record":
        """Return what it has used so far."""
        return {
            "elapsed_s": round(time.monotonic() - self.started, 3),
            "cpu_s": round(self.cpu_s, 3),
            "memory_mib": round(self.memory_mib, 1),
            "peak_memory_mib": round(self.peak_memory_mib, 1),
        }


def _spawned(argv: "List[str]", workdir: str, environment: "Dict[str, str]", log: int) -> int:
    """Start a program; its process. What `subprocess` does, without the time that importing it takes."""
    library = c_library()  # before the fork: what it takes is then taken once
    pipe, end = os.pipe()  # closed by a successful exec; else it says what was wrong
    pid = os.fork()
    if pid == 0:
        step = "exec"
        try:
            apart(log, library)
            step = "chdir"
            os.chdir(workdir)
            step = "exec"
            os.execvpe(argv[0], argv, environment)  # noqa: S606
        except BaseException as error:  # nothing may go on from here
            said = "%d %s" % (getattr(error, "errno", None) or 0, step)
            os.write(end, said.encode() if isinstance(error, OSError) else repr(error).encode("utf-8", "replace"))
        os._exit(127)
    os.close(end)
    with os.fdopen(pipe, "rb") as answer:
        said = answer.read().decode("utf-8", "replace")
    if said:
        os.waitpid(pid, 0)
        number, _, step = said.partition(" ")
        if not number.isdigit():
            raise ValueError(said)
        raise OSError(int(number), os.strerror(int(number)), workdir if step == "chdir" else argv[0])
    return pid


def end_session(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to all of a trial's processes; SIGKILL, unless another is named."""
    try:
        os.killpg(pid, number)
    except OSError:
        pass


def apart(log: int, library: "Any") -> None:
    """Make this process a trial's: its own session, its output to the log, killed if its runner is."""
    os.setsid()
    on_parents_end(signal.SIGKILL, library)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in ((0, nothing), (1, log), (2, log)):
        os.dup2(descriptor, target)
    for descriptor in {nothing, log} - {0, 1, 2}:
        os.close(descriptor)
    for name in (*FORWARDED, "SIGPIPE", "SIGXFSZ", "SIGCHLD"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        opened = os.listdir("/proc/self/fd")
    except OSError:  # no Linux: Python's own descriptors are closed by an exec in any case
        return
    for descriptor in map(int, opened):
        if descriptor > 2:  # what the shell or the scheduler had open is nothing of the trial's
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue


def c_library() -> "Any":
    """Return the C library, for a call that Python has not; None where it is not to be had."""
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):
        return None


def on_parents_end(number: int, library: "Any") -> None:
    """Ask Linux to send this process a signal when its parent is killed: no trial runs on unwatched."""
    try:
        library.prctl(1, number)
    except AttributeError:
        pass


def _tree_usage(pid: int) -> "Tuple[int, int]":
    """Sum (CPU ticks, resident pages) over a process and its descendants."""
    ticks = pages = 0
    for one in _tree(pid):
        try:
            with open("/proc/%d/stat" % one, "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # utime, stime and those of reaped children; then the resident set. See proc(5), counted after comm.
        ticks += sum(int(field) for field in fields[11:15])
        pages += int(fields[21])
    return ticks, pages


def _tree(pid: int) -> "List[int]":
    """List a process and its descendants."""
    found = [pid]
    for one in found:
        try:
            with open("/proc/%d/task/%d/children" % (one, one), "rb") as children:
                found += [int(child) for child in children.read().split()]
        except (OSError, ValueError):
            continue
    return found


def _proportional_mib(pid: int) -> "Optional[float]":
    """MiB that a process uses, shared pages by its share of them; None where the kernel does not say."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as rollup:
            sizes = [int(line.split()[1]) for line in rollup if line.startswith("Pss:")]
    except (OSError, ValueError):
        return None if os.path.exists("/proc/%d" % pid) else 0.0
    return sizes[0] / 1024.0 if sizes else None


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal (Linux; elsewhere that is not known, and no)."""
    try:
        with open("/proc/%d/status" % pid) as status:
            caught = [int(line.split()[1], 16) for line in status if line.startswith("SigCgt:")]
    except (OSError, ValueError):
        return False
    return bool(caught and caught[0] >> (number - 1) & 1)


class Limits(object):
    """What the runner itself sees to: a packed worker's trials have nobody else who would.

    Parameters
    ----------
    walltime_s, memory_mib : int
        0: no limit.
    cancel : str
        A file whose appearance means that the trial is cancelled.
    """

    def __init__(self, walltime_s: int, memory_mib: int, cancel: str) -> None:
        self.walltime_s, self.memory_mib, self.cancel = walltime_s, memory_mib, cancel
        self.warned = not walltime_s

    def _is_its_own(self, command: Command) -> bool:
        """Whether that memory is really used: what forked processes share was counted for each of them."""
        shared = [_proportional_mib(pid) for pid in _tree(command.pid)]
        if None in shared:
            return True
        used = sum(one for one in shared if one is not None)
        if used > self.memory_mib:
            command.peak_memory_mib = used
            return True
        return False

    def enforce(self, command: Command) -> None:
        """Warn or end a command that is at its limits, or cancelled."""
        elapsed_s = time.monotonic() - command.started
        if not self.warned and elapsed_s > self.walltime_s - min(120, self.walltime_s // 4):
            self.warned = True
            command.warn()
        if self.walltime_s and elapsed_s > self.walltime_s:
            command.stop("walltime")
        elif self.memory_mib and command.memory_mib > self.memory_mib and self._is_its_own(command):
            command.stop("memory")
        elif command.stopped_at is not None or os.path.exists(self.cancel):
            command.stop()
