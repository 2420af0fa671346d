"""Whole files or none: a file is written under another name and then renamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from trainer.errors import InputError


def temporary_path(path: Path) -> Path:
    """Name the file that is written before it becomes `path`. The name is always the same, so none pile up."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def whole_file(path: Path, mode: str = "wb", **open_options: Any) -> Iterator[IO[Any]]:
    """Open a file for writing. It appears under its name once it is complete.

    Parameters
    ----------
    path : Path
        Its folder is made if it is missing.
    mode, **open_options
        As for `Path.open`.

    Raises
    ------
    InputError
        The file cannot be written; nothing is left of it.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, **open_options) as file:
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
