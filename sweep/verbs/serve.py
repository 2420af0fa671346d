"""serve: the page while the sweep runs, for a browser on another machine; it ends when nobody reads it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from sweep.server import HOST, Exhibit, listening
from sweep.shell import Shell
from sweep.store import Store, whoami
from sweep.verbs.page import PageContents, looks


@dataclass(frozen=True)
class Served:
    """Where the page is, the command that brings it to another machine, and what there is to say about it."""

    url: str
    ssh: str
    notes: tuple[str, ...]
    stale: str


def serve(
    store: Store,
    shell: Shell,
    draw: Callable[[PageContents], tuple[str, str]],
    say: Callable[[Served], None],
    *,
    where: str = "",
    retired: bool = False,
    fresh: bool = False,
    interval_s: float = 30.0,
    port: int = 0,
    unread_s: float = 4 * 3600,
) -> None:
    """Show the page until nobody has asked for it for long. It is not written into the sweep's folder.

    Parameters
    ----------
    draw : callable
        Makes a page's text of what it shows, and the part of it that changes.
    say : callable
        Gets the address, once the first page is there.
    where, retired, fresh
        As for `report`.
    interval_s : float
        Seconds between two looks at the sweep, as long as something is left to run.
    port : int
        0: any that is free.
    unread_s : float
        It ends when so long nobody has asked.
    """
    exhibit = Exhibit(shell.clock)
    with listening(exhibit, port) as own_port:
        shown = looks(store, shell, where=where, retired=retired, interval_s=interval_s, fresh=fresh, live=True)
        for number, contents in enumerate(shown):
            exhibit.show(*draw(contents))
            if not number:
                say(_served(exhibit.token, own_port, contents))
            if exhibit.unread_s > unread_s:
                return
        while exhibit.unread_s <= unread_s:
            shell.clock.sleep(1.0)


def _served(token: str, port: int, contents: PageContents) -> Served:
    there = f"{whoami()}@{socket.getfqdn()}"
    return Served(
        f"http://{HOST}:{port}/{token}/",
        f"ssh -N -L {port}:{HOST}:{port} {there}",
        contents.report.notes,
        contents.report.stale,
    )
