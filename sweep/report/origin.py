"""Where a sweep came from, in words: a line for a terminal, rows for the page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sweep.report import spelling

if TYPE_CHECKING:
    from sweep.state.provenance import Provenance

#: So many digits of a commit or a digest are shown.
DIGITS = 12


def line(provenance: Provenance) -> str:
    """Say in one line who planned, when, and with what code and programs."""
    by = f"planned by {provenance.who} on {provenance.host}" if provenance.who else "planned"
    parts = [f"{by}, {_when(provenance)}", _commit(provenance), _script(provenance)]
    if provenance.python:
        parts.append(f"Python {provenance.python} with {spelling.count(provenance.packages_count, 'package')}")
    return "; ".join(filter(None, parts))


def rows(provenance: Provenance) -> dict[str, str]:
    """Say the same row by row, and why something is not known; what there is nothing to say of is left out."""
    untracked = ", ".join(provenance.untracked)
    more = provenance.untracked_count - len(provenance.untracked)
    values = {
        "planned by": f"{provenance.who} on {provenance.host}" if provenance.who else "",
        "when": _when(provenance),
        "sweep": provenance.version,
        "folder": provenance.folder,
        "commit": _commit(provenance, digits=len(provenance.commit)).removeprefix("commit "),
        "unknown to git": f"{untracked}{f' and {more} more' if more else ''}",
        "git": provenance.git_problem,
        "script": _script(provenance),
        "interpreter": f"{provenance.interpreter}, Python {provenance.python}" if provenance.python else "",
        "packages": f"{provenance.packages_count}" if provenance.packages else "",
        "Python": provenance.python_problem,
    }
    return {name: value for name, value in values.items() if value}


def _when(provenance: Provenance) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(provenance.at))


def _commit(provenance: Provenance, digits: int = DIGITS) -> str:
    if not provenance.commit:
        return ""
    branch = f" ({provenance.branch})" if provenance.branch else ""
    if provenance.dirty is None:
        changes = ", and whether files differed from it is not known"
    else:
        kept = (
            " (kept)"
            if provenance.diff and not provenance.diff_is_cut
            else " (kept in part)"
            if provenance.diff
            else ""
        )
        changes = f" and changes that were not committed{kept}" if provenance.dirty else ""
    return f"commit {provenance.commit[:digits]}{branch}{changes}"


def _script(provenance: Provenance) -> str:
    return f"{provenance.script} {provenance.script_sha256[:DIGITS]}" if provenance.script_sha256 else ""
