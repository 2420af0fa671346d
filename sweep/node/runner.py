"""Runs one trial on the compute node: claims it, runs its command, records how that ended.

Standard library alone, Python 3.6 or newer: the file is copied into the sweep's folder, and the node's ``python3``
runs it; node.py starts it. It knows no scheduler; the job script tells it which job and task it is.

::

    look up the task ─▶ claim the attempt ─▶ run the command ─▶ write the exit record ─▶ end as the command ended
                              │
                              └ another job has claimed it: end, run nothing

A claim is the first version of the attempt's record. A hard link creates it and fails where the name exists, so
only one claim succeeds, also on NFS. The exit record replaces it by rename, so that no reader sees half of one.
"""

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
    from sweep.node import fitness
    from sweep.node.claim import (
        HOST,
        claim,
        code_of,
        is_anothers,
        node_name,
        remove,
        replace,
        write,
        write_exit_record,
    )
    from sweep.node.command import ELAPSED, WARNING, Command, end_as, variables_of_command
else:  # beside it in the sweep's folder
    import fitness  # type: ignore[import-not-found, no-redef]
    from claim import HOST, claim, code_of, is_anothers, node_name, remove, replace, write, write_exit_record  # type: ignore[import-not-found, no-redef]
    from command import ELAPSED, WARNING, Command, end_as, variables_of_command  # type: ignore[import-not-found, no-redef]


#: The version of the files that are written here. docs/formats.md describes it.
FORMAT = 1

#: Every attempt but the first begins with a line in the trial's log, and the line begins with this.
ATTEMPT_MARK = "--- attempt "

#: One task of a job: its trial's number, the attempt, and where in trials.jsonl the trial's line begins, in bytes.
#: All lines have the same width, so that a task is found by seeking.
TASK_LINE = "%010d %04d %014d\n"
TASK_LINE_BYTES = len(TASK_LINE % (0, 0, 0))


def read_task(folder: str, job: str, index: int) -> "Tuple[int, Record]":
    """Look up a task without reading the others. Returns (attempt number, the trial's line of trials.jsonl)."""
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


def variables_of_attempt(path: str, number: int) -> "Dict[str, str]":
    """Read what a trial's attempt gets in its environment beside what every trial does; nothing without a file."""
    if not path:
        return {}
    with open(path, "rb") as variables:
        by_trial = json.loads(variables.read().decode("utf-8"))  # type: Dict[str, Dict[str, str]]
    return by_trial.get(str(number), {})


def trial_folder(folder: str, trial_id: str) -> str:
    """Return a trial's folder. Two digits of the id come first, so that no folder has 100,000 entries."""
    return os.path.join(folder, "trials", trial_id[:2], trial_id)


def new_record(trial: "Record", attempt: int, options: "Options") -> "Record":
    """Make the record of an attempt as the claim has it. All keys of a record are listed here.

    The claim has:

    ``format`` : int
        `FORMAT`.
    ``trial``, ``number`` : str, int
        The trial's id and number.
    ``attempt`` : int
        The attempt's number, from 1.
    ``job``, ``job_id``, ``job_name`` : str
        The sweep's name for the job; the scheduler's id for it; the name it was submitted under.
    ``index``, ``packed`` : int, bool
        The task of the job; in a packed job, whose worker runs it, the worker.
    ``host``, ``node`` : str
        The machine's own name, and the scheduler's name for it; empty where it has none.
    ``pid`` : int
        The process that writes this record: runner or worker.
    ``started_at`` : float
        Seconds since the epoch.
    ``setup_s`` : float
        How long the job had run before: its script and the grid's ``environment``. 0 in a packed job.
    ``commit``, ``script``, ``script_sha256`` : str
        The code as it is now, see `claim.code_of`: queued trials run whatever the folder then holds.
    ``ended`` : bool
        False until the exit record.
    ``restarts`` : int
        How often a requeued task has taken up its own claim. Absent: never.

    Each heartbeat writes these too, and so does the exit record:

    ``heartbeat_at`` : float
        Seconds since the epoch. Only a heartbeat has it.
    ``elapsed_s``, ``cpu_s`` : float
        Wall and CPU time of the command so far, in seconds.
    ``suspended_s`` : float
        How long it was suspended besides.
    ``signals`` : list of str
        The signals that came for the command, or that the runner sent to end it.
    ``memory_mib``, ``peak_memory_mib`` : float
        Resident memory of the command's processes at the last sample, and its largest value.

    The exit record has these as well:

    ``ended_at`` : float
        Seconds since the epoch.
    ``exit_code``, ``signal`` : int or None
        How the command ended: one of the two is None.
    ``failure``, ``error`` : str
        Why the command never started: ``environment`` (a line of the job's environment failed) or ``start`` (it
        could not be executed), and the same for people to read. Both empty: it started.
    ``limit``, ``rule`` : str
        The limit for which a packed worker stopped it: ``walltime``, ``memory``, or empty. ``rule``: one of the
        grid's ``stop`` did; only then ``rule`` says which, and what the history had.
    ``stopped``, ``worker_is_over`` : bool
        The runner stopped it, at a limit or on request; it was to end as its packed worker's walltime was over.
    ``given_back`` : bool
        It was not begun, because this node is unfit; ``error`` says so. ``exit_code`` is 75. Absent: it was begun.

    The record of a withdrawn attempt has ``cancelled``; see `withdrawn_record`.
    """
    return {
        "format": FORMAT, "trial": trial["id"], "number": trial["number"], "attempt": attempt,
        "job": options.job, "job_id": options.job_id, "job_name": options.job_name,
        "index": options.index if options.worker < 0 else options.worker, "packed": options.worker >= 0,
        "host": HOST, "node": node_name(), "pid": os.getpid(),
        "started_at": time.time(), "setup_s": float(os.environ.get(ELAPSED) or 0), "ended": False,
        **code_of(trial["argv"], options.workdir)
    }  # fmt: skip


def withdrawn_record(trial_id: str, number: int, attempt: int) -> "Record":
    """Make the record of an attempt that is cancelled before it has begun: nobody can claim it any more.

    It names no job. ``ended`` and ``cancelled`` are true.
    """
    return {"format": FORMAT, "trial": trial_id, "number": number, "attempt": attempt, "job_id": "",
            "job_name": "", "index": None, "ended": True, "cancelled": True}  # fmt: skip


def exit_fields(
    exit_code: "Optional[int]", signal_number: "Optional[int]" = None, failure: str = "", error: str = ""
) -> "Record":
    """Return those fields of the exit record that say how the command ended; see `new_record`."""
    return {"exit_code": exit_code, "signal": signal_number, "failure": failure, "error": error}


def watch(
    command: Command,
    record: "Record",
    path: str,
    heartbeat_s: float,
    warn_s: "Optional[float]",
    ended: threading.Event,
) -> None:
    """Sample the command's use, enforce its limits, warn it and refresh its record, until it has ended.

    If the record is another's by now, the command is ended: its task runs elsewhere.


    A short trial is looked at often. The pauses grow: between samples to 5 s, between refreshes to `heartbeat_s`.
    A signal is written at once: if the job is killed after it, the record still says that it was told to end.

    Parameters
    ----------
    warn_s : float or None
        After how many seconds the command is warned; None: it is not.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCONT,))  # the main thread is to get it, and acts on it
    pause_s, refresh_s, refreshed_s = 0.2, min(5.0, heartbeat_s), time.monotonic()
    written_signals = 0
    while not command.pause(pause_s if warn_s is None else max(0.0, min(pause_s, warn_s - command.age_s)), ended):
        if warn_s is not None and command.age_s >= warn_s:
            warn_s = None
            command.note(getattr(signal, WARNING))
            command.warn()
        command.sample()
        if command.node is not None and command.elapsed_s >= command.node.quick_s:
            command.node.write("S")
            command.node = None
        command.enforce(cancel_path(path))
        pause_s = min(pause_s * 1.5, 5.0, heartbeat_s)
        has_signals = len(command.signals) > written_signals
        if (has_signals or time.monotonic() - refreshed_s >= refresh_s) and not ended.is_set():
            refresh_s, refreshed_s = min(refresh_s * 2, heartbeat_s), time.monotonic()
            signals = list(command.signals)
            written_signals = len(signals)
            command.is_anothers = command.is_anothers or is_anothers(path, record)
            if command.is_anothers:
                continue
            try:
                replace(path, dict(record, heartbeat_at=time.time(), signals=signals, **command.usage()))
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
    """Run the command to its end.

    Parameters
    ----------
    paths : tuple of str
        The attempt's record and the trial's log.

    Returns
    -------
    dict
        The fields of the exit record that say how it ended, as `exit_fields` makes them.
    """
    attempt_path, log_path = paths
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    if record["attempt"] > 1:
        line = "%d, %s, job %s ---\n" % (record["attempt"], time.strftime("%F %T"), record["job_id"])
        os.write(log, (ATTEMPT_MARK + line).encode("utf-8", "replace"))
    if options.stop:  # before the start: what the command writes at once is its own
        if __package__:
            from sweep.node.stop import Stop
        else:
            from stop import Stop  # type: ignore[import-not-found, no-redef]
        command.rules = Stop(options.stop, os.path.join(os.path.dirname(attempt_path), options.result))
    try:
        command.start(argv, options.workdir, environment, log)
    except (OSError, ValueError) as error:
        problem = "cannot start %r in %s: %s" % (argv[0], options.workdir, error)
        os.write(log, ("sweep: %s\n" % problem).encode("utf-8", "replace"))
        # As a shell ends: 127 where the program is not there, 126 where it cannot be executed.
        exit_code = 127 if isinstance(error, FileNotFoundError) else 126
        return exit_fields(exit_code, failure="start", error=problem)
    finally:
        os.close(log)
    ended = threading.Event()
    # What the scheduler counts began with the job, before this process.
    warn_s = max(0.0, options.warn_after_s - record["setup_s"]) if options.warn_after_s else None
    watcher = threading.Thread(
        target=watch, args=(command, record, attempt_path, options.heartbeat_s, warn_s, ended), daemon=True
    )
    watcher.start()
    status = command.wait()
    ended.set()
    watcher.join()
    if os.WIFSIGNALED(status):
        return exit_fields(None, os.WTERMSIG(status))
    return exit_fields(os.WEXITSTATUS(status))


def cancel_path(attempt_path: str) -> str:
    """Return the file whose appearance asks the runner of an attempt to end it.

    It is for a packed trial: the scheduler can cancel only the whole worker.
    """
    return attempt_path[: -len(".json")] + ".cancel"


class Options(object):
    """The options that the job script passes, as in ``--job-id 7``. To import argparse would take too long.

    Attributes
    ----------
    folder : str
        The sweep's folder.
    workdir : str
        The folder in which the command runs.
    job, job_id, job_name : str
        The sweep's name for the job; the scheduler's id for it; the name it was submitted under.
    index : int
        The task of the job that is to be run.
    result : str
        The result's file name in the trial's folder.
    heartbeat_s : float
        How often the record is refreshed.
    requeue_wait_s : float
        How long a requeued task waits for the end of its earlier run.
    quick_s : float
        A trial that fails sooner failed at once, which may be the node's fault; 0: nobody looks.
    variables : str
        The file that has, by trial, what these attempts get in their environment; empty: there is none.
    stop : str
        The grid's rules by which a trial is ended early, as `stop.Stop` reads them; empty: there are none.
    hold_s : float
        How long a task on an unfit node keeps its place there, so that the next ones go elsewhere.
    worker : int
        The packed worker that runs the task; -1: none.
    warn_after_s : int
        How old the job is when the command is warned of its end. 0: the scheduler warns it, or there is no end.
    environment_failed : list of str
        Exit code and text of the environment line that failed; empty: none did.
    """

    def __init__(self, arguments: "List[str]") -> None:
        self.folder = self.job = self.job_id = self.job_name = self.workdir = self.result = self.variables = ""
        self.stop = ""
        self.index, self.worker, self.warn_after_s = 0, -1, 0
        self.heartbeat_s, self.requeue_wait_s = 60.0, 30.0
        self.quick_s, self.hold_s = 0.0, 0.0
        self.environment_failed = []  # type: List[str]
        words = list(arguments)
        while words:
            option = words.pop(0)
            name = option[2:].replace("-", "_")
            default = getattr(self, name, None)
            count = 2 if isinstance(default, list) else 1
            if default is None or len(words) < count:
                problem = "sweep: node.py cannot take the option %s of %s; was the job script changed by hand?"
                raise SystemExit(problem % (option, arguments))
            value = words[:2] if count == 2 else type(default)(words[0])
            setattr(self, name, value)
            del words[:count]


def main(arguments: "Optional[List[str]]" = None) -> None:
    """Run one task of one job; see the top of this file."""
    gc.disable()  # a collection takes time and would find nothing
    command = Command()
    command.install()
    ending = run_task(command, Options(sys.argv[1:] if arguments is None else arguments), dict(os.environ))
    if ending is not None:
        end_as(ending["exit_code"], ending["signal"])


def run_task(command: Command, options: "Options", environment: "Dict[str, str]") -> "Optional[Record]":
    """Claim a task's trial, run its command in this environment, record how it ended.

    Returns
    -------
    dict or None
        The fields of `exit_fields`; None if the trial is claimed already and nothing was run.
    """
    attempt, trial = read_task(options.folder, options.job, options.index)
    folder = trial_folder(options.folder, trial["id"])
    os.makedirs(folder, exist_ok=True)
    attempt_path = os.path.join(folder, "attempt-%d.json" % attempt)
    record = new_record(trial, attempt, options)
    node = fitness.Node(options.folder, record["node"] or HOST, options.quick_s)
    is_unfit = options.worker < 0 and node.wait() == fitness.UNFIT  # a worker has looked for itself
    if not claim(attempt_path, record, options.requeue_wait_s, options.heartbeat_s):
        print("sweep: trial %d, attempt %d is claimed by another job; nothing run" % (trial["number"], attempt))
        return None
    if is_unfit and hold(command, options, node):
        return give_back(attempt_path, dict(record, signals=command.signals), node)
    remove(os.path.join(folder, options.result))  # it is an earlier attempt's, and must not pass for this one's
    if options.environment_failed:
        code, line = options.environment_failed
        problem = "the environment line %r ended with exit code %s" % (line, code)
        ending = exit_fields(int(code), failure="environment", error=problem)
    else:
        environment.pop(ELAPSED, None)
        environment.update(variables_of_attempt(options.variables, trial["number"]))
        environment.update(variables_of_command(trial, attempt, folder, options.result))
        log_path = os.path.join(folder, "log.txt")
        if "SWEEP_PARAMS_FILE" in environment:
            environment.pop("SWEEP_PARAMS", None)
            write(environment["SWEEP_PARAMS_FILE"], trial["params"])
        command.node = node if node.quick_s else None
        ending = run(command, trial["argv"], options, record, (attempt_path, log_path), environment)
    letter = node.letter_of(ending, command.elapsed_s, bool(command.signals) or command.stopped_s is not None)
    if letter and (command.node is not None or options.environment_failed):
        node.write(letter)
    record.update(ending, ended=True, ended_at=time.time(), signals=command.signals, limit=command.limit)
    if command.limit == "rule":
        record["rule"] = command.rule
    record["stopped"], record["worker_is_over"] = command.stopped_s is not None, command.worker_is_over
    record.update(command.usage())
    if command.is_anothers or is_anothers(attempt_path, record):
        words = (
            "sweep: trial %d, attempt %d was taken up by the same task on another host; its end is not recorded"
        )
        print(words % (trial["number"], attempt), file=sys.stderr)
        return ending
    signals_told = len(command.signals)
    write_exit_record(attempt_path, record)
    if len(command.signals) > signals_told:  # the command may have been told first, and have ended for it
        write_exit_record(attempt_path, record)
    remove(cancel_path(attempt_path))
    return ending


def hold(command: Command, options: "Options", node: "fitness.Node") -> bool:
    """Keep the task's place on an unfit node while others of its job wait: they go elsewhere. False: it is fit."""
    until_s = time.monotonic() + options.hold_s
    while time.monotonic() < until_s and not command.signals and _others_wait(options):
        time.sleep(min(5.0, node.quick_s / 4))
        if node.judge() != fitness.UNFIT:
            return False
    return True


def _others_wait(options: "Options") -> bool:
    """Whether a later task of the job has not been claimed yet. Tasks begin in their order, so the last tells."""
    size = os.path.getsize(os.path.join(options.folder, "jobs", options.job + ".tasks")) // TASK_LINE_BYTES
    for index in range(size - 1, options.index, -1):
        attempt, trial = read_task(options.folder, options.job, index)
        claim_path = os.path.join(trial_folder(options.folder, trial["id"]), "attempt-%d.json" % attempt)
        if not os.path.exists(claim_path):
            return True
    return False


def give_back(path: str, record: "Record", node: "fitness.Node") -> "Record":
    """Record that the trial was not begun, and has to be sent again. Returns how the task ends."""
    words = "not begun on %s, where %d trials in a row failed at once, and elsewhere they do not"
    letters = fitness.read(node.folder).get(node.name, "")
    count = len(letters) - len(letters.rstrip("F"))
    ending = exit_fields(75, error=words % (node.name, count))
    print("sweep: trial %d is %s" % (record["number"], ending["error"]))
    record.update(ending, ended=True, ended_at=time.time(), given_back=True, elapsed_s=0.0)
    write_exit_record(path, record)
    return ending


def run_and_exit(work: "Callable[[], None]") -> None:
    """Call a function and end this process as it ends, without the time that Python takes to shut down."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
