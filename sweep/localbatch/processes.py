"""Processes, by pid: told to end, told apart, found with all their children."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path


def signal_group(pid: int, number: int) -> None:
    """Signal a process's group; of one that leads none, the process."""
    with contextlib.suppress(OSError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """List a process's children and theirs: a command has a session of its own, and may ignore SIGTERM."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for one in found:  # it grows while it is walked
        found += [child for child, parent in parents if parent == one]
    return found[1:]


def birth(pid: int) -> str:
    """What tells a process from a later one of the same pid: its start; empty if it is gone, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()
