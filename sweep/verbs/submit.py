"""submit: hand to the scheduler what is planned and was not sent. Safe to repeat, whatever happened before.

::

    for every doubt:   ask for its token ─▶ adopt the job, or free its trials
    what paused:       another attempt, which goes on where it was
    for every unit:    journal "submitting" with a fresh token, synced ─▶ call ─▶ journal the id
    what has no room:  stays planned; the driver job, if there is one, comes back for it
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sweep.errors import SchedulerSilent
from sweep.model import State, Submission
from sweep.schedulers import Scheduler
from sweep.shell import Shell
from sweep.state.ledger import DRIVER, Ledger
from sweep.steps.observe import Settings, Snapshot, observe, settings
from sweep.steps.poll import grace_s
from sweep.steps.send import Sender, Unit, request
from sweep.store import Store

#: A submit command that outlives a killed `sweep submit` has given up by then: its time-out, and some.
IN_FLIGHT_S = 90.0


@dataclass
class SubmitReport:
    """What was sent and what was not.

    Attributes
    ----------
    spared : dict
        Paused trials that do not go on, by reason.
    alive : int
        How many trials were queued or running before.
    watch : bool
        What is queued or running may come back: by the grid's `retry`, or left over by a packed job's workers.
    stuck : bool
        Sending the rest again would end as it did before.
    """

    sent: list[dict[str, Any]] = field(default_factory=list)
    trials_sent: int = 0
    trials_left: int = 0
    adopted: int = 0
    resumed: int = 0
    spared: dict[str, list[int]] = field(default_factory=dict)
    retried: dict[str, Any] = field(default_factory=dict)
    why_left: str = ""
    driver: str = ""
    alive: int = 0
    watch: bool = False
    stuck: bool = False
    dry_run: bool = False


def submit(
    store: Store, shell: Shell, *, dry_run: bool = False, patience_s: float = 0.0, retry: bool = False
) -> SubmitReport:
    """Send what is planned, as far as there is room for it.

    Parameters
    ----------
    patience_s : float
        How long a call that is refused for now is repeated.
    retry : bool
        First plan again what failed, as far as the grid's rules do so by themselves; nobody is watching.

    Raises
    ------
    SchedulerRefused
        The scheduler will not have it; what was sent before stays sent, the rest stays planned.
    SchedulerSilent
        The scheduler did not answer; the next `submit` finds out what became of the call.
    """
    report = SubmitReport(dry_run=dry_run)
    if dry_run:
        _describe(store, report)
        return report
    _await_records(store, shell)
    with store.lock():
        ledger = store.ledger()[0]
        has = settings(ledger)
        _end_own_driver(store, ledger)
        report.adopted = _resolve_doubts(store, shell, has.scheduler, ledger)
        snapshot = observe(store, shell)
        report.alive = len(snapshot.of(State.QUEUED, State.RUNNING, State.SUBMITTING))
        paused = _tried_again(store, snapshot, State.PAUSED)
        report.resumed, report.spared = len(paused.get("trials", ())), paused.get("spared", {})
        if retry and has.auto_retry:
            report.retried = _tried_again(store, snapshot, State.FAILED)
        report.watch = has.auto_retry or has.placement == "packed"
        stuck = _release(store, snapshot, unattended=retry)
        _send_all(store, shell, has, report, snapshot, patience_s)
        report.why_left, report.stuck = report.why_left or stuck, bool(stuck)
    return report


def _tried_again(store: Store, snapshot: Snapshot, state: State) -> dict[str, Any]:
    """Plan what the rules give another attempt by themselves."""
    if not snapshot.of(state):
        return {}
    from sweep.verbs.retry import by_itself  # it renders scripts: a fifth of a second that most calls save

    return asdict(by_itself(store, snapshot, (state,)))


def units(store: Store, ledger: Ledger, has: Settings) -> Iterator[Unit]:
    """Yield what is planned and was not sent, in the plan's order."""
    for job in ledger.jobs:
        tasks, sent = store.tasks(job), ledger.sent(job)
        size = len(tasks)
        if job in ledger.workers:
            current = [number for number, attempt in tasks if attempt == ledger.attempts.get(number, 1)]
            open_ = sum(number not in ledger.settled for number in current)
            if open_ and not sent:
                yield Unit(job, trials=open_, workers=ledger.workers[job])
            continue
        gone = {one.index for one in sent}
        spans = [one for one in sent if one.index is None]
        left = [i for i in range(size) if i not in gone and not any(one.covers(i) for one in spans)]
        if has.placement == "each" or size == 1:
            yield from (Unit(job, index=index) for index in left)
        elif len(left) == size:
            yield Unit(job, trials=size)
        else:
            yield from (Unit(job, trials=last - first + 1, span=(first, last)) for first, last in _runs(left))


def _runs(indices: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive numbers.

    >>> list(_runs([3, 4, 5, 8]))
    [(3, 5), (8, 8)]
    """
    known = set(indices)
    starts = [i for i in indices if i - 1 not in known]
    ends = [i for i in indices if i + 1 not in known]
    yield from zip(starts, ends, strict=True)


def _await_records(store: Store, shell: Shell) -> None:
    """As the driver job, wait for the records of what has just ended: there is nobody who would come later."""
    if not os.environ.get("SWEEP_DRIVER"):
        return
    snapshot = observe(store, shell)
    wait_s = grace_s(snapshot.settings.scheduler)
    deadline = time.monotonic() + 2 * wait_s
    while time.monotonic() < deadline:
        awaited = snapshot.of(State.QUEUED, State.RUNNING)
        if not awaited or snapshot.in_queue > len(snapshot.drivers):
            return
        time.sleep(max(1.0, wait_s / 4))
        snapshot = observe(store, shell)


def _end_own_driver(store: Store, ledger: Ledger) -> None:
    """If this is the driver job itself, say so: it is no longer one that will come."""
    name = os.environ.get("SWEEP_DRIVER")
    for one in ledger.submissions.values():
        if name and one.job == DRIVER and one.job_name in name and not one.dead:
            store.note(event="over", token=one.token)


def _resolve_doubts(store: Store, shell: Shell, scheduler: Scheduler, ledger: Ledger) -> int:
    """Ask the scheduler about calls whose outcome is not known. Returns how many jobs were adopted."""
    doubts = ledger.doubts
    if not doubts:
        return 0
    found = shell.converse(scheduler.find([one.job_name for one in doubts]))
    for one in doubts:
        left_s = one.at + IN_FLIGHT_S - time.time()
        if one.job_name not in found and not one.unanswered and left_s > 0:
            raise SchedulerSilent(
                f"a submission that was killed {IN_FLIGHT_S - left_s:.0f} s ago may still be on its way",
                f"repeat `sweep submit` in {left_s:.0f} s: then the scheduler knows it, or never will",
            )
    for one in doubts:
        if one.job_name in found:
            store.note(event="submitted", token=one.token, id=found[one.job_name], adopted=True)
        else:
            store.note(event="refused", token=one.token, reason="the scheduler does not know its name")
    return len(found)


def _release(store: Store, snapshot: Snapshot, *, unattended: bool) -> str:
    """Let packed jobs be sent again whose workers ended before all trials had their turn.

    With nobody watching, workers that began no trial at all are not: they would end the same way for ever.
    Returns what to say about those.
    """
    left: dict[str, list[Submission]] = {}
    for one in snapshot.of(State.PLANNED):
        sent = one.sent.submission if one.sent else None
        if sent and sent.workers and sent.job_id and not sent.dead:
            left.setdefault(sent.token, []).append(sent)
    stuck = ""
    for token, (submission, *others) in left.items():
        if unattended and 1 + len(others) >= submission.open:
            log = store.job_log(submission.job)
            stuck = f"the workers of job {submission.job_id} began no trial; {log} says more"
        else:
            store.note(event="over", token=token)
    return stuck


def _send_all(
    store: Store, shell: Shell, has: Settings, report: SubmitReport, snapshot: Snapshot, patience_s: float
) -> None:
    ledger = store.ledger()[0]
    waiting = list(units(store, ledger, has))
    report.trials_left = sum(unit.trials for unit in waiting)
    room = None if has.max_queued is None else max(0, has.max_queued - snapshot.in_queue)
    if has.driver and room is not None and (room < sum(unit.tasks for unit in waiting) or has.auto_retry):
        room = max(0, room - 1)  # the driver's own place
    sender = Sender(store, shell, has, room, patience_s)
    try:
        for unit in waiting:
            sender.send(unit)
            if sender.full:
                break
    finally:
        report.sent = sender.sent
        report.trials_sent = sum(one["trials"] for one in sender.sent)
        report.trials_left -= report.trials_sent
        report.why_left = sender.full
    if sender.refusal:
        raise sender.refusal
    coming_back = report.trials_left or report.watch
    # Behind nothing, the driver would run at once, find what this call has found, and send the next one.
    if has.driver and coming_back and (report.trials_sent or report.alive) and not snapshot.drivers:
        report.driver = sender.send_driver(_last_job(sender, snapshot))


def _last_job(sender: Sender, snapshot: Snapshot) -> str:
    """Return the job after which the driver is to run: the last one sent, or the last that still lives."""
    if sender.sent:
        return str(sender.sent[-1]["id"])
    living = snapshot.of(State.QUEUED, State.RUNNING)
    ids = [one.sent.submission.job_id for one in living if one.sent]
    return ids[-1] if ids else ""


def _describe(store: Store, report: SubmitReport) -> None:
    """List the commands that would be run."""
    ledger = store.ledger()[0]
    has = settings(ledger)
    for unit in units(store, ledger, has):
        talk = has.scheduler.submit(request(store, unit, "TOKEN", has.throttle))
        argv = list(next(talk).argv)
        report.sent.append({"job": unit.job, "index": unit.index, "trials": unit.trials, "command": argv})
        talk.close()
        report.trials_left += unit.trials
