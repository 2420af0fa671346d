#!/usr/bin/env python3
"""What a packed job's worker starts its trials' commands with, and who ends them should the worker be killed.

Both ends: `Guard`, which the worker has, and this file as a program, which waits beside it. Standard library
alone, Python 3.6 or newer.

::

    worker ─ vfork, exec ─▶ command, with the worker's mark in its environment
      │                        ▲
      └─ a pipe ─▶ this program: when the pipe closes and no word came, kill whoever bears the mark

A process can ask the kernel to be killed with its parent, as node.py's command does, but only between fork and
exec, and to fork a Python interpreter takes longer than all else about a short trial.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Dict, List, Optional, Tuple

if __package__:
    from sweep.node import command
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import command  # type: ignore[import-not-found, no-redef]

#: The variable by which a worker's processes are known.
MARK = "SWEEP_WORKER"


# --- the worker's end -------------------------------------------------------------------------------------


class Guard(object):
    """Starts commands; where this worker is killed, they are, too."""

    def __init__(self) -> None:
        self.mark = "%d.%d" % (os.getpid(), int(time.time() * 1e6))
        self.process: Optional["subprocess.Popen[bytes]"] = None
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-S", os.path.abspath(__file__), self.mark],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what ends the worker's session is not to end this first
            )
        except OSError as error:
            print("sweep: %s cannot be started: %s" % (__file__, error), file=sys.stderr)

    def start(self, argv: List[str], workdir: str, environment: Dict[str, str], log: int) -> Optional["Started"]:
        """Start a command; None if nobody would end it with this worker. OSError, ValueError."""
        if self.process is None or self.process.poll() is not None:
            return None
        return Started(
            subprocess.Popen(
                argv,
                cwd=workdir,
                env=dict(environment, **{MARK: self.mark}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )

    def dismiss(self) -> None:
        """Say that the worker ends by itself, and has nothing running."""
        try:
            if self.process and self.process.stdin:
                self.process.stdin.write(b".")
                self.process.stdin.flush()
        except OSError:  # it has been killed
            pass


class Started(object):
    """A trial's command, seen from its worker."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.pid = process.pid
        self._process = process

    def wait(self) -> Tuple[int, float, int]:
        """Wait for its end: wait status, CPU seconds, largest resident set as the kernel counts it."""
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = status  # or subprocess would ask after this number again, whoever has it then
        return status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


# --- the process that waits -------------------------------------------------------------------------------


def end_marked(mark: str) -> None:
    """Kill all processes that were started with this mark, as far as this machine tells (Linux)."""
    wanted = ("%s=%s" % (MARK, mark)).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as environment:
                if wanted in environment.read().split(b"\0"):
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:  # someone else's, or it has just ended
            continue


def main(mark: str) -> None:
    """Wait for the worker's end, and see to what it left."""
    for name in command.FORWARDED:  # they are the worker's to act upon
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.stdin.buffer.read(1):
        return
    for _ in range(5):  # one may have been about to start another
        end_marked(mark)
        time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])
