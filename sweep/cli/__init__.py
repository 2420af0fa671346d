"""The command line: parse, call a verb, print. It knows no scheduler and no file name.

Heavy modules (pandas, pydantic, rich, ruamel) are imported by the commands that need them, so that
``sweep --help`` starts as fast as a bare typer program.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

from sweep.cli import begin, decide, look, run
from sweep.cli.common import PipeClosed, app, unread
from sweep.errors import SweepError

__all__ = ["app", "begin", "decide", "look", "main", "run"]

#: The beginning of the names under which ``bin/sweep`` puts variables aside.
ASIDE = "SWEEP_ASIDE_"


def main() -> None:
    """Run the command line; exit code 0, 1 (it failed) or 2 (what was asked cannot be)."""
    gc.set_threshold(50_000, 20, 20)  # a command lives for a second, and makes no cycles worth looking for
    _take_back()
    sys.stdout = sys.stdout or _nowhere()  # None where the caller closed it: `sweep plan >&-`
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # half a character in a trial's result must not end a report
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = cast("TextIO", _Notes(sys.stderr))
    code, complaint = _run()
    if not code and (files := unread()):
        code, complaint = 1, files
    if complaint:
        with suppress(OSError):
            print(complaint, file=sys.stderr)
    error = _flush(sys.stdout)
    if error and not isinstance(error, BrokenPipeError):  # a full disk
        code = code or 1
        with suppress(OSError):
            print(f"error: {error}", file=sys.stderr)
    _flush(sys.stderr)
    sys.exit(code)


class _Notes:
    """What people are told beside the output. Where it cannot be written, the command goes on to its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is in the buffer, if that can be done."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _flush(stream: TextIO) -> OSError | None:
    """Write what is in a buffer, here, where a failure can be handled, and not while Python ends.

    Returns the failure. The rest then goes nowhere: Python flushes once more, and would complain of the same.
    """
    try:
        stream.flush()
    except OSError as error:
        with _nowhere() as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        return error
    return None


def _take_back() -> None:
    """Give what is started the variables that ``bin/sweep`` put aside, and ourselves a last look at PYTHONPATH.

    Sites have modules that add libraries to PYTHONPATH. They come after all of our own, which they cannot replace.
    """
    for name in [name for name in os.environ if name.startswith(ASIDE)]:
        os.environ[name[len(ASIDE) :]] = os.environ.pop(name)
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path += [folder for folder in folders if folder.startswith("/") and folder not in sys.path]


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _run() -> tuple[str | int | None, str]:
    """Run the command; return the exit code, and what is to be said of a failure."""
    try:
        app()
    except SystemExit as end:
        return end.code, ""
    except SweepError as error:
        return error.exit_code, f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else "")
    except KeyboardInterrupt:
        return 130, ""
    except PipeClosed:  # `sweep report | head`
        return 0, ""
    except BrokenPipeError as error:  # while click said what was mistyped: that has an exit code
        return getattr(error.__context__, "exit_code", 0), ""
    except OSError as error:  # a file that went away
        return 1, f"error: {error}"
    return 0, ""
