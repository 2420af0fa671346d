"""send: one unit after another to the scheduler, each journalled before and after, as far as there is room."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from sweep.errors import NoSuch, SchedulerBusy, SchedulerRefused
from sweep.schedulers import SubmitRequest
from sweep.shell import Shell
from sweep.state.ledger import DRIVER
from sweep.steps.observe import Settings
from sweep.store import Store

#: A call that is refused for now is repeated after so long, then after twice that, and so on.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True)
class Unit:
    """What one call submits: a job's array, or a part of it (`span`), or one task (`index`), or its workers."""

    job: str
    index: int | None = None
    trials: int = 1
    span: tuple[int, int] | None = None
    workers: int = 0

    @property
    def tasks(self) -> int:
        """How many places in the queue it takes."""
        return self.workers or self.trials

    def first(self, tasks: int) -> Unit:
        """Return the part of it that takes so many places: the first tasks, or fewer workers for all trials."""
        if self.workers:
            return replace(self, workers=tasks, span=(0, tasks - 1))
        start = self.span[0] if self.span else 0
        return replace(self, trials=tasks, span=(start, start + tasks - 1))

    def rest(self, part: Unit) -> Unit | None:
        """Return what is left when a part has been sent."""
        if part.workers or part.trials == self.trials:
            return None
        start = (self.span[0] if self.span else 0) + part.trials
        last = self.span[1] if self.span else self.trials - 1
        return replace(self, trials=self.trials - part.trials, span=(start, last))


def request(store: Store, unit: Unit, token: str, throttle: int | None, after: str = "") -> SubmitRequest:
    """Make the scheduler's request for a unit."""
    name = f"{store.name}.{unit.job}.{token}"
    script, log = str(store.script(unit.job)), str(store.job_log(unit.job))
    return SubmitRequest(script, name, unit.index, log, unit.span, throttle, after)


class Sender:
    """Sends units until there is no room for more.

    Parameters
    ----------
    room : int or None
        Places left in the queue, as far as a cap is known.
    patience_s : float
        How long, in all, calls that are refused for now are repeated.

    Attributes
    ----------
    sent : list of dict
        What went out.
    full : str
        Why no more does; empty while it may.
    refusal : SchedulerRefused or None
        The first refusal for good. The script of that job is what was refused; others have their own.
    """

    def __init__(self, store: Store, shell: Shell, has: Settings, room: int | None, patience_s: float) -> None:
        self.store, self.shell, self.has, self.room = store, shell, has, room
        self.deadline = time.monotonic() + patience_s
        self.sent: list[dict[str, Any]] = []
        self.full = ""
        self.refusal: SchedulerRefused | None = None
        self.refused_job = ""

    def send(self, unit: Unit) -> None:
        """Send a unit, or as much of it as there is room for; `full` says why there is not."""
        left: Unit | None = unit
        while left and not self.full and left.job != self.refused_job:
            part = left
            if self.room is not None and self.room < left.tasks:
                if self.room == 0:
                    self.full = f"of our tasks {self.has.max_queued} may be queued at once, and are"
                    return
                part = left.first(self.room)
            sent = self._fitting(part)
            left = left.rest(sent) if sent else None

    def _fitting(self, part: Unit) -> Unit | None:
        """Send a part, or the half of it, and so on: a cap that nobody told us of shows itself so."""
        while True:
            try:
                self._patiently(part)
            except SchedulerBusy as error:
                if part.tasks == 1:
                    self.full = str(error)
                    return None
                part = part.first(part.tasks // 2)
                continue
            except SchedulerRefused as error:
                self.refusal, self.refused_job = self.refusal or self._placed(error, part.job), part.job
                return None
            if self.room is not None:
                self.room -= part.tasks
            return part

    def _patiently(self, unit: Unit, after: str = "") -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._call(unit, after)
            except SchedulerBusy:
                if time.monotonic() + pause_s > self.deadline:
                    raise
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _call(self, unit: Unit, after: str) -> None:
        token = secrets.token_hex(4)
        asked = request(self.store, unit, token, self.has.throttle, after)
        more: dict[str, Any] = {"span": unit.span} if unit.span else {}
        if unit.workers:
            more |= {"workers": unit.workers, "open": unit.trials}
        self.store.note(
            event="submitting", token=token, job=unit.job, index=unit.index, job_name=asked.job_name, **more
        )
        try:
            job_id = self.shell.converse(self.has.scheduler.submit(asked))
        except (SchedulerBusy, SchedulerRefused) as error:
            self.store.note(event="refused", token=token, reason=str(error))
            raise
        except BaseException:  # no answer, or Ctrl-C: the client has ended, or was ended by shell.py
            self.store.note(event="unanswered", token=token)
            raise
        self.store.note(event="submitted", token=token, id=job_id)
        if unit.job != DRIVER:
            self.sent.append({"job": unit.job, "index": unit.index, "trials": unit.trials, "id": job_id})

    def send_driver(self, after: str) -> str:
        """Queue the driver job behind another one; what to say about it."""
        try:
            self._patiently(Unit(DRIVER, trials=0), after)
        except (SchedulerBusy, SchedulerRefused) as error:
            return f"the driver job could not be queued ({error}): run `sweep submit` again later"
        return f"the driver job sends the next wave{f' when job {after} has ended' if after else ''}"

    def _placed(self, error: SchedulerRefused, job: str) -> SchedulerRefused:
        """Say which line of the script a refusal is about."""
        if not error.directive:
            return error
        try:
            lines = self.store.read(f"jobs/{job}.sh").splitlines()
        except NoSuch:
            return error
        about = [
            f"\n  {self.store.script(job)}:{number}: {line}"
            for number, line in enumerate(lines, 1)
            if line.startswith("#") and not line.startswith(("#!", "# ")) and error.directive in line
        ]
        return SchedulerRefused(str(error) + "".join(about[:2]), error.hint, error.directive)
