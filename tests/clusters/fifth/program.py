#!/usr/bin/env python3
"""`sweep`, which knows two schedulers more: ``program.py ARGUMENT …``."""

from scheduler import Fifth, FifthSingle  # type: ignore[import-not-found]  # beside this file

from sweep.cli import main
from sweep.schedulers import SCHEDULERS

SCHEDULERS.update({scheduler.kind: scheduler for scheduler in (Fifth(), FifthSingle())})
main()
