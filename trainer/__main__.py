"""``python -m trainer``."""

import os
import sys

from trainer.cli import main


def to_the_end() -> None:
    """Run the command line and end at once: taking TensorFlow apart first takes a second of every trial."""
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
    except OSError:  # a closed pipe, a full disk: Python's own end says so
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    to_the_end()
