"""shell.py: one command, whatever it does."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import psutil
import pytest

from sweep.schedulers.base import Call, CallFailure
from sweep.shell import run


def sh(script: str, timeout_s: float = 30.0) -> Call:
    return Call(("sh", "-c", script), timeout_s=timeout_s)


def test_an_answer() -> None:
    reply = run(sh("echo out; echo err >&2; exit 3"))
    assert (reply.exit_code, reply.stdout, reply.stderr, reply.failure) == (3, "out\n", "err\n", CallFailure.NONE)


@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "exec >&- 2>&-; sleep 60",  # nothing more can come of it, and it goes on
        "trap '' TERM; exec >&- 2>&-; sleep 60 & sleep 60",
        "sleep 60 & exit 0",  # its child holds the streams
    ],
)
def test_a_client_that_does_not_end_is_ended(script: str, tmp_path: Path) -> None:
    began = time.monotonic()
    reply = run(sh(f"echo $$ >{shlex.quote(str(tmp_path))}/pid; {script}", timeout_s=1.0))
    assert (reply.exit_code, reply.failure) == (None, CallFailure.TIMED_OUT)
    assert time.monotonic() - began < 30
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_client_that_closes_its_streams_and_ends_is_answered() -> None:
    reply = run(sh("echo out; exec >&- 2>&-; sleep 0.5; exit 4"))
    assert (reply.exit_code, reply.stdout, reply.failure) == (4, "out\n", CallFailure.NONE)


def test_a_client_that_is_not_there() -> None:
    assert run(Call(("no-such-client",))).failure is CallFailure.NOT_FOUND


def test_a_client_that_is_killed() -> None:
    reply = run(sh("kill -9 $$"))
    assert (reply.exit_code, reply.failure) == (None, CallFailure.KILLED)
