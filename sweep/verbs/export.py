"""export: what a reader of a paper needs to repeat the best configuration, as files (``sweep best --export``)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sweep.errors import CannotRead, NoSuch, UsageError, count
from sweep.state.provenance import DIGITS
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
                text = store.texts.read(digest)
                if name == "changes.patch" and known.get("diff_is_cut"):
                    text = text[
                        : text.rfind("\ndiff --git ") + 1
                    ]  # whole files alone: a torn one cannot be applied
                if text:  # a file may be in any encoding, and the difference is in that of its files
                    files[name] = text.encode("utf-8", "surrogateescape")
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
    steps = [*_code_steps(best, files, known)]
    if "requirements.txt" in files:
        what = f"the versions that were there, with Python {known.get('python', '')}"
        steps.append(f"Install {what}: `pip install -r requirements.txt`.")
    steps.append("Run `command.sh`, whose `cd` names the folder that it ran in.")
    seeds = ", ".join(map(str, best.seeds))
    steps.append(f"Repeat it with each seed in SWEEP_SEED, or in the arguments that have it: {seeds}.")
    notes = [*_code_notes(best, files, known), *(f"Data, by the result's {name}: {data[name]}." for name in data)]
    interval = "" if best.interval is None else f", 95 % interval {best.interval[0]:.4g} to {best.interval[1]:.4g}"
    score = f"{best.metric} {best.score:.6g} ({best.goal}, {count(len(best.replicates), 'run')}{interval})"
    lines = [f"# {best.sweep}: the best configuration", "", f"{score}. `best.yaml` has all of it.", ""]
    lines += [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join([*lines, "", *[f"- {note}" for note in notes]]).rstrip() + "\n"


def _commits(best: BestConfiguration) -> list[str]:
    return sorted({code["commit"] for code in best.code if code["commit"]})


def _ran_as_planned(best: BestConfiguration, known: dict[str, Any]) -> bool:
    """Whether all runs found the commit and the script of the newest plan, as far as both are known."""
    planned, script = known.get("commit", ""), known.get("script", "")
    digest = known.get("script_sha256", "")
    return all(planned.startswith(commit) for commit in _commits(best)) and all(
        code["script"] != script or not code["script_sha256"] or digest.startswith(code["script_sha256"])
        for code in best.code
        if digest
    )


def _code_steps(best: BestConfiguration, files: Collection[str], known: dict[str, Any]) -> Iterator[str]:
    commits = _commits(best) or [known["commit"]] if known.get("commit") or _commits(best) else []
    if len(commits) == 1:
        whole = known.get("commit", "")
        yield f"Check out the commit {whole if whole.startswith(commits[0]) else commits[0]}."
    elif commits:
        yield f"Check out one of the commits {', '.join(commits)}: the runs found different ones."
    if "changes.patch" in files and _ran_as_planned(best, known):
        part = ", as far as it was kept" if known.get("diff_is_cut") else ""
        yield f"Apply what differed from it{part}: `git apply changes.patch`."


def _code_notes(best: BestConfiguration, files: Collection[str], known: dict[str, Any]) -> Iterator[str]:
    commits, planned = _commits(best), known.get("commit", "")
    if not _ran_as_planned(best, known):
        ran = "; ".join(
            f"commit {code['commit'] or 'unknown'}, {code['script'] or 'no script'} with the SHA-256 "
            f"{code['script_sha256'] or 'unknown'}"
            for code in best.code
        )
        yield (
            f"The code changed between the newest plan (commit {planned or 'unknown'}, {known.get('script')} with "
            f"the SHA-256 {known.get('script_sha256', '')[:DIGITS]}) and what the runs found: {ran}."
        )
        if "changes.patch" in files:
            yield "`changes.patch` is of that plan, and may not be what they ran."
    if known.get("diff_is_cut"):
        yield "What differed from the commit was too long to be kept whole."
    elif known.get("dirty") and "changes.patch" not in files:
        yield "Files differed from the commit, and the differences were not kept."
    if known.get("dirty") is None and planned:
        yield "Whether files differed from the commit is not known."
    if known.get("untracked"):
        names = ", ".join(f"`{name}`" for name in known["untracked"])
        yield f"Git did not know {count(known['untracked_count'], 'path')}: {names}."
    if not planned and not commits:
        yield "No commit is known."
    if known.get("git_problem"):
        yield f"Git did not say all: {known['git_problem']}."
    if known.get("python_problem"):
        yield f"The versions that were installed are not known: {known['python_problem']}."
