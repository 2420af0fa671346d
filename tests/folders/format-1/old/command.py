"""A trial's command: it is started, watched, sent signals, kept within limits and waited for.

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

#: The signals that a scheduler or a person may send to a job. All of them are passed on to the command.
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")

#: Some schedulers send this signal a while before the end. It kills a program that has no handler for it.
WARNING = "SIGUSR1"

#: How long a command may take to end after SIGTERM, before the runner sends SIGKILL.
KILL_WAIT_S = 10.0

MIB = 1024 * 1024


class RunningCommand(object):
    """A trial's command that has been started. Every way to start a command returns one of these.

    This class waits for a child of this process. A subclass may wait in another way, and keeps to the same
    attribute and the same return value of `wait`.

    Attributes
    ----------
    pid : int
        The command's first process. It leads a session of its own, so its number names the session too.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> "Tuple[int, float, int]":
        """Wait until the command's first process has ended. May be called once.

        Returns
        -------
        status : int
            The wait status, as `os.wait4` returns it.
        cpu_s : float
            The CPU time of the process and of the children that it waited for, in seconds.
        peak : int
            The largest resident set of one process, in the kernel's unit: KiB on Linux, bytes on macOS.
        """
        _, status, usage = os.wait4(self.pid, 0)
        return status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


class Command(object):
    """One trial's command, from before its start until after its end.

    Attributes
    ----------
    pid : int
        The command's first process; 0 before the start.
    starter : object or None
        A `guard.Guard` or a `preload.ForkServer`. Its ``start(argv, workdir, environment, log)`` returns a
        `RunningCommand`, or None where it cannot start this command. Without a starter, this process forks.
    running : RunningCommand or None
        None before the start.
    signals : list of str
        Names of the signals that came for the command, in order.
    limit : str
        The limit for which the command was stopped: ``walltime``, ``memory``, or empty.
    started_s, stopped_s : float
        When the command was made and when it was first told to stop (None: never), on the monotonic clock.
    cpu_s : float
        CPU time used so far, all processes together.
    memory_mib, peak_memory_mib : float
        Resident memory at the last sample and its largest value, all processes together.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.starter = None  # type: Any
        self.running = None  # type: Optional[RunningCommand]
        self.signals = []  # type: List[str]
        self.limit = ""
        self.stopped_s = None  # type: Optional[float]
        self.started_s = time.monotonic()
        self.cpu_s = 0.0
        self.memory_mib = 0.0
        self.peak_memory_mib = 0.0

    def install(self) -> None:
        """Handle the signals of `FORWARDED` in this process by passing them on to the command."""
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self.forward)

    def forward(self, number: int, _frame: "Any" = None) -> None:
        """Pass a signal on, now or once the command has started."""
        name = signal.Signals(number).name
        self.signals.append(name)
        if name == WARNING:
            self.warn()
        elif self.pid:
            self._signal(number)

    def warn(self) -> None:
        """Send the warning to those of the command's processes that have a handler for it. It kills the others."""
        for pid in _process_tree(self.pid) if self.pid else []:
            if _has_handler(pid, getattr(signal, WARNING)):
                try:
                    os.kill(pid, getattr(signal, WARNING))
                except OSError:  # it has just ended, or runs as another user
                    continue

    def stop(self, limit: str = "") -> None:
        """End the command with SIGTERM. A call more than `KILL_WAIT_S` later sends SIGKILL."""
        now_s = time.monotonic()
        if self.stopped_s is None:
            self.stopped_s, self.limit = now_s, limit
            self.signals.append("SIGTERM")
            self._signal(signal.SIGTERM)
        elif now_s - self.stopped_s > KILL_WAIT_S:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        signal_session(self.pid, number)

    def start(self, argv: "List[str]", workdir: str, environment: "Dict[str, str]", log: int) -> None:
        """Start the command in a session of its own, so that one call reaches all of its processes.

        Parameters
        ----------
        log : int
            The open file that takes its stdout and stderr.

        Raises
        ------
        OSError, ValueError
            The program cannot be executed.
        """
        if self.starter is not None:
            self.running = self.starter.start(argv, workdir, environment, log)
        if self.running is None:
            self.running = _fork_and_exec(argv, workdir, environment, log)
        self.pid = self.running.pid
        self._forward_earlier_signals()

    def _forward_earlier_signals(self) -> None:
        """Pass on the signals that came during the start."""
        for name in self.signals:
            if name != WARNING:
                self._signal(getattr(signal, name))

    def wait(self) -> int:
        """Wait for the command's end and kill what it left running. Returns the wait status; notes the usage."""
        assert self.running
        status, self.cpu_s, peak = self.running.wait()
        self._signal(signal.SIGKILL)
        unit = 1 if sys.platform == "darwin" else 1024
        self.peak_memory_mib = max(self.peak_memory_mib, peak * unit / MIB)
        return status

    def sample(self) -> None:
        """Note what the command's processes use now. Only Linux says; elsewhere the usage is known at the end."""
        ticks, pages = _tree_usage(self.pid)
        self.cpu_s = max(self.cpu_s, ticks / os.sysconf("SC_CLK_TCK"))
        self.memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / MIB
        self.peak_memory_mib = max(self.peak_memory_mib, self.memory_mib)

    def usage(self) -> "Record":
        """Return what the command has used so far, as its record has it."""
        return {
            "elapsed_s": round(time.monotonic() - self.started_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "memory_mib": round(self.memory_mib, 1),
            "peak_memory_mib": round(self.peak_memory_mib, 1),
        }


def _fork_and_exec(argv: "List[str]", workdir: str, environment: "Dict[str, str]", log: int) -> RunningCommand:
    """Start a program as `subprocess` does, without the time that importing `subprocess` takes."""
    library = c_library()  # before the fork, so that only one process pays for it
    # A successful exec closes the child's end of the pipe. Otherwise the child writes the problem into it.
    problem_read, problem_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        step = "exec"
        try:
            detach(log, library)
            step = "chdir"
            os.chdir(workdir)
            step = "exec"
            os.execvpe(argv[0], argv, environment)  # noqa: S606
        except BaseException as error:  # this copy of the runner must not go on
            number = getattr(error, "errno", None) or 0
            problem = "%d %s" % (number, step) if isinstance(error, OSError) else repr(error)
            os.write(problem_write, problem.encode("utf-8", "replace"))
        os._exit(127)
    os.close(problem_write)
    with os.fdopen(problem_read, "rb") as stream:
        problem = stream.read().decode("utf-8", "replace")
    if problem:
        os.waitpid(pid, 0)
        code, _, step = problem.partition(" ")
        if not code.isdigit():
            raise ValueError(problem)
        raise OSError(int(code), os.strerror(int(code)), workdir if step == "chdir" else argv[0])
    return RunningCommand(pid)


def signal_session(pid: int, number: int) -> None:
    """Send a signal to all processes of a trial's session."""
    try:
        os.killpg(pid, number)
    except OSError:  # all of them have ended
        pass


def detach(log: int, library: "Any") -> None:
    """Make this forked process a trial's: a session of its own, output to the log, killed if its parent is killed.

    Parameters
    ----------
    log : int
        The open file that becomes stdout and stderr.
    library : ctypes.CDLL or None
        As `c_library` returns it.
    """
    os.setsid()
    signal_at_parent_death(signal.SIGKILL, library)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in ((0, null), (1, log), (2, log)):
        os.dup2(descriptor, target)
    for descriptor in {null, log} - {0, 1, 2}:
        os.close(descriptor)
    for name in (*FORWARDED, "SIGPIPE", "SIGXFSZ", "SIGCHLD"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:  # not Linux; exec closes the descriptors that Python opened in any case
        return
    for descriptor in map(int, descriptors):
        if descriptor > 2:  # the shell or the scheduler may have left files open; the trial does not get them
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue


def c_library() -> "Any":
    """Return the C library, for a call that Python does not offer; None where it cannot be loaded."""
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):
        return None


def signal_at_parent_death(number: int, library: "Any") -> None:
    """Ask Linux to send this process a signal when its parent dies, so that no trial runs unwatched."""
    try:
        library.prctl(1, number)
    except AttributeError:  # not Linux, or no C library
        pass


def _tree_usage(pid: int) -> "Tuple[int, int]":
    """Sum (CPU ticks, resident pages) over a process and its descendants."""
    ticks = pages = 0
    for member in _process_tree(pid):
        try:
            with open("/proc/%d/stat" % member, "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:  # it has just ended
            continue
        # proc(5), counted after comm: utime, stime, cutime, cstime; then the resident set.
        ticks += sum(int(field) for field in fields[11:15])
        pages += int(fields[21])
    return ticks, pages


def _process_tree(pid: int) -> "List[int]":
    """List a process and its descendants."""
    pids = [pid]
    for member in pids:  # the list grows while it is walked
        try:
            with open("/proc/%d/task/%d/children" % (member, member), "rb") as children:
                pids += [int(child) for child in children.read().split()]
        except (OSError, ValueError):
            continue
    return pids


def _proportional_mib(pid: int) -> "Optional[float]":
    """Return the memory of a process in MiB, a shared page by its share; None where the kernel does not say."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as rollup:
            sizes = [int(line.split()[1]) for line in rollup if line.startswith("Pss:")]
    except (OSError, ValueError):
        return None if os.path.exists("/proc/%d" % pid) else 0.0
    return sizes[0] / 1024.0 if sizes else None


def _has_handler(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal. Only Linux says; elsewhere the answer is no."""
    try:
        with open("/proc/%d/status" % pid) as status:
            masks = [int(line.split()[1], 16) for line in status if line.startswith("SigCgt:")]
    except (OSError, ValueError):
        return False
    return bool(masks and masks[0] >> (number - 1) & 1)


class Enforcer(object):
    """Enforces a packed trial's limits and its cancellation. The scheduler sees only the whole worker.

    Parameters
    ----------
    walltime_s, memory_mib : int
        The trial's limits; 0: no limit.
    cancel_path : str
        The trial is cancelled once this file exists.
    """

    def __init__(self, walltime_s: int, memory_mib: int, cancel_path: str) -> None:
        self.walltime_s, self.memory_mib, self.cancel_path = walltime_s, memory_mib, cancel_path
        self.warned = not walltime_s

    def enforce(self, command: Command) -> None:
        """Warn or stop a command that is at a limit, and stop one that is cancelled."""
        elapsed_s = time.monotonic() - command.started_s
        if not self.warned and elapsed_s > self.walltime_s - min(120, self.walltime_s // 4):
            self.warned = True
            command.warn()
        if self.walltime_s and elapsed_s > self.walltime_s:
            command.stop("walltime")
        elif self.memory_mib and command.memory_mib > self.memory_mib and self._exceeds_memory(command):
            command.stop("memory")
        elif command.stopped_s is not None or os.path.exists(self.cancel_path):
            command.stop()

    def _exceeds_memory(self, command: Command) -> bool:
        """Measure again with each shared page counted once. A sample counts it for each process that shares it."""
        shares_mib = [_proportional_mib(pid) for pid in _process_tree(command.pid)]
        if None in shares_mib:
            return True
        used_mib = sum(share_mib for share_mib in shares_mib if share_mib is not None)
        if used_mib > self.memory_mib:
            command.peak_memory_mib = used_mib
            return True
        return False
