"""submit: hand to the scheduler what is planned and was not sent. Safe to repeat, whatever happened before.

::

    for every doubt:   ask for its token ─▶ adopt the job, or free its trials
    for every unit:    journal "submitting" with a fresh token, synced ─▶ call ─▶ journal the id
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from sweep.errors import SchedulerBusy, SchedulerRefused, SchedulerSilent
from sweep.ledger import Ledger
from sweep.model import State
from sweep.schedulers import Request, Scheduler
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.observe import Settings, observe, settings

#: A submit command that outlives a killed `sweep submit` has given up by then: its time-out, and some.
IN_FLIGHT_S = 90.0


@dataclass(frozen=True)
class Unit:
    """What one call submits: a job's whole array (index None), or one of its tasks."""

    job: str
    index: int | None
    trials: int


@dataclass
class SubmitReport:
    """What was sent and what was not."""

    sent: list[dict[str, object]] = field(default_factory=list)
    trials_sent: int = 0
    trials_left: int = 0
    adopted: int = 0
    why_left: str = ""
    dry_run: bool = False


def submit(store: Store, shell: Shell, *, dry_run: bool = False) -> SubmitReport:
    """Send what is planned, as far as there is room for it.

    Raises
    ------
    SchedulerRefused
        The scheduler will not have it; what was sent before stays sent, the rest stays planned.
    SchedulerSilent
        The scheduler did not answer; the next `submit` finds out what became of the call.
    """
    report = SubmitReport(dry_run=dry_run)
    if dry_run:
        ledger = store.ledger()[0]
        _describe(store, ledger, settings(ledger), report)
        return report
    with store.lock():
        ledger = store.ledger()[0]
        has = settings(ledger)
        report.adopted = _resolve_doubts(store, shell, has.scheduler, ledger)
        _send_all(store, shell, has, report, _room(store, shell, has))
    return report


def units(store: Store, ledger: Ledger, has: Settings) -> Iterator[Unit]:
    """Yield what is planned and was not sent, in the plan's order."""
    for job in ledger.jobs:
        size = len(store.tasks(job))
        sent = ledger.sent(job)
        if has.placement == "array" and size > 1:
            if None not in sent:
                yield Unit(job, None, size)
        else:
            yield from (Unit(job, index, 1) for index in range(size) if index not in sent)


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


def _room(store: Store, shell: Shell, has: Settings) -> int | None:
    """Return how many tasks more may be queued; None: as many as there are."""
    if has.max_queued is None:
        return None
    snapshot = observe(store, shell)
    queued = [one for one in snapshot.seen if one.verdict.state in (State.QUEUED, State.RUNNING, State.SUBMITTING)]
    return max(0, has.max_queued - len(queued))


def _send_all(store: Store, shell: Shell, has: Settings, report: SubmitReport, room: int | None) -> None:
    ledger = store.ledger()[0]
    waiting = list(units(store, ledger, has))
    report.trials_left = sum(unit.trials for unit in waiting)
    refusal: SchedulerRefused | None = None
    refused_job = ""
    for unit in waiting:
        if unit.job == refused_job:
            continue  # its script is what was refused; the other groups have their own
        if room is not None and unit.trials > room:
            report.why_left = f"max_queued is {has.max_queued}, and there is room for {room} more"
            break
        try:
            _send(store, shell, has.scheduler, unit, report)
        except SchedulerBusy as error:
            report.why_left = str(error)
            break
        except SchedulerRefused as error:
            refusal, refused_job = refusal or error, unit.job
            continue
        report.trials_left -= unit.trials
        if room is not None:
            room -= unit.trials
    if refusal:
        raise refusal


def _send(store: Store, shell: Shell, scheduler: Scheduler, unit: Unit, report: SubmitReport) -> None:
    token = secrets.token_hex(4)
    request = _request(store, unit, token)
    store.note(event="submitting", token=token, job=unit.job, index=unit.index, job_name=request.job_name)
    try:
        job_id = shell.converse(scheduler.submit(request))
    except (SchedulerBusy, SchedulerRefused) as error:
        store.note(event="refused", token=token, reason=str(error))
        raise
    except BaseException:  # no answer, or Ctrl-C: the client has ended, or was ended by shell.py
        store.note(event="unanswered", token=token)
        raise
    store.note(event="submitted", token=token, id=job_id)
    report.sent.append({"job": unit.job, "index": unit.index, "trials": unit.trials, "id": job_id})
    report.trials_sent += unit.trials


def _request(store: Store, unit: Unit, token: str) -> Request:
    name = f"{store.name}.{unit.job}.{token}"
    return Request(str(store.script(unit.job)), name, unit.index, str(store.job_log(unit.job)))


def _describe(store: Store, ledger: Ledger, has: Settings, report: SubmitReport) -> None:
    """List the commands that would be run."""
    for unit in units(store, ledger, has):
        talk = has.scheduler.submit(_request(store, unit, "TOKEN"))
        report.sent.append(
            {"job": unit.job, "index": unit.index, "trials": unit.trials, "command": list(next(talk).argv)}
        )
        talk.close()
        report.trials_left += unit.trials
