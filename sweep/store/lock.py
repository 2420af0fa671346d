"""The lock: one command at a time changes a sweep."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sweep.errors import LockHeld, StoreError
from sweep.store.files import Files, storing

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: How long a command waits for another one that is changing the same sweep.
LOCK_PATIENCE_S = 60.0


class Lock:
    """The lock of one sweep.

    The operating system frees it when its holder dies, and nothing else does: it is never broken by age.

    Parameters
    ----------
    files : Files
        The sweep's folder.

    Attributes
    ----------
    patience_s : float
        How long it is waited for.
    say : callable
        Takes a line about who is being waited for.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._held = False
        self.patience_s = LOCK_PATIENCE_S
        self.say: Callable[[str], None] = lambda _line: None

    @contextlib.contextmanager
    def hold(self, patience_s: float | None = None) -> Iterator[None]:
        """Be the only one to change the sweep. Who holds the lock already may take it again.

        Parameters
        ----------
        patience_s : float, optional
            How long to wait for it, instead of the lock's own patience.

        Raises
        ------
        LockHeld
            Someone else holds it, and still does after that.
        """
        if self._held:
            yield
            return
        lock = self._acquired(self.patience_s if patience_s is None else patience_s)
        self._held = True
        try:
            with contextlib.suppress(StoreError):
                since = time.ctime(self._files.clock.now())
                self._files.write(".holder", f"process {os.getpid()} on {socket.gethostname()}, since {since}\n")
            yield
        finally:
            self._held = False
            with contextlib.suppress(OSError):
                (self._files.path / ".holder").unlink()
            lock.release()

    def _acquired(self, patience_s: float) -> BaseFileLock:
        from filelock import FileLock, Timeout

        # Where the file system cannot lock, filelock falls back to a file that names its holder's process and
        # host; it takes that away only if that process is dead on this very host.
        path = self._files.path / ".lock"
        lock = FileLock(path)
        with storing(path):
            for wait_s in (min(0.5, patience_s), max(0.0, patience_s - 0.5)):
                try:
                    lock.acquire(timeout=wait_s, poll_interval=0.1)
                    return lock
                except Timeout:
                    if wait_s < patience_s - 0.5:
                        self.say(
                            f"waiting up to {patience_s:.0f} s for {self._holder()}, which changes this sweep"
                        )
        raise LockHeld(
            f"the sweep {self._files.path.name!r} is being changed by {self._holder()}",
            "wait for it to end, or end it; the lock goes with its process",
        )

    def _holder(self) -> str:
        try:
            return (self._files.path / ".holder").read_text().strip()
        except OSError:
            return "another process"
