"""The one part that knows the sweep folder: its paths, whole files by rename, the journal by append, the lock.

::

    results/<sweep>/
      grid.yaml  grid.1.yaml …   as planned, byte for byte; earlier ones numbered
      trials.jsonl               append-only: a trial a line; the newest line of a number counts
      journal.jsonl              append-only, synced: planned, submitting, submitted, unanswered, refused …
      poll.json                  the scheduler's latest word, to show while it is silent
      sweep.log                  each scheduler call
      node.py runner.py …        what runs on the nodes, as of the plan
      jobs/<job>.sh .tasks .log  the script, its trials by task, what its tasks say outside of a trial
      trials/<ab>/<id>/          attempt-1.json · log.txt · the result: three files a trial
      leaderboard.csv  report.html  best.yaml
      .results .answers          what was read and said before, to be neither read nor worked out twice
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import LockHeld, NoSuch, StoreError, UsageError, nearest
from sweep.model import Attempt, Job, Trial
from sweep.node import runner
from sweep.state.ledger import Ledger, add_up
from sweep.store import records
from sweep.store.files import Files, Stamp, TooLongError, bytes_of, storing

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: How long a command waits for another one that is changing the same sweep.
LOCK_PATIENCE_S = 60.0

#: A result larger than this is no result; it is not read.
MOST_RESULT_BYTES = 16 * 2**20

#: Of answers that are kept, so many characters in all.
MOST_ANSWERED = 4 * 2**20


def whoami() -> str:
    """Name the person; her number where the machine does not know her name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def create(results: Path, name: str) -> Store:
    """Make a sweep's folder, or take up the one that is there.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    store = Store(results.absolute() / name)
    try:
        (store.path / "jobs").mkdir(parents=True, exist_ok=True)
        (store.path / "trials").mkdir(exist_ok=True)
        probe = store.path / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"the results folder {str(store.path)!r} cannot be written: {error.strerror}",
            "go to a folder that is yours, or name one with --results",
        ) from None
    return store


def find(results: Path, name: str | None) -> Store:
    """Open a sweep by its name or its folder; without one, the current sweep: the last planned.

    Raises
    ------
    NoSuch
        There is none.
    """
    if name and (Path(name) / "trials.jsonl").is_file():
        return Store(Path(name).absolute())
    if not name:
        try:
            name = (results / ".current").read_text(encoding="utf-8").strip()
        except OSError:
            raise NoSuch(
                f"there is no current sweep in {str(results)!r}",
                "plan one with `sweep plan grid.yaml`, or name it",
            ) from None
    path = results.absolute() / name
    if not (path / "trials.jsonl").is_file():
        there = [one.parent.name for one in results.glob("*/trials.jsonl")]
        raise NoSuch(f"there is no sweep {name!r} in {str(results)!r}", nearest(name, there))
    return Store(path)


@dataclass(frozen=True)
class Planned:
    """What is on disk of the trials: each with the offset of its newest line."""

    trials: dict[int, Trial]
    offsets: dict[int, int]
    torn: tuple[str, ...]

    @property
    def active(self) -> list[Trial]:
        """The trials that the grid asks for, by number."""
        return [trial for trial in self.trials.values() if not trial.retired]


@dataclass
class _Journal:
    """What has been read of the journal: its events, and where the next whole line begins."""

    inode: int = 0
    end: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)


class Store(Files):
    """One sweep's folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._at = str(path)
        self.name = path.name
        self.patience_s = LOCK_PATIENCE_S
        self.say: Callable[[str], None] = lambda _line: None
        self._locked = False
        self._trials: tuple[Stamp | None, Planned] | None = None
        self._journal = _Journal()

    # --- trials and journal -------------------------------------------------------------------------------

    def trials(self) -> Planned:
        """Read the trials; while the file is as it was, what was read before. Not to be changed."""
        stamp = self.stamp_of("trials.jsonl")
        if self._trials is None or self._trials[0] != stamp or not stamp:
            self._trials = (stamp, self._read_trials())
        return self._trials[1]

    def _read_trials(self) -> Planned:
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
        return Planned(trials, offsets, tuple(torn))

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
        events, torn = self._events()
        return add_up(events), tuple(torn)

    def _events(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Read the journal, of which only new lines are read again: it only grows."""
        stamp = self.stamp_of("journal.jsonl")
        if not stamp or stamp[0] != self._journal.inode or stamp[1] < self._journal.end:
            self._journal = _Journal(stamp[0] if stamp else 0)
        known = self._journal
        last: list[dict[str, Any]] = []
        torn: list[str] = []
        for offset, line in self.lines("journal.jsonl", known.end):
            event = records.object_of(line)
            whole = line.endswith(b"\n")
            if event is None:
                said = f"journal.jsonl: the line at byte {offset} is torn and was passed over"
                (known.torn if whole else torn).append(said)
            else:
                (known.events if whole else last).append(event)
            known.end = offset + len(line) if whole else known.end
        return known.events + last, known.torn + torn

    def note(self, **event: Any) -> None:
        """Append an event to the journal, synced."""
        self.append("journal.jsonl", [json.dumps({"at": time.time(), **event}).encode()])

    def log(self, line: str) -> None:
        """Append a line to sweep.log; a disk that is full does not stop what is logged."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
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

    def make_current(self) -> None:
        """Make this the sweep that commands mean where none is named."""
        Store(self.path.parent).write(".current", self.name + "\n")

    # --- jobs ---------------------------------------------------------------------------------------------

    @property
    def paths(self) -> dict[str, str]:
        """The absolute paths that a job script needs."""
        return {
            "folder": str(self.path),
            "node": str(self.path / "node.py"),
            "worker": str(self.path / "worker.py"),
        }

    def script(self, job: str) -> Path:
        """Where a job's script is."""
        return self.path / "jobs" / f"{job}.sh"

    def job_log(self, job: str) -> Path:
        """Where a job's tasks write what belongs to no trial's log."""
        return self.path / "jobs" / f"{job}.log"

    def install_node(self) -> None:
        """Copy the runners into the folder, so that a later upgrade changes no planned sweep."""
        for name in ("node.py", "runner.py", "command.py", "worker.py", "guard.py", "preload.py"):
            self.write(name, Path(runner.__file__).with_name(name).read_bytes())

    def write_job(self, job: Job, script: str, offsets: dict[int, int]) -> None:
        """Write a job's script and its table of tasks (fixed width: a task is found by seeking)."""
        table = "".join(runner.TASK_LINE % (number, attempt, offsets[number]) for number, attempt in job.tasks)
        self.write(f"jobs/{job.name}.tasks", table)
        self.write_script(job.name, script)

    def write_script(self, job: str, script: str) -> None:
        """Write a script that can be run by hand."""
        self.write(f"jobs/{job}.sh", script)
        with storing(self.script(job)):
            self.script(job).chmod(0o755)

    def tasks(self, job: str) -> tuple[tuple[int, int], ...]:
        """Read a job's tasks: (trial number, attempt) each."""
        rows = (line.split() for line in self.read(f"jobs/{job}.tasks").splitlines())
        return tuple((int(number), int(attempt)) for number, attempt, _ in rows)

    def job_names(self) -> list[str]:
        """Name all jobs there ever were and whose files remain, in order."""
        return sorted(path.stem for path in (self.path / "jobs").glob("*.tasks"))

    def remove_job(self, job: str) -> None:
        """Remove the files of a job that was never sent."""
        for kind in ("sh", "tasks"):
            with storing(self.path):
                (self.path / "jobs" / f"{job}.{kind}").unlink(missing_ok=True)

    # --- what the nodes left ------------------------------------------------------------------------------

    def trial_folder(self, trial: Trial) -> Path:
        """Where a trial's files are."""
        return Path(self._folder(trial))

    def _folder(self, trial: Trial) -> str:
        return runner.trial_folder(self._at, trial.id)

    def begun(self) -> set[str]:
        """Return the ids of the trials that have a folder: a few hundred listings, however many trials."""
        if not self.path.is_dir():
            return set()
        try:
            shards = [entry.path for entry in os.scandir(self.path / "trials") if entry.is_dir()]
            return {name for shard in shards for name in os.listdir(shard)}
        except OSError as error:
            raise StoreError(f"cannot list {str(self.path / 'trials')!r}: {error.strerror}") from None

    def attempt(self, trial: Trial, number: int) -> Attempt | None:
        """Read an attempt's claim or exit record; None if there is none, or it cannot be read yet."""
        try:
            return records.attempt_of(number, bytes_of(f"{self._folder(trial)}/attempt-{number}.json"))
        except OSError:
            return None

    def withdraw(self, trial: Trial, number: int) -> bool:
        """Claim an attempt that nobody has begun, so that nobody will; False if someone has."""
        with storing(self.trial_folder(trial)):
            self.trial_folder(trial).mkdir(parents=True, exist_ok=True)
            path = self.trial_folder(trial) / f"attempt-{number}.json"
            return runner.claim(str(path), runner.withdrawn_record(trial.id, trial.number, number))

    def ask_to_end(self, trial: Trial, number: int) -> None:
        """Ask the runner of an attempt to end it, where the scheduler cannot be asked for it alone."""
        path = self.trial_folder(trial) / f"attempt-{number}.json"
        with storing(path):
            Path(runner.cancel_path(str(path))).touch()

    def result(self, trial: Trial, file: str) -> tuple[Any, str]:
        """Read a trial's result: (value, problem); the problem is empty if it was read."""
        try:
            data = bytes_of(f"{self._folder(trial)}/{file}", MOST_RESULT_BYTES)
            return records.value_of(data), ""
        except TooLongError as error:
            return None, f"{file} is {error} bytes long"
        except FileNotFoundError:
            return None, f"there is no {file}"
        except (ValueError, RecursionError) as error:
            return None, f"{file} is not JSON: {str(error)[:120]}"
        except OSError as error:
            return None, f"{file} cannot be read: {error.strerror}"

    def kept_results(self, file: str) -> dict[int, tuple[int, dict[str, Any]]]:
        """Return what `keep_results` kept of these files; nothing if that cannot be read."""
        try:
            kept = records.results_of(bytes_of(f"{self._at}/.results"))
        except (OSError, ValueError):
            return {}
        return kept.results if kept.file == file else {}

    def keep_results(self, file: str, results: dict[int, tuple[int, dict[str, Any]]]) -> None:
        """Keep results that will not change: trial number → attempt and result, all in one file."""
        with contextlib.suppress(StoreError, UnicodeEncodeError, OverflowError):  # who may not write, reads again
            self.write(".results", records.packed(records.Results(file, results)))

    def stamp(self) -> str:
        """Name the sweep's present state: another one as soon as anything is planned or journalled."""
        known = [self.stamp_of(name) for name in ("trials.jsonl", "journal.jsonl")]
        return repr(known) if all(known) else ""

    def answers(self, stamp: str) -> dict[str, str]:
        """Return the answers that were kept under this stamp, by question; none if the leaderboard was removed."""
        if not stamp or not (self.path / "leaderboard.csv").exists():
            return {}
        try:
            kept = records.answers_of(bytes_of(f"{self._at}/.answers"))
        except (OSError, ValueError):
            return {}
        return kept.answers if kept.stamp == stamp else {}

    def keep_answer(self, stamp: str, question: str, answer: str) -> None:
        """Keep an answer; those to older states of the sweep go."""
        kept = {**self.answers(stamp), question: answer}
        while len(kept) > 1 and sum(map(len, kept.values())) > MOST_ANSWERED:
            del kept[next(iter(kept))]
        if not stamp or len(answer) > MOST_ANSWERED:
            return
        with contextlib.suppress(StoreError, UnicodeEncodeError, TypeError):
            self.write(".answers", records.spelled(records.Answers(stamp, kept)))

    def picture(self, trial: Trial, path: str, most_bytes: int) -> bytes:
        """Read an image that a trial left; nothing if it is not there, no plain file, or too large."""
        try:
            file = self.trial_folder(trial) / path
            if not file.is_file() or file.stat().st_size > most_bytes:
                return b""
            return file.read_bytes()
        except (OSError, ValueError):  # ValueError: a NUL in the path
            return b""

    def trial_log(self, trial: Trial) -> Path:
        """Where a trial's output is."""
        return self.trial_folder(trial) / "log.txt"

    # --- the lock -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, patience_s: float | None = None) -> Iterator[None]:
        """Be the only one to change the sweep. Who holds the lock already may take it again.

        The operating system frees it when its holder dies, and nothing else does: it is never broken by age.

        Parameters
        ----------
        patience_s : float, optional
            How long to wait for it; else as long as the store's own `patience_s`.

        Raises
        ------
        LockHeld
            Someone else holds it, and still does after that.
        """
        if self._locked:
            yield
            return
        lock = self._acquired(self.patience_s if patience_s is None else patience_s)
        self._locked = True
        try:
            with contextlib.suppress(StoreError):
                self.write(".holder", f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}\n")
            yield
        finally:
            self._locked = False
            lock.release()

    def _acquired(self, patience_s: float) -> BaseFileLock:
        from filelock import FileLock, Timeout

        # Where the file system cannot lock, filelock falls back to a file that names its holder's process and
        # host; it takes that away only if that process is dead on this very host.
        lock = FileLock(self.path / ".lock")
        with storing(self.path / ".lock"):
            for wait_s in (min(0.5, patience_s), max(0.0, patience_s - 0.5)):
                try:
                    lock.acquire(timeout=wait_s, poll_interval=0.1)
                    return lock
                except Timeout:
                    if wait_s < patience_s - 0.5:
                        self.say(f"waiting up to {patience_s:.0f} s for {self._holder()}, who changes this sweep")
        raise LockHeld(
            f"the sweep {self.name!r} is being changed by {self._holder()}",
            "wait for it to end, or end it; the lock goes with its process",
        )

    def _holder(self) -> str:
        try:
            return (self.path / ".holder").read_text().strip()
        except OSError:
            return "another process"
