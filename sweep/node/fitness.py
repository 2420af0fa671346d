"""Whether a node is fit: how the sweep's trials began on each node, a letter each, in a small file for each node.

Standard library alone, Python 3.6 or newer, as node.py; sweep itself asks it, too.

A node with a full disk or a dead GPU fails a trial in a second, takes the next one, and so on, until it has failed
hundreds. Here it is found out by the trials themselves: only they are there soon enough. ::

    nodes/n1   SSSSS    five trials ended well, or outlived the time in which one fails at once
    nodes/n2   FFF      three failed at once: is it the node, or would they have failed anywhere?
"""

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Dict, List, Mapping, Optional

#: The folder of these files in the sweep's folder.
FOLDER = "nodes"

#: So many trials in a row that failed at once are suspicious.
IN_A_ROW = 2

#: A node is unfit if it would be a chance of less than this that so many failures follow each other somewhere
#: among its trials, were it like the others.
CHANCE = 0.01

#: With fewer trials elsewhere, more evidence is waited for, unless most of those fail as well.
ENOUGH = 8

#: At most this share of the nodes is unfit, and one in any case.
MOST = 0.25

#: What a node did so long ago does not count any more.
FORGOTTEN_S = 86400.0

FIT, UNFIT, UNKNOWN = "fit", "unfit", "unknown"


def read(folder: str, forgotten_s: float = FORGOTTEN_S) -> "Dict[str, str]":
    """Read what is known of each node on which trials of this sweep began: its name → letters.

    Parameters
    ----------
    folder : str
        The sweep's folder.
    forgotten_s : float
        Letters of a node that has got none for so long are left out.
    """
    letters = {}  # type: Dict[str, str]
    path = os.path.join(folder, FOLDER)
    try:
        for name in os.listdir(path):
            with open(os.path.join(path, name)) as stream:
                recent = time.time() - os.fstat(stream.fileno()).st_mtime < forgotten_s
                letters[name] = stream.read() if recent else ""
    except OSError:  # no trial has begun, or the file server is away
        pass
    return letters


def judge(name: str, letters: "Mapping[str, str]") -> str:
    """Say whether a node is `FIT`, `UNFIT`, or `UNKNOWN` for lack of trials elsewhere (pure).

    >>> judge("n2", {"n1": "SSSS", "n2": "FFF"}), judge("n2", {"n1": "SSSS", "n2": "FFFS"})
    ('unfit', 'fit')
    >>> judge("n2", {"n1": "FFF", "n2": "FFF"}), judge("n2", {"n1": "", "n2": "FFF"})  # the program's own fault?
    ('fit', 'unknown')
    """
    others = [text for other, text in letters.items() if other != name]
    own = letters.get(name, "")
    in_a_row = _in_a_row(own)
    if in_a_row < IN_A_ROW or not others:
        return FIT
    failed, total = sum(text.count("F") for text in others), sum(map(len, others))
    usual = (failed + 0.5) / (total + 1)
    if usual**in_a_row * len(own) > CHANCE:
        return UNKNOWN if total < ENOUGH and usual <= 0.5 else FIT
    suspicious = sorted(other for other, text in letters.items() if _in_a_row(text) >= IN_A_ROW)
    return UNFIT if suspicious.index(name) < max(1, int(MOST * len(letters))) else FIT


def unfit(letters: "Mapping[str, str]") -> "List[str]":
    """Name the nodes that are unfit (pure)."""
    return [name for name in sorted(letters) if judge(name, letters) == UNFIT]


def _in_a_row(text: str) -> int:
    return len(text) - len(text.rstrip("F"))


class Node(object):
    """The node on which this process runs, as its trials find it.

    Parameters
    ----------
    folder : str
        The sweep's folder.
    name : str
        The node's name.
    quick_s : float
        A trial that fails sooner failed at once. 0: nobody looks, since there is one node only.
    """

    def __init__(self, folder: str, name: str, quick_s: float) -> None:
        self.folder, self.name, self.quick_s = folder, name, quick_s
        self.path = os.path.join(folder, FOLDER, name)

    def judge(self) -> str:
        """Say whether this node is fit. That a trial begins here is written down."""
        if not self.quick_s:
            return FIT
        self.write("")
        try:
            with open(self.path) as stream:
                own = stream.read()
        except OSError:
            return FIT
        if _in_a_row(own) < IN_A_ROW:  # the files of hundreds of nodes are not read before each trial
            return FIT
        letters = read(self.folder)
        return judge(self.name, letters) if self.name in letters else FIT

    def wait(self, pause_s: float = 2.0) -> str:
        """Say whether this node is fit. If trials elsewhere are to tell, wait until they could have failed."""
        until_s = time.monotonic() + 2 * self.quick_s
        while True:
            fitness = self.judge()
            if fitness != UNKNOWN or time.monotonic() > until_s:
                return fitness
            time.sleep(min(pause_s, self.quick_s / 4))

    def write(self, letter: str) -> None:
        """Write a letter down: ``F``, a trial failed at once; ``S``, it did not; nothing: one begins."""
        if not self.quick_s:
            return
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            if letter or not os.path.exists(self.path):
                with open(self.path, "a") as out:
                    out.write(letter)
        except OSError:  # a full disk: the trial itself says so
            pass

    def letter_of(self, ending: "Mapping[str, object]", elapsed_s: float, disturbed: bool) -> "Optional[str]":
        """Return the letter for how a command ended. None: it says nothing about the node.

        Parameters
        ----------
        ending : mapping
            The fields of `runner.exit_fields`.
        disturbed : bool
            It was sent a signal, or stopped.
        """
        if elapsed_s >= self.quick_s or ending["exit_code"] in (0, 75):
            return "S"
        if disturbed or ending["signal"] == 9:  # most likely for its memory
            return None
        return "F"
