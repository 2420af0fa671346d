"""One sentence, checked: every trial ran exactly once to a recorded end, or is reported as not having run, and why.

Three witnesses that do not know of each other are compared: what the trials' own programs wrote as they began and
ended (``runs``), the records in the sweep's folder, and what `sweep report` says.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

#: What a program of the tests writes: ``begin TRIAL ATTEMPT``, ``end TRIAL ATTEMPT``, one line in one call.
RUNS = "runs"

#: States in which nothing more happens by itself.
SETTLED = {"done", "failed", "cancelled", "planned", "held"}


def check(work: Path, sweep: Path, reported: list[dict[str, Any]], *, also: frozenset[str] = frozenset()) -> str:
    """Check the sentence for a sweep at rest.

    Parameters
    ----------
    work : Path
        Where the programs ran and left `RUNS`.
    sweep : Path
        The sweep's folder.
    reported : list of dict
        ``sweep report --trials --retired --json``.
    also : set of str
        States that are allowed besides the settled ones: ``lost`` where a record cannot be had, ``paused``.

    Returns
    -------
    str
        The sentence, in numbers.
    """
    planned = {trial["id"]: trial["number"] for trial in lines(sweep / "trials.jsonl")}
    said = {row["id"]: (row["state"], row["reason"]) for row in reported}
    assert said.keys() == planned.keys(), "a trial is reported that was not planned, or one is missing"
    runs = Counter(tuple(line.split()) for line in read(work / RUNS).splitlines())
    for word, trial, _ in runs:
        assert trial in planned, f"{word}: a trial ran that nobody planned, {trial}"
    for trial, (state, reason) in said.items():
        assert reason, f"trial {planned[trial]} is {state}, and nobody says why"
        assert state in SETTLED | also, f"trial {planned[trial]} is {state}: {reason}"
        _check_trial(sweep, trial, state, reason, runs)
    return _sentence(said)


def _check_trial(sweep: Path, trial: str, state: str, reason: str, runs: Counter[tuple[str, ...]]) -> None:
    records = {
        int(path.stem.partition("-")[2]): json.loads(path.read_text())
        for path in (sweep / "trials" / trial[:2] / trial).glob("attempt-*.json")
    }
    told = f"trial {trial} is {state} ({reason}), "
    for attempt, record in records.items():
        begun, ended = runs["begin", trial, str(attempt)], runs["end", trial, str(attempt)]
        allowed = 1 + record.get("restarts", 0)
        assert begun <= allowed, told + f"and attempt {attempt} began {begun} times, {allowed} allowed"
        assert ended <= 1, told + f"and attempt {attempt} came to its end {ended} times"
    assert sum(record.get("exit_code") == 0 for record in records.values()) <= 1, told + "and succeeded twice"
    attempts = {int(attempt) for word, one, attempt in runs if one == trial}
    assert attempts <= records.keys(), told + f"and attempts {attempts - records.keys()} ran without a claim"
    last = records.get(max(records, default=0), {})
    if state == "done":
        assert last["ended"], told + "and its record has no end"
        assert last["exit_code"] == 0, told + f"and its record says {last['exit_code']}"
        assert runs["end", trial, str(last["attempt"])] == 1, told + "and its program never came to its end"
    if state == "failed":
        known = last.get("ended") or "no exit record" in reason or "before the trial began" in reason
        assert known or not attempts, told + "and neither its record nor the reason says that it ended"
    if state == "planned" and records:
        # A retried one waits for its next attempt: what it has are the records of earlier ones.
        assert last["ended"], told + "and is running"
    if state == "cancelled" and "before it ran" in reason:
        assert not runs["begin", trial, str(last.get("attempt", 1))], told + "and ran"


def _sentence(said: dict[str, tuple[str, str]]) -> str:
    states = Counter(state for state, _ in said.values())
    ran = states["done"] + states["failed"]
    others = ", ".join(
        f"{count} {state}" for state, count in sorted(states.items()) if state not in ("done", "failed")
    )
    rest = (
        f"; {len(said) - ran} are reported as not having run to an end, with the reason: {others}"
        if others
        else ""
    )
    return f"{len(said)} trials: {ran} ran exactly once to a recorded end ({states['done']} done, {states['failed']} failed){rest}"


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; torn ones are passed over, the newest of a trial's counts."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
