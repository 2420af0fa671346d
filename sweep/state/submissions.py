"""Which submissions each trial is in, and what of the plan was not sent yet (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from sweep.model import Submission, Task, TaskRef
from sweep.state.evidence import Attempt
from sweep.state.ledger import Ledger
from sweep.state.settings import SubmitSettings

#: A job's name → its tasks. A job whose files are gone has none.
JobTasks = Mapping[str, Sequence[Task]]


class TrialSubmission(msgspec.Struct, frozen=True):
    """A submission that a trial is in, and how the scheduler names the trial in it.

    Attributes
    ----------
    attempt : int
        The attempt that it runs.
    task : TaskRef or None
        None while the job's id is not known, or no worker of a packed job has begun the trial.
    workers : tuple of TaskRef
        The tasks of a packed job while it is not known which of them runs the trial.
    """

    submission: Submission
    attempt: int
    task: TaskRef | None
    workers: tuple[TaskRef, ...] = ()

    @property
    def refs(self) -> tuple[TaskRef, ...]:
        """What the scheduler has to be asked about."""
        return self.workers or ((self.task,) if self.task else ())


def is_handed(submission: Submission) -> bool:
    """Whether it was handed to the waiting workers of another job: then it has that job's name, and its id."""
    return not submission.job_name.endswith(submission.token)


def submissions_by_trial(ledger: Ledger, tasks: JobTasks) -> dict[int, list[TrialSubmission]]:
    """Map each trial to the submissions of the attempt it is at, the newest first, refused ones last.

    There is more than one where a packed job's workers ended before its turn, or a refused job was sent again.
    """
    by_trial: dict[int, list[TrialSubmission]] = {}
    for submission in ledger.submissions.values():
        job_tasks = tasks.get(submission.job, ())
        for index, trial_submission in _of_one_call(submission, job_tasks):
            number = job_tasks[index].number
            if trial_submission.attempt >= ledger.attempts.get(number, 1):
                of_trial = by_trial.setdefault(number, [])
                of_trial.insert(len(of_trial) if submission.refused else 0, trial_submission)
    return by_trial


def _of_one_call(submission: Submission, tasks: Sequence[Task]) -> list[tuple[int, TrialSubmission]]:
    """Return the tasks that one call of the submit command is about, by their index in the job."""
    if not tasks:
        return []
    is_array, workers = submission.index is None, submission.pool()
    indices = _indices(submission, len(tasks))
    # Which worker of a packed job runs a task is not known from here.
    is_named = bool(submission.job_id and not submission.workers)
    return [
        (
            index,
            TrialSubmission(
                submission,
                tasks[index].attempt,
                TaskRef(submission.job_id, index if is_array else None) if is_named else None,
                workers,
            ),
        )
        for index in indices
    ]


def _indices(submission: Submission, size: int) -> Sequence[int]:
    """Return the tasks of its job that a call is about."""
    if submission.index is not None:
        return (submission.index,)
    if submission.span is None or submission.workers:
        return range(size)
    return range(submission.span[0], min(submission.span[1] + 1, size))


def sent_trials(by_trial: Mapping[int, Sequence[TrialSubmission]]) -> set[int]:
    """Return the trials whose attempt is with the scheduler, has been, or may be."""
    return {
        number
        for number, of_trial in by_trial.items()
        if any(not trial_submission.submission.refused for trial_submission in of_trial)
    }


def holder(attempt: Attempt | None, candidates: Sequence[TrialSubmission]) -> TrialSubmission | None:
    """Return the submission whose job holds the claim. While nobody holds it, the newest."""
    if attempt and attempt.job_name:
        for trial_submission in candidates:
            submission, workers = trial_submission.submission, trial_submission.workers
            if submission.job_name in attempt.job_name:
                if not workers:
                    return trial_submission
                alone = workers[0].index is None
                task = workers[0] if alone else TaskRef(submission.job_id, attempt.index)
                return msgspec.structs.replace(trial_submission, task=task, workers=())
    return next(iter(candidates), None)


# --- what was not sent yet --------------------------------------------------------------------------------


class Unit(msgspec.Struct, frozen=True):
    """What one call submits: a job's array, a part of it (`span`), one task (`index`), or its workers."""

    job: str
    index: int | None = None
    trials: int = 1
    span: tuple[int, int] | None = None
    workers: int = 0

    @property
    def tasks(self) -> int:
        """How many places in the queue it takes."""
        return self.workers or self.trials

    def numbers(self, ledger: Ledger, tasks: Sequence[Task]) -> list[int]:
        """Return the trials that it would run, of its job's tasks."""
        if self.workers:
            return [
                number
                for number, attempt in tasks
                if attempt == ledger.attempt_of(number) and number not in ledger.settled
            ]
        if self.index is not None:
            return [tasks[self.index].number]
        first, last = self.span or (0, len(tasks) - 1)
        return [task.number for task in tasks[first : last + 1]]

    def first(self, tasks: int) -> Unit:
        """Return the part of it that takes so many places: the first tasks, or fewer workers for all trials."""
        if self.workers:
            return msgspec.structs.replace(self, workers=tasks, span=(0, tasks - 1))
        start = self.span[0] if self.span else 0
        return msgspec.structs.replace(self, trials=tasks, span=(start, start + tasks - 1))

    def rest(self, part: Unit) -> Unit | None:
        """Return what is left when a part has been sent."""
        if part.workers or part.trials == self.trials:
            return None
        start = (self.span[0] if self.span else 0) + part.trials
        last = self.span[1] if self.span else self.trials - 1
        return msgspec.structs.replace(self, trials=self.trials - part.trials, span=(start, last))


def unsent_units(ledger: Ledger, tasks: JobTasks, submit: SubmitSettings) -> Iterator[Unit]:
    """Yield what is planned and was not sent, in the plan's order."""
    alive: dict[str, list[Submission]] = {}
    for submission in ledger.submissions.values():
        if not submission.dead:
            alive.setdefault(submission.job, []).append(submission)
    for job in ledger.jobs:
        job_tasks, sent = tasks[job], alive.get(job, ())
        if job in ledger.workers:
            current = [number for number, attempt in job_tasks if attempt == ledger.attempt_of(number)]
            open_ = sum(number not in ledger.settled for number in current)
            if open_ and not sent:
                yield Unit(job, trials=open_, workers=ledger.workers[job])
        else:
            yield from _unsent_tasks(job, len(job_tasks), sent, each=submit.placement == "each")


def _unsent_tasks(job: str, size: int, sent: Sequence[Submission], *, each: bool) -> Iterator[Unit]:
    covered = {index for submission in sent for index in _indices(submission, size)}
    unsent = [index for index in range(size) if index not in covered]
    if each or size == 1:
        yield from (Unit(job, index=index) for index in unsent)
    elif len(unsent) == size:
        yield Unit(job, trials=size)
    else:
        yield from (Unit(job, trials=last - first + 1, span=(first, last)) for first, last in _runs(unsent))


def _runs(indices: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive numbers.

    >>> list(_runs([3, 4, 5, 8]))
    [(3, 5), (8, 8)]
    """
    known = set(indices)
    starts = [index for index in indices if index - 1 not in known]
    ends = [index for index in indices if index + 1 not in known]
    yield from zip(starts, ends, strict=True)
