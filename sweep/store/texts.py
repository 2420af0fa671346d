"""Long texts that plans keep, each once: what differed from a commit, what was installed or learnt earlier."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sweep.errors import NoSuch
from sweep.store import records
from sweep.store.files import Files

#: All of them are in one file: a plan makes no file for each.
NAME = "provenance.jsonl"


class Text(msgspec.Struct, frozen=True):
    """A line of the file."""

    digest: str
    text: str


class Texts:
    """The long texts of one sweep.

    Parameters
    ----------
    files : Files
        The sweep's folder.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def keep(self, texts: Mapping[str, str]) -> None:
        """Append those that are not there, by their digests."""
        present = {text.digest for text in self._all()}
        new = [Text(digest, text) for digest, text in texts.items() if digest not in present]
        if new:
            self._files.append(NAME, map(records.spelled, new))

    def read(self, digest: str) -> str:
        """Return the text of a digest. NoSuch where it is not there."""
        for text in self._all():
            if text.digest == digest:
                return text.text
        path = str(self._files.path / NAME)
        raise NoSuch(f"{path!r} has no text {digest!r}", "was it removed, or copied without it?")

    def _all(self) -> list[Text]:
        """Read them all; what is torn is passed over, and kept again by the next plan that has it."""
        lines = (records.text_of(line) for _, line in self._files.lines(NAME))
        return [Text(*line) for line in lines if line]
