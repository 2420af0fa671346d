"""export: what a reader of a paper needs to repeat the best configuration, as files (``sweep best --export``)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sweep.errors import CannotRead, NoSuch, UsageError
from sweep.store import Store
from sweep.verbs.best import BestConfiguration, as_yaml
from sweep.verbs.report import LeaderboardReport

#: The keys under which a result may say what data it was made with. The trainer has the first.
FINGERPRINTS = ("fingerprint", "data_fingerprint")


def export(store: Store, leaderboard: LeaderboardReport, best: BestConfiguration) -> dict[str, str | bytes]:
    """Return the files of an export, by name.

    ``README.md`` says how to repeat it, ``best.yaml`` is what `sweep best` writes, ``command.sh`` the command,
    ``grid.yaml`` the grid, ``result.json`` the result; ``changes.patch`` is what differed from the commit, and
    ``requirements.txt`` what was installed, as far as the plan kept them.
    """
    assert leaderboard.best
    result = leaderboard.best.entry.result
    files: dict[str, str | bytes] = {
        "best.yaml": as_yaml(store, best),
        "command.sh": f"#!/bin/bash\n{best.command}\n",
        "result.json": json.dumps(result, indent=1, ensure_ascii=True) + "\n",
    }
    with contextlib.suppress(NoSuch, CannotRead):
        files["grid.yaml"] = store.read("grid.yaml")
    known = best.provenance or {}
    for name, digest in (("changes.patch", known.get("diff")), ("requirements.txt", known.get("packages"))):
        if digest:
            with contextlib.suppress(NoSuch):
                # A file may be in any encoding, and the difference is in that of its files.
                files[name] = store.texts.read(digest).encode("utf-8", "surrogateescape")
    return {"README.md": _readme(best, files, known, fingerprints(result)), **files}


def fingerprints(result: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Find the fingerprints of data in a result, and in the objects in it.

    >>> fingerprints({"f1": 1, "data": {"fingerprint": "ab12"}})
    {'data.fingerprint': 'ab12'}
    """
    values = {}
    for name, value in result.items():
        if name in FINGERPRINTS and isinstance(value, str):
            values[f"{prefix}{name}"] = value
        elif isinstance(value, dict) and not prefix:
            values |= fingerprints(value, f"{name}.")
    return values


def check_folder(folder: Path) -> None:
    """Refuse a folder that has something in it, which could be taken for a part of the export. UsageError."""
    try:
        is_used = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot use {str(folder)!r}: {error.strerror}", "name another folder") from None
    if is_used:
        raise UsageError(f"there is something in {str(folder)!r} already", "name a new folder")


def _readme(best: BestConfiguration, files: Collection[str], known: dict[str, Any], data: dict[str, str]) -> str:
    """Say in steps how to repeat it, and what is not known."""
    commits = sorted({code["commit"] for code in best.code if code["commit"]})
    planned, patch = known.get("commit", ""), "changes.patch" in files
    other = [commit for commit in commits if not planned.startswith(commit)]
    steps = []
    if planned or commits:
        steps.append(f"Check out the commit {', or '.join(other) or planned}.")
    if patch:
        cut = ", of which only the beginning was kept" if known.get("diff_is_cut") else ""
        steps.append(f"Apply what differed from it{cut}: `git apply changes.patch`.")
    if "requirements.txt" in files:
        what = f"the versions that were there, with Python {known.get('python', '')}"
        steps.append(f"Install {what}: `pip install -r requirements.txt`.")
    steps.append("Run `command.sh`, whose `cd` names the folder that it ran in.")
    seeds = ", ".join(map(str, best.seeds))
    steps.append(f"Repeat it with each seed in SWEEP_SEED, or in the arguments that have it: {seeds}.")
    notes = []
    if planned and other:
        notes.append(f"When it was planned, the folder was at the commit {planned}; the trials ran another.")
    if known.get("dirty") and not patch:
        notes.append("Files differed from the commit, and the differences were not kept.")
    if known.get("dirty") is None and planned:
        notes.append("Whether files differed from the commit is not known.")
    if known.get("untracked"):
        names = ", ".join(f"`{name}`" for name in known["untracked"])
        notes.append(f"Git did not know {known['untracked_count']} files or folders: {names}.")
    if not planned and not commits:
        notes.append("No commit is known.")
    notes += [f"{name}: {words}." for name in ("git_problem", "python_problem") if (words := known.get(name))]
    notes += [f"Data, by the result's {name}: {value}." for name, value in data.items()]
    interval = "" if best.interval is None else f", 95 % interval {best.interval[0]:.4g} to {best.interval[1]:.4g}"
    score = f"{best.metric} {best.score:.6g} ({best.goal}, {len(best.replicates)} runs{interval})"
    lines = [f"# {best.sweep}: the best configuration", "", f"{score}. `best.yaml` has all of it.", ""]
    lines += [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join([*lines, "", *[f"- {note}" for note in notes]]).rstrip() + "\n"
