#!/usr/bin/env python3
"""A slot's keeper: it starts the commands of the slot's trials, one after another, and ends all that they left.

The file has both ends: `Keeper` is the worker's, and the file run as a program is the keeper. Standard library
alone, Python 3.6 or newer.

::

    worker ─ a socket: the command, its log ─▶ this program ─ vfork, exec ─▶ the command ─▶ what it starts
      ▲                                          │
      └── its pid; how it ended ─────────────────┘   when the socket closes: kills the trial, and ends

A process can also ask the kernel to be killed with its parent, as the command of node.py does. It can ask only
between fork and exec, and a fork of a Python interpreter takes longer than the rest of a short trial's overhead.
"""

import array
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

if __package__:
    from sweep.node import bystander, command, processes
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import bystander  # type: ignore[import-not-found, no-redef]
    import command  # type: ignore[import-not-found, no-redef]
    import processes  # type: ignore[import-not-found, no-redef]

#: Makes `subprocess` start a process in a group of its own, inside the job's session, to which the scheduler keeps
#: hold. Python 3.11 can do so without a fork of the interpreter.
OWN_GROUP: Dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}


# --- the worker's end -------------------------------------------------------------------------------------


class Keeper(object):
    """The keeper of one slot, as its worker sees it.

    Attributes
    ----------
    pid : int
        The keeper; 0: it has not been started, or it could not be.
    """

    def __init__(self) -> None:
        self.pid = 0
        #: None while the keeper is not there.
        self._socket: Optional[socket.socket] = None
        self._replies: Any = None

    def begin(self) -> None:
        """Start the process, without waiting until it is ready."""
        worker_socket, far_end = socket.socketpair()
        try:
            self.pid = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__)],
                stdin=far_end.fileno(),
                stdout=subprocess.DEVNULL,
                **OWN_GROUP,  # a signal to the worker's group must not end this process first
            ).pid
            self._socket, self._replies = worker_socket, worker_socket.makefile("rb")
        except OSError as error:
            self.pid, self._socket = 0, None
            print("sweep: %s cannot be started: %s" % (__file__, error), file=sys.stderr)
        finally:
            far_end.close()

    def start(
        self, argv: List[str], workdir: str, environment: Dict[str, str], log: int
    ) -> Optional["KeptCommand"]:
        """Start a command; None where there is no keeper.

        Raises
        ------
        OSError, ValueError
            The program cannot be executed.
        """
        if not self._ask(argv, workdir, environment, log):
            self.begin()  # the first time, or it has been killed since
            if not self._ask(argv, workdir, environment, log):
                return None
        reply = self.read()
        if not reply:  # the command may have begun, and is not to begin twice
            raise ValueError("its keeper was killed while it started it")
        answer: Dict[str, Any] = json.loads(reply.decode("utf-8"))
        if "pid" in answer:
            return KeptCommand(answer["pid"], self)
        if answer["errno"] is None:
            raise ValueError(answer["problem"])
        raise OSError(answer["errno"], os.strerror(answer["errno"]), answer["problem"])

    def _ask(self, argv: List[str], workdir: str, environment: Dict[str, str], log: int) -> bool:
        """Send a request; False if the keeper is not there."""
        try:
            if self._socket is not None:
                send_request(self._socket, argv, workdir, environment, log)
        except OSError:
            self._socket = None
        return self._socket is not None

    def read(self) -> bytes:
        """Read a line from the keeper. Empty: it has died."""
        try:
            line: bytes = self._replies.readline()
        except OSError:
            line = b""
        if not line:
            self._socket = None
        return line


class KeptCommand(command.RunningCommand):
    """A command that a slot's keeper started."""

    def __init__(self, pid: int, its_keeper: Keeper) -> None:
        super().__init__(pid, its_keeper.pid)
        self._keeper = its_keeper

    def wait(self) -> Tuple[int, float, int]:
        """Wait for the keeper's report; see `RunningCommand.wait`."""
        return end_of(self, self._keeper.read())


def end_of(running: command.RunningCommand, line: bytes) -> Tuple[int, float, int]:
    """Return the end that a keeper reported, as `RunningCommand.wait` does. If it died instead, kill its trial."""
    fields = line.split()
    if len(fields) == 3:
        return int(fields[0]), float(fields[1]), int(fields[2])
    processes.signal_all(running.pid, processes.descendants(running.pid), signal.SIGKILL)
    return int(signal.SIGKILL), 0.0, 0


def send_request(
    far_end: socket.socket, argv: List[str], workdir: str, environment: Dict[str, str], *descriptors: int
) -> None:
    """Send a command, and the descriptors that it is to have."""
    request = {"argv": argv, "workdir": workdir, "environment": environment}
    far_end.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
    far_end.sendall(json.dumps(request).encode() + b"\n")


# --- the keeper -------------------------------------------------------------------------------------------


class Children(object):
    """Wakes a process when a child of it ends, or when the worker is gone.

    Parameters
    ----------
    worker_socket : socket.socket
        It closes with the worker, which sends nothing more on it while a command runs.
    """

    def __init__(self, worker_socket: socket.socket) -> None:
        self.worker_socket = worker_socket
        # Python writes a byte into this pipe when a child ends, which wakes `select`.
        self._wakeup_read, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup_write, False)
        os.set_blocking(self._wakeup_read, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wakeup_write)

    def wait(self) -> bool:
        """Wait until a child may have ended (True) or the worker's socket has something to read (False)."""
        sources: List[Any] = [self._wakeup_read, self.worker_socket]
        ready, _, _ = select.select(sources, [], [])
        if self._wakeup_read in ready:
            os.read(self._wakeup_read, 4096)
        return self.worker_socket not in ready

    def close(self) -> None:
        """Undo all this in a fork."""
        signal.set_wakeup_fd(-1)
        os.close(self._wakeup_read)
        os.close(self._wakeup_write)

    def wait_or_end(self) -> None:
        """Wait until a child may have ended. If the worker is gone, end this process and its trial."""
        if not self.wait():
            processes.end_descendants()
            os._exit(1)


def ignore_signals() -> None:
    """Leave to the worker what it acts on. The commands do not inherit this, as they would inherit SIG_IGN."""
    for name in bystander.FORWARDED:
        signal.signal(getattr(signal, name), lambda _number, _frame: None)


def start(request: Dict[str, Any], log: int) -> int:
    """Start a command and return its pid. OSError, ValueError: it cannot be executed."""
    started = subprocess.Popen(
        request["argv"],
        cwd=request["workdir"],
        env=request["environment"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        **OWN_GROUP,
    )
    started.returncode = 0  # `keep` waits for it; otherwise subprocess would, when the number is another process's
    return started.pid


def main() -> None:
    """Start and keep one command after another, until the worker is gone. The socket is this program's stdin."""
    ignore_signals()
    processes.adopt_orphans(processes.c_library())
    worker_socket = socket.socket(fileno=os.dup(0))
    worker_socket.set_inheritable(False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    requests, children = worker_socket.makefile("rb"), Children(worker_socket)
    while True:
        message, ancillary, _, _ = worker_socket.recvmsg(1, socket.CMSG_SPACE(array.array("i").itemsize))
        line = requests.readline()
        if not message or not line:
            return
        log = array.array("i", ancillary[0][2])[0]
        try:
            pid = start(json.loads(line.decode("utf-8")), log)
        except (OSError, ValueError) as error:
            problem = getattr(error, "filename", None) or str(error)
            answer = {"errno": getattr(error, "errno", None), "problem": problem}
            worker_socket.sendall(json.dumps(answer).encode() + b"\n")
            continue
        finally:
            os.close(log)
        worker_socket.sendall(b'{"pid": %d}\n' % pid)
        worker_socket.sendall(b"%d %.6f %d\n" % processes.keep(pid, pause=children.wait_or_end))


if __name__ == "__main__":
    main()
