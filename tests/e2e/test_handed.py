"""Workers of a packed job that wait for more: a race's waves need not queue again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psutil

from tests.clusters import Cluster
from tests.conftest import Sandbox
from tests.e2e.conftest import until
from tests.e2e.test_killed import SOON, until_sent
from tests.e2e.test_race import Toy, race_on, racing

__all__ = ["racing"]

WAITING = "{placement: packed, workers: 2, linger: 60s}"


def journalled(sandbox: Sandbox, kind: str) -> list[dict[str, Any]]:
    lines = (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


def handed(sandbox: Sandbox) -> int:
    """Count the submissions that went to the workers of an earlier one."""
    submitted = journalled(sandbox, "submitted")
    return len(submitted) - len({event["id"] for event in submitted})


def workers(sandbox: Sandbox) -> int:
    """Count this sweep's workers that are there. What they start at first has their command line, too."""
    return len({words[words.index("--worker") + 1] for _, words in worker_processes(sandbox)})


def worker_processes(sandbox: Sandbox) -> list[tuple[psutil.Process, list[str]]]:
    folder = str(sandbox.path / "results/toy")
    processes = [(process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [(process, words) for process, words in processes if folder in words and "--worker" in words]


def test_a_race_queues_once(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(submit=WAITING)
    assert "for workers of job" not in sandbox.sweep("race").out
    sandbox.follow()
    assert workers(sandbox) == 2
    assert "for workers of job" in sandbox.sweep("race").out
    race_on(sandbox)
    assert handed(sandbox) == len(journalled(sandbox, "submitted")) - 1
    assert handed(sandbox) > 1
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))
    until(lambda: workers(sandbox), 0, timeout_s=20)  # nothing more will come: they do not wait for the minute


def test_each_scheduler_hands_on(cluster: Cluster, toy: Toy) -> None:
    """What failed is tried again by the workers that are there."""
    sandbox = cluster.sandbox
    program = "import os\nif os.path.exists('broken'): raise SystemExit(1)\n"
    program += "open(os.environ['SWEEP_RESULT'], 'w').write('{\"segMeasure\": 1}')\n"
    sandbox.write("trial.py", program)
    sandbox.write("broken", "")
    toy(
        scheduler=cluster.scheduler,
        command="python3 trial.py",
        parameters="{x: [1, 2, 3, 4]}",
        submit=WAITING,
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(sandbox.states, {"failed": 4})
    (sandbox.path / "broken").unlink()
    assert "4 trials for workers of job" in sandbox.sweep("retry", "--errors").out
    until(sandbox.states, {"done": 4})
    assert handed(sandbox) == 1


def test_a_race_killed_while_it_hands_on_loses_nothing(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(submit=WAITING)
    sandbox.sweep("race")
    sandbox.follow()
    assert workers(sandbox) == 2
    for step in range(1, 40):
        if sandbox.dying("half" if step % 2 else "after", step, "race", **SOON).code == 0:
            break
    assert step > 4
    until_sent(sandbox)
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))


def test_what_workers_that_ended_did_not_begin_is_sent_again(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    """They end just as it is handed to them: as they cannot read it, here."""
    racing(submit=WAITING)
    sandbox.sweep("race")
    sandbox.follow()
    jobs = sandbox.path / "results/toy/jobs"
    (jobs / "j0001.handed").mkdir()  # nothing can be written there: the call fails, and is repeated
    sandbox.sweep("race", code=1)
    for process, _ in worker_processes(sandbox):
        process.terminate()
    until(lambda: workers(sandbox), 0)
    (jobs / "j0001.handed").rmdir()
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))
