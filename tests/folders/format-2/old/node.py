#!/usr/bin/env python3
"""The program that a job runs on the compute node for one trial. It only starts runner.py.

Python keeps an imported module compiled, and compiles a script again each time. To compile runner.py takes longer
than to run it.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import runner  # type: ignore[import-not-found]

    runner.run_and_exit(runner.main)
