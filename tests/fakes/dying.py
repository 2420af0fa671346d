#!/usr/bin/env python3
"""`sweep`, whose outside fails it: at the K-th thing it does to the folder or the scheduler, it dies, or the disk is full.

    dying.py HOW K ARGUMENT …

``before``, ``half``, ``after``: SIGKILL before, in the middle of, or after the K-th; ``full``: the K-th write fails
for want of space; ``count``: nothing fails. With a K of 0 the last line on stderr is their number. All that `sweep` does to the
outside goes through two files, the store and the shell, so these are all the steps there are.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep import shell
from sweep.cli import main
from sweep.schedulers.base import Call, Reply
from sweep.store import Store
from sweep.store.files import storing
from sweep.verbs import submit

HOW, K = sys.argv[1], int(sys.argv[2])
done = 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def step(action: Callable[[], Any], half: Callable[[], Any], *, writes: Path | None = None) -> Any:
    """Do one thing to the outside, or fail at it."""
    global done
    if HOW == "full" and writes is None:
        return action()
    done += 1
    if done == K and HOW == "full" and writes:
        with storing(writes):
            half()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if done == K and HOW == "before":
        die()
    if done == K and HOW == "half":
        half()
        die()
    made = action()
    if done == K and HOW == "after":
        die()
    return made


real_append, real_write, real_run = Store.append, Store.write, shell.run


def append(self: Store, name: str, lines: Iterable[bytes]) -> list[int]:
    some = list(lines)
    data = b"".join(line + b"\n" for line in some)

    def half() -> None:
        with (self.path / name).open("ab") as out:
            out.write(data[: len(data) // 2])

    return step(lambda: real_append(self, name, some), half, writes=self.path / name)  # type: ignore[no-any-return]


def write(self: Store, name: str, content: str | bytes) -> Path:
    def half() -> None:
        (self.path / f".{Path(name).name}.half.tmp").write_text("half")

    return step(lambda: real_write(self, name, content), half, writes=self.path / name)  # type: ignore[no-any-return]


def also(name: str) -> None:
    """Count another change that the store can make; of these there is no half."""
    real = getattr(Store, name)

    def changed(self: Store, *given: Any) -> Any:
        return step(lambda: real(self, *given), lambda: None, writes=self.path)

    setattr(Store, name, changed)


def run(call: Call) -> Reply:
    call = replace(call, timeout_s=min(call.timeout_s, float(os.environ.get("DYING_TIMEOUT_S", "inf"))))

    def half() -> None:  # the client is on its way, and nobody waits for it any more
        subprocess.Popen(call.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    return step(lambda: real_run(call), half)  # type: ignore[no-any-return]


if __name__ == "__main__":
    submit.IN_FLIGHT_S = float(os.environ.get("DYING_IN_FLIGHT_S", submit.IN_FLIGHT_S))
    for change in ("keep_grid", "remove_job", "withdraw", "ask_to_end"):
        also(change)
    Store.append, Store.write, shell.run = append, write, run  # type: ignore[method-assign, assignment]
    sys.argv[1:3] = []
    try:
        main()
    finally:
        if K == 0:
            print(done, file=sys.stderr)
