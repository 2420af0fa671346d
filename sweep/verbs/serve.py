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
class Address:
    """Where the page is, and the command that brings it to another machine."""

    url: str
    ssh: str


def serve(
    store: Store,
    shell: Shell,
    draw: Callable[[PageContents], tuple[str, str]],
    say: Callable[[Address], None],
    *,
    where: str = "",
    retired: bool = False,
    interval_s: float = 30.0,
    port: int = 0,
    unread_s: float = 4 * 3600,
) -> None:
    """Show the page until nobody has asked for it for long. Nothing is written.

    Parameters
    ----------
    draw : callable
        Makes a page's text of what it shows, and the part of it that changes.
    say : callable
        Is told the address, once the first page is there.
    where, retired
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
        told = False
        for contents in looks(store, shell, where=where, retired=retired, interval_s=interval_s, live=True):
            exhibit.show(*draw(contents))
            if not told:
                say(_address(exhibit.token, own_port))
                told = True
            if exhibit.unread_s > unread_s:
                return
        while exhibit.unread_s <= unread_s:
            shell.clock.sleep(1.0)


def _address(token: str, port: int) -> Address:
    there = f"{whoami()}@{socket.getfqdn()}"
    return Address(f"http://{HOST}:{port}/{token}/", f"ssh -N -L {port}:{HOST}:{port} {there}")
