"""A process beside the runner: it tells which signals the whole job got, and ends what a killed runner left.

Standard library alone, Python 3.6 or newer, as node.py.
"""

import os
import select
import signal

if __package__:
    from sweep.node import processes
else:  # beside it in the sweep's folder
    import processes  # type: ignore[import-not-found, no-redef]

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Callable, Collection, Iterable, List, Tuple

#: The signals that a scheduler or a person may send to a job. All of them are passed on to the command.
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")

#: A scheduler signals a job's processes one after another. All of them have the signal within so many seconds.
ALL_TOLD_S = 0.3

#: Where the node is too busy to run one that has it, this one waits no longer than so many seconds.
LATE_S = 5.0

#: Of more processes than this, it is not remembered that they have been told: a trial may start millions.
MOST_REMEMBERED = 10000


class Bystander(object):
    """A process that notes which signals it gets. What it got, all processes of the job got.

    Some schedulers signal all processes of a job, some only its first one. The command is to get each signal once:
    a second SIGTERM may end a program that has just begun to save. The process ends with the one that made it.

    It also outlives one that is killed, and then kills the processes of its trials that it was told of. A
    scheduler that kills all of a session kills this process as well, and leaves those that are in another session.
    So once it has been told of any, a fork of it in a session of its own waits for that.

    Attributes
    ----------
    pid : int
        The process. It is not there before that began: a signal to a pid of 0 would go to our own group.
    """

    pid: int

    def __init__(self) -> None:
        self._noted: "List[int]" = []
        self._waiting: "List[Tuple[int, Callable[[], None]]]" = []
        self._busy = False
        self._remembered = set()  # type: set[str]
        self._alive = self._notes = -1

    def begin(self) -> None:
        """Start the process. Signals that come before it has its handlers wait for them."""
        alive, self._alive = os.pipe()
        self._notes, notes = os.pipe()
        for descriptor in (self._notes, notes):
            os.set_blocking(descriptor, False)
        # A signal that comes before the new process has its handlers would end it. So signals wait until then.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in FORWARDED])
        try:
            self.pid = os.fork()
            if self.pid == 0:
                try:
                    os.close(self._alive)
                    self._stand_by(alive, notes, before)
                finally:
                    os._exit(0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(alive)
        os.close(notes)

    @staticmethod
    def _stand_by(alive: int, notes: int, mask: "Iterable[int]") -> None:
        os.setpgid(0, 0)  # as the command: a signal to the runner's group alone does not reach it
        signal.set_wakeup_fd(notes)  # Python writes the number of each signal that has a handler
        for name in FORWARDED:
            signal.signal(getattr(signal, name), lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        pids = os.read(alive, 65536)  # returns nothing when the other end is closed
        if pids:
            if os.fork() == 0:
                os.setsid()
                processes.end_at_eof(alive, pids)
            else:
                os.close(alive)
                os.wait()

    def tell(self, pids: "Collection[int]") -> None:
        """Tell of processes that must not outlive this one."""
        lines = {"%d %s\n" % (pid, processes.birth(pid)) for pid in pids}  # a pid may be used again
        for line in lines - self._remembered:
            try:
                os.write(self._alive, line.encode())
            except OSError:  # it has been killed
                return
        self._remembered |= lines
        if len(self._remembered) > MOST_REMEMBERED:  # those that live are told again
            self._remembered = lines

    def unless_all_got(self, number: int, pass_on: "Callable[[], None]") -> None:
        """Pass a signal on that this process has just got, unless all processes of the job got it.

        Call it from the signal's handler. A signal whose handler interrupts this waits for its turn: two that read
        the notes at once would take each other's.
        """
        self._waiting.append((number, pass_on))
        while self._waiting and not self._busy:
            self._busy = True
            if self._waiting:  # a handler that came just before has emptied it otherwise
                number, pass_on = self._waiting.pop(0)
                if not self._got(number):
                    pass_on()
            self._busy = False

    def _got(self, number: int) -> bool:
        waited_s = 0.0  # without the time in which this process stood still: the node may have frozen both
        while number not in self._noted:
            over = waited_s > LATE_S or (waited_s >= ALL_TOLD_S and self._is_asleep())
            wait_s = 0.0 if over else max(0.02, ALL_TOLD_S - waited_s)
            if select.select([self._notes], [], [], wait_s)[0]:
                numbers = os.read(self._notes, 64)
                if not numbers:  # it has been killed
                    return False
                self._noted.extend(numbers)
            elif over:
                return False
            else:
                waited_s += wait_s
        self._noted.remove(number)
        return True

    def _is_asleep(self) -> bool:
        """Whether it has noted all signals that it was sent: one that it has yet to note has woken it."""
        try:
            with open("/proc/{}/stat".format(self.pid), "rb") as stat:
                return stat.read().rpartition(b")")[2].split()[0] == b"S"
        except (OSError, IndexError):
            return True
