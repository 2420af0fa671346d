#!/usr/bin/env python3
"""A packed job's worker: pulls one trial after another until none is left, several side by side.

It runs on the compute node, beside node.py and by the same rules (standard library alone, Python 3.6 or newer).
Each of its threads does for one trial after another what node.py does: a trial is claimed, run and recorded as it
is everywhere, in some milliseconds; an interpreter for each took forty.

::

    look for a trial that nobody has claimed ─▶ is there time for it? ─▶ claim, run, record ─▶ again
         own share first, then the others'            no: end; what is left is sent again
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Tuple

if __package__:
    from sweep.node import command, guard, preload, runner
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import command  # type: ignore[import-not-found, no-redef]
    import guard  # type: ignore[import-not-found, no-redef]
    import preload  # type: ignore[import-not-found, no-redef]
    import runner  # type: ignore[import-not-found, no-redef]


def shares(size: int, worker: int, workers: int) -> Iterator[int]:
    """Yield all tasks once: this worker's share first, then the others', from their ends.

    So the workers meet only where one has run dry.

    >>> list(shares(6, 1, 3))
    [2, 3, 5, 4, 1, 0]
    """
    bounds = [size * number // workers for number in range(workers + 1)]
    yield from range(bounds[worker], bounds[worker + 1])
    for step in range(1, workers):
        other = (worker + step) % workers
        yield from range(bounds[other + 1] - 1, bounds[other] - 1, -1)


class Slots(object):
    """A thread each, which runs one trial after another, with its share of the visible GPUs."""

    def __init__(self, options: argparse.Namespace, passed: List[str]) -> None:
        self.options, self.passed = options, passed
        tasks = os.path.getsize(os.path.join(options.folder, "jobs", options.job + ".tasks"))
        self.left = shares(tasks // runner.TASK_LINE_BYTES, options.worker, options.workers)
        self.lock = threading.Lock()
        self.running: Dict[int, command.Command] = {}
        self.signals: List[int] = []
        self.starter: Any = preload.ForkServer(options.preload.split(",")) if options.preload else guard.Guard()
        self.began = time.monotonic() - int(os.environ.pop("SWEEP_ELAPSED_S", "0"))  # the job's, with its lines
        visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
        each = options.gpus
        self.gpus = [visible[slot * each : (slot + 1) * each] for slot in range(options.per_worker)]

    def tell(self, number: int, _frame: Any = None) -> None:
        """Pass a signal on to all that runs; nothing new is begun."""
        self.signals.append(number)
        for one in list(self.running.values()):
            one.forward(number)

    def run(self) -> None:
        """Run trials until none is left, or no time for one."""
        one_only = "--environment-failed" in self.passed  # a node on which no trial can run spoils one, not all
        count = 1 if one_only else self.options.per_worker
        threads = [threading.Thread(target=self._pull, args=(slot, one_only)) for slot in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _pull(self, slot: int, one_only: bool) -> None:
        first = True  # it begins with the job, as it would in one of its own
        while True:
            with self.lock:
                index = next(self.left, None)
            if index is None:
                return
            try:
                if not is_free(self.options, index):
                    continue
                if not first and self._left_s() < self.options.walltime_s:
                    return
                first = False
                if not self._run(slot, index) or one_only:
                    return
            except Exception as error:  # a file server that is unwell; the other trials may be found
                print("sweep: cannot run task %d: %s" % (index, error), file=sys.stderr)

    def _run(self, slot: int, index: int) -> bool:
        """Run one trial; False if this job is to end."""
        one = self.running[slot] = command.Command()
        one.starter = self.starter
        try:
            if self.signals:  # asked only now: what comes later reaches the command
                return False
            environment = dict(os.environ)
            if self.gpus[slot]:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[slot])
            runner.run_task(one, options_of(self.options, index, self.passed), environment)
            return True
        finally:
            del self.running[slot]

    def _left_s(self) -> float:
        return float(self.options.ends_s - (time.monotonic() - self.began))


def is_free(options: argparse.Namespace, index: int) -> bool:
    """Whether a task is still to be run, or is an interrupted one of this worker's own; the claim decides."""
    attempt, trial = runner.read_task(options.folder, options.job, index)
    path = os.path.join(runner.trial_folder(options.folder, trial["id"]), "attempt-%d.json" % attempt)
    try:
        with open(path, encoding="utf-8") as claim:
            record = json.load(claim)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    own = {"job_id": options.job_id, "job_name": options.job_name, "index": options.worker}
    return all(record.get(key) == value for key, value in own.items())


def options_of(options: argparse.Namespace, index: int, passed: List[str]) -> runner.Options:
    """Say what node.py would be told of one trial."""
    return runner.Options(
        ["--folder", options.folder, "--job", options.job, "--index", str(index), "--worker", str(options.worker),
         "--job-id", options.job_id, "--job-name", options.job_name, "--walltime-s", str(options.walltime_s),
         "--memory-mib", str(options.memory_mib), *passed]
    )  # fmt: skip


def parsed(arguments: List[str]) -> Tuple[argparse.Namespace, List[str]]:
    """Read the command line: (our options, and behind ``--`` what node.py would be told of any trial)."""
    parser = argparse.ArgumentParser(description="Run a packed job's trials.")
    for name in ("--folder", "--job", "--job-id", "--job-name"):
        parser.add_argument(name, required=True)
    for name in ("--worker", "--workers", "--per-worker", "--walltime-s", "--memory-mib", "--gpus"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--ends-s", type=int, required=True, help="the worker's own walltime")
    parser.add_argument("--preload", default="", help="modules that the trials are to find imported")
    at = arguments.index("--")
    return parser.parse_args(arguments[:at]), arguments[at + 1 :]


def main() -> None:
    """Pull trials; see the top of this file."""
    slots = Slots(*parsed(sys.argv[1:]))
    for name in command.FORWARDED:
        signal.signal(getattr(signal, name), slots.tell)
    slots.run()
    slots.starter.dismiss()
    ending = [number for number in slots.signals if signal.Signals(number).name != command.WARNING]
    if ending:
        runner.end_as(None, ending[0])


if __name__ == "__main__":
    runner.to_the_end(main)
