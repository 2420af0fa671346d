"""send: give the scheduler one unit after another while there is room; calls are journalled before and after."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sweep.errors import NoSuch, SchedulerBusy, SchedulerRefused
from sweep.schedulers import SCHEDULERS, SubmitRequest
from sweep.shell import Shell
from sweep.state.events import Refused, Submitted, Submitting, Unanswered
from sweep.state.ledger import DRIVER
from sweep.state.settings import Settings
from sweep.state.submissions import Unit
from sweep.steps.hand import hand_on
from sweep.store import Store

#: A call that is refused for now is repeated after so long, then after twice that, and so on.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True)
class SentUnit:
    """A unit that was submitted, and the job's id: another job's, if it was `handed` to workers that wait."""

    job: str
    index: int | None
    trials: int
    id: str
    handed: bool = False


def request_for(
    store: Store, unit: Unit, token: str, settings: Settings, exclusions: Exclusions, after: str = ""
) -> SubmitRequest:
    """Make the scheduler's request for a unit."""
    throttle = settings.submit.throttle
    name = f"{store.name}.{unit.job}.{token}"
    script, log = str(store.script(unit.job)), str(store.job_log(unit.job))
    return SubmitRequest(
        script, name, unit.index, log, unit.span, throttle, after, settings.cluster, exclusions.of(unit)
    )


@dataclass(frozen=True)
class Exclusions:
    """Tells which nodes a unit is kept away from: unfit ones, with those that its script avoids by itself."""

    store: Store
    settings: Settings

    @cached_property
    def unfit(self) -> list[str]:
        """The nodes that nothing is sent to now, where the scheduler can be told."""
        return self.store.unfit_nodes() if SCHEDULERS[self.settings.kind].can_exclude_nodes else []

    @cached_property
    def avoided(self) -> Mapping[int, tuple[str, ...]]:
        """The nodes that each trial's script avoids; see `Ledger.avoid`."""
        return self.store.ledger()[0].avoid if self.unfit else {}

    def of(self, unit: Unit) -> tuple[str, ...]:
        """Name them. Empty: the script's own stand."""
        if not self.unfit or unit.job == DRIVER:
            return ()
        number = self.store.tasks(unit.job)[0].number  # all trials of a job avoid the same nodes
        return tuple(sorted({*self.unfit, *self.avoided.get(number, ())}))


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
    sent : list of SentUnit
        What went out.
    full : bool
        Nothing more is sent; `why_full` says why.
    stopped : bool
        That is because someone is cancelling.
    driver_sent : bool
        The driver job is queued.
    refusal : SchedulerRefused or None
        The first refusal for good. The script of that job was refused; others have their own.
    """

    def __init__(
        self, store: Store, shell: Shell, settings: Settings, room: int | None, patience_s: float
    ) -> None:
        self.store, self.shell, self.settings, self.room = store, shell, settings, room
        self.clock = shell.clock
        self.deadline = self.clock.elapsed_s() + patience_s
        self.sent: list[SentUnit] = []
        self.full = self.stopped = False
        self.why_full = ""
        self.refusal: SchedulerRefused | None = None
        self.refused_job = ""
        self.driver_sent = False
        self.exclusions = Exclusions(store, settings)

    def send(self, unit: Unit) -> None:
        """Send a unit, or as much of it as there is room for."""
        if self.settings.submit.linger_s and not self._is_stopped():
            waiting = hand_on(self.store, self.shell, unit)
            if waiting:
                self.sent.append(SentUnit(unit.job, None, unit.trials, waiting.job_id, handed=True))
                return
        remaining: Unit | None = unit
        while remaining and not self.full and remaining.job != self.refused_job:
            if self._is_stopped():
                return
            part = remaining
            if self.room is not None and self.room < remaining.tasks:
                if self.room == 0:
                    self._stop(
                        f"the queue takes {self.settings.limits.max_queued} tasks of yours at once, and has them"
                    )
                    return
                part = remaining.first(self.room)
            sent = self._send_what_fits(part)
            remaining = remaining.rest(sent) if sent else None

    def _is_stopped(self) -> bool:
        """Whether someone is cancelling: what is not sent yet stays planned."""
        by = self.store.stopped_by()
        if by:
            self._stop(f"{by} is cancelling: nothing more is sent")
            self.stopped = True
        return bool(by)

    def _stop(self, why: str) -> None:
        self.full, self.why_full = True, why

    def _send_what_fits(self, part: Unit) -> Unit | None:
        """Send a part, or half of it, and so on: that finds a cap which the scheduler does not tell."""
        while True:
            try:
                self._send_patiently(part)
            except SchedulerBusy as error:
                if part.tasks == 1:
                    self._stop(str(error))
                    return None
                part = part.first(part.tasks // 2)
                continue
            except SchedulerRefused as error:
                self.refusal, self.refused_job = self.refusal or self._with_line(error, part.job), part.job
                return None
            if self.room is not None:
                self.room -= part.tasks
            return part

    def _send_patiently(self, unit: Unit, after: str = "") -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._submit(unit, after)
            except SchedulerBusy:
                if self.clock.elapsed_s() + pause_s > self.deadline or self.store.stopped_by():
                    raise
                self.clock.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _submit(self, unit: Unit, after: str) -> None:
        token = secrets.token_hex(4)
        request = request_for(self.store, unit, token, self.settings, self.exclusions, after)
        self.store.note(
            Submitting(
                token=token,
                job=unit.job,
                job_name=request.job_name,
                index=unit.index,
                span=unit.span,
                workers=unit.workers,
                open=unit.trials if unit.workers else 0,
                cluster=self.settings.cluster,
            )
        )
        try:
            job_id = self.shell.converse(SCHEDULERS[self.settings.kind].submit(request))
        except (SchedulerBusy, SchedulerRefused) as error:
            self.store.note(Refused(token=token, reason=str(error)))
            raise
        except BaseException:  # no answer, or Ctrl-C: the client has ended, or was ended by shell.py
            self.store.note(Unanswered(token=token))
            raise
        self.store.note(Submitted(token=token, id=job_id))
        if unit.job != DRIVER:
            self.sent.append(SentUnit(unit.job, unit.index, unit.trials, job_id))

    def send_driver(self, after: str) -> str:
        """Queue the driver job behind another one; what to say about it."""
        try:
            self._send_patiently(Unit(DRIVER, trials=0), after)
        except (SchedulerBusy, SchedulerRefused) as error:
            return f"the driver job could not be queued ({error}): run `sweep submit` again later"
        self.driver_sent = True
        return f"the driver job sends the next wave{f' when job {after} has ended' if after else ''}"

    def _with_line(self, error: SchedulerRefused, job: str) -> SchedulerRefused:
        """Say which line of the script a refusal is about."""
        if not error.directive:
            return error
        try:
            lines = self.store.read(f"jobs/{job}.sh").splitlines()
        except NoSuch:
            return error
        blamed = [
            f"\n  {self.store.script(job)}:{number}: {line}"
            for number, line in enumerate(lines, 1)
            if line.startswith("#") and not line.startswith(("#!", "# ")) and error.directive in line
        ]
        return SchedulerRefused(str(error) + "".join(blamed[:2]), error.hint, error.directive)
