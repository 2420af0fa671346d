#!/usr/bin/env python3
"""Trials that begin with their modules imported: one process imports them, and each trial is a fork of it.

The file has both ends: `ForkServer` is the worker's, and the trials' own interpreter runs the file as a program.
Standard library alone, Python 3.6 or newer.

::

    worker ─ request socket: a trial's own socket, its log ─▶ this program: imports, then forks
      ▲                                                          │
      │                                                          ▼
      └──── the trial's own socket: how it ended ────── the trial's keeper ─ forks ─▶ -m trainer …

Nothing is computed before a fork, so a trial finds what a fresh interpreter has after the same imports. If this
program cannot import or dies, the later trials are started without it.
"""

import array
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
from typing import Any, Dict, List, Optional, Tuple

if __package__:
    from sweep.node import command, keeper, processes
else:  # beside it in the sweep's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import command  # type: ignore[import-not-found, no-redef]
    import keeper  # type: ignore[import-not-found, no-redef]
    import processes  # type: ignore[import-not-found, no-redef]


def program_of(argv: List[str]) -> Optional[Tuple[str, str]]:
    """Return what Python runs: ('-m', module) or ('', script); None if it is not Python, or Python has options.

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
    """The process that trials are forked from, as its worker sees it. The first trial starts it.

    Parameters
    ----------
    modules : list of str
        The modules that it imports.

    Attributes
    ----------
    request_socket : socket.socket or None
        Where each trial to be forked is announced; None while the process is not there.
    python : str
        The interpreter that it runs; empty before the first trial.
    """

    def __init__(self, modules: List[str]) -> None:
        self.modules = modules
        self.lock = threading.Lock()
        self.request_socket: Optional[socket.socket] = None
        self.python = ""

    def start(
        self, argv: List[str], workdir: str, environment: Dict[str, str], log: int
    ) -> Optional["ForkedCommand"]:
        """Fork a trial's command; None if it has to be started the ordinary way."""
        program = program_of(argv)
        if program is None:
            return None
        with self.lock:
            if not self.python:
                self._start_process(argv[0], program, workdir)
        request_socket = self.request_socket
        if request_socket is None or argv[0] != self.python:
            return None
        trial_socket, far_end = socket.socketpair()
        try:
            request_socket.sendmsg(
                [b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [far_end.fileno(), log]))]
            )
            far_end.close()
            request = {"argv": argv, "workdir": workdir, "environment": environment}
            trial_socket.sendall(json.dumps(request).encode() + b"\n")
            replies = trial_socket.makefile("rb")
            fields = replies.readline().split()
            if len(fields) == 2:  # else the fork ended, or its parent did, before the command began
                return ForkedCommand(int(fields[0]), int(fields[1]), trial_socket, replies)
        except OSError:
            pass
        self.request_socket = None  # the process is gone: no later trial tries it
        print(
            "sweep: the process with the preloaded modules has ended; later trials start without it",
            file=sys.stderr,
        )
        return None

    def _start_process(self, python: str, program: Tuple[str, str], workdir: str) -> None:
        import subprocess

        self.python = python
        request_socket, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A fresh interpreter has this folder first on its path.
        first = workdir if program[0] else os.path.dirname(os.path.abspath(os.path.join(workdir, program[1])))
        argv = [python, os.path.abspath(__file__), str(far_end.fileno()), first, *self.modules]
        try:
            subprocess.Popen(argv, cwd=workdir, stdin=subprocess.DEVNULL, pass_fds=[far_end.fileno()])
            self.request_socket = request_socket
        except OSError as error:
            print("sweep: cannot preload with %r: %s" % (python, error), file=sys.stderr)
        finally:
            far_end.close()


class ForkedCommand(command.RunningCommand):
    """A command that was forked from the process with the modules."""

    def __init__(self, pid: int, its_keeper: int, trial_socket: socket.socket, replies: Any) -> None:
        super().__init__(pid, its_keeper)
        self._trial_socket, self._replies = trial_socket, replies

    def wait(self) -> Tuple[int, float, int]:
        """Wait for the keeper's report; see `RunningCommand.wait`."""
        line = self._replies.readline()
        self._replies.close()
        self._trial_socket.close()
        return keeper.end_of(self, line)


# --- the process that forks -------------------------------------------------------------------------------


class Forker(object):
    """Forks a keeper for each trial that the worker requests, and in that the trial.

    Parameters
    ----------
    request_socket : socket.socket
        Each message carries a trial's own socket and its log. When it closes, the worker is gone.
    """

    def __init__(self, request_socket: socket.socket) -> None:
        self.request_socket = request_socket
        self.children = keeper.Children(request_socket)
        self.library = processes.c_library()

    def serve(self) -> Optional[Dict[str, Any]]:
        """Fork until the worker is gone, then return None. Each trial returns from here too, with its request."""
        while True:
            if self.children.wait():
                self._reap()
                continue
            size = socket.CMSG_SPACE(2 * array.array("i").itemsize)
            message, ancillary, _, _ = self.request_socket.recvmsg(1, size)
            if not message:
                return None
            request = self._fork(ancillary)
            if request is not None:
                return request

    def _fork(self, ancillary: Any) -> Optional[Dict[str, Any]]:
        """Fork one trial. Returns its request in the fork and None in this process."""
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        descriptor, log = descriptors
        trial_socket = socket.socket(fileno=descriptor)
        with trial_socket.makefile("rb") as stream:
            line = stream.readline()
        if not line:
            trial_socket.close()
            os.close(log)
            return None
        request: Dict[str, Any] = json.loads(line.decode("utf-8"))
        if os.fork() == 0:
            return self._keep(request, trial_socket, log)
        trial_socket.close()
        os.close(log)
        return None

    def _keep(self, request: Dict[str, Any], trial_socket: socket.socket, log: int) -> Dict[str, Any]:
        """Fork the trial and be its keeper: report its end, and end. Returns in the trial alone."""
        os.setpgid(0, 0)
        self.request_socket.close()
        self.children.close()
        processes.adopt_orphans(self.library)
        children = keeper.Children(trial_socket)
        keeper_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            children.close()
            command.detach(log, self.library)
            if os.getppid() != keeper_pid:  # it died before `detach` asked to be told
                os._exit(1)
            # The worker hears of the fork before the command begins, and from the fork itself: of a parent that is
            # killed meanwhile it would hear nothing, and start the trial a second time.
            trial_socket.sendall(b"%d %d\n" % (os.getpid(), keeper_pid))
            trial_socket.close()
            return request
        os.close(log)
        end = processes.keep(pid, pause=children.wait_or_end)
        try:
            trial_socket.sendall(b"%d %.6f %d\n" % end)
        finally:
            os._exit(0)

    @staticmethod
    def _reap() -> None:
        """Wait for the keepers that have ended."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return


def run_program(request: Dict[str, Any]) -> None:
    """Run the program of a request in this fork as a fresh interpreter would run it."""
    import runpy

    os.chdir(request["workdir"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # As Python sets them at its start: what writes to a closed socket gets an error, Ctrl-C is an exception.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "numpy" in sys.modules:  # else all forks would draw the same numbers; Python seeds its own `random` again
        sys.modules["numpy"].random.seed()
    argv = request["argv"]
    program = program_of(argv)
    assert program
    sys.argv = argv[2:] if program[0] else argv[1:]
    if program[0]:
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    elif os.path.isfile(program[1]) and not program[1].endswith(".pyc"):
        run_script(program[1])
    else:  # a folder or an archive with a __main__
        runpy.run_path(program[1], run_name="__main__")


def run_script(path: str) -> None:
    """Run a script. `runpy` would change ``sys.argv[0]`` or ``__file__``, whichever way it is called."""
    import importlib.machinery
    import types

    if sys.version_info >= (3, 9):
        path = os.path.abspath(path)
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    code = loader.source_to_code(loader.get_data(path), path)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __loader__=loader, __cached__=None)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102


def main() -> None:
    """Import, then fork until the worker is gone.

    The arguments are the request socket's descriptor, the folder that is first on the path, and the modules.
    """
    keeper.ignore_signals()
    request_socket = socket.socket(fileno=int(sys.argv[1]))
    request_socket.set_inheritable(False)
    own_folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [sys.argv[2]] + [folder for folder in sys.path if folder != own_folder]
    for name in sys.argv[3:]:
        importlib.import_module(name)
    if hasattr(gc, "freeze"):
        gc.freeze()  # else the first collection in each fork would copy the memory of all imports
    sys.stdout.flush()
    sys.stderr.flush()
    request = Forker(request_socket).serve()
    if request is not None:
        run_program(request)


if __name__ == "__main__":
    main()
