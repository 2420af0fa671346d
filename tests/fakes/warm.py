#!/usr/bin/env python3
"""Commands of `sweep`, as forks of one process that has imported it: the tests start thousands.

    warm.py SOCKET

Each connection brings its standard streams, and a JSON line: ``argv`` (``-m sweep …`` or a script and its arguments),
``cwd``, ``env``. It gets two lines: the process's number, and its exit code as `subprocess` has it. The process ends
with its standard input. What only a new interpreter sees, such as PYTHONPATH, needs a new one: see ``conftest.py``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import sweep


def import_all() -> None:
    """Import the whole of sweep, and what its commands import only when they need it."""
    for module in pkgutil.walk_packages(sweep.__path__, "sweep."):
        if not module.name.startswith("sweep.node") and module.name != "sweep.__main__":
            importlib.import_module(module.name)
    importlib.import_module("pandas")
    gc.freeze()


def serve(listening: socket.socket) -> None:
    """Answer connections until standard input ends; returns in each process that is to run a command."""
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            keep(connection)
            return
        connection.close()
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def keep(connection: socket.socket) -> None:
    """Start a command, and tell of it; returns in its process."""
    message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not message.endswith(b"\n"):
        message += connection.recv(1 << 20)
    begin, begun = os.pipe()
    command = os.fork()
    if command:
        for stream in streams:
            os.close(stream)
        os.close(begin)
        connection.sendall(f"{command}\n".encode())
        os.close(begun)
        code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        connection.sendall(f"{code}\n".encode())
        os._exit(0)
    connection.close()
    os.close(begun)
    os.read(begin, 1)  # its number has been told
    os.close(begin)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    become(json.loads(message))


def become(request: dict[str, Any]) -> None:
    """Take over what a new process would have got."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, closefd=False),
        os.fdopen(1, "w", closefd=False),
        os.fdopen(2, "w", buffering=1, closefd=False),
    )
    sys.argv = request["argv"]


def run() -> NoReturn:
    """Run what the arguments say, as ``python ARGUMENTS`` does."""
    if sys.argv[0] == "-m":
        sys.path[0] = os.getcwd()
        module, sys.argv = sys.argv[1], sys.argv[1:]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    import_all()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        print("ready", flush=True)
        serve(listening)
    run()
