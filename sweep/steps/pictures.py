"""pictures: the image files that a trial's result names, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.leaderboard.entries import Entry
from sweep.store import Store

#: What a browser shows and nothing can be hidden in: by the files' first bytes. SVG can hold scripts.
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}

#: Of one picture, of one trial's, and of all in a page.
MOST_BYTES, MOST_PICTURES, MOST_BYTES_ALL = 2**20, 12, 5 * 2**19


#: So many of the best configurations are looked at for pictures.
LOOKED_AT = 100


@dataclass(frozen=True)
class Picture:
    """An image that a trial left: its kind, its bytes, and what is to be said of it."""

    kind: str
    data: bytes
    caption: str


def pictures(store: Store, configurations: Sequence[Sequence[Entry]], most: int) -> dict[int, list[Picture]]:
    """Read the pictures of the first `most` configurations that have some, each of one of its trials.

    A result names them under ``images``: a list of paths, or of objects with ``path`` and ``caption``; relative
    ones lie in the trial's folder. What is missing, too large or no picture is passed over.

    Parameters
    ----------
    configurations : sequence of sequences of Entry
        The best first, with all trials of each.

    Returns
    -------
    dict
        Trial number → its pictures.
    """
    found: dict[int, list[Picture]] = {}
    left = MOST_BYTES_ALL
    for entries in configurations[:LOOKED_AT]:
        if len(found) == most or not left:
            break
        for entry in entries:
            kept = [picture for one in named(entry.result) if (picture := _read(store, entry, *one))]
            if kept:
                size = sum(len(one.data) for one in kept)
                if size > left:  # the next ones' might fit, and would not be the best ones' any more
                    return found
                left -= size
                found[entry.trial.number] = kept
                break
    return found


def named(result: dict[str, Any]) -> list[tuple[str, str]]:
    """List the pictures that a result names: path and caption.

    >>> named({"images": ["a.png", {"path": "b.png", "caption": "the worst"}, 7, {"file": "c"}]})
    [('a.png', 'a.png'), ('b.png', 'the worst')]
    """
    listed = result.get("images")
    found = []
    for one in listed if isinstance(listed, list) else ():
        path = one.get("path") if isinstance(one, dict) else one
        if isinstance(path, str) and path:
            caption = one.get("caption") if isinstance(one, dict) else path
            found.append((path, str(caption or path)))
    return found[:MOST_PICTURES]


def _read(store: Store, entry: Entry, path: str, caption: str) -> Picture | None:
    data = store.picture(entry.trial, path, MOST_BYTES)
    kind = next((kind for magic, kind in KINDS.items() if data.startswith(magic)), None)
    return Picture(kind, data, caption) if kind else None
