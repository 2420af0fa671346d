"""``python -m sweep``. As a file, ``python -E -P …/sweep/__main__.py``, nothing else can be taken for sweep."""

import sys

if not __package__:
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parents[1]))

from sweep.cli import main

if __name__ == "__main__":
    main()
