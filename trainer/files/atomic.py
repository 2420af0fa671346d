"""Whole files or none: written aside and renamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from trainer.errors import InputError


def aside(path: Path) -> Path:
    """Name the file that is written before it becomes `path`; always the same, so that none pile up."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def whole(path: Path, mode: str = "wb", **how: Any) -> Iterator[IO[Any]]:
    """Open a file that is there under its name once it is complete, and not before.

    Parameters
    ----------
    path : Path
        Its folder is made if need be.
    mode, **how
        As for `Path.open`.

    Raises
    ------
    InputError
        It cannot be written; nothing is left of it.
    """
    temporary = aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, **how) as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {str(path)!r}: {error.strerror or error}", "is there room and permission?"
        ) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
