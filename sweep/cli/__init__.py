"""The command line: parse, call a verb, print. It knows no scheduler and no file name.

Heavy modules (pandas, pydantic, rich, ruamel) are imported by the commands that need them, so that
``sweep --help`` starts as fast as a bare typer program.
"""

from __future__ import annotations

import gc
import io
import os
import sys

from sweep.cli import begin, decide, look, run
from sweep.cli.common import app
from sweep.errors import SweepError

__all__ = ["app", "begin", "decide", "look", "main", "run"]


def main() -> None:
    """Run the command line; exit code 0, 1 (it failed) or 2 (what was asked cannot be)."""
    gc.set_threshold(50_000, 20, 20)  # a command lives for a second, and makes no cycles worth looking for
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # half a character in a trial's result must not end a report
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SweepError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `sweep report | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a full disk under stdout, a file that went away
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
