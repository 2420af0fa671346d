"""pictures: the image files that a trial's result names, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.leaderboard.entries import Entry
from sweep.leaderboard.ranking import Configuration
from sweep.store import Store

#: The kinds that a browser shows and that can hide nothing, by a file's first bytes. SVG can hold scripts.
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}

#: The largest picture, the most pictures of one trial, and the most bytes of all in a page.
MOST_BYTES, MOST_PICTURES, MOST_BYTES_ALL = 2**20, 12, 5 * 2**19

#: How many of the best configurations are searched for pictures.
SEARCHED = 100


@dataclass(frozen=True)
class TrialPicture:
    """An image that a trial left: its kind, its bytes, and its caption."""

    kind: str
    data: bytes
    caption: str


@dataclass(frozen=True)
class Gallery:
    """The pictures of one configuration, which one of its trials left."""

    configuration: Configuration
    trial: int
    pictures: list[TrialPicture]


def galleries(store: Store, configurations: Sequence[Configuration], max_configurations: int) -> list[Gallery]:
    """Read the pictures of the best configurations that have some, each of one of its trials.

    A result names them under ``images``: a list of paths, or of objects with ``path`` and ``caption``. Relative
    paths lie in the trial's folder. What is missing, too large or no picture is passed over. A trial whose score
    counts comes before one whose score does not.

    Parameters
    ----------
    configurations : sequence of Configuration
        The best first.
    max_configurations : int
        The largest number of galleries.
    """
    shown: list[Gallery] = []
    bytes_left = MOST_BYTES_ALL
    for configuration in configurations[:SEARCHED]:
        if len(shown) == max_configurations or not bytes_left:
            break
        for entry in _counted_first(configuration):
            of_trial = [
                picture for path, caption in named(entry.result) if (picture := _read(store, entry, path, caption))
            ]
            if of_trial:
                size = sum(len(picture.data) for picture in of_trial)
                if size > bytes_left:  # pictures of worse configurations may fit, but they would not be the best
                    return shown
                bytes_left -= size
                shown.append(Gallery(configuration, entry.trial.number, of_trial))
                break
    return shown


def _counted_first(configuration: Configuration) -> list[Entry]:
    return sorted(configuration.entries, key=lambda entry: entry.trial.replicate not in configuration.scores)


def named(result: dict[str, Any]) -> list[tuple[str, str]]:
    """List the pictures that a result names: path and caption.

    >>> named({"images": ["a.png", {"path": "b.png", "caption": "the worst"}, 7, {"file": "c"}]})
    [('a.png', 'a.png'), ('b.png', 'the worst')]
    """
    images = result.get("images")
    paths = []
    for image in images if isinstance(images, list) else ():
        path = image.get("path") if isinstance(image, dict) else image
        if isinstance(path, str) and path:
            caption = image.get("caption") if isinstance(image, dict) else path
            paths.append((path, str(caption or path)))
    return paths[:MOST_PICTURES]


def _read(store: Store, entry: Entry, path: str, caption: str) -> TrialPicture | None:
    data = store.picture(entry.trial, path, MOST_BYTES)
    kind = next((kind for magic, kind in KINDS.items() if data.startswith(magic)), None)
    return TrialPicture(kind, data, caption) if kind else None
