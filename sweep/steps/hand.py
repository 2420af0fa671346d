"""hand: give a packed job to the workers of another one that wait for more, so that it need not queue.

::

    alike and waiting?   journal "submitting", under the waiting job's name ─▶ a line of its .handed ─▶ "submitted"

Whatever is killed on the way, no trial is lost: the name is one that the scheduler knows, and what no worker has
begun when they have ended is sent again, as the rest of any packed job is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import islice

from sweep.errors import SchedulerError, StoreError
from sweep.jobs.alike import takes_over
from sweep.model import Submission, TaskState
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.state.events import Submitted, Submitting
from sweep.state.ledger import Ledger
from sweep.state.submissions import Unit, host_of, is_handed
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
    store.hand(waiting.job, waiting.job_name, unit.job)
    store.note(Submitted(token=token, id=waiting.job_id))
    return waiting


def hand_again(store: Store, submission: Submission) -> None:
    """Tell the workers again of a job: whoever handed it to them was killed, maybe before they were told."""
    store.hand(host_of(submission), submission.job_name, submission.job)


def dismiss(store: Store) -> None:
    """Tell all workers that wait that nothing more will come."""
    for submission in _hosts(store, store.ledger()[0]):
        if not store.is_dismissed(submission):
            store.hand(submission.job, submission.job_name, "")


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
    hosts = [each for each in _alike(store, ledger, unit, walltime_s) if _has_nothing_left(store, ledger, each)]
    if not hosts or not store.is_ours:  # another person's workers could not read what we write, say
        return None
    refs = [ref for each in hosts for ref in each.pool()]
    try:
        statuses = shell.converse(SCHEDULERS[ledger.settings.kind].poll(refs)).statuses
    except SchedulerError:
        return None
    for each in hosts:
        running = [
            status
            for status in (statuses.get(ref) for ref in each.pool())
            if status and status.state is TaskState.RUNNING and each.job_name in (status.job_name or each.job_name)
        ]
        longest_s = max((_elapsed_s(status.elapsed_s, each, shell) for status in running), default=0.0)
        if len(running) >= unit.workers and _takes_over(store, each, unit, walltime_s, longest_s):
            return each
    return None


def _alike(store: Store, ledger: Ledger, unit: Unit, walltime_s: int) -> list[Submission]:
    """Return the newest submissions whose workers could run the job, if they still wait."""
    candidates = (each for each in _hosts(store, ledger) if _takes_over(store, each, unit, walltime_s, 0.0))
    return [*islice((each for each in candidates if not store.is_dismissed(each)), MOST_ASKED)]


def _takes_over(store: Store, host: Submission, unit: Unit, walltime_s: int, elapsed_s: float) -> bool:
    try:
        own, other = store.read(f"jobs/{host.job}.sh"), store.read(f"jobs/{unit.job}.sh")
    except StoreError:  # NoSuch among them
        return False
    return takes_over(own, other, walltime_s, elapsed_s)


def _has_nothing_left(store: Store, ledger: Ledger, host: Submission) -> bool:
    """Whether the workers have begun all that they have; what is behind others would wait for them."""
    planned = store.trials().trials
    own = [each for each in ledger.submissions.values() if each.job_name == host.job_name and not each.dead]
    try:
        return all(
            number in ledger.settled
            or number in ledger.held
            or attempt != ledger.attempt_of(number)
            or store.attempt(planned[number], attempt)
            for submission in own
            for number, attempt in store.tasks(submission.job)
        )
    except StoreError:
        return False


def _elapsed_s(said_s: float | None, submission: Submission, shell: Shell) -> float:
    """Return how long a worker has run; where the scheduler does not say, as if it had not waited in the queue."""
    return shell.clock.now() - submission.at if said_s is None else said_s
