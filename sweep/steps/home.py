"""home: a sweep's jobs run in the folder that it was planned in; whether it is still there."""

from __future__ import annotations

from pathlib import Path

from sweep.errors import UsageError
from sweep.model import Submission
from sweep.state.ledger import Ledger
from sweep.store import Store

#: What puts it right.
PLAN_HERE = "`sweep plan` here first: it renders the scripts for this folder, and keeps what is done"


def check(store: Store, ledger: Ledger) -> None:
    """Refuse to send anything from a folder that was copied or moved, or whose workdir is gone.

    Raises
    ------
    UsageError
        The jobs' scripts would run somewhere else.
    """
    if problem := displaced(store, ledger):
        raise UsageError(f"{problem}; nothing was sent", PLAN_HERE)
    workdir = ledger.settings.workdir
    if not Path(workdir).is_dir():
        raise UsageError(
            f"the folder in which the trials are to run, {workdir!r}, is not there; nothing was sent",
            "if the project was moved, `sweep plan` in it first",
        )


def displaced(store: Store, ledger: Ledger) -> str:
    """Say that this folder is not the one that the sweep was planned in; empty if it is."""
    home = ledger.planned.home if ledger.planned else ""
    if store.is_at(home):
        return ""
    if store.is_copy_of(home):
        return f"this is a copy of the sweep in {home!r}, where its jobs run"
    return f"this sweep was planned in {home!r} and is here now; its jobs run there, or fail"


def is_elsewhere(store: Store, ledger: Ledger, submission: Submission) -> bool:
    """Whether a submission is none of this folder's: it was made from that which this is a copy of, or was.

    Of a folder that was only moved, the jobs are still its own, until it is planned where it is now.
    """
    if store.is_at(submission.home):
        return False
    planned_here = ledger.planned is not None and store.is_at(ledger.planned.home)
    return planned_here or store.is_copy_of(submission.home)


def elsewhere_of(store: Store, ledger: Ledger) -> frozenset[str]:
    """Return the tokens of the submissions that are none of this folder's; see `is_elsewhere`."""
    here = str(store.path)
    others = [each for each in ledger.submissions.values() if each.home not in ("", here)]
    return frozenset(each.token for each in others if is_elsewhere(store, ledger, each))
