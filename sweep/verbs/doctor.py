"""doctor: what is here for sweep to work with, and what to do about what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sweep.clock import Clock
from sweep.errors import SchedulerError
from sweep.schedulers import ALWAYS_HERE, SCHEDULERS, Call, Place
from sweep.shell import Shell, run
from sweep.store import Shelf, whoami

#: Clocks further apart than this make elapsed times and graces wrong.
CLOCK_S = 5.0


class Level(StrEnum):
    """How good a finding is."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it."""

    level: Level
    what: str
    finding: str
    advice: str = ""


def doctor(results: Path, shell: Shell) -> list[Finding]:
    """Look at the schedulers, the results folder's file system, the clock and the nodes' Python."""
    return [
        Finding(Level.OK, "sweep's Python", sys.version.split()[0]),
        *_schedulers(shell),
        *_file_system(results, shell.clock),
        *_nodes(results),
        _node_python(),
    ]


def _nodes(results: Path) -> Iterator[Finding]:
    """Name the nodes on which trials of the sweeps here fail at once, and elsewhere do not."""
    shelf = Shelf(results)
    for sweep in sorted(shelf.names()):
        for name in shelf.at(sweep).unfit_nodes():
            yield Finding(
                Level.BAD,
                f"node {name}",
                f"trials of {sweep!r} fail there at once, and elsewhere they do not",
                "tell the site; `sweep submit --no-exclude` uses it again",
            )


def detect(shell: Shell) -> str:
    """Say which scheduler answers here; ``local`` where none does."""
    for kind, scheduler in SCHEDULERS.items():
        if kind == ALWAYS_HERE or not all(shutil.which(client) for client in scheduler.clients):
            continue
        with contextlib.suppress(SchedulerError):
            if not shell.converse(scheduler.others_client()):
                shell.converse(scheduler.version())
                return kind
    return ALWAYS_HERE


def _schedulers(shell: Shell) -> Iterator[Finding]:
    for kind, scheduler in SCHEDULERS.items():
        missing = [client for client in scheduler.clients if not shutil.which(client)]
        others = shell.converse(scheduler.others_client())
        if others:
            yield Finding(Level.NOTE, kind, f"not here: {others}")
        elif len(missing) == len(scheduler.clients) and missing:
            yield Finding(Level.NOTE, kind, "not here", "nothing, unless this should be a login node of one")
        elif missing:
            yield Finding(
                Level.NOTE, kind, f"on PATH but for {', '.join(missing)}", "load the scheduler's module, if it is"
            )
        else:
            yield _answers(kind, shell)


def _answers(kind: str, shell: Shell) -> Finding:
    scheduler = SCHEDULERS[kind]
    try:
        version = shell.converse(scheduler.version())
        limits = shell.converse(scheduler.limits(Place(whoami())))
    except SchedulerError as error:
        return Finding(Level.NOTE, kind, str(error), "if you mean to use it: wait, or ask the cluster's staff")
    idle = f", of which {limits.max_idle:,} wait in the queue at once" if limits.max_idle else ""
    arrays = f"arrays of up to {limits.max_array_size:,}{idle}" if scheduler.has_arrays else "no arrays"
    return Finding(Level.OK, kind, f"{version}; {arrays}")


def _file_system(results: Path, clock: Clock) -> Iterator[Finding]:
    folder = results if results.is_dir() else results.absolute().parent
    probe = folder / f".sweep-doctor.{os.getpid()}"
    try:
        probe.mkdir()
    except OSError as error:
        yield Finding(
            Level.BAD, "results folder", f"{folder}: {error.strerror}", "choose one you may write: --results DIR"
        )
        return
    try:
        yield from _probes(folder, probe, clock)
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _probes(folder: Path, probe: Path, clock: Clock) -> Iterator[Finding]:
    stat = os.statvfs(folder)
    free = f"{stat.f_bavail * stat.f_frsize / 2**30:.1f} GiB and {stat.f_favail:,} files free"
    yield Finding(
        Level.OK if stat.f_favail > 10_000 or not stat.f_files else Level.NOTE,
        "results folder",
        f"{folder}: {free}",
    )
    yield _probe_rename(probe)
    yield _probe_link(probe)
    yield _probe_lock(probe)
    written = probe / "clock"
    written.touch()
    apart_s = abs(written.stat().st_mtime - clock.now())
    good = apart_s < CLOCK_S
    yield Finding(
        Level.OK if good else Level.BAD,
        "clock",
        f"{apart_s:.1f} s from the file system's",
        "" if good else "set it",
    )


def _probe_rename(probe: Path) -> Finding:
    try:
        (probe / "new").write_text("new")
        (probe / "old").write_text("old")
        (probe / "new").replace(probe / "old")
        good = (probe / "old").read_text() == "new"
    except OSError as error:
        return Finding(Level.BAD, "rename", str(error), "use another file system")
    return Finding(
        Level.OK if good else Level.BAD, "rename", "replaces a file at once" if good else "does not replace"
    )


def _probe_link(probe: Path) -> Finding:
    try:
        (probe / "claim").write_text("1")
        os.link(probe / "claim", probe / "claimed")
    except OSError as error:
        return Finding(Level.NOTE, "hard links", str(error), "claims fall back to exclusive creation")
    try:
        os.link(probe / "claim", probe / "claimed")
    except FileExistsError:
        return Finding(Level.OK, "claims", "a second one is refused")
    return Finding(Level.BAD, "claims", "a name can be linked twice", "use another file system")


def _probe_lock(probe: Path) -> Finding:
    """Hold the lock here, and try to take it in another process."""
    from filelock import FileLock

    take = (
        "import sys, filelock\n"
        "try: filelock.FileLock(sys.argv[1]).acquire(timeout=0)\n"
        "except filelock.Timeout: sys.exit(7)"
    )
    try:
        with FileLock(probe / "lock", timeout=5):
            other = run(Call((sys.executable, "-E", "-P", "-c", take, str(probe / "lock")), timeout_s=30))
    except (OSError, NotImplementedError) as error:
        return Finding(Level.BAD, "lock", str(error), "mount the file system with flock, or use another")
    if other.exit_code == 7:
        return Finding(Level.OK, "lock", "keeps a second process out")
    return Finding(
        Level.BAD, "lock", "does not keep a second process out", "mount with flock, or use another file system"
    )


def _node_python() -> Finding:
    """Look at python3 here; the nodes usually have the same."""
    reply = run(Call(("python3", "-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])")))
    version = reply.stdout.strip()
    if reply.exit_code == 0 and tuple(map(int, version.split(".")[:2])) >= (3, 6):
        return Finding(Level.OK, "Python for the nodes", f"python3 is {version} here")
    finding = version or reply.summary
    return Finding(
        Level.BAD, "Python for the nodes", finding, "name one of 3.6 or newer in scheduler: {python: …}"
    )
