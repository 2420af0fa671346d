#!/usr/bin/env python3
"""What a job runs on the compute node for one trial: runner.py, as a module, which Python keeps compiled.

A script is compiled again each time it is run, and with runner.py that takes longer than all that it has to do.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import runner  # type: ignore[import-not-found]

    runner.to_the_end(runner.main)
