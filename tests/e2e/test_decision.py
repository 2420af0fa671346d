"""A decision of any kind: what it holds is not sent, and what it gives an attempt runs with that attempt's own facts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.jobs.pack import AttemptRequest
from sweep.model import Raised, State
from sweep.shell import Shell
from sweep.state.events import Decided, NextAttempt, Submitting, Unanswered
from sweep.steps.decision import Decision, commit, digest, hold, prepare, request_of, taken_out
from sweep.steps.make_jobs import JobMaker, maker_of
from sweep.steps.observe import observe
from sweep.steps.select import Selection, selected
from sweep.store import Store
from tests.conftest import ROOT, Sandbox
from tests.e2e.conftest import until

Toy = Callable[..., Path]

#: Writes what it finds in its environment. It pauses where that is nothing.
TRIAL = """\
import json, os, sys
until = os.environ.get("SWEEP_UNTIL", "")
json.dump({"segMeasure": 0.5, "until": until}, open(os.environ["SWEEP_RESULT"], "w"))
sys.exit(75 if sys.argv[1] == "pause" and not until else 0)
"""


class Desk:
    """Where decisions are made, as a command would: under the lock, in the folder of the sweep's own commands."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(sandbox.path)
        self.store = Store(sandbox.path / "results" / "toy")

    def _maker(self) -> JobMaker:
        return maker_of(self.store, self.store.ledger()[0].settings)

    def hold(self, *numbers: int) -> Decided:
        """Hold trials."""
        with self.store.lock():
            ledger, maker = self.store.ledger()[0], self._maker()
            decision = hold(self.store, ledger, maker, dict.fromkeys(numbers, "not among the best"), by="race")
            return commit(self.store, prepare(self.store, ledger, maker, decision))

    def let_go_on(self, number: int, attempt: int, **variables: str) -> Decided:
        """Give a trial an attempt with variables of its own."""
        with self.store.lock():
            ledger, maker = self.store.ledger()[0], self._maker()
            asked = request_of(maker, ledger, self.store.trials().trials[number], variables=variables)
            request = AttemptRequest(number, attempt, asked.resources, asked.avoid, asked.variables)
            following = [NextAttempt(number=number, attempt=attempt, rule="asked", variables=variables)]
            decision = Decision(Decided(by="race", attempts=following), (request,))
            return commit(self.store, prepare(self.store, ledger, maker, decision))


@pytest.fixture
def desk(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(sandbox, monkeypatch)


def planned(sandbox: Sandbox, toy: Toy, **keys: str) -> None:
    sandbox.write("until.py", TRIAL)
    toy(**{"command": "[python3, until.py, '{{ x }}']", "parameters": "{x: [1, 2, 3, 4]}", **keys})
    sandbox.sweep("plan")


def result(sandbox: Sandbox, trial: int) -> Any:
    return sandbox.sweep("why", str(trial), "--json").json["result"]


@pytest.mark.parametrize(
    "submit", ["{placement: array}", "{placement: each}", "{placement: packed, per_worker: 2}"]
)
def test_what_is_held_is_not_sent_until_it_is_given_an_attempt(
    sandbox: Sandbox, toy: Toy, desk: Desk, submit: str
) -> None:
    planned(sandbox, toy, submit=submit)
    desk.hold(1, 2)
    assert sandbox.states() == {"planned": 2, "held": 2}
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 2
    until(sandbox.states, {"done": 2, "held": 2})
    report = sandbox.sweep("why", "1", "--json").json
    assert (report["state"], report["cause"]) == ("held", "held")
    assert report["reason"] == "held by race: not among the best"
    again = sandbox.sweep("submit", "--follow", "--json").json  # nothing of it is waited for
    assert (again["trials_sent"], again["trials_left"]) == (0, 0)
    sandbox.sweep("retry", "1", code=2)
    sandbox.sweep("cancel", "1", code=2)
    sandbox.sweep("plan")  # another plan gives none an attempt
    assert sandbox.states() == {"done": 2, "held": 2}
    ranks = {row["trial"]: row["rank"] for row in sandbox.sweep("report", "--json").json}
    assert ranks == {0: 1, 3: 1, 1: None, 2: None}
    desk.let_go_on(2, 1, SWEEP_UNTIL="9")
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 1
    until(sandbox.states, {"done": 3, "held": 1})
    assert (result(sandbox, 2)["until"], result(sandbox, 0)["until"]) == ("9", "")


def test_a_job_that_was_sent_is_left_alone(sandbox: Sandbox, toy: Toy, desk: Desk) -> None:
    planned(sandbox, toy)
    sandbox.sweep("submit")
    event = desk.hold(0, 3)
    assert (event.dropped, event.jobs) == ([], [])
    until(sandbox.states, {"done": 4})


def test_what_paused_is_held_and_goes_on_with_the_variables_of_its_attempt(
    sandbox: Sandbox, toy: Toy, desk: Desk
) -> None:
    planned(sandbox, toy, parameters="{x: [pause, done]}")
    sandbox.sweep("submit")
    until(sandbox.states, {"done": 1, "paused": 1})
    desk.hold(0)
    assert sandbox.states() == {"done": 1, "held": 1}
    assert sandbox.sweep("submit", "--json").json["resumed"] == 0
    desk.let_go_on(0, 2, SWEEP_UNTIL="27")
    sandbox.sweep("submit")
    until(sandbox.states, {"done": 2})
    assert result(sandbox, 0)["until"] == "27"


def test_the_next_attempt_has_the_variables_of_the_last(sandbox: Sandbox, toy: Toy, desk: Desk) -> None:
    """A retry of a trial that was told how far to go does not make it go further."""
    planned(sandbox, toy, parameters="{x: [1, 2]}")
    desk.hold(0)
    desk.let_go_on(0, 1, SWEEP_UNTIL="3", SWEEP_NUMBER="not this")
    (sandbox.path / "until.py").rename(sandbox.path / "away.py")
    sandbox.sweep("submit")
    until(sandbox.states, {"failed": 2})
    sandbox.write("until.py", TRIAL)
    sandbox.sweep("retry", "--errors")
    until(sandbox.states, {"done": 2})
    assert (result(sandbox, 0)["until"], result(sandbox, 1)["until"]) == ("3", "")
    events = [event for event in desk.store.journal.read()[0] if isinstance(event, Decided)]
    assert [event.by for event in events] == ["plan", "race", "race", "retry"]
    assert all(event.saw for event in events if event.by in ("plan", "retry"))
    assert [event.format for event in events] == [1, 3, 3, 3]


def test_a_new_plan_keeps_what_a_retry_avoids(sandbox: Sandbox, toy: Toy, desk: Desk) -> None:
    """It made the jobs anew, and forgot the nodes that had failed under the trial."""
    toy(scheduler="{kind: slurm}", parameters="{x: [1, 2], how: [ok]}")
    sandbox.sweep("plan")
    with desk.store.lock():
        desk.store.note(
            Decided(by="retry", attempts=[NextAttempt(number=1, attempt=2, rule="error", avoid=("n7",))])
        )
    sandbox.sweep("plan")
    ledger = desk.store.ledger()[0]
    scripts = [desk.store.script(job).read_text() for job in ledger.jobs]
    assert len(scripts) == 2
    assert sum("--exclude=n7" in script for script in scripts) == 1


def test_what_was_held_meanwhile_is_left_out_of_a_job_that_comes_back(
    sandbox: Sandbox, toy: Toy, desk: Desk
) -> None:
    """The job was in doubt when its trial was held, and turns out not to be there."""
    planned(sandbox, toy, parameters="{x: [1, 2, 3]}")
    with desk.store.lock():
        desk.store.note(Submitting(token="00ff00ff", job="j0001", job_name="toy.j0001.00ff00ff"))
        desk.store.note(Unanswered(token="00ff00ff"))
    desk.hold(1)
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 2
    until(sandbox.states, {"done": 2, "held": 1})


def test_an_attempt_that_is_given_back_is_no_further_one(sandbox: Sandbox, toy: Toy, desk: Desk) -> None:
    planned(sandbox, toy, parameters="{x: [1, 2]}")
    with desk.store.lock():
        desk.store.note(Decided(by="retry", attempts=[NextAttempt(number=0, attempt=2, rule="error")]))
        desk.store.note(Decided(by="alter", attempts=[NextAttempt(number=0, attempt=2)]))
    ledger = desk.store.ledger()[0]
    assert (ledger.rules[0], ledger.attempts[0], len(ledger.earlier)) == (["error"], 2, 1)


# --- the sketches of docs/architecture.md -------------------------------------------------------------------


def sketch(verb: str) -> str:
    """Return a verb's code as the documentation has it, with what all of them begin with."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("### What is to come")[1]
    beginning, after = text.split("```python")[1], text.split(f"**{verb}**")[1]
    blocks = [beginning.split("```")[0], re.findall(r"```python\n(.*?)```", after, re.DOTALL)[0]]
    return "\n".join(blocks)


def decide(desk: Desk, verb: str, where: str, **given: Any) -> None:
    """Do what a sketch says."""
    names = dict(
        store=desk.store, shell=Shell(), selection=Selection(where=where), trials=(), observe=observe,
        maker_of=maker_of, selected=selected, digest=digest, taken_out=taken_out, request_of=request_of,
        replace=replace, NextAttempt=NextAttempt, Decided=Decided, Raised=Raised, State=State, **given,
    )  # fmt: skip
    with desk.store.lock():
        exec(sketch(verb), names)
        decision = Decision(names["event"], tuple(names["requests"]), tuple(names["trials"]))
        commit(desk.store, prepare(desk.store, names["ledger"], names["maker"], decision))


def test_the_sketches_hold(sandbox: Sandbox, toy: Toy, desk: Desk) -> None:
    planned(sandbox, toy)
    desk.hold(3)
    decide(desk, "alter", "x <= 2", memory_mib=150, walltime_s=None)
    decide(desk, "rm --where", "x == 1")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 2, "held": 1}
    asks = {
        status.trial.number: status.trial.resources.memory_mib for status in observe(desk.store, Shell()).active
    }
    assert asks == {1: 150, 2: 100, 3: 100}
    decide(desk, "rerun", "state == 'done' and x == 3")
    assert sandbox.states() == {"planned": 1, "done": 1, "held": 1}
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 2, "held": 1}
    assert sandbox.sweep("why", "2", "--json").json["attempt"]["attempt"] == 2
