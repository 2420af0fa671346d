"""Processes by pid: signal them, list their children, tell two with the same pid apart."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from sweep.node import processes


def signal_group(pid: int, number: int) -> None:
    """Signal the group that a process leads, or the process alone if it leads none."""
    with contextlib.suppress(OSError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """List a process's children, their children and so on.

    A command may have a session of its own, which a signal to the group does not reach, and may ignore SIGTERM.
    """
    if Path("/proc/self/task").is_dir():
        return processes.descendants(pid)
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    pids = [pid]
    for each in pids:  # the list grows during the loop
        pids += [child for child, parent in parents if parent == each]
    return pids[1:]


def birth(pid: int) -> str:
    """Return the start time of a process, which differs from that of a later process with the same pid.

    Empty if the process has ended or is a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
        listed = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return listed.stdout.strip()
