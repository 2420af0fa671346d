"""Workers of a packed job that wait for more: a race's waves need not queue again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
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
    events = []
    for line in (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines():
        with suppress(json.JSONDecodeError):  # a kill has torn it
            events.append(json.loads(line))
    return [event for event in events if event["event"] == kind]


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
    ids = {event["id"] for event in journalled(sandbox, "submitted")}
    for step in range(1, 40):
        if sandbox.dying("half" if step % 2 else "after", step, "race", **SOON).code == 0:
            break
    assert step > 4
    until_sent(sandbox)
    sandbox.follow()
    assert {event["id"] for event in journalled(sandbox, "submitted")} == ids  # they have run it, and no other job
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
    (jobs / "j0001.handed").unlink()
    (jobs / "j0001.handed").mkdir()  # nothing can be written there: the call fails, and is repeated
    sandbox.sweep("race", code=1)
    for process, _ in worker_processes(sandbox):
        process.terminate()
    until(lambda: workers(sandbox), 0)
    (jobs / "j0001.handed").rmdir()
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))


def test_cancelling_everything_ends_the_workers_that_wait(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(submit=WAITING)
    sandbox.sweep("race")
    sandbox.follow()
    assert workers(sandbox) == 2
    sandbox.sweep("cancel")
    until(lambda: workers(sandbox), 0, timeout_s=20)
    assert "for workers of job" not in sandbox.sweep("race").out  # there are none
    sandbox.follow()


def test_workers_with_trials_of_their_own_left_take_nothing_over(sandbox: Sandbox, toy: Toy) -> None:
    sandbox.write("trial.py", "import os, sys, time\nif sys.argv[1] == '1': sys.exit(1)\ntime.sleep(60)\n")
    toy(command="python3 trial.py '{{ x }}'", parameters="{x: [1, 2, 3, 4, 5, 6]}", submit=WAITING)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    until(lambda: sandbox.states().get("running"), 2)
    assert sandbox.states() == {"failed": 1, "running": 2, "queued": 3}
    assert "1 trial as job" in sandbox.sweep("retry", "--errors").out
    sandbox.sweep("cancel")
    sandbox.follow()


def test_linger_without_time_for_a_further_trial_is_refused(sandbox: Sandbox, toy: Toy) -> None:
    toy(
        command="python3 trial.py",
        parameters="{x: [1, 2]}",
        resources="{cpus: 1, memory: 100MiB, walltime: 10min}",
        submit="{placement: packed, linger: 1min, worker_walltime: 15min}",
    )
    refused = sandbox.sweep("plan", code=2).err
    assert "a worker has 00:15:00, and a trial asks for 00:10:00: it has no time for a further one" in refused
