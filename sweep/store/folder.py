"""One sweep's folder: its paths, and what lies under them.

::

    results/<sweep>/
      grid.yaml  grid.1.yaml …   as planned, byte for byte; earlier ones numbered
      trials.jsonl               append-only: a trial a line; the newest line of a number counts
      journal.jsonl              append-only, synced: an event a line, see state/events.py
      poll.json                  what the scheduler said last, to show while it is silent
      sweep.log                  each call of another program
      provenance.jsonl           each text once: what plans found to differ from a commit, to be installed, or to
                                 have been learnt by earlier sweeps
      node-1a2b3c4d/             what runs on the nodes: node.py, runner.py …, as of the plan
      jobs/<job>.sh .tasks .log  the script, its trials by task, what its tasks say outside of a trial
      jobs/<job>.variables       by trial, what these attempts have in their environment; of most jobs, none
      jobs/<job>.handed          jobs whose trials its workers run as well, as they waited for more; of most, none
      trials/<ab>/<id>/          attempt-1.json · log.txt · the result: three files a trial
      leaderboard.csv  report.html  best.yaml
      .results .answers          results and printed reports, kept for the next look
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sweep.clock import SYSTEM, Clock
from sweep.errors import CannotRead, NoSuch, StoreError
from sweep.model import Job, ResultProblem, Submission, Task, Trial
from sweep.node import claim, fitness, runner
from sweep.state.events import Event
from sweep.state.evidence import Attempt, ReadResult, ResultFault
from sweep.state.ledger import Ledger, add_up
from sweep.store import records
from sweep.store.cache import Cache
from sweep.store.files import NOT_THE_FILES_FAULT, Files, Stamp, TooLongError, bytes_of, storing, tail
from sweep.store.journal import Journal
from sweep.store.lock import Lock
from sweep.store.runners import Runners
from sweep.store.texts import Texts

#: A result larger than this is no result; it is not read.
MOST_RESULT_BYTES = 16 * 2**20

#: The tasks of so many jobs are read from their own files, before those of all are written into one.
WORTH_KEEPING = 8

#: The folder of the site's own template, as it was when the sweep was planned.
TEMPLATE = "template"

#: While this file is there, nothing is submitted; at most for so long: whoever wrote it may have died elsewhere.
STOP, STOP_S = ".stop", 120.0


def whoami() -> str:
    """Name the person; their number where the machine does not know their name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@dataclass(frozen=True)
class PlannedTrials:
    """What ``trials.jsonl`` holds.

    Attributes
    ----------
    trials : dict
        Number → trial, retired ones included.
    offsets : dict
        Number → where the trial's newest line begins, in bytes.
    torn : tuple of str
        A line about each torn one.
    """

    trials: dict[int, Trial]
    offsets: dict[int, int]
    torn: tuple[str, ...]

    @property
    def active(self) -> list[Trial]:
        """The trials that the grid asks for, by number."""
        return [trial for trial in self.trials.values() if not trial.retired]


class Store(Files):
    """One sweep's folder.

    Attributes
    ----------
    name : str
        The sweep's.
    journal : Journal
    cache : Cache
    runners : Runners
    texts : Texts
    unread : dict
        Path → why it could not be read, of records and results that were tried last without success.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM) -> None:
        super().__init__(path, clock)
        self._path = str(path)
        self.name = path.name
        self.journal = Journal(self)
        self.cache = Cache(self)
        self.runners = Runners(self)
        self.texts = Texts(self)
        self.mutex = Lock(self)
        self._trials: tuple[Stamp | None, PlannedTrials] | None = None
        self.unread: dict[str, str] = {}

    def stamp(self) -> str:
        """Name the sweep's present state; see `Cache.stamp`. Empty where it has none."""
        try:  # a folder's time of change tells that one in it was removed
            shards = sorted((each.name, each.stat().st_mtime_ns) for each in os.scandir(self.path / "trials"))
        except OSError:
            return ""
        return self.cache.stamp(repr(shards))

    # --- its place ----------------------------------------------------------------------------------------

    def is_at(self, home: str) -> bool:
        """Whether this folder is the one of that path; in older folders nobody wrote down which it was."""
        if home in ("", self._path):
            return True
        try:
            return Path(home).samefile(self._path)
        except OSError:
            return False

    def is_copy_of(self, home: str) -> bool:
        """Whether there is another sweep of ours at that path, so that this folder is a copy of it."""
        return not self.is_at(home) and (Path(home) / "journal.jsonl").is_file()

    # --- trials and journal -------------------------------------------------------------------------------

    def trials(self) -> PlannedTrials:
        """Read the trials; while the file is as it was, what was read before. Not to be changed."""
        stamp = self.stamp_of("trials.jsonl")
        if self._trials is None or self._trials[0] != stamp or not stamp:
            self._trials = (stamp, self._read_trials())
        return self._trials[1]

    def _read_trials(self) -> PlannedTrials:
        trials: dict[int, Trial] = {}
        offsets: dict[int, int] = {}
        torn = []
        for offset, line in self.lines("trials.jsonl"):
            trial = records.trial_of(line)
            if trial is None:
                torn.append(f"trials.jsonl: the line at byte {offset} is torn and was passed over")
                continue
            trials[trial.number] = trial
            offsets[trial.number] = offset
        return PlannedTrials(trials, offsets, tuple(torn))

    def add_trials(self, trials: Sequence[Trial]) -> dict[int, int]:
        """Append trials, or newer lines of trials that are there; the offset of each, by its number."""
        offsets = self.append("trials.jsonl", map(records.spelled, trials))
        return {trial.number: offset for trial, offset in zip(trials, offsets, strict=True)}

    def offsets_with(self, added: Sequence[Trial]) -> dict[int, int]:
        """Append trials; where the newest line of every trial is, in bytes."""
        before = {} if self.blank else self.trials().offsets
        return before | self.add_trials(added)

    @property
    def blank(self) -> bool:
        """Whether no plan has been written here yet."""
        return not any((self.path / name).exists() for name in ("trials.jsonl", "journal.jsonl"))

    def ledger(self) -> tuple[Ledger, tuple[str, ...]]:
        """Add up the journal; with it, a line about each torn one."""
        events, torn = self.journal.read()
        return add_up(events), tuple(torn)

    def note(self, event: Event) -> None:
        """Append an event to the journal, synced."""
        self.journal.append(event)

    def lock(self, patience_s: float | None = None) -> AbstractContextManager[None]:
        """Be the only one to change the sweep; see `Lock.hold`."""
        self.journal.read()  # a folder of another format is refused before anything in it is touched
        return self._locked(patience_s)

    @contextlib.contextmanager
    def _locked(self, patience_s: float | None) -> Iterator[None]:
        with self.mutex.hold(patience_s):
            self.journal.look_anew = True  # whoever held the lock before may have written, on another machine
            yield

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Ask whoever is submitting to stop after the call that they are in, and take no new one meanwhile."""
        self.write(STOP, f"{self.clock.now()} {os.getpid()} {socket.gethostname()} {whoami()}\n")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (self.path / STOP).unlink()

    def stopped_by(self) -> str:
        """Return who is asking to stop; empty: nobody, or somebody who has died or has had time enough."""
        try:
            at, pid, host, user = (self.path / STOP).read_text().split()
            recent = abs(self.clock.now() - float(at)) < STOP_S
            if host == socket.gethostname():
                with contextlib.suppress(PermissionError):  # it is there, and somebody else's
                    os.kill(int(pid), 0)
        except (OSError, ValueError, OverflowError):
            return ""
        return f"{user} on {host}" if recent else ""

    def log(self, line: str) -> None:
        """Append a line to sweep.log; a disk that is full does not stop what is logged."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.clock.now()))
        with (
            contextlib.suppress(OSError),
            (self.path / "sweep.log").open("a", errors="surrogateescape") as out,
        ):
            out.write(f"{stamp} {os.getpid()} {line}\n")

    def keep_grid(self, text: bytes) -> None:
        """Keep the grid as planned; an earlier one that differs gets a number."""
        path = self.path / "grid.yaml"
        with storing(path):
            if path.is_file() and path.read_bytes() != text:
                number = 1
                while (self.path / f"grid.{number}.yaml").exists():
                    number += 1
                path.rename(self.path / f"grid.{number}.yaml")
        self.write("grid.yaml", text)

    def keep_template(self, template: Path) -> None:
        """Keep a site's own template as it is now: the scripts of later attempts are made of it, too."""
        folder = self.path / TEMPLATE
        with storing(folder):
            folder.mkdir(exist_ok=True)
            text = template.read_bytes()
        self.write(f"{TEMPLATE}/{template.name}", text)

    def kept_template(self, template: Path) -> Path:
        """Return where a template is kept; the template itself where it is not."""
        kept = self.path / TEMPLATE / template.name
        return kept if kept.is_file() else template

    # --- jobs ---------------------------------------------------------------------------------------------

    @property
    def paths(self) -> dict[str, str]:
        """The absolute paths that a job script needs."""
        return {
            "folder": str(self.path),
            "node": str(self.runners.folder / "node.py"),
            "worker": str(self.runners.folder / "worker.py"),
        }

    def script(self, job: str) -> Path:
        """Where a job's script is."""
        return self.path / "jobs" / f"{job}.sh"

    def job_log(self, job: str) -> Path:
        """Where a job's tasks write what belongs to no trial's log."""
        return self.path / "jobs" / f"{job}.log"

    def write_jobs(self, jobs: Iterable[tuple[Job, str]], offsets: dict[int, int]) -> None:
        """Write jobs with their scripts, and the runners that the scripts call."""
        written = list(jobs)
        stops = any(" --stop " in script for _, script in written)
        self.runners.install(packed=any(job.workers for job, _ in written), stops=stops)
        for job, script in written:
            self.write_job(job, script, offsets)

    def write_job(self, job: Job, script: str, offsets: dict[int, int]) -> None:
        """Write a job's script and its table of tasks (fixed width: a task is found by seeking)."""
        self.write(f"jobs/{job.name}.tasks", records.spelled_tasks(job.tasks, offsets))
        if job.variables:
            self.write(f"jobs/{job.name}.variables", json.dumps(job.variables))
        self.write_script(job.name, script)

    def write_script(self, job: str, script: str) -> None:
        """Write a script that can be run by hand."""
        self.write(f"jobs/{job}.sh", script)
        with storing(self.script(job)):
            self.script(job).chmod(0o755)

    def tasks(self, job: str) -> tuple[Task, ...]:
        """Read a job's tasks. NoSuch where its files are gone."""
        return records.tasks_of(self.read(f"jobs/{job}.tasks"))

    def tasks_by_job(self, jobs: Iterable[str]) -> dict[str, tuple[Task, ...]]:
        """Read the tasks of many jobs, most of them from one file; none of a job whose files are gone."""
        kept = self.cache.tasks()
        tasks, new = {}, {}
        for job in jobs:
            if job in kept:
                tasks[job] = kept[job]
                continue
            try:
                tasks[job] = new[job] = self.tasks(job)
            except NoSuch:
                tasks[job] = ()
        if len(new) > WORTH_KEEPING:
            self.cache.keep_tasks({**kept, **new})
        return tasks

    def job_names(self) -> list[str]:
        """Name all jobs there ever were and whose files remain, in order."""
        return sorted(path.stem for path in (self.path / "jobs").glob("*.tasks"))

    def expect_more(self, job: str) -> None:
        """Make the file for jobs that are handed to this one: file servers may be late to show a new one."""
        self.write(f"jobs/{job}.handed", "")

    def hand(self, host: str, job_name: str, job: str) -> None:
        """Hand a job to the workers of another one that wait for more. No name: nothing more will come.

        Parameters
        ----------
        host, job_name : str
            The workers' job, and the name that it was submitted under.
        """
        variables = self.path / "jobs" / f"{job}.variables"
        named = str(variables) if job and variables.exists() else ""
        line = json.dumps({"to": job_name, "job": job, "variables": named})
        self.append(f"jobs/{host}.handed", [line.encode()])

    def is_dismissed(self, waiting: Submission) -> bool:
        """Whether workers that wait were told that nothing more will come."""
        handed = [records.object_of(line) or {} for _, line in self.lines(f"jobs/{waiting.job}.handed")]
        return any(each.get("to") == waiting.job_name and not each.get("job") for each in handed)

    def remove_job(self, job: str) -> None:
        """Remove the files of a job that was never sent."""
        for kind in ("sh", "tasks", "variables", "handed"):
            with storing(self.path):
                (self.path / "jobs" / f"{job}.{kind}").unlink(missing_ok=True)

    # --- what the nodes left ------------------------------------------------------------------------------

    def trial_folder(self, trial: Trial) -> Path:
        """Where a trial's files are."""
        return Path(self._folder(trial))

    def _folder(self, trial: Trial) -> str:
        return runner.trial_folder(self._path, trial.id)

    @property
    def is_ours(self) -> bool:
        """Whether this user submitted, or will: a scheduler may hide people's jobs from each other."""
        try:
            return (self.path / "journal.jsonl").stat().st_uid == os.geteuid()
        except OSError:
            return True

    def begun(self) -> set[str]:
        """Return the ids of the trials that have a folder: a few hundred listings, however many trials."""
        if not self.path.is_dir():
            return set()
        try:
            shards = [entry.path for entry in os.scandir(self.path / "trials") if entry.is_dir()]
            return {name for shard in shards for name in os.listdir(shard)}
        except OSError as error:
            raise StoreError(
                f"cannot list {str(self.path / 'trials')!r}: {error.strerror}",
                "nothing was concluded from it; if it is on another disk, is that mounted?",
            ) from None

    def has_result(self, trial: Trial, file: str) -> bool:
        """Whether a result file is there, or may be: it cannot be looked for."""
        try:
            os.stat(f"{self._folder(trial)}/{file}")  # noqa: PTH116 - thousands
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            pass
        return True

    def attempt(self, trial: Trial, number: int) -> Attempt | None:
        """Read an attempt's claim or exit record; None if there is none.

        Raises
        ------
        CannotRead
            It is there, or may be: nobody may conclude that the trial was never begun.
        """
        path = f"{self._folder(trial)}/attempt-{number}.json"
        try:
            attempt = records.attempt_of(bytes_of(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._cannot_read(path, error.strerror or str(error)) from None
        if attempt is None:
            raise self._cannot_read(path, "it is half written, or no record")
        self.unread.pop(path, None)
        return attempt

    def _cannot_read(self, path: str, why: str) -> CannotRead:
        self.unread[path] = why
        return CannotRead(f"cannot read {path!r}: {why}", "nothing was concluded from it; look again")

    def written_at(self, trial: Trial, number: int) -> float | None:
        """Return when an attempt's record was last written (Unix time, by the file server's clock)."""
        try:
            return os.stat(f"{self._folder(trial)}/attempt-{number}.json").st_mtime  # noqa: PTH116 - thousands
        except OSError:
            return None

    # --- the nodes ----------------------------------------------------------------------------------------

    def unfit_nodes(self) -> list[str]:
        """Name the nodes on which trials fail at once that do not fail elsewhere; see node/fitness.py."""
        return fitness.unfit(fitness.read(self._path))

    def forgive_nodes(self) -> list[str]:
        """Forget what trials did on each node. Returns those that were unfit."""
        names = self.unfit_nodes()
        folder = self.path / fitness.FOLDER
        with storing(folder):
            for path in folder.iterdir() if folder.is_dir() else ():
                path.unlink(missing_ok=True)
        return names

    def withdraw(self, trial: Trial, number: int) -> bool:
        """Claim an attempt that nobody has begun, so that nobody will; False if someone has."""
        with storing(self.trial_folder(trial)):
            self.trial_folder(trial).mkdir(parents=True, exist_ok=True)
            path = self.trial_folder(trial) / f"attempt-{number}.json"
            return claim.claim(str(path), runner.withdrawn_record(trial.id, trial.number, number))

    def ask_to_end(self, trial: Trial, number: int) -> None:
        """Ask the runner of an attempt to end it, where the scheduler cannot be asked for it alone."""
        path = self.trial_folder(trial) / f"attempt-{number}.json"
        with storing(path):
            Path(runner.cancel_path(str(path))).touch()

    def result(self, trial: Trial, file: str) -> ReadResult:
        """Read a trial's result file.

        Raises
        ------
        CannotRead
            It cannot be read this time, or not by this user: it may be valid.
        """
        path = f"{self._folder(trial)}/{file}"
        try:
            read = _result_at(path, file, MOST_RESULT_BYTES)
        except OSError as error:
            raise self._cannot_read(path, error.strerror or str(error)) from None
        if read.fault is None:
            self.unread.pop(path, None)
        return read

    def result_so_far(self, trial: Trial, file: str, most_bytes: int) -> tuple[ReadResult, float | None]:
        """Read what a trial has written of its result, and when it did (Unix time). No error comes of it."""
        path = f"{self._folder(trial)}/{file}"
        try:
            written_at = os.stat(path).st_mtime  # noqa: PTH116 - thousands
        except OSError:
            written_at = None
        try:
            return _result_at(path, file, most_bytes), written_at
        except OSError as error:
            return ReadResult(fault=_unreadable(file, error)), written_at

    def picture(self, trial: Trial, path: str, most_bytes: int) -> bytes:
        """Read an image that a trial left; nothing if it is not there, no plain file, or too large."""
        try:
            file = self.trial_folder(trial) / path
            if not file.is_file() or file.stat().st_size > most_bytes:
                return b""
            return file.read_bytes()
        except (OSError, ValueError):  # ValueError: a NUL in the path
            return b""

    def log_tail(self, trial: Trial, lines: int) -> list[str]:
        """Return the last lines of a trial's output; nothing if it wrote nothing."""
        return tail(self.trial_log(trial), lines)

    def job_log_tail(self, job: str, lines: int) -> list[str]:
        """Return the last lines that a job's tasks wrote outside of any trial: a failed `module load`, say."""
        return tail(self.job_log(job), lines)

    def trial_log(self, trial: Trial) -> Path:
        """Where a trial's output is."""
        return self.trial_folder(trial) / "log.txt"


def _result_at(path: str, file: str, most_bytes: int) -> ReadResult:
    """Read a result file. OSError if it cannot be read this time, or not by this user: it may be valid."""
    try:
        return ReadResult(records.value_of(bytes_of(path, most_bytes)))
    except TooLongError as error:
        fault = ResultFault(ResultProblem.TOO_LARGE, f"{file} is {error} bytes long")
    except FileNotFoundError:
        fault = ResultFault(ResultProblem.MISSING, f"there is no {file}")
    except (ValueError, RecursionError) as error:
        fault = ResultFault(ResultProblem.NOT_JSON, f"{file} is not JSON: {str(error)[:120]}")
    except OSError as error:
        if error.errno in NOT_THE_FILES_FAULT:
            raise
        fault = _unreadable(file, error)
    return ReadResult(fault=fault)


def _unreadable(file: str, error: OSError) -> ResultFault:
    return ResultFault(ResultProblem.UNREADABLE, f"{file} cannot be read: {error.strerror}")
