"""The journal: what was done to the sweep, one synced line an event."""

from __future__ import annotations

import msgspec

from sweep import __version__
from sweep.state.events import Event, format_of
from sweep.store import records
from sweep.store.files import Files

NAME = "journal.jsonl"


class Journal:
    """Appends events, and reads them: of those that it has read, only new ones are read again.

    Parameters
    ----------
    files : Files
        The sweep's folder.

    Attributes
    ----------
    look_anew : bool
        The next `read` may not trust what the system remembers of the file: another process may have written it.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.look_anew = False
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self._inode, self._end = inode, 0
        self._events: list[Event] = []
        self._torn: list[str] = []

    def append(self, event: Event) -> None:
        """Append an event, synced, with this version's name, and the time of now unless it has one."""
        event = msgspec.structs.replace(
            event, at=event.at or self._files.clock.now(), version=__version__, format=format_of(event)
        )
        self._files.append(NAME, [records.spelled(event)])

    def read(self) -> tuple[list[Event], list[str]]:
        """Read all events; with them, a line about each torn one.

        Raises
        ------
        FormatError
            A line needs another version of sweep, or is no event.
        """
        stamp = self._files.fresh_stamp_of(NAME) if self.look_anew else self._files.stamp_of(NAME)
        self.look_anew = False
        if not stamp or stamp[0] != self._inode or stamp[1] < self._end:
            self._forget(stamp[0] if stamp else 0)
        if not stamp or stamp[1] == self._end:  # there is none, or nothing was appended
            return [*self._events], [*self._torn]
        unfinished: list[Event] = []
        torn: list[str] = []
        for offset, line in self._files.lines(NAME, self._end):
            event = records.event_of(line)
            whole = line.endswith(b"\n")
            if event is None:
                text = f"{NAME}: the line at byte {offset} is torn and was passed over"
                (self._torn if whole else torn).append(text)
            else:
                (self._events if whole else unfinished).append(event)
            if whole:
                self._end = offset + len(line)
        return self._events + unfinished, self._torn + torn
