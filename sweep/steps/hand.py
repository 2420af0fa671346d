"""hand: give a packed job to the workers of another one that wait for more, so that it need not queue.

::

    alike and waiting?   journal "submitting", under the waiting job's name ─▶ a line of its .handed ─▶ "submitted"

Whatever is killed on the way, no trial is lost: the name is one that the scheduler knows, and what no worker has
begun when they have ended is sent again, as the rest of any packed job is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sweep.errors import NoSuch, SchedulerError
from sweep.jobs.alike import takes_over
from sweep.model import Submission, TaskState
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.state.events import Submitted, Submitting
from sweep.state.ledger import Ledger
from sweep.state.submissions import Unit, is_handed
from sweep.store import Store

#: So many jobs, the newest first, are asked for workers that wait.
MOST_ASKED = 3


def hand_on(store: Store, shell: Shell, unit: Unit) -> Submission | None:
    """Hand a packed job to workers that wait; None: there are none that could run it all at once."""
    waiting = _waiting(store, shell, store.ledger()[0], unit) if unit.workers else None
    if waiting is None:
        return None
    token = secrets.token_hex(4)
    store.note(
        Submitting(
            token=token,
            job=unit.job,
            job_name=waiting.job_name,
            span=waiting.span,
            workers=waiting.workers,
            open=unit.trials,
            cluster=waiting.cluster,
        )
    )
    store.hand(waiting, unit.job)
    store.note(Submitted(token=token, id=waiting.job_id))
    return waiting


def dismiss(store: Store) -> None:
    """Tell all workers that wait that nothing more will come."""
    for submission in _hosts(store, store.ledger()[0]):
        if not store.is_dismissed(submission):
            store.hand(submission, "")


def _hosts(store: Store, ledger: Ledger) -> Iterator[Submission]:
    """Yield the submissions, the newest first, whose workers may wait for more."""
    for submission in reversed(ledger.submissions.values()):
        own = submission.workers and not is_handed(submission) and store.is_at(submission.home)
        if own and submission.job_id and not submission.dead:
            yield submission


def _waiting(store: Store, shell: Shell, ledger: Ledger, unit: Unit) -> Submission | None:
    """Find workers that are as many as the job asks for, run now, and have time for each of its trials."""
    planned = store.trials().trials
    walltime_s = max(ledger.asks(planned[task.number]).walltime_s for task in store.tasks(unit.job))
    try:
        script = store.read(f"jobs/{unit.job}.sh")
        candidates = [
            (each, store.read(f"jobs/{each.job}.sh"))
            for each, _ in zip(_hosts(store, ledger), range(MOST_ASKED), strict=False)
        ]
    except NoSuch:
        return None
    candidates = [(each, own) for each, own in candidates if takes_over(own, script, walltime_s, 0.0)]
    if not candidates:
        return None
    refs = [ref for each, _ in candidates for ref in each.pool()]
    try:
        statuses = shell.converse(SCHEDULERS[ledger.settings.kind].poll(refs)).statuses
    except SchedulerError:
        return None
    for each, own in candidates:
        running = [
            status
            for status in (statuses.get(ref) for ref in each.pool())
            if status and status.state is TaskState.RUNNING and each.job_name in (status.job_name or each.job_name)
        ]
        longest_s = max((_elapsed_s(status.elapsed_s, each, shell) for status in running), default=0.0)
        if len(running) >= unit.workers and takes_over(own, script, walltime_s, longest_s):
            return each
    return None


def _elapsed_s(said_s: float | None, submission: Submission, shell: Shell) -> float:
    """Return how long a worker has run; where the scheduler does not say, as if it had not waited in the queue."""
    return shell.clock.now() - submission.at if said_s is None else said_s
