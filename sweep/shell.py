"""The one file that starts processes: scheduler commands, each with a time-out, counted and logged."""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

from sweep.clock import SYSTEM, Clock
from sweep.errors import SchedulerSilent
from sweep.schedulers import environment
from sweep.schedulers.base import Call, CallFailure, Reply, Talk

T = TypeVar("T")


def run(call: Call) -> Reply:
    """Run one command to its end, its time-out, or its first byte too many.

    Never raises for what the command does: that is in the reply.
    """
    if shutil.which(call.argv[0]) is None:
        return Reply(None, failure=CallFailure.NOT_FOUND, stderr=f"{call.argv[0]} is not on PATH")
    began = time.monotonic()
    variables = (environment.of_submission if call.submits else environment.of_question)(os.environ)
    process = subprocess.Popen(
        call.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that a time-out reaches the children too
        env={name: value for name, value in variables.items() if name not in call.unset},
    )
    try:
        output, failure, detail = _read(process, began + call.timeout_s, call.most_output_bytes)
        if not failure:  # it may have closed its streams, and go on
            try:
                process.wait(max(0.0, began + call.timeout_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                failure = CallFailure.TIMED_OUT
    except BaseException:  # Ctrl-C: nothing that was started may go on by itself
        _kill(process)
        raise
    if failure:
        _kill(process)
    exit_code = process.wait()
    if exit_code < 0 and not failure:  # it had no chance to say what it had done
        failure, detail = CallFailure.KILLED, f"was killed by signal {-exit_code}"
    # Job names and paths of others may be in any encoding; ours are compared, never guessed.
    out, err = (text.decode("utf-8", "surrogateescape") for text in output)
    return Reply(
        None if failure else exit_code,
        out[: call.most_output_bytes],
        err,
        failure,
        time.monotonic() - began,
        detail,
    )


def _read(
    process: subprocess.Popen[bytes], deadline: float, most_bytes: int
) -> tuple[list[bytes], CallFailure, str]:
    """Read both streams until they close: ([stdout, stderr], what went wrong, the same in words)."""
    streams: list[IO[bytes]] = [stream for stream in (process.stdout, process.stderr) if stream]
    chunks: list[list[bytes]] = [[] for _ in streams]
    total, failure, detail = 0, CallFailure.NONE, ""
    with selectors.DefaultSelector() as selector:
        for number, stream in enumerate(streams):
            selector.register(stream, selectors.EVENT_READ, number)
        while selector.get_map() and not failure:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 20)
                total += len(piece)
                chunks[key.data].append(piece)
                if not piece:
                    selector.unregister(key.fileobj)
            if total > most_bytes:
                failure, detail = CallFailure.WROTE_TOO_MUCH, f"wrote more than {most_bytes} bytes"
            elif not ready and time.monotonic() >= deadline:
                failure = CallFailure.TIMED_OUT
    for stream in streams:
        stream.close()
    return [b"".join(pieces)[:most_bytes] for pieces in chunks], failure, detail


def _kill(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(1.0)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


class Shell:
    """Holds talks with a scheduler for real.

    Parameters
    ----------
    log : callable
        Takes one line a call: argv, exit code, duration, first lines of what came back.
    clock : Clock
        By it, those who talk with the scheduler wait and say when it was asked.

    Attributes
    ----------
    calls : int
        How many commands have been run.
    """

    def __init__(self, log: Callable[[str], None] = lambda _line: None, clock: Clock = SYSTEM) -> None:
        self.log, self.clock = log, clock
        self.calls = 0

    def converse(self, talk: Talk[T]) -> T:
        """Hold a talk to its end and return what it learned.

        Raises
        ------
        SchedulerError
            As the talk decides.
        """
        try:
            call = next(talk)
            while True:
                call = talk.send(self._run(call))
        except StopIteration as stop:
            value: Any = stop.value
            return value  # type: ignore[no-any-return]

    def _run(self, call: Call) -> Reply:
        self.calls += 1
        try:
            reply = run(call)
        except OSError as error:  # no memory to fork, argument list too long
            raise SchedulerSilent(f"{call.argv[0]} could not be started: {error}") from error
        code = "-" if reply.exit_code is None else reply.exit_code
        self.log(f"exit {code} in {reply.duration_s:.2f} s: {_shown(call)} → {reply.summary}")
        return reply


def _shown(call: Call) -> str:
    line = shlex.join(call.argv)
    return line if len(line) <= 400 else f"{line[:400]}… ({len(call.argv)} words)"
