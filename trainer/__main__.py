"""``python -m trainer``."""

import os
import sys

from trainer.cli import main


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
