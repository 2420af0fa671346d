"""One contract that every scheduler keeps, end to end, through the command line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]

ALL_ENDS = "{x: [2], how: [ok, fail, kill, 'no result']}"


def journal(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("placement", ["array", "each", "packed"])
def test_a_sweep_from_plan_to_best(cluster: Cluster, toy: Toy, placement: str) -> None:
    sandbox = cluster.sandbox
    toy(
        scheduler=cluster.scheduler,
        parameters=ALL_ENDS,
        submit=f"{{placement: {placement}{', workers: 2, per_worker: 2' if placement == 'packed' else ''}}}",
        zip='[{y: [3, 4], z: ["a b", "$(c)\'d"]}]',
    )
    assert sandbox.sweep("plan", "--json").json["trials"] == 8
    sent = sandbox.sweep("submit", "--json").json
    assert sent["trials_sent"] == 8
    alone = placement == "each" or (placement == "array" and not cluster.has_arrays)
    assert len(sent["sent"]) == (8 if alone else 1)
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 0  # safe to repeat
    sandbox.follow()
    report = sandbox.sweep("status", "--json").json
    assert report["counts"] == {"done": 2, "failed": 6}
    reasons = Counter({row["reason"]: row["count"] for row in report["failures"]})
    assert reasons == {"exit code 3": 2, "killed by SIGKILL": 2, "exit code 0, but there is no segMeasure.json": 2}
    sandbox.accounted_for()
    best = sandbox.sweep("best", "--json").json
    assert best["parameters"]["how"] == "ok"
    assert best["score"] == 4.0


def test_running_trials_are_shown_and_cancelled_queued_ones_too(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    at_once = "{throttle: 2}" if cluster.has_arrays else "{}"
    assert cluster.has_arrays or cluster.slots == 2
    toy(scheduler=cluster.scheduler, parameters="{x: [60], how: [sleep]}", replicates="6", submit=at_once)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    counts: dict[str, int] = {}
    for _ in range(60):
        report = sandbox.sweep("status", "--json").json
        counts = report["counts"]
        if counts.get("running") == 2 and all(row["host"] for row in report["running"]):
            break
    assert counts == {"running": 2, "queued": 4}
    running = [row["trial"] for row in report["running"]]
    queued = next(number for number in range(6) if number not in running)
    # Queued trials are cancelled first. Otherwise one of them would start in the place of a running one.
    assert sandbox.sweep("cancel", str(running[0]), str(queued), "--json").json["trials"] == [queued, running[0]]
    sandbox.sweep("cancel", str(queued))  # safe to repeat
    # Its runner ends within a second. Until then it runs, and would be cancelled once more.
    until(lambda: sandbox.sweep("why", str(running[0]), "--json").json["state"], "cancelled")
    rest = sandbox.sweep("cancel", "--json").json["trials"]
    assert sorted(rest) == sorted(set(range(6)) - {running[0], queued})  # the others were not touched
    sandbox.follow()
    assert sandbox.states() == {"cancelled": 6}
    why = sandbox.sweep("why", str(queued), "--json").json
    assert why["state"] == "cancelled"


def test_failed_programs_are_tried_again_on_request(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [1, 2], how: [ok, fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 2, "failed": 2}
    sandbox.write("trial.py", (sandbox.path / "trial.py").read_text().replace("sys.exit(3", "sys.exit(0"))
    report = sandbox.sweep("retry", "--json").json
    [spared] = report["spared"]
    assert report["trials"] == []
    assert (spared["cause"], spared["why_not"], spared["trials"]) == ("error", "needs a person", [1, 3])
    assert spared["reason"] == "error: only if told, by --errors or the trial's number"
    assert sandbox.sweep("retry", "--errors", "--plan-only", "--json").json["trials"] == [1, 3]
    assert sandbox.states() == {"done": 2, "planned": 2}
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 2
    sandbox.follow()
    assert sandbox.states() == {"done": 4}
    assert sandbox.sweep("retry", "--errors", "--json").json["trials"] == []


def test_a_failed_environment_line_is_the_reason(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, environment='["export HERE=\'a b\'", "no_such_module load tensorflow"]')
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    [row] = sandbox.sweep("status", "--json").json["failures"]
    assert row["count"] == 3
    assert "'no_such_module load tensorflow' ended with exit code 127" in row["reason"]
    assert "no_such_module: command not found" in sandbox.sweep("why", "0").out


def test_the_scheduler_is_asked_a_constant_number_of_questions(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    calls = []
    for n in (2, 12):
        toy(
            name=f"toy{n}",
            scheduler=cluster.scheduler,
            parameters=f"{{x: {{range: [1, {n}]}}, how: [sleep]}}",
            submit="{placement: each}",
            resources="{walltime: 5min, memory: 10MiB}",
        )
        sandbox.sweep("plan")
        sandbox.sweep("submit")
        calls.append(sandbox.sweep("status", "--json").json["calls"])
        sandbox.sweep("cancel")
    assert calls[0] == calls[1] <= 3


def test_a_foreign_job_with_the_same_id_is_not_ours(cluster: Cluster, toy: Toy) -> None:
    """Ids begin again when a controller is rebuilt. The token in the job's name shows which job is ours."""
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler, parameters="{x: [1], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    path = sandbox.path / "results/toy/journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["event"] == "submitting":
            line["job_name"] = "toy.j0001.other"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line["event"] != "observed"))
    trial = next((sandbox.path / "results/toy/trials").glob("*/*"))
    (trial / "attempt-1.json").unlink()
    why = sandbox.sweep("why", "0", "--json").json
    assert "is now another one" in why["scheduler"]["reason"]
    assert why["state"] in ("queued", "lost")


def test_a_crash_between_journal_and_scheduler_is_resolved_by_the_token(cluster: Cluster, toy: Toy) -> None:
    """The call arrived and its answer was lost. The job is found by its name, and nothing is sent twice."""
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    sent = sandbox.sweep("submit", "--json").json["sent"]
    path = sandbox.path / "results/toy/journal.jsonl"
    lines = [line for line in path.read_text().splitlines() if '"submitted"' not in line]
    path.write_text("".join(line + "\n" for line in lines))
    again = sandbox.sweep("submit", "--json").json
    assert (again["adopted"], again["trials_sent"]) == (len(sent), 0)
    sandbox.follow()
    assert sandbox.states() == {"done": 3}
    sandbox.accounted_for()


def test_a_crash_before_the_scheduler_was_called_sends_again(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    toy(scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    with (sandbox.path / "results/toy/journal.jsonl").open("a") as out:
        event = {
            "event": "submitting",
            "at": 1.0,
            "token": "dead",
            "job": "j0001",
            "index": None,
            "job_name": "toy.j0001.dead",
        }
        out.write(json.dumps(event) + "\n")
    again = sandbox.sweep("submit", "--json").json
    assert (again["adopted"], again["trials_sent"]) == (0, 3)
    sandbox.follow()
    sandbox.accounted_for()
