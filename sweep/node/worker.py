#!/usr/bin/env python3
"""A packed job's worker: runs one trial after another until none is left, several side by side.

It runs on the compute node, beside node.py and by the same rules (standard library alone, Python 3.6 or newer).
Each of its threads does for one trial after another what node.py does for a single one: claim, run, record. That
takes some milliseconds a trial; a Python interpreter for each trial would take forty.

::

    find a trial that nobody has claimed ─▶ is there time for it? ─▶ claim, run, record ─▶ again
         own share first, then the others'     no: end; a later job runs what is left
         none left: wait for more, if asked to

While a worker waits, `sweep submit` may hand it the trials of another job, which then need not queue: a line of
``jobs/<its job>.handed``, as `handed_jobs` reads it.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

if __package__:
    from sweep.node import bystander, claim, command, fitness, keeper, preload, runner
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import bystander  # type: ignore[import-not-found, no-redef]
    import claim  # type: ignore[import-not-found, no-redef]
    import command  # type: ignore[import-not-found, no-redef]
    import fitness  # type: ignore[import-not-found, no-redef]
    import keeper  # type: ignore[import-not-found, no-redef]
    import preload  # type: ignore[import-not-found, no-redef]
    import runner  # type: ignore[import-not-found, no-redef]


#: A worker that waits for more trials looks for them so often, in seconds.
LOOK_EVERY_S = 2.0

#: Told to end with less time than this left, in seconds, a worker was told because its time is over.
OVER_S = 15.0


def task_order(size: int, worker: int, workers: int) -> Iterator[int]:
    """Yield every task of a job once, in the order in which a worker looks at them.

    Its own share comes first. The others' shares follow, each from its end, so that two workers meet only where
    one of them has finished its share.

    Parameters
    ----------
    size : int
        The number of tasks.
    worker, workers : int
        Which worker it is, from 0, and how many there are.

    Examples
    --------
    >>> list(task_order(6, 1, 3))
    [2, 3, 5, 4, 1, 0]
    """
    bounds = [size * number // workers for number in range(workers + 1)]
    yield from range(bounds[worker], bounds[worker + 1])
    for step in range(1, workers):
        other = (worker + step) % workers
        yield from range(bounds[other + 1] - 1, bounds[other] - 1, -1)


class Enforcer(object):
    """Enforces a packed trial's limits and its cancellation. The scheduler sees only the whole worker.

    Parameters
    ----------
    walltime_s, memory_mib : int
        The trial's limits; 0: no limit.
    warning_s : int
        How long before its walltime it is warned; 0: as the runners of older scripts did.
    """

    def __init__(self, walltime_s: int, memory_mib: int, warning_s: int = 0) -> None:
        self.walltime_s, self.memory_mib = walltime_s, memory_mib
        self.warning_s = warning_s or min(120, walltime_s // 4)
        self.warned = not walltime_s

    def enforce(self, running: command.Command, cancel_path: str) -> None:
        """Warn or stop a command that is at a limit, and stop one that is cancelled: the file is there."""
        elapsed_s = running.elapsed_s
        if not self.warned and elapsed_s > self.walltime_s - self.warning_s:
            self.warned = True
            running.warn()
        if self.walltime_s and elapsed_s > self.walltime_s:
            running.stop("walltime")
        elif self.memory_mib and running.memory_mib > self.memory_mib and self._exceeds_memory(running):
            running.stop("memory")
        elif running.stopped_s is not None or os.path.exists(cancel_path):
            running.stop()

    def _exceeds_memory(self, running: command.Command) -> bool:
        """Measure again with each shared page counted once. A sample counts it for each process that shares it."""
        assert running.running
        shares_mib = [_proportional_mib(pid) for pid in running.running.processes()]
        if None in shares_mib:
            return True
        used_mib = sum(share_mib for share_mib in shares_mib if share_mib is not None)
        if used_mib > self.memory_mib:
            running.peak_memory_mib = used_mib
            return True
        return False


def _proportional_mib(pid: int) -> Optional[float]:
    """Return the memory of a process in MiB, a shared page by its share; None where the kernel does not say."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as rollup:
            sizes = [int(line.split()[1]) for line in rollup if line.startswith("Pss:")]
    except (OSError, ValueError):
        return None if os.path.exists("/proc/%d" % pid) else 0.0
    return sizes[0] / 1024.0 if sizes else None


class Worker(object):
    """Runs trials in slots: each slot is a thread that runs one trial at a time, with its share of the GPUs.

    Parameters
    ----------
    options : argparse.Namespace
        The worker's own options.
    node_options : list of str
        The options that node.py would get for any trial.

    Attributes
    ----------
    tasks : iterator of (argparse.Namespace, list of str, int)
        The tasks that no slot has looked at yet: each with the worker's options and node.py's for its job.
    commands : dict of int to command.Command
        By slot, what is running.
    signals : list of int
        The signals that came.
    fork_server : list of preload.ForkServer
        What forks the commands whose modules are preloaded; empty: none are.
    keepers : list of keeper.Keeper
        By slot, what starts the other commands.
    bystander : bystander.Bystander
        It tells which signals the commands have got without us.
    job_started_s : float
        When the job script began, on the monotonic clock. The lines of its environment take time too.
    gpus : list of list of str
        By slot, the ids of its GPUs.
    node : fitness.Node
        The node that it runs on. On one that is unfit, it begins no trial.
    """

    def __init__(self, options: argparse.Namespace, node_options: List[str]) -> None:
        self.options, self.node_options = options, node_options
        self.tasks: Iterator[Tuple[argparse.Namespace, List[str], int]] = iter(())
        self.lock = threading.Lock()
        self.commands: Dict[int, command.Command] = {}
        self.signals: List[int] = []
        self.fork_server = [preload.ForkServer(options.preload.split(","))] if options.preload else []
        self.keepers = [keeper.Keeper() for _ in range(options.per_worker)]
        self.bystander = bystander.Bystander()
        options_of_node = runner.Options(node_options)
        name = claim.node_name() or claim.HOST
        self.node = fitness.Node(options.folder, name, options_of_node.quick_s)
        self.is_unfit = False
        self.job_started_s = time.monotonic() - int(os.environ.pop(command.ELAPSED, "0"))
        count = options.gpus
        # A site that does not say which GPUs are the job's own shows it no others: they have the numbers from 0.
        numbers = ",".join(map(str, range(count * options.per_worker)))
        visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", numbers).split(",") if gpu]
        self.gpus = [visible[slot * count : (slot + 1) * count] for slot in range(options.per_worker)]

    def forward(self, number: int, _frame: Any = None) -> None:
        """Note a signal, and pass it on to commands that have not got it. No further trial is begun."""
        self.signals.append(number)
        over = signal.Signals(number).name in command.ENDING and self._remaining_s() < OVER_S
        alive = []
        for running in list(self.commands.values()):
            if running.pid:  # one that is just being started gets it at its start
                alive.append(running)
            running.worker_is_over = running.worker_is_over or over
            running.note(number)

        def pass_on() -> None:
            for running in alive:
                running.pass_on(number)

        self.bystander.unless_all_got(number, pass_on)

    def note_continued(self, _number: int, _frame: Any = None) -> None:
        """Note that the worker, and with it every command, may have been suspended."""
        for running in list(self.commands.values()):
            running.note_continued()

    def run(self) -> None:
        """Run trials until none is left, or there is no time for another."""
        self.tasks = self._find_tasks()
        # Where the environment fails, no trial can run. One trial records that; the others are left for later.
        only_one = "--environment-failed" in self.node_options
        count = 1 if only_one else self.options.per_worker
        threads = [threading.Thread(target=self._run_slot, args=(slot, only_one)) for slot in range(count)]
        for slot, thread in enumerate(threads):
            if not self.fork_server:  # else it begins where it is needed
                self.keepers[slot].begin()
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1.0)  # a signal may wake another thread, and only this one acts on it

    def _find_tasks(self) -> Iterator[Tuple[argparse.Namespace, List[str], int]]:
        """Yield the job's tasks, and then those of the jobs that are handed to this one while it waits."""
        yield from tasks_of(self.options, self.node_options)
        handed, idle_since_s = 0, time.monotonic()
        while self.options.linger_s and not self.signals and self._remaining_s() >= self.options.walltime_s:
            jobs = handed_jobs(self.options)
            for job, variables in jobs[handed:]:
                if not job:  # nothing will come any more
                    return
                options = argparse.Namespace(**dict(vars(self.options), job=job))
                try:
                    yield from tasks_of(options, with_variables(self.node_options, variables))
                except OSError as error:
                    print("sweep: cannot take job %s over: %s" % (job, error), file=sys.stderr)
            if len(jobs) > handed or self.commands:
                handed, idle_since_s = len(jobs), time.monotonic()
            elif time.monotonic() - idle_since_s > self.options.linger_s:
                return
            time.sleep(LOOK_EVERY_S)

    def _run_slot(self, slot: int, only_one: bool) -> None:
        first = True  # the first begins whatever time is left, as it would in a job of its own
        while True:
            with self.lock:
                found = next(self.tasks, None)
            if found is None:
                return
            options, node_options, index = found
            try:
                if not is_free(options, index):
                    continue
                if self.node.wait() == fitness.UNFIT:
                    self._say_unfit()
                    return
                if not first and self._remaining_s() < self.options.walltime_s:
                    return
                first = False
                if not self._run_task(slot, task_options(options, index, node_options)) or only_one:
                    return
            # The file server fails, say; the next trial may work. A thread would end by SystemExit without a word.
            except (Exception, SystemExit) as error:
                print("sweep: cannot run task %d: %s" % (index, error), file=sys.stderr)

    def _say_unfit(self) -> None:
        with self.lock:
            words = "sweep: on %s, trials fail at once that do not fail elsewhere: this worker begins no more"
            if not self.is_unfit:
                print(words % self.node.name, file=sys.stderr)
            self.is_unfit = True

    def _run_task(self, slot: int, options: runner.Options) -> bool:
        """Run one trial; False if the worker is to end."""
        trial_command = self.commands[slot] = command.Command()
        trial_command.tell = self.bystander.tell
        trial_command.starters = [*self.fork_server, self.keepers[slot]]
        trial_command.enforcer = Enforcer(self.options.walltime_s, self.options.memory_mib, self.options.warning_s)
        try:
            if self.signals:  # checked after the line above: a signal that comes later reaches the command
                return False
            environment = dict(os.environ)
            if self.gpus[slot]:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[slot])
            runner.run_task(trial_command, options, environment)
            return True
        finally:
            del self.commands[slot]

    def _remaining_s(self) -> float:
        return float(self.options.ends_s - (time.monotonic() - self.job_started_s))


def tasks_of(
    options: argparse.Namespace, node_options: List[str]
) -> Iterator[Tuple[argparse.Namespace, List[str], int]]:
    """Yield a job's tasks in this worker's order, each with the options that belong to the job."""
    size = os.path.getsize(os.path.join(options.folder, "jobs", options.job + ".tasks"))
    for index in task_order(size // runner.TASK_LINE_BYTES, options.worker, options.workers):
        yield options, node_options, index


def handed_jobs(options: argparse.Namespace) -> List[Tuple[str, str]]:
    """Return the jobs that were handed to this one: their names, and the files of their attempts' variables.

    An empty name means that no further one will come. The file has lines for earlier submissions of the job, too;
    one that is half written is read the next time.
    """
    jobs: List[Tuple[str, str]] = []
    try:
        with open(os.path.join(options.folder, "jobs", options.job + ".handed"), encoding="utf-8") as lines:
            for line in lines:
                try:
                    handed = json.loads(line) if line.endswith("\n") else None
                except ValueError:  # whoever wrote it was killed, and has written it again
                    continue
                if handed and handed["to"] in options.job_name:
                    jobs.append((handed["job"], handed["variables"]))
    except OSError:
        pass
    return jobs


def with_variables(node_options: List[str], path: str) -> List[str]:
    """Return the options of node.py with another file of variables, or none."""
    options = list(node_options)
    if "--variables" in options:
        place = options.index("--variables")
        del options[place : place + 2]
    return options + (["--variables", path] if path else [])


def is_free(options: argparse.Namespace, index: int) -> bool:
    """Whether a task looks unclaimed, or was claimed by this worker before a requeue. The claim itself decides."""
    attempt, trial = runner.read_task(options.folder, options.job, index)
    path = os.path.join(runner.trial_folder(options.folder, trial["id"]), "attempt-%d.json" % attempt)
    try:
        with open(path, encoding="utf-8") as attempt_file:
            record = json.load(attempt_file)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    own = {"job_id": options.job_id, "job_name": options.job_name, "index": options.worker}
    return all(record.get(key) == value for key, value in own.items())


def task_options(options: argparse.Namespace, index: int, node_options: List[str]) -> runner.Options:
    """Return the options that node.py would get for one task."""
    return runner.Options(
        ["--folder", options.folder, "--job", options.job, "--index", str(index), "--worker", str(options.worker),
         "--job-id", options.job_id, "--job-name", options.job_name, *node_options]
    )  # fmt: skip


def parse_arguments(arguments: List[str]) -> Tuple[argparse.Namespace, List[str]]:
    """Return (the worker's own options, the options behind ``--`` that node.py would get for any trial)."""
    parser = argparse.ArgumentParser(description="Run a packed job's trials.")
    for name in ("--folder", "--job", "--job-id", "--job-name"):
        parser.add_argument(name, required=True)
    for name in ("--worker", "--workers", "--per-worker", "--walltime-s", "--memory-mib", "--gpus"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--ends-s", type=int, required=True, help="the worker's own walltime")
    parser.add_argument("--warning-s", type=int, default=0, help="how long before its walltime a trial is warned")
    parser.add_argument("--linger-s", type=int, default=0, help="how long to wait for more trials")
    parser.add_argument("--preload", default="", help="modules that are imported once, before the trials")
    separator = arguments.index("--")
    return parser.parse_args(arguments[:separator]), arguments[separator + 1 :]


def main() -> None:
    """Run trials; see the top of this file."""
    worker = Worker(*parse_arguments(sys.argv[1:]))
    worker.bystander.begin()
    for name in bystander.FORWARDED:
        signal.signal(getattr(signal, name), worker.forward)
    signal.signal(signal.SIGCONT, worker.note_continued)
    worker.run()
    ending = [number for number in worker.signals if signal.Signals(number).name != command.WARNING]
    if ending:
        command.end_as(None, ending[0])


if __name__ == "__main__":
    runner.run_and_exit(main)
