"""No decision depends on the words of a message: every message is reworded, and the outcome stays the same."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweep.errors import SchedulerRefused, SchedulerSilent
from sweep.model import Cause, Limits, Outcome, SchedulerStatus, State, TaskRef, TaskState, Verdict
from sweep.report import terminal
from sweep.schedulers import SCHEDULERS, PollAnswer, SoughtJob, SubmitRequest, Talk
from sweep.schedulers.local import Local
from sweep.shell import Shell
from sweep.state import recovery, results, verdict
from sweep.state.evidence import ReadResult, ResultFault
from sweep.steps.observe import observe
from sweep.store import Store
from sweep.verbs.cancel import cancel
from sweep.verbs.plan import plan
from sweep.verbs.report import report
from sweep.verbs.retry import retry
from sweep.verbs.status import StatusReport, status
from sweep.verbs.submit import submit

GRID = """\
name: toy
command: train {{ x }}
parameters: {x: {range: [0, 15]}}
objective: {metric: METRIC, file: r.json}
retry: {error: {times: 0}, walltime: {times: 1}}
"""

#: Trial → the record of its node (None: nothing), its result, and its status at the scheduler.
TrialEvidence = tuple[dict[str, Any] | None, str | None, SchedulerStatus]


def ended(outcome: Outcome, **more: Any) -> SchedulerStatus:
    return SchedulerStatus(TaskState.ENDED, outcome, **more)


def evidence_of_trials(words: str) -> dict[int, TrialEvidence]:
    """Return the records and results of 16 trials. Every text of a node or a scheduler is `words`."""
    failed = ended(Outcome.FAILED, reason=words)
    return {
        0: ({"exit_code": 0}, '{"acc": 0.5, "f1": 0.1}', ended(Outcome.COMPLETED)),
        1: ({"exit_code": 0}, '{"acc": 0.7}', ended(Outcome.COMPLETED)),
        2: ({"exit_code": 0}, None, ended(Outcome.COMPLETED)),
        3: ({"exit_code": 0}, '{"acc": null, "f1": 0.3}', ended(Outcome.COMPLETED)),
        4: ({"exit_code": 0}, "{", ended(Outcome.COMPLETED)),
        5: ({"exit_code": 3}, None, failed),
        6: ({"exit_code": 1, "failure": "environment", "error": words}, None, failed),
        7: ({"exit_code": 127, "failure": "start", "error": words}, None, failed),
        8: ({"signal": 9, "exit_code": None, "peak_memory_mib": 2047.0}, None, failed),
        9: ({"signal": 15, "exit_code": None, "signals": ["SIGTERM"]}, None, ended(Outcome.TIMEOUT, reason=words)),
        10: (
            {"signal": 15, "exit_code": None, "signals": ["SIGTERM"]},
            None,
            ended(Outcome.NODE_FAIL, reason=words),
        ),
        11: ({"exit_code": 75}, None, ended(Outcome.COMPLETED)),
        12: (None, None, SchedulerStatus(TaskState.PENDING, reason=words)),
        13: (None, None, ended(Outcome.CANCELLED, reason=words, cancelled_by=words)),
        14: (None, None, ended(Outcome.LAUNCH, reason=words)),
        15: (None, None, SchedulerStatus(TaskState.RUNNING, reason=words)),
    }


class Scheduler(Local):
    """A scheduler that accepts the first job, refuses the later ones, and answers with the given statuses."""

    grace_s = 0.0

    def __init__(self, words: str) -> None:
        self.words, self.evidence, self.submitted = words, evidence_of_trials(words), 0

    def limits(self, place: object) -> Talk[Limits]:
        yield from ()
        return Limits(1000)

    def spell(self, task: TaskRef) -> str:
        return task.job_id

    def submit(self, request: SubmitRequest) -> Talk[str]:
        yield from ()
        self.submitted += 1
        if self.submitted > 1:
            raise SchedulerRefused(self.words)
        return "7"

    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:
        yield from ()
        return {}

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        yield from ()
        return PollAnswer({task: self.evidence[task.index or 0][2] for task in tasks}, (self.words,))

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        yield from ()


def write_evidence(store: Store, words: str) -> None:
    token = next(iter(store.ledger()[0].submissions))
    for number, (record, result, _) in evidence_of_trials(words).items():
        if record is None:
            continue
        trial = store.trials().trials[number]
        folder = store.trial_folder(trial)
        folder.mkdir(parents=True)
        whole = {"format": 1, "trial": trial.id, "number": number, "attempt": 1, "job_id": "7", "host": "n1",
                 "job_name": f"toy.j0001.{token}", "index": number, "started_at": 1.0, "ended": True}  # fmt: skip
        (folder / "attempt-1.json").write_text(json.dumps({**whole, **record}))
        if result is not None:
            (folder / "r.json").write_text(result)


def decisions(folder: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> list[Any]:
    """Take a sweep through most decisions of the code. Return them without the words."""
    folder.mkdir()
    tokens = itertools.count()
    monkeypatch.setattr(secrets, "token_hex", lambda _: f"t{next(tokens)}")
    monkeypatch.setitem(SCHEDULERS, "local", Scheduler(words))
    monkeypatch.chdir(folder)
    grid, shell = Path("grid.yaml"), Shell()
    grid.write_text(GRID.replace("METRIC", "acc"))
    plan(grid, Path("results"), shell)
    store = Store(Path("results/toy").absolute())
    out: list[Any] = [asdict(submit(store, shell))]
    write_evidence(store, words)
    out.append(asdict(status(store, shell)))
    ranked = report(store, shell, write=False).analysis.board.entries
    out.append([(entry.trial.number, entry.verdict.state) for entry in ranked])
    with pytest.raises(SchedulerRefused):  # the trials of the rules are planned, their jobs refused
        submit(store, shell, retry=True)
    out.append(asdict(status(store, shell)))
    out.append(planned_counts_shown(status(store, shell)))
    out.append(asdict(retry(store, shell, also=(Cause.ERROR,))))
    out.append(asdict(cancel(store, shell)))
    grid.write_text(GRID.replace("METRIC", "f1"))  # results are judged again
    plan(grid, Path("results"), shell)
    out.append(asdict(status(store, shell)))
    best = report(store, shell, write=False).best
    out.append(best and best.entry.trial.number)
    out.append([json.loads(line) for line in (store.path / "journal.jsonl").read_text().splitlines()])
    return [without_words(value) for value in out]


class PackedScheduler(Scheduler):
    """A scheduler whose workers run, then end, and which then does not answer."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.phase = "running"

    def submit(self, request: SubmitRequest) -> Talk[str]:
        yield from ()
        if self.phase == "silent":
            raise SchedulerSilent(self.words)
        self.submitted += 1
        return str(6 + self.submitted)

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        yield from ()
        if self.phase == "silent":
            raise SchedulerSilent(self.words)
        running = SchedulerStatus(TaskState.RUNNING, reason=self.words)
        return PollAnswer(
            {
                task: running if self.phase == "running" else ended(Outcome.COMPLETED, reason=self.words)
                for task in tasks
            }
        )


def packed_decisions(folder: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> list[Any]:
    """Take a packed sweep through left-over and lost trials, a silent scheduler and a doubt."""
    folder.mkdir()
    tokens = itertools.count()
    scheduler = PackedScheduler(words)
    monkeypatch.setattr(secrets, "token_hex", lambda _: f"t{next(tokens)}")
    monkeypatch.setitem(SCHEDULERS, "local", scheduler)
    monkeypatch.chdir(folder)
    grid, shell = Path("grid.yaml"), Shell()
    grid.write_text(GRID.replace("METRIC", "acc") + "submit: {placement: packed}\n")
    plan(grid, Path("results"), shell)
    store = Store(Path("results/toy").absolute())
    out: list[Any] = [asdict(submit(store, shell)), asdict(status(store, shell))]
    records: list[dict[str, Any]] = [
        {"ended": True, "exit_code": 0},
        {"ended": False},
        {"ended": True, "exit_code": 3},
    ]
    for number, record in enumerate(records):
        trial = store.trials().trials[number]
        store.trial_folder(trial).mkdir(parents=True)
        whole = {"format": 1, "trial": trial.id, "number": number, "attempt": 1, "job_id": "7", "host": "n1",
                 "job_name": "toy.j0001.t0", "index": 0, "packed": True, "started_at": 1.0}  # fmt: skip
        (store.trial_folder(trial) / "attempt-1.json").write_text(json.dumps({**whole, **record}))
        (store.trial_folder(trial) / "r.json").write_text('{"acc": 0.5}')
    out.append(asdict(status(store, shell)))
    scheduler.phase = "ended"
    # They are gone only from the second look on: the first says since when.
    out += [asdict(status(store, shell)) for _ in range(2)]
    out.append(asdict(retry(store, shell)))  # the lost one
    scheduler.phase = "silent"
    out.append(asdict(status(store, shell)))
    with pytest.raises(SchedulerSilent):  # a doubt
        submit(store, shell)
    out.append(asdict(status(store, shell)))
    scheduler.phase = "ended"
    out.append(asdict(submit(store, shell, retry=True)))  # not there: sent again, and what the workers left, too
    out.append(asdict(status(store, shell)))
    out.append([json.loads(line) for line in (store.path / "journal.jsonl").read_text().splitlines()])
    return [without_words(value) for value in out]


def planned_counts_shown(report: StatusReport) -> list[str]:
    """Return the terminal's counts of planned trials, without the reasons."""
    console = Console(width=1000)
    with console.capture() as text:
        console.print(terminal.status(report))
    return [line.partition(":")[0] for line in text.get().splitlines() if line.startswith("planned,")]


#: Keys whose values are for people, or differ from run to run.
WORDS = {"reason", "said", "stale", "notes", "why_left", "driver", "log_tail", "same_reason", "refusal", "at", "by", "workdir",
         "home", "folder", "git_problem", "python_problem", "time_left_s", "elapsed_s", "started_at", "ended"}  # fmt: skip


def without_words(value: Any) -> Any:
    if isinstance(value, dict) and value.get("event") == "observed":
        value = {
            **value,
            "trials": [[*end[:2], _without_text(end[2])] for end in value["trials"]],
        }
    if isinstance(value, dict):
        return {key: without_words(item) for key, item in value.items() if key not in WORDS}
    if isinstance(value, list | tuple):
        items = [without_words(item) for item in value]
        waits = bool(items) and all(isinstance(item, dict) and set(item) == {"cause", "count"} for item in items)
        return _by_cause(items) if waits else items
    return value


def _without_text(verdict: list[Any]) -> list[Any]:
    """Return a verdict's fields as the journal has them, all but the reason and the scheduler's words."""
    fields = zip(Verdict.__struct_fields__, verdict, strict=True)
    return [value for name, value in fields if name not in {"reason", "said"}]


def _by_cause(waits: list[dict[str, Any]]) -> dict[str, int]:
    """Add up the waiting trials by cause, as one cause may have several reasons."""
    return {str(wait["cause"]): sum(w["count"] for w in waits if w["cause"] == wait["cause"]) for wait in waits}


def reword(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Replace every message that the code makes about a trial by `words`."""
    read = Store.result
    refused = recovery._refused

    def read_reworded(self: Store, *arguments: Any) -> ReadResult:
        answer = read(self, *arguments)
        return ReadResult(fault=ResultFault(answer.fault.problem, words)) if answer.fault else answer

    wording: Callable[..., str] = lambda *_: words  # noqa: E731
    monkeypatch.setattr(verdict, "TABLE", tuple(replace(row, why=wording) for row in verdict.TABLE))
    monkeypatch.setattr(results, "_words", wording)
    monkeypatch.setattr(Store, "result", read_reworded)
    monkeypatch.setattr(recovery, "_refused", lambda rule, why_not, _: refused(rule, why_not, words))


@pytest.fixture
def original(tmp_path: Path) -> Iterator[list[Any]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield decisions(tmp_path / "a", monkeypatch, "exit code 0, but there is no result")


@pytest.mark.parametrize("words", ["", "the environment line", "not submitted yet", "ü"])
def test_rewording_every_message_changes_nothing(original: list[Any], tmp_path: Path, words: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        reword(monkeypatch, words)
        reworded = decisions(tmp_path / "b", monkeypatch, words)
    for before, after in zip(original, reworded, strict=True):
        assert after == before


@pytest.mark.parametrize("words", ["", "waits for a worker", "ü"])
def test_rewording_changes_nothing_of_a_packed_sweep(tmp_path: Path, words: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        original = packed_decisions(tmp_path / "a", monkeypatch, "a lost connection")
    with pytest.MonkeyPatch.context() as monkeypatch:
        reword(monkeypatch, words)
        reworded = packed_decisions(tmp_path / "b", monkeypatch, words)
    for before, after in zip(original, reworded, strict=True):
        assert after == before
    states = [step["counts"] for step in original if isinstance(step, dict) and "counts" in step]
    assert {"queued", "running", "done", "failed", "lost", "planned", "submitting"} <= {
        s for c in states for s in c
    }


def test_what_is_reworded_covers_most_states_and_causes(original: list[Any]) -> None:
    first = original[1]
    assert set(first["counts"]) >= {
        State.DONE,
        State.FAILED,
        State.CANCELLED,
        State.PAUSED,
        State.QUEUED,
        State.RUNNING,
    }
    causes = {group["cause"] for group in first["failures"]}
    assert causes >= {"no result", "result not valid", "error", "environment", "launch failure", "out of memory",
                      "walltime", "node failure", "cancelled", "paused"}  # fmt: skip


def test_each_end_is_news_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEDULERS, "local", Scheduler("words"))
    monkeypatch.chdir(tmp_path)
    shell = Shell()
    Path("grid.yaml").write_text(GRID.replace("METRIC", "acc"))
    plan(Path("grid.yaml"), Path("results"), shell)
    store = Store(Path("results/toy").absolute())
    submit(store, shell)
    first = observe(store, shell).news
    write_evidence(store, "words")
    news = [*first, *observe(store, shell).news]
    assert len(news) > len(first) > 0
    assert {end.number: (end.attempt, end.verdict) for end in news} == store.ledger()[0].settled
    assert observe(store, shell).news == ()
