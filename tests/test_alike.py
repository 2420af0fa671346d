"""A trial finds the same however it is run: alone, in a packed worker, or forked from preloaded modules."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_worker import Packed

#: It writes down all that a process is given. It imports what is preloaded, as a trial would.
PROGRAM = """\
import gc, json, os, random, resource, signal, sys, threading
import heavy
names = [name for name in dir(signal) if name.startswith("SIG") and not name.startswith(("SIG_", "SIGRT"))]
handlers = {name: signal.getsignal(getattr(signal, name)) for name in names if name not in ("SIGKILL", "SIGSTOP")}
own = {"CUDA_VISIBLE_DEVICES"}  # what a worker adds
report = {
    "signals": {name: how.name if isinstance(how, signal.Handlers) else how.__name__ for name, how in handlers.items()},
    "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "open": sorted(os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if int(fd) < 3),
    "more open": len(os.listdir("/proc/self/fd")) - 4,
    "umask": os.umask(0),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")},
    "environment": {name: value for name, value in os.environ.items() if name not in own},
    "argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path, "flags": list(sys.flags)[:12],
    "executable": sys.executable, "cwd": os.getcwd(), "nice": os.nice(0), "cpus": sorted(os.sched_getaffinity(0)),
    "threads": threading.active_count(), "main thread": threading.current_thread() is threading.main_thread(),
    "gc": [gc.isenabled(), list(gc.get_threshold())],
    "leads its group": os.getpgid(0) == os.getpid(), "is in the job's session": os.getsid(0) == int(sys.argv[1]),
    "stdin": sys.stdin.read(), "stdout": [sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering],
    "stderr": [sys.stderr.encoding, sys.stderr.errors, sys.stderr.line_buffering],
    "recursion": sys.getrecursionlimit(), "excepthook": sys.excepthook is sys.__excepthook__,
    "main module": sys.modules["__main__"].__dict__ is globals(),
}
json.dump(report, open(os.environ["SWEEP_RESULT"], "w"))
open("drawn", "a").write("%r\\n" % random.random())
"""


def odd() -> None:
    """Give a job what a scheduler or a shell may have left behind. Its session's number is its own."""
    os.setsid()
    os.umask(0o027)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it puts into the background
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, list(signal.Signals))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))


def found(path: Path, how: str) -> dict[str, Any]:
    """Return what a trial finds that is run in this way."""
    job = Packed(path, "$$")
    (job.work / "heavy.py").write_text("arguments = []\n")
    (job.work / "p.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    folder = str(job.store.path)
    common = ["--folder", folder, "--job", "j0001", "--job-id", "7", "--job-name", "toy.aa"]
    each = ["--workdir", str(job.work), "--result", "r.json", "--heartbeat-s", "0.2"]
    if how == "alone":
        argv = [str(job.store.runners.folder / "node.py"), *common, "--index", "0", *each]
    else:
        worker = ["--worker", "0", "--workers", "1", "--per-worker", "1", "--walltime-s", "60", "--memory-mib", "500",
                  "--gpus", "0", "--ends-s", "3600"]  # fmt: skip
        preload = ["--preload", "heavy"] if how == "preloaded" else []
        argv = [str(job.store.runners.folder / "worker.py"), *common, *worker, *preload, "--", *each]
    left_open = os.open(os.devnull, os.O_RDONLY)
    # The trial's argument is $$: the number of the job's own session.
    number = ["sh", "-c", 'sed -i "s/[$][$]/$$/" "$0" && exec "$@"', folder + "/trials.jsonl"]
    process = subprocess.Popen(
        [*number, sys.executable, "-I", "-S", *argv], env=environment, pass_fds=[left_open], preexec_fn=odd
    )
    os.close(left_open)
    assert process.wait(60) == 0
    report: dict[str, Any] = json.loads((job.store.trial_folder(job.trials[0]) / "r.json").read_text())
    for place in (str(path), str(process.pid)):
        report = json.loads(json.dumps(report).replace(place, "…"))
    return report


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here. To try it: run the tests on Linux")
@pytest.mark.parametrize("how", ["packed", "preloaded"])
def test_a_trial_finds_the_same(tmp_path: Path, how: str) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / how).mkdir()
    alone, other = found(tmp_path / "alone", "alone"), found(tmp_path / how, how)
    assert other.keys() == alone.keys()
    for name, value in alone.items():
        assert other[name] == value, name
    assert alone["signals"]["SIGPIPE"] == "SIG_IGN"  # a socket that closes is an exception, not the end
    assert alone["signals"]["SIGINT"] == "default_int_handler"
    assert (alone["umask"], alone["limits"]["RLIMIT_NOFILE"][0], alone["more open"]) == (0o027, 512, 0)
