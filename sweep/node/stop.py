"""Whether a running trial meets a rule of the grid's ``stop``, by the history in its result file.

The runner asks while the command runs: it is there as long as the trial is, on the node where the file is written.
So nobody has to look, and no file server is asked for the results of thousands of trials again and again.

Standard library alone, Python 3.6 or newer, as node.py.
"""

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time, importing typing would take longer than claiming a trial
    from typing import Any, Dict, List, Optional

    Rule = Dict[str, Any]

#: A larger result file is not read: no login node would read it either.
MOST_BYTES = 16 * 1024 * 1024


class Stop(object):
    """The rules of a grid, asked of one trial's result file.

    Parameters
    ----------
    spelled : str
        JSON: ``metric``, the name of the score, and ``rules``, each with what `sweep.grid.stop.StopRule` has.
    path : str
        The trial's result file.
    """

    def __init__(self, spelled: str, path: str) -> None:
        given = json.loads(spelled)  # type: Dict[str, Any]
        self.metric, self.rules = str(given["metric"]), given["rules"]  # type: str, List[Rule]
        self.path = path
        self.seen = self._version()  # what an earlier attempt left says nothing of this one

    def met(self) -> str:
        """Return, in words, the first rule that the history meets by now; empty: none.

        A file that is not there, half written, or no result says nothing yet. One that has not changed is not
        read again.
        """
        version = self._version()
        if not version or version == self.seen or version[1] > MOST_BYTES:
            return ""
        try:
            with open(self.path, "rb") as stream:
                result = json.loads(stream.read().decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            return ""
        self.seen = version
        if isinstance(result, dict) and result.get("complete") is True:  # it is trained, and may be scoring itself
            return ""
        scores = scores_of(result, self.metric)
        for rule in self.rules:
            words = first_met(scores, rule)
            if words:
                return words
        return ""

    def _version(self) -> "Any":
        """Return what changes with the file: its time, size and inode; None: it is not there."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def scores_of(result: "Any", metric: str) -> "List[Optional[float]]":
    """Return the score of each entry of a result's history; None where an entry has none.

    An entry is a score, or an object that has it under the metric's name: ``score`` for ``test.score``, too.
    """
    history = result.get("history") if isinstance(result, dict) else None
    if not isinstance(history, list):
        return []
    scores = []  # type: List[Optional[float]]
    for name in (metric, metric.rpartition(".")[2]):
        scores = [_number(_value(entry, name) if isinstance(entry, dict) else entry) for entry in history]
        if any(score is not None for score in scores):
            break
    return scores


def first_met(scores: "List[Optional[float]]", rule: "Rule") -> str:
    """Say, in words, at which entry a history first meets a rule; empty: at none.

    Each entry from the rule's ``after`` on is asked, whenever it was seen: the answer is the same however often
    somebody looks.
    """
    known = []  # type: List[float]
    for count in range(1, len(scores) + 1):
        score = scores[count - 1]
        if score is not None:
            known = [score] if not known else [min(known[0], score), max(known[-1], score)]
        if count < rule["after"]:
            continue
        value = None  # type: Optional[float]
        if rule["what"] == "entry":
            place = rule["index"] if rule["index"] >= 0 else count + rule["index"]
            value = scores[place] if 0 <= place < count else None
        elif known:
            value = known[0] if rule["what"] == "min" else known[-1]
        if value is not None and _holds(value, rule["sign"], rule["bound"]):
            return "%s: %.6g at entry %d" % (rule["text"], value, count)
    return ""


def _holds(value: float, sign: str, bound: float) -> bool:
    if sign == "<":
        return value < bound
    if sign == "<=":
        return value <= bound
    return value > bound if sign == ">" else value >= bound


def _value(entry: "Dict[str, Any]", name: str) -> "Any":
    """Look a name up; ``test.f1`` reaches into an object."""
    if name in entry:
        return entry[name]
    value = entry  # type: Any
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _number(value: "Any") -> "Optional[float]":
    """Return a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e150 else None
