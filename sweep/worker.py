#!/usr/bin/env python3
"""A packed job's worker: pulls one trial after another until none is left, several side by side.

It runs on the compute node, beside node.py and by the same rules (one file, standard library alone, Python 3.6
or newer), and starts node.py for each trial: there a trial is claimed, run and recorded as it is everywhere.

::

    look for a trial that nobody has claimed ─▶ is there time for it? ─▶ node.py, up to N at once ─▶ again
         own share first, then the others'            no: end; what is left is sent again
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

if __package__:
    from sweep import command, node
else:  # beside it in the sweep's folder
    sys.dont_write_bytecode = True  # files are a quota there
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import command  # type: ignore[import-not-found, no-redef]
    import node  # type: ignore[import-not-found, no-redef]

#: Between two looks at what runs here.
TICK_S = 0.1


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
    """What runs here: node.py processes, each with its share of the visible GPUs."""

    def __init__(self, count: int, gpus_each: int) -> None:
        self.count = count
        self.running: Dict[int, Any] = {}
        visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
        self.gpus = [visible[slot * gpus_each : (slot + 1) * gpus_each] for slot in range(count)]
        self.claims: Dict[int, str] = {}
        self.told: List[int] = []

    @property
    def ending(self) -> bool:
        """Whether the job is to end, or soon will: nothing new is begun."""
        return bool(self.told)

    def tell(self, number: int, _frame: Any = None) -> None:
        """Pass a signal on."""
        self.told.append(number)
        for process in self.running.values():
            try:
                process.send_signal(number)
            except OSError:
                pass

    def free(self) -> Optional[int]:
        """Return a free slot; None while all are taken."""
        for slot, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[slot]
                if process.returncode < 0:
                    record_killed(self.claims[slot], process.pid, -process.returncode)
        return next((slot for slot in range(self.count) if slot not in self.running), None)

    def start(self, slot: int, argv: List[str], claim: str) -> None:
        """Run a trial's node.py in a slot; `claim` is where its record will be."""
        self.claims[slot] = claim
        environment = dict(os.environ)
        if self.gpus[slot]:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[slot])
        self.running[slot] = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, preexec_fn=command.end_with_parent
        )
        for number in self.told:  # one that came while it was being started
            self.running[slot].send_signal(number)


def record_killed(claim: str, pid: int, number: int) -> None:
    """Say of a node.py that was killed outright how it ended: this worker saw it, and nobody else did."""
    try:
        with open(claim, encoding="utf-8") as found:
            record = json.load(found)
        if record.get("pid") == pid and not record.get("ended"):
            end = {"ended": True, "exit_code": None, "signal": number, "ended_at": time.time()}
            node.replace(claim, dict(record, **end))
    except (OSError, ValueError) as error:
        print("sweep: cannot write %s: %s" % (claim, error), file=sys.stderr)


def claim_path(options: argparse.Namespace, index: int) -> str:
    """Where the record of a task's attempt is, or will be."""
    attempt, trial = node.read_task(options.folder, options.job, index)
    return os.path.join(node.trial_folder(options.folder, trial["id"]), "attempt-%d.json" % attempt)


def is_free(options: argparse.Namespace, path: str) -> bool:
    """Whether a trial is still to be run, or is an interrupted one of this worker's own; node.py decides."""
    try:
        with open(path, encoding="utf-8") as claim:
            record = json.load(claim)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    own = {"job_id": options.job_id, "job_name": options.job_name, "index": options.worker}
    return all(record.get(key) == value for key, value in own.items())


def call(options: argparse.Namespace, index: int, passed: List[str]) -> List[str]:
    """Spell the call of node.py for one trial."""
    runner = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node.py")
    return [
        sys.executable, runner, "--folder", options.folder, "--job", options.job, "--index", str(index),
        "--worker", str(options.worker), "--job-id", options.job_id, "--job-name", options.job_name,
        "--walltime-s", str(options.walltime_s), "--memory-mib", str(options.memory_mib), *passed
    ]  # fmt: skip


def parsed(arguments: List[str]) -> Tuple[argparse.Namespace, List[str]]:
    """Read the command line: (our options, what stands behind ``--`` and is node.py's)."""
    parser = argparse.ArgumentParser(description="Run a packed job's trials.")
    for name in ("--folder", "--job", "--job-id", "--job-name"):
        parser.add_argument(name, required=True)
    for name in ("--worker", "--workers", "--per-worker", "--walltime-s", "--memory-mib", "--gpus"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--ends-s", type=int, required=True, help="the worker's own walltime")
    at = arguments.index("--")
    return parser.parse_args(arguments[:at]), arguments[at + 1 :]


def pull(options: argparse.Namespace, slots: Slots, passed: List[str]) -> None:
    """Start trials until none is left, or no time for one."""
    began = time.monotonic() - int(os.environ.pop("SWEEP_ELAPSED_S", "0"))  # the job's, with its environment lines
    size = os.path.getsize(os.path.join(options.folder, "jobs", options.job + ".tasks")) // node.TASK_LINE_BYTES
    one_only = "--environment-failed" in passed  # a node on which no trial can run spoils one, not all
    first = options.per_worker  # these begin with the job, as they would in one of their own
    for index in shares(size, options.worker, options.workers):
        try:
            claim = claim_path(options, index)
        except (OSError, ValueError) as error:  # a file server that is unwell; the others may be found
            print("sweep: cannot look up task %d: %s" % (index, error), file=sys.stderr)
            continue
        if not is_free(options, claim):
            continue
        slot = slots.free()
        while slot is None:
            time.sleep(TICK_S)
            slot = slots.free()
        left_s = options.ends_s - (time.monotonic() - began)
        if slots.ending or (first <= 0 and left_s < options.walltime_s):
            return
        if is_free(options, claim):  # nobody has taken it while we waited for a slot
            slots.start(slot, call(options, index, passed), claim)
            first -= 1
            if one_only:
                return


def main() -> None:
    """Pull trials; see the top of this file."""
    options, passed = parsed(sys.argv[1:])
    slots = Slots(options.per_worker, options.gpus)
    for name in command.FORWARDED:
        signal.signal(getattr(signal, name), slots.tell)
    try:
        pull(options, slots, passed)
    finally:  # whatever becomes of this process: what it has begun is seen to its end
        while slots.running:
            time.sleep(TICK_S)
            slots.free()
    ending = [number for number in slots.told if signal.Signals(number).name != command.WARNING]
    if ending:
        node.end_as(None, ending[0])


if __name__ == "__main__":
    main()
