"""Whole files by rename, lines by append, and what the operating system refuses in our words."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from sweep import visible
from sweep.clock import SYSTEM, Clock
from sweep.errors import NoSuch, StoreError
from sweep.store import records

T = TypeVar("T")

#: How many lines are written at once. A million trials are 600 MB, too much to hold in memory.
LINES_AT_ONCE = 4096

#: How much of a log's end is read at first, and at most.
TAIL_BYTES, MAX_TAIL_BYTES = 20_000, 2**22

#: Inode, bytes and time of change of a file.
Stamp = tuple[int, int, int]


class Files:
    """The files of one folder.

    Attributes
    ----------
    path : Path
    clock : Clock
        What says when something was written.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM) -> None:
        self.path, self.clock = path, clock

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a whole file by rename: a reader sees the old one or the new one."""
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        data = records.encoded(content) if isinstance(content, str) else content
        with storing(path):
            try:
                with temporary.open("wb") as out:
                    out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
        return path

    def read(self, name: str) -> str:
        """Read a file's text. NoSuch where there is none, StoreError where it cannot be read."""
        try:
            return (self.path / name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            kind = NoSuch if missing else StoreError
            raise kind(f"cannot read {str(self.path / name)!r}: {error.strerror}") from None

    def append(self, name: str, lines: Iterable[bytes]) -> list[int]:
        """Append lines and sync. A torn last line, left by a crash, is closed first and so stays alone.

        Returns
        -------
        list of int
            The offset of each line, in bytes.
        """
        path = self.path / name
        offsets = []
        with storing(path), path.open("ab+") as out:
            end = out.tell()
            if end:
                out.seek(-1, os.SEEK_END)
                if out.read(1) != b"\n":
                    end += out.write(b"\n")
            for batch in _batches(lines, LINES_AT_ONCE):
                for line in batch:
                    offsets.append(end)
                    end += len(line) + 1
                out.write(b"\n".join(batch) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        return offsets

    def lines(self, name: str, offset: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, line) of each line that is not blank, from an offset on."""
        try:
            with (self.path / name).open("rb") as lines:
                lines.seek(offset)
                for line in lines:
                    if not line.isspace():
                        yield offset, line
                    offset += len(line)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"cannot read {str(self.path / name)!r}: {error.strerror}") from None

    def date_back(self, name: str) -> None:
        """Date a file back to 1970, which costs no file of its own. Nothing happens where it is not there."""
        path = self.path / name
        with storing(path), contextlib.suppress(FileNotFoundError):
            os.utime(path, (0, 0))

    def fresh_stamp_of(self, name: str) -> Stamp | None:
        """Tell a file's state as `stamp_of`, and as the file server has it now.

        What the system knows of a file may be a minute old. To open a file makes it ask (nfs(5), close-to-open).
        """
        try:
            with (self.path / name).open("rb") as file:
                status = os.fstat(file.fileno())
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def stamp_of(self, name: str) -> Stamp | None:
        """Tell a file's state from any other: inode, bytes, time of change. None if it is not there."""
        try:
            status = (self.path / name).stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into ours."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise StoreError(
            f"cannot write {str(path)!r}: {what}", "free space or quota, or mend the permissions; then repeat"
        ) from error


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a log, fit to be shown; nothing if there is none. The longest may be cut."""
    if not path.is_file():
        return []
    with path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        block = TAIL_BYTES
        while True:
            log.seek(max(0, size - block))
            data = log.read(block)
            if data.count(b"\n") > lines or block >= min(size, MAX_TAIL_BYTES):
                return visible.lines(data.decode("utf-8", "replace"))[-lines:] if lines else []
            block *= 4


#: What the system says where it is in trouble, or where others may read what this user may not: the file may
#: be whole.
NOT_THE_FILES_FAULT = frozenset(
    (
        errno.EACCES,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOTCONN,
        errno.EPERM,
        errno.EREMOTEIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
    )
)


class TooLongError(Exception):
    """A file is larger than was asked for; the message is its size."""


def bytes_of(path: str, most_bytes: int = sys.maxsize) -> bytes:
    """Read a small file whole. TooLongError, with its size, if it is none; OSError if it is no plain file.

    A pipe that a trial left where its result is to be is never waited for.
    """
    # Thousands of them: a Path each, and a buffer, were half of the time.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        if status.st_size > most_bytes:
            raise TooLongError(f"{status.st_size:,}")
        return file.read()
