"""Results, answers and the last poll, kept so that they are not computed again. Deleting them loses nothing."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from typing import Any

from sweep.errors import NoSuch, StoreError
from sweep.model import SchedulerStatus, Task, TaskRef
from sweep.store import records
from sweep.store.files import Files, bytes_of
from sweep.store.records import KeptAnswers, KeptPoll, KeptResults, KeptTask

#: The most characters of all kept answers together.
MOST_ANSWER_CHARACTERS = 4 * 2**20

#: Trial number → attempt, and the result without its lists.
ResultsByTrial = dict[int, tuple[int, dict[str, Any]]]


class Cache:
    """The kept results, answers and poll of a sweep.

    Parameters
    ----------
    files : Files
        The sweep's folder.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    # --- results ------------------------------------------------------------------------------------------

    def results(self, file: str) -> ResultsByTrial:
        """Return what `keep_results` kept of result files of this name; nothing if that cannot be read."""
        try:
            kept = records.results_of(bytes_of(str(self._files.path / ".results")))
        except (OSError, ValueError):
            return {}
        return kept.results if kept.file == file else {}

    def keep_results(self, file: str, results: ResultsByTrial) -> None:
        """Keep results that will not change, all in one file."""
        with contextlib.suppress(
            StoreError, UnicodeEncodeError, OverflowError
        ):  # a user without the right to write reads them again
            self._files.write(".results", records.spelled_results(KeptResults(file, results)))

    # --- tasks --------------------------------------------------------------------------------------------

    def tasks(self) -> dict[str, tuple[Task, ...]]:
        """Return the tasks that `keep_tasks` kept, by job; nothing if that cannot be read."""
        try:
            return records.kept_tasks_of(bytes_of(str(self._files.path / ".tasks")))
        except (OSError, ValueError):
            return {}

    def keep_tasks(self, tasks: Mapping[str, tuple[Task, ...]]) -> None:
        """Keep the tasks of jobs that were sent: they do not change."""
        with contextlib.suppress(StoreError):
            self._files.write(".tasks", records.spelled_kept_tasks(tasks))

    # --- answers ------------------------------------------------------------------------------------------

    def stamp(self, trials: str) -> str:
        """Name the sweep's present state: another one as soon as anything is planned, journalled or removed.

        Parameters
        ----------
        trials : str
            What changes when a trial's folder is removed.
        """
        stamps = [self._files.stamp_of(name) for name in ("trials.jsonl", "journal.jsonl")]
        return repr([*stamps, zlib.crc32(trials.encode())]) if all(stamps) else ""

    def answers(self, stamp: str) -> dict[str, str]:
        """Return the answers that were kept under this stamp, by question; none if the leaderboard was removed."""
        if not stamp or not (self._files.path / "leaderboard.csv").exists():
            return {}
        try:
            kept = records.answers_of(bytes_of(str(self._files.path / ".answers")))
        except (OSError, ValueError):
            return {}
        return kept.answers if kept.stamp == stamp else {}

    def keep_answer(self, stamp: str, question: str, answer: str) -> None:
        """Keep an answer; those to older states of the sweep go."""
        answers = {**self.answers(stamp), question: answer}
        while len(answers) > 1 and sum(map(len, answers.values())) > MOST_ANSWER_CHARACTERS:
            del answers[next(iter(answers))]
        if not stamp or len(answer) > MOST_ANSWER_CHARACTERS:
            return
        with contextlib.suppress(StoreError, UnicodeEncodeError, TypeError):
            self._files.write(".answers", records.spelled(KeptAnswers(stamp, answers)))

    # --- the poll -----------------------------------------------------------------------------------------

    @property
    def poll_is_old(self) -> bool:
        """Whether a command has changed what is in the queue since the scheduler was asked."""
        polled = self._files.stamp_of("poll.json")
        return polled is not None and polled[2] == 0

    def mark_poll_old(self) -> None:
        """Have the next look ask the scheduler: something was just submitted, cancelled or planned again."""
        with contextlib.suppress(StoreError):
            self._files.date_back("poll.json")

    def poll(self) -> tuple[float, dict[TaskRef, SchedulerStatus], dict[TaskRef, float]]:
        """Return when the scheduler was last asked, its statuses, and since when each task is gone."""
        try:
            kept = records.poll_of(self._files.read("poll.json"))
        except NoSuch:
            kept = None
        if kept is None:
            return 0.0, {}, {}
        refs = [(TaskRef(task.job_id, task.index), task) for task in kept.tasks]
        statuses = {ref: kept.statuses[task.status_place] for ref, task in refs}
        return kept.at, statuses, {ref: task.gone_since for ref, task in refs if task.gone_since}

    def keep_poll(
        self, at: float, statuses: Mapping[TaskRef, SchedulerStatus], gone: Mapping[TaskRef, float]
    ) -> None:
        """Keep what the scheduler said, for when it is silent."""
        distinct = {id(status): status for status in statuses.values()}  # thousands that wait share one
        places = {key: place for place, key in enumerate(distinct)}
        tasks = [
            KeptTask(ref.job_id, ref.index, places[id(status)], gone.get(ref)) for ref, status in statuses.items()
        ]
        with contextlib.suppress(StoreError):  # a reader without the right to write keeps nothing
            self._files.write("poll.json", records.spelled(KeptPoll(at, [*distinct.values()], tasks)))
