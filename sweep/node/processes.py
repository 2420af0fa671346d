"""All processes of a trial, wherever they placed themselves: listed, measured, signalled, waited for, ended.

Standard library alone, Python 3.6 or newer, as node.py.

::

    the keeper ─▶ the command ─▶ what it started, in whatever group or session
        └───────▶ what has lost its parent: Linux gives it to the keeper, because the keeper asked for that

The process that starts a trial's command is its keeper, and keeps one trial at a time. So all that descends from
the keeper is the trial's. One process is exempt: the manager of the local queue. A trial that submits jobs may
have started it, and it runs the jobs of others too. Where there is no Linux, a trial is its command's group.
"""

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Callable, Collection, Dict, List, Optional, Tuple

#: A killed process may take this long to go, in seconds: it may wait for a file server.
GONE_S = 5.0

#: prctl(2): be the parent of descendants that lose theirs; get a signal when the parent dies.
_PR_SET_CHILD_SUBREAPER, _PR_SET_PDEATHSIG = 36, 1

#: What stands in the command line of the local queue's manager.
_LOCAL_QUEUE = b"/localbatch/__main__.py\0manage\0"


def c_library() -> "Any":
    """Return the C library, for calls that Python does not offer; None where it cannot be loaded."""
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):
        return None


def adopt_orphans(library: "Any") -> None:
    """Ask Linux to make this process the parent of those of its descendants that lose theirs."""
    _prctl(library, _PR_SET_CHILD_SUBREAPER, 1)


def signal_at_parent_death(number: int, library: "Any") -> None:
    """Ask Linux to send this process a signal when its parent dies, so that no trial runs unwatched."""
    _prctl(library, _PR_SET_PDEATHSIG, number)


def _prctl(library: "Any", option: int, value: int) -> None:
    try:
        library.prctl(option, value, 0, 0, 0)
    except AttributeError:  # not Linux, or no C library
        pass


def descendants(pid: int, spared: "Collection[int]" = ()) -> "List[int]":
    """List what descends from a process, whichever of its threads started it. Only Linux says; elsewhere: nothing.

    Parameters
    ----------
    spared : collection of int
        These, and what descends from them, are left out. So is the local queue's manager.
    """
    has_lists = os.path.exists("/proc/%d/task/%d/children" % (pid, pid))
    children_of = _children if has_lists else _by_parent().__getitem__
    pids = [pid]
    for member in pids:  # the list grows while it is walked
        pids += [child for child in children_of(member) if child not in spared and not _is_local_queue(child)]
    return pids[1:]


def _children(pid: int) -> "List[int]":
    pids = []  # type: List[int]
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return pids
    for thread in threads:
        try:
            with open("/proc/%d/task/%s/children" % (pid, thread), "rb") as children:
                pids += [int(child) for child in children.read().split()]
        except (OSError, ValueError):
            continue
    return pids


def _by_parent() -> "Dict[int, List[int]]":
    """List all processes by their parent, for a kernel that was built without the lists of children."""
    import collections

    children = collections.defaultdict(list)  # type: Dict[int, List[int]]
    try:
        names = os.listdir("/proc")
    except OSError:
        return children
    for pid in [int(name) for name in names if name.isdigit()]:
        fields = _stat(pid)
        if fields:
            children[int(fields[1])].append(pid)
    return children


def _stat(pid: int) -> "List[bytes]":
    """Return the fields of ``/proc/PID/stat`` from the state on; empty if the process has ended. See proc(5)."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return stat.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _is_local_queue(pid: int) -> bool:
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as line:
            return _LOCAL_QUEUE in line.read()
    except OSError:
        return False


def usage_of(pids: "Collection[int]") -> "Tuple[int, int]":
    """Sum the CPU time in clock ticks and the resident memory in pages over processes."""
    ticks = pages = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            # utime, stime, cutime, cstime; then the resident set
            ticks += sum(int(field) for field in fields[11:15])
            pages += int(fields[21])
    return ticks, pages


def has_handler(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal. Only Linux says; elsewhere the answer is no."""
    try:
        with open("/proc/%d/status" % pid) as status:
            masks = [int(line.split()[1], 16) for line in status if line.startswith("SigCgt:")]
    except (OSError, ValueError):
        return False
    return bool(masks and masks[0] >> (number - 1) & 1)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to all processes of a group."""
    try:
        os.killpg(pid, number)
    except OSError:  # all of them have ended
        pass


def signal_all(group: int, pids: "Collection[int]", number: int) -> None:
    """Send a signal once to each process of a group, and to each of these processes that is in another group."""
    others = [pid for pid in pids if _group(pid) not in (group, None)]
    signal_group(group, number)
    for pid in others:
        _kill(pid, number)


def _group(pid: int) -> "Optional[int]":
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _kill(pid: int, number: int) -> bool:
    """Send a signal; False if this may not be done: the process runs as another user."""
    try:
        os.kill(pid, number)
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def birth(pid: int) -> str:
    """Return when a process began, in ticks since the boot; empty if it has ended. Its pid may be used again."""
    fields = _stat(pid)
    return fields[19].decode() if fields and fields[0] not in (b"Z", b"X") else ""


def end_at_eof(stream: int, so_far: bytes) -> None:
    """Read pids with their births, a line each, until the pipe closes; then kill those that are still there.

    Parameters
    ----------
    stream : int
        The pipe's reading end. Its other end closes with the process that writes to it.
    so_far : bytes
        What has been read from it already.
    """
    known = {}  # type: Dict[int, str]
    more, rest = so_far, b""
    while more:
        whole, _, rest = (rest + more).rpartition(b"\n")
        pairs = [line.split() for line in whole.splitlines()]
        known.update((int(pair[0]), pair[1].decode()) for pair in pairs if len(pair) == 2)
        more = os.read(stream, 65536)
    for pause_s in (0.05, 0.2, 0.0):  # one that is being forked right now is seen the second time
        # The local queue's manager is known if it was seen between its fork and its exec.
        left = [pid for pid in known if birth(pid) == known[pid] and not _is_local_queue(pid)]
        for pid in left:
            for below in [*descendants(pid), pid]:
                known.setdefault(below, birth(below))
                _kill(below, signal.SIGKILL)
        time.sleep(pause_s if left else 0.0)


def keep(
    pid: int, spared: "Collection[int]" = (), pause: "Optional[Callable[[], None]]" = None
) -> "Tuple[int, float, int]":
    """Wait for a command that this process started, then end all of its trial that still runs.

    Parameters
    ----------
    pid : int
        The command's first process.
    spared : collection of int
        Children of this process that are not the trial's.
    pause : callable, optional
        Waits until a child may have ended. Without it, this process has nothing else to wait for.

    Returns
    -------
    status : int
        The wait status of the command's first process, as `os.wait4` returns it.
    cpu_s : float
        The CPU time of all processes that this one has waited for, and of their children, in seconds.
    peak : int
        The largest resident set of one process, in the kernel's unit: KiB on Linux, bytes on macOS.
    """
    status, cpu_s, peak = None, 0.0, 0  # type: Optional[int], float, int
    while status is None:
        ended, its_status, usage = os.wait4(-1, os.WNOHANG if pause else 0)
        if ended:
            cpu_s, peak = cpu_s + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss)
        elif pause:
            pause()
        if ended == pid:
            status = its_status
    signal_group(pid, signal.SIGKILL)
    left_cpu_s, left_peak = end_descendants(spared)
    return status, cpu_s + left_cpu_s, max(peak, left_peak)


def end_descendants(spared: "Collection[int]" = (), at_most_s: float = GONE_S) -> "Tuple[float, int]":
    """Kill what descends from this process, until nothing is left of it. Returns what it had used, as `keep` does.

    Parameters
    ----------
    spared : collection of int
        These, and what descends from them, are left alone.
    at_most_s : float
        Nothing is waited for longer than this.
    """
    cpu_s, peak, until_s, pause_s = 0.0, 0, time.monotonic() + at_most_s, 0.001
    others = set(spared)
    while True:
        left = descendants(os.getpid(), others)
        if not left:
            return cpu_s, peak
        others.update(pid for pid in left if not _kill(pid, signal.SIGKILL))
        for pid in left:
            try:
                ended, _, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:  # its own parent has yet to end; then it is ours
                continue
            if ended:
                cpu_s, peak = cpu_s + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss)
        if time.monotonic() >= until_s:
            return cpu_s, peak
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 2)
