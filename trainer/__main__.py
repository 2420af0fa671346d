"""``python -m trainer``."""

import contextlib
import os
import sys


def search_working_folder_last() -> None:
    """Have the libraries found before what the working folder has by their names, such as a person's keras.py.

    ``python -m`` puts that folder first. Call it before anything else is imported.
    """
    with contextlib.suppress(OSError):  # the folder is gone
        if sys.path[0] in ("", os.getcwd()):
            sys.path.append(sys.path.pop(0))


search_working_folder_last()

from trainer.cli import main  # noqa: E402


def run_and_exit() -> None:
    """Run the command line and end at once. A normal end of TensorFlow takes a second of every trial."""
    code = 0
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # a closed pipe or a full disk: the normal end of Python reports it
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    run_and_exit()
