"""An answer that a command gave, kept with the sweep: while nothing was written there since, it is the answer.

Ranking 100,000 configurations takes 20 seconds, and people look at one leaderboard many times.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweep import __version__

if TYPE_CHECKING:
    from sweep.store import Store

#: What decides how rich writes to a terminal.
TERMINAL = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR")


class Kept:
    """The answer to one question about one sweep.

    Parameters
    ----------
    store : Store
    question : object
        Whatever the answer depends on, beside the sweep and the terminal.
    """

    def __init__(self, store: Store, question: Any) -> None:
        from sweep.state.events import FORMAT  # not at the start: `sweep --help` needs no msgspec

        terminal = [
            sys.stdout.isatty(),
            sys.stdout.encoding,
            shutil.get_terminal_size(),
            *map(os.getenv, TERMINAL),
        ]
        self.store, self.key = store, repr([__version__, FORMAT, question, terminal])
        # Before the sweep is read: what is written meanwhile makes the answer an old one.
        self.stamp = store.stamp()
        self._said = _Tee(sys.stdout)

    def print_again(self) -> bool:
        """Print the kept answer; False if there is none, or not to the sweep as it is."""
        answer = self.store.cache.answers(self.stamp).get(self.key)
        if answer is None:
            return False
        sys.stdout.write(answer)
        return True

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take down what is printed."""
        with contextlib.redirect_stdout(self._said):
            yield

    def keep(self) -> None:
        """Keep what was printed, unless the sweep's folder is another's."""
        self.store.cache.keep_answer(self.stamp, self.key, "".join(self._said.pieces))


class _Tee(io.TextIOBase):
    """A stream that writes to another one and records what is written."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.pieces = stream, list[str]()

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return int(self.stream.write(text))

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self.stream.encoding)
