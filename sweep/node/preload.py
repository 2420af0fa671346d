#!/usr/bin/env python3
"""Trials that begin with their modules imported: forked from one process that has them, rather than started.

Both ends: `ForkServer`, which a packed job's worker has, and this file as a program, which the trials' own
interpreter runs on the node. Standard library alone, Python 3.6 or newer.

::

    worker ─ front: a trial's own socket, its log ─▶ this program: imports, then a fork a trial ─▶ -m trainer …
      ▲                                                   │
      └──── the trial's own socket: its pid; how it ended ┘

Nothing is computed before a fork, so a trial finds what a fresh interpreter would have after the same imports.
If this program cannot import, or dies, the trials that follow are started as if it had never been; those that it
had forked end with it, as a trial does whose runner is killed.
"""

import array
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any, Dict, List, Optional, Tuple

if __package__:
    from sweep.node import command
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import command  # type: ignore[import-not-found, no-redef]


def program_of(argv: List[str]) -> Optional[Tuple[str, str]]:
    """Find what a command runs: ('-m', module) or ('', script); None if it is no Python, or Python with options.

    >>> program_of(["python3", "-m", "trainer", "train"]), program_of(["/opt/py/bin/python", "t.py", "-x"])
    (('-m', 'trainer'), ('', 't.py'))
    >>> program_of(["python", "-u", "t.py"]), program_of(["bash", "t.sh"])
    (None, None)
    """
    if len(argv) < 2 or not os.path.basename(argv[0]).startswith("python"):
        return None
    if argv[1] == "-m" and len(argv) > 2:
        return ("-m", argv[2])
    return None if argv[1].startswith("-") else ("", argv[1])


# --- the worker's end -------------------------------------------------------------------------------------


class ForkServer(object):
    """The process that trials are forked from, begun with the first of them.

    Parameters
    ----------
    modules : list of str
        What it imports.
    """

    def __init__(self, modules: List[str]) -> None:
        self.modules = modules
        self.lock = threading.Lock()
        self.front: Optional[socket.socket] = None
        self.python = ""

    def start(self, argv: List[str], workdir: str, environment: Dict[str, str], log: int) -> Optional["Born"]:
        """Fork a trial's command; None if it has to be started the ordinary way."""
        program = program_of(argv)
        if program is None:
            return None
        with self.lock:
            if not self.python:
                self._begin(argv[0], program, workdir)
        front = self.front
        if front is None or argv[0] != self.python:
            return None
        mine, theirs = socket.socketpair()
        try:
            front.sendmsg(
                [b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno(), log]))]
            )
            theirs.close()
            request = {"argv": argv, "workdir": workdir, "environment": environment}
            mine.sendall(json.dumps(request).encode() + b"\n")
            answers = mine.makefile("rb")
            answer = answers.readline()
            if answer:
                return Born(int(answer), mine, answers)
        except OSError:
            pass
        self.front = None  # it is gone: nobody need try again
        print("sweep: nothing is preloaded any more; trials start by themselves", file=sys.stderr)
        return None

    def dismiss(self) -> None:
        """Say that the worker ends: what it forked from sees that by itself."""

    def _begin(self, python: str, program: Tuple[str, str], workdir: str) -> None:
        import subprocess

        self.python = python
        front, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What the interpreter itself would put first on its path.
        first = workdir if program[0] else os.path.dirname(os.path.abspath(os.path.join(workdir, program[1])))
        argv = [python, os.path.abspath(__file__), str(theirs.fileno()), first, *self.modules]
        try:
            subprocess.Popen(argv, cwd=workdir, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
            self.front = front
        except OSError as error:
            print("sweep: cannot preload with %r: %s" % (python, error), file=sys.stderr)
        finally:
            theirs.close()


class Born(object):
    """A trial's command that was forked, seen from its worker."""

    def __init__(self, pid: int, cord: socket.socket, answers: Any) -> None:
        self.pid = pid
        self._cord, self._answers = cord, answers

    def wait(self) -> Tuple[int, float, int]:
        """Wait for its end: wait status, CPU seconds, largest resident set as the kernel counts it."""
        said = self._answers.readline().split()
        self._answers.close()
        self._cord.close()
        if len(said) < 3:  # who could have told is dead, and has taken it along
            return int(signal.SIGKILL), 0.0, 0
        return int(said[0]), float(said[1]), int(said[2])


# --- the process that forks -------------------------------------------------------------------------------


class Forks(object):
    """What was forked: each with the socket on which its worker waits for its end."""

    def __init__(self, front: socket.socket) -> None:
        self.front = front
        self.cords: Dict[int, socket.socket] = {}
        self.awake, self.wake = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self.awake, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self.wake)
        self.library = command.c_library()

    def serve(self) -> Optional[Dict[str, Any]]:
        """Fork until the worker is gone. In a fork, return what it is to run; in the end, None."""
        while True:
            waiting: List[Any] = [self.front, self.awake, *self.cords.values()]
            ready, _, _ = select.select(waiting, [], [])
            if self.awake in ready:
                self._reap()
            for pid, cord in list(self.cords.items()):
                if cord in ready:  # nothing is ever said there but the end of the worker
                    command.end_session(pid)
                    self._forget(pid)
            if self.front in ready:
                message, ancillary, _, _ = self.front.recvmsg(1, socket.CMSG_SPACE(2 * array.array("i").itemsize))
                if not message:
                    return None
                request = self._fork(ancillary)
                if request is not None:
                    return request

    def _fork(self, ancillary: Any) -> Optional[Dict[str, Any]]:
        passed = array.array("i")
        for _, _, data in ancillary:
            passed.frombytes(data[: len(data) - len(data) % passed.itemsize])
        descriptor, log = passed
        cord = socket.socket(fileno=descriptor)
        with cord.makefile("rb") as asked:
            line = asked.readline()
        if not line:
            cord.close()
            os.close(log)
            return None
        request: Dict[str, Any] = json.loads(line.decode("utf-8"))
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for one in (self.front, cord, *self.cords.values()):
                one.close()
            os.close(self.awake)
            os.close(self.wake)
            command.apart(log, self.library)
            return request
        os.close(log)
        self.cords[pid] = cord
        self._say(pid, "%d\n" % pid)
        return None

    def _reap(self) -> None:
        try:
            os.read(self.awake, 4096)
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._say(pid, "%d %.6f %d\n" % (status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
                self._forget(pid)
        except (BlockingIOError, ChildProcessError):
            return

    def _say(self, pid: int, line: str) -> None:
        try:
            if pid in self.cords:
                self.cords[pid].sendall(line.encode())
        except OSError:  # its worker is gone; the loop sees to it
            return

    def _forget(self, pid: int) -> None:
        cord = self.cords.pop(pid, None)
        if cord is not None:
            cord.close()


def become(request: Dict[str, Any]) -> None:
    """Be the program that a fresh interpreter would have been."""
    import runpy

    os.chdir(request["workdir"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if "numpy" in sys.modules:  # as Python does with its own: no two forks draw the same numbers
        sys.modules["numpy"].random.seed()
    argv = request["argv"]
    program = program_of(argv)
    assert program
    sys.argv = argv[2:] if program[0] else argv[1:]
    if program[0]:
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program[1], run_name="__main__")


def main() -> None:
    """Import, then fork until the worker is gone; the arguments are FRONT, FIRST-ON-PATH and the modules."""
    for name in command.FORWARDED:  # for the trials to heed, which get them from the worker or the scheduler
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    front = socket.socket(fileno=int(sys.argv[1]))
    front.set_inheritable(False)
    sys.path[:] = [sys.argv[2]] + [one for one in sys.path if one != os.path.dirname(os.path.abspath(__file__))]
    for name in sys.argv[3:]:
        importlib.import_module(name)
    if hasattr(gc, "freeze"):
        gc.freeze()  # else the first collection in each fork would copy all that the imports made
    sys.stdout.flush()
    sys.stderr.flush()
    request = Forks(front).serve()
    if request is not None:
        become(request)


if __name__ == "__main__":
    main()
