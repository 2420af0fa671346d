#!/usr/bin/env -S python3 -S
"""A command of the fake cluster: ``pbs.py``, imported, so that it is compiled once and not at each of thousands of calls."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pbs  # type: ignore[import-not-found]

pbs.main()
