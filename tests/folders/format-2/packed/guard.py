#!/usr/bin/env python3
"""How a worker starts its trials' commands, and the process that ends them if the worker is killed.

The file has both ends: `Guard` is the worker's, and the file run as a program waits beside the worker. Standard
library alone, Python 3.6 or newer.

::

    worker ─ vfork, exec ─▶ command, with the worker's mark in its environment
      │                        ▲
      └─ a pipe ─▶ this program: kills every process with the mark, if the pipe closes without a farewell

A process can also ask the kernel to be killed with its parent, as the command of node.py does. It can ask only
between fork and exec, and a fork of a Python interpreter takes longer than the rest of a short trial's overhead.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

if __package__:
    from sweep.node import bystander, command
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import bystander  # type: ignore[import-not-found, no-redef]
    import command  # type: ignore[import-not-found, no-redef]

#: A worker's commands have this variable. Its value, the mark, is the worker's own.
MARK = "SWEEP_WORKER"

#: Makes `subprocess` start a process in a group of its own, inside the job's session, to which the scheduler keeps
#: hold. Python 3.11 can do so without a fork of the interpreter.
OWN_GROUP: Dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}


# --- the worker's end -------------------------------------------------------------------------------------


class Guard(object):
    """Starts commands and has a process beside the worker which kills them if the worker is killed.

    Attributes
    ----------
    mark : str
        The value of `MARK` in the environment of this worker's commands.
    process : subprocess.Popen or None
        The process that waits beside the worker; None: it could not be started.
    """

    def __init__(self) -> None:
        self.mark = "%d.%d" % (os.getpid(), int(time.time() * 1e6))
        self.process: Optional["subprocess.Popen[bytes]"] = None
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__), self.mark],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **OWN_GROUP,  # a signal to the worker's group must not end this process first
            )
        except OSError as error:
            print("sweep: %s cannot be started: %s" % (__file__, error), file=sys.stderr)

    def start(
        self, argv: List[str], workdir: str, environment: Dict[str, str], log: int
    ) -> Optional["GuardedCommand"]:
        """Start a command; None where no process waits beside the worker. OSError, ValueError."""
        if self.process is None or self.process.poll() is not None:
            return None
        return GuardedCommand(
            subprocess.Popen(
                argv,
                cwd=workdir,
                env=dict(environment, **{MARK: self.mark}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **OWN_GROUP,
            )
        )

    def dismiss(self) -> None:
        """Tell the process beside the worker that no command is running and the worker ends."""
        try:
            if self.process and self.process.stdin:
                self.process.stdin.write(b".")
                self.process.stdin.flush()
        except OSError:  # it has been killed
            pass


class GuardedCommand(command.RunningCommand):
    """A command that `subprocess` started."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        super().__init__(process.pid)
        self._process = process

    def wait(self) -> Tuple[int, float, int]:
        """Wait as `RunningCommand.wait` does, and tell `subprocess` about it."""
        status, cpu_s, peak = super().wait()
        # Otherwise subprocess would wait for this process number later, when it may be another process's.
        self._process.returncode = status
        return status, cpu_s, peak


# --- the process that waits -------------------------------------------------------------------------------


def kill_marked(mark: str) -> None:
    """Kill all processes that were started with this mark. Only Linux shows which these are."""
    variable = ("%s=%s" % (MARK, mark)).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as environment:
                if variable in environment.read().split(b"\0"):
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:  # another user's, or it has just ended
            continue


def main(mark: str) -> None:
    """Wait for the worker's end, and kill the commands that a killed worker left."""
    for name in bystander.FORWARDED:  # the worker acts on these signals
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.stdin.buffer.read(1):
        return
    for _ in range(5):  # a command may have started just as the worker was killed
        kill_marked(mark)
        time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])
