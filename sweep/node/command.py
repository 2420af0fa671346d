"""A trial's command: it is started, watched, sent signals, kept within limits and waited for.

It runs on the compute node, beside node.py and by the same rules: standard library alone, Python 3.6 or newer.
"""

import json
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Collection, Dict, List, Optional, Tuple

    Record = Dict[str, Any]

if __package__:
    from sweep.node import processes
    from sweep.node.bystander import ALL_TOLD_S, FORWARDED, Bystander
else:  # beside it in the sweep's folder
    import processes  # type: ignore[import-not-found, no-redef]
    from bystander import ALL_TOLD_S, FORWARDED, Bystander  # type: ignore[import-not-found, no-redef]

#: Those of `FORWARDED` that tell a command to end.
ENDING = frozenset(("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU"))

#: Some schedulers send this signal a while before the end. It kills a program that has no handler for it.
WARNING = "SIGUSR1"

#: How long a command may take to end after SIGTERM, before the runner sends SIGKILL.
KILL_WAIT_S = 10.0

MIB = 1024 * 1024


#: What Linux takes as one argument or variable, its name and its end included (execve(2), MAX_ARG_STRLEN).
MOST_STRING_BYTES = 128 * 1024

#: Parameters that are longer as JSON go to this file in the trial's folder, and SWEEP_PARAMS_FILE names it.
MOST_PARAMS_BYTES = MOST_STRING_BYTES - len("SWEEP_PARAMS=") - 1
PARAMS_FILE = "params.json"

#: In this variable the job script tells its own age, in seconds, after the lines of the grid's environment.
ELAPSED = "SWEEP_ELAPSED_S"


class RunningCommand(object):
    """A trial's command that has been started. Every way to start a command returns one of these.

    This class is of a command whose keeper is this process; see processes.py. A subclass has another keeper.

    Attributes
    ----------
    pid : int
        The command's first process. It leads a process group of its own, so its number names the group too.
    keeper : int
        The process that keeps the trial: all that descends from it is the trial's. 0: nothing does.
    spared : collection of int
        What descends from the keeper, and yet is not the trial's.
    """

    def __init__(self, pid: int, keeper: int, spared: "Collection[int]" = ()) -> None:
        self.pid, self.keeper, self.spared = pid, keeper, spared

    def processes(self) -> "List[int]":
        """List the trial's processes. Where the system does not say, that is the first alone."""
        kept = processes.descendants(self.keeper, self.spared) if self.keeper else []
        return kept or [self.pid, *processes.descendants(self.pid)]

    def wait(self) -> "Tuple[int, float, int]":
        """Wait until the command has ended, and end what it left; see `processes.keep`. May be called once."""
        return processes.keep(self.pid, self.spared)


class UnkeptCommand(RunningCommand):
    """A command that has no keeper, because none could be started. What leaves its group is not the trial's."""

    def __init__(self, pid: int) -> None:
        super(UnkeptCommand, self).__init__(pid, keeper=0)

    def wait(self) -> "Tuple[int, float, int]":
        """Wait as `RunningCommand.wait` does, and end the processes of the command's group."""
        _, status, usage = os.wait4(self.pid, 0)
        processes.signal_group(self.pid, signal.SIGKILL)
        return status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


class Command(object):
    """One trial's command, from before its start until after its end.

    Attributes
    ----------
    pid : int
        The command's first process; 0 before the start.
    starters : list
        In a worker: its `preload.ForkServer`, if it has one, and a `keeper.Keeper`. They are tried in order:
        ``start(argv, workdir, environment, log)`` returns a `RunningCommand`, or None where it cannot start this
        command. If none can, this process starts it.
    enforcer : worker.Enforcer or None
        What enforces the limits of a packed trial. None: the scheduler does.
    rules : stop.Stop or None
        The grid's rules by which a trial is ended early. None: there are none.
    running : RunningCommand or None
        None before the start.
    signals : list of str
        Names of the signals that came for the command, in order.
    limit : str
        The limit for which the command was stopped: ``walltime``, ``memory``, ``rule``, or empty.
    rule : str
        The rule of the grid's ``stop`` that its history has met, in words; empty: none.
    started_s, stopped_s : float
        When the command was made and when it was first told to stop (None: never), on the monotonic clock.
    suspended_s : float
        For how long this process, and with it the command, was stopped by SIGSTOP. It does not count as elapsed.
    bystander : Bystander or None
        It tells which signals the command has got without us. None: the packed worker asks it.
    tell : callable
        Tells the bystander which processes must not outlive this one.
    worker_is_over : bool
        It was told to end when its packed worker's own walltime was over.
    node : fitness.Node or None
        What is to be told as soon as the command has outlived the time in which it would fail at once.
    is_anothers : bool
        Another process has taken up the attempt, so the command has to end.
    continued : bool
        SIGCONT came since the watcher last looked.
    cpu_s : float
        CPU time used so far, all processes together.
    memory_mib, peak_memory_mib : float
        Resident memory at the last sample and its largest value, all processes together.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.starters = []  # type: List[Any]
        self.enforcer = None  # type: Any
        self.rules = None  # type: Any
        self.running = None  # type: Optional[RunningCommand]
        self.signals = []  # type: List[str]
        self.limit = self.rule = ""
        self.stopped_s = None  # type: Optional[float]
        self.started_s = time.monotonic()
        self.suspended_s = 0.0
        self.continued = False
        self.worker_is_over = False
        self.is_anothers = False
        self.node = None  # type: Any
        self.bystander = None  # type: Optional[Bystander]
        self.tell = lambda _pids: None  # type: Any
        self.cpu_s = 0.0
        self.memory_mib = 0.0
        self.peak_memory_mib = 0.0

    def install(self) -> None:
        """Handle the signals of `FORWARDED` in this process by passing them on to the command."""
        self.bystander = Bystander()
        self.bystander.begin()
        self.tell = self.bystander.tell
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self.forward)
        signal.signal(signal.SIGCONT, self.note_continued)

    def forward(self, number: int, _frame: "Any" = None) -> None:
        """Note a signal and, unless the command has got it too, pass it on."""
        self.note(number)
        if self.pid and self.bystander:
            self.bystander.unless_all_got(number, lambda: self.pass_on(number))

    def note(self, number: int) -> None:
        """Note that a signal came for the command. One that has yet to start gets it then."""
        self.signals.append(signal.Signals(number).name)
        if self.running:  # what follows may be SIGKILL
            self.tell(self.running.processes())

    def pass_on(self, number: int) -> None:
        """Send a signal to the command."""
        if signal.Signals(number).name == WARNING:
            self.warn()
        elif self.pid:
            self._signal(number)

    def note_continued(self, _number: int = 0, _frame: "Any" = None) -> None:
        """Note that this process may have been suspended. The scheduler sends SIGCONT to the command itself."""
        self.continued = True

    def pause(self, pause_s: float, ended: "Any") -> bool:
        """Wait for the command's end, for so long at most; True if it came. A signal ends the pause.

        Seconds in which this very process was stopped are the command's suspension.

        Parameters
        ----------
        ended : threading.Event
            It is set once the command has ended.
        """
        signals, until_s = len(self.signals), time.monotonic() + pause_s
        while True:
            began_s = time.monotonic()
            slice_s = min(1.0, until_s - began_s)
            if slice_s <= 0 or len(self.signals) > signals:
                return bool(ended.is_set())
            if ended.wait(slice_s):
                return True
            late_s = time.monotonic() - began_s - slice_s
            if late_s > 1.0 and not self.continued:
                ended.wait(1.5)  # the main thread may not have handled SIGCONT yet
            if self.continued:
                self.continued = False
                self.suspended_s += max(0.0, late_s)

    @property
    def age_s(self) -> float:
        """For how long the command has been there, in seconds, its suspensions included."""
        return time.monotonic() - self.started_s

    @property
    def elapsed_s(self) -> float:
        """For how long the command has run, in seconds, without the time for which it was suspended."""
        return self.age_s - self.suspended_s

    def warn(self) -> None:
        """Send the warning to those of the command's processes that have a handler for it. It kills the others."""
        for pid in self.running.processes() if self.running else []:
            if processes.has_handler(pid, getattr(signal, WARNING)):
                try:
                    os.kill(pid, getattr(signal, WARNING))
                except OSError:  # it has just ended, or runs as another user
                    continue

    def enforce(self, cancel_path: str) -> None:
        """End the command where it has to end: at a limit, cancelled, by a rule, or taken up by another process.

        Parameters
        ----------
        cancel_path : str
            The file whose appearance cancels a packed trial.
        """
        if self.enforcer is not None:
            self.enforcer.enforce(self, cancel_path)
        if self.rules is not None:
            self.rule = self.rule or self.rules.met()
            if self.rule:
                self.stop("rule")
        if self.is_anothers:
            self.stop()

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
        assert self.running
        processes.signal_all(self.pid, self.running.processes(), number)

    def start(self, argv: "List[str]", workdir: str, environment: "Dict[str, str]", log: int) -> None:
        """Start the command in a process group of its own, so that one call reaches all of its processes.

        Parameters
        ----------
        log : int
            The open file that takes its stdout and stderr.

        Raises
        ------
        OSError, ValueError
            The program cannot be executed.
        """
        for starter in self.starters:
            if self.running is None:
                self.running = starter.start(argv, workdir, environment, log)
        if self.running is None:
            library = processes.c_library()  # before the fork, so that only one process pays for it
            if self.bystander is not None:
                processes.adopt_orphans(library)
            pid = _fork_and_exec(argv, workdir, environment, log, library)
            if self.bystander is None:  # a worker has other trials, too
                self.running = UnkeptCommand(pid)
            else:
                self.running = RunningCommand(pid, os.getpid(), (self.bystander.pid,))
        self.pid = self.running.pid
        self._forward_earlier_signals()

    def _forward_earlier_signals(self) -> None:
        """Pass on the signals that came during the start."""
        for name in self.signals:
            if name != WARNING:
                self._signal(getattr(signal, name))

    def wait(self) -> int:
        """Wait for the command's end and that of all it started. Returns the wait status; notes the usage."""
        assert self.running
        status, cpu_s, peak = self.running.wait()
        self.cpu_s = max(self.cpu_s, cpu_s)
        if _looks_told(status) and not self.signals:
            time.sleep(ALL_TOLD_S)  # the same signal may be about to come here, and is to be in the record
        unit = 1 if sys.platform == "darwin" else 1024
        self.peak_memory_mib = max(self.peak_memory_mib, peak * unit / MIB)
        return status

    def sample(self) -> None:
        """Note what the command's processes use now. Only Linux says; elsewhere the usage is known at the end."""
        assert self.running
        pids = self.running.processes()
        self.tell(pids)
        ticks, pages = processes.usage_of(pids)
        self.cpu_s = max(self.cpu_s, ticks / os.sysconf("SC_CLK_TCK"))
        self.memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / MIB
        self.peak_memory_mib = max(self.peak_memory_mib, self.memory_mib)

    def usage(self) -> "Record":
        """Return what the command has used so far, as its record has it."""
        return {
            "elapsed_s": round(self.elapsed_s, 3),
            "suspended_s": round(self.suspended_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "memory_mib": round(self.memory_mib, 1),
            "peak_memory_mib": round(self.peak_memory_mib, 1),
        }


def _looks_told(status: int) -> bool:
    """Whether a wait status is that of a command which a signal told to end; a shell says so by its exit code."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status) - 128
    return number in [getattr(signal, name) for name in ENDING]


def _fork_and_exec(
    argv: "List[str]", workdir: str, environment: "Dict[str, str]", log: int, library: "Any"
) -> int:
    """Start a program as `subprocess` does, without the time to import `subprocess`. Returns its pid."""
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
    return pid


def end_as(exit_code: "Optional[int]", signal_number: "Optional[int]") -> None:
    """End this process as the command ended: by its signal or, if that is None, with its exit code."""
    if signal_number is None:
        sys.exit(exit_code)
    if signal_number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(signal_number, signal.SIG_DFL)
    os.kill(os.getpid(), signal_number)
    sys.exit(128 + signal_number)  # reached where the signal does not end a process


def detach(log: int, library: "Any") -> None:
    """Make this forked process a trial's: a group of its own, output to the log, killed if its parent is killed.

    The group stays in the job's session. PBS counts, suspends and kills what is in the session, and nothing else.

    Parameters
    ----------
    log : int
        The open file that becomes stdout and stderr.
    library : ctypes.CDLL or None
        As `processes.c_library` returns it.
    """
    os.setpgid(0, 0)
    processes.signal_at_parent_death(signal.SIGKILL, library)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in ((0, null), (1, log), (2, log)):
        os.dup2(descriptor, target)
    for descriptor in {null, log} - {0, 1, 2}:
        os.close(descriptor)
    for name in (*FORWARDED, "SIGCONT", "SIGPIPE", "SIGXFSZ", "SIGCHLD"):
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


def variables_of_command(trial: "Record", attempt: int, folder: str, result: str) -> "Dict[str, str]":
    """Return all ``SWEEP_`` variables of a trial's command. They are spelled nowhere else.

    Parameters
    ----------
    trial : dict
        The trial as its line of trials.jsonl has it.
    folder : str
        The trial's own folder.
    result : str
        The result's file name in that folder.
    """
    return dict(
        variables_of_trial(trial, folder),
        SWEEP_TRIAL=trial["id"],
        SWEEP_NUMBER=str(trial["number"]),
        SWEEP_ATTEMPT=str(attempt),
        SWEEP_FOLDER=folder,
        SWEEP_RESULT=os.path.join(folder, result),
    )


def variables_of_trial(trial: "Record", folder: str) -> "Dict[str, str]":
    """Return those variables that depend on the trial alone: with them its command can be repeated by hand.

    Parameters
    ----------
    trial : dict
        The trial as its line of trials.jsonl has it.
    folder : str
        The trial's own folder. Parameters that are too long for a variable are in a file there.
    """
    params = json.dumps(trial["params"])
    variables = {
        "SWEEP_SEED": str(trial["seed"]),
        "SWEEP_REPLICATE": str(trial["replicate"]),
    }
    if len(params) > MOST_PARAMS_BYTES:
        variables["SWEEP_PARAMS_FILE"] = os.path.join(folder, PARAMS_FILE)
    else:
        variables["SWEEP_PARAMS"] = params
    if trial["resources"]["cpus"]:  # else the site decides, and its own variables say how many
        variables["SWEEP_CPUS"] = str(trial["resources"]["cpus"])
    return variables
