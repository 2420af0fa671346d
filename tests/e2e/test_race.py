"""`sweep race`: from the plan to the confirmed winner; killed, cancelled, retried, edited on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until
from tests.e2e.test_killed import SOON, until_sent

Toy = Callable[..., Path]

#: Trains to 9 entries, or as far as it is told, and goes on from where it was. The best is a = 5, b = 2.
CURVE = """\
import hashlib, json, os, sys
note = lambda word: os.write(os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND),
                             (" ".join([word, os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]]) + "\\n").encode())
note("begin")
a, b = int(sys.argv[1]), int(sys.argv[2])
saved = os.path.join(os.environ["SWEEP_FOLDER"], "saved.json")
history = json.load(open(saved)) if os.path.exists(saved) else []
until = int(os.environ.get("SWEEP_UNTIL") or 9)
noise = hashlib.sha256(f"{a} {b} {os.environ['SWEEP_SEED']}".encode()).digest()[0] / 255 - 0.5
while len(history) < min(until, 9):
    n = len(history) + 1
    history.append({"epoch": n, "segMeasure": (1 - ((a - 5) ** 2 + (b - 2) ** 2) / 100) * n / (n + 1) + 0.002 * noise})
json.dump(history, open(saved, "w"))
whole = len(history) == 9
result = {"segMeasure": history[-1]["segMeasure"], "complete": whole, "history": history}
json.dump(result, open(os.environ["SWEEP_RESULT"], "w"))
note("end")
sys.exit(0 if whole else 75)
"""

#: Of 6 × 4 configurations. Runs so short differ in what they cost by chance alone.
RACE = "{budget: 70%, rungs: [1, 9], propose: random, audit: 0.1, confirm: {top: 3, replicates: 2}}"


@pytest.fixture
def racing(sandbox: Sandbox, toy: Toy) -> Callable[..., None]:
    def plan(program: str = CURVE, **keys: str) -> None:
        sandbox.write("trial.py", program)
        toy(
            **{
                "command": "[python3, trial.py, '{{ a }}', '{{ b }}']",
                "parameters": "{a: [1, 2, 3, 4, 5, 6], b: [0, 1, 2, 3]}",
                "submit": "{placement: packed, per_worker: 2}",
                "race": RACE,
                **keys,
            }
        )
        sandbox.sweep("plan")

    return plan


def decisions(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return what was decided, without a line that a kill tore."""
    events = []
    for line in (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines():
        with suppress(json.JSONDecodeError):
            events.append(json.loads(line))
    return [event for event in events if event["event"] == "decided" and event.get("race")]


def race_on(sandbox: Sandbox) -> None:
    sandbox.sweep("submit", "--follow", "--interval", "0.3", timeout_s=300)
    sandbox.follow(timeout_s=300)


def test_a_race_from_the_plan_to_its_winner(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(race=RACE.replace("random", "forest"))
    assert sandbox.states() == {"held": 24}
    assert "0 trials submitted" in sandbox.sweep("submit").out  # nothing was decided yet
    shown = sandbox.sweep("race", "--dry-run", "--json").json
    assert decisions(sandbox) == []
    first = sandbox.sweep("race", "--json").json
    assert first["moves"] == shown["moves"]
    assert (first["wave"], first["sent"]["trials_sent"]) == (1, len(first["moves"]))
    sandbox.follow()
    begun = {move["number"] for move in first["moves"]}
    stopped = [move["number"] for move in first["moves"] if move.get("until")]
    assert len(stopped) > 3
    counts = sandbox.states()
    assert counts == {
        "held": 24 - len(begun) + len(stopped),
        **({"done": len(begun) - len(stopped)} if len(begun) > len(stopped) else {}),
    }
    why = sandbox.sweep("why", str(stopped[0])).out
    assert "wave 1: begin so that every value of every parameter occurs, to entry 1 of its history" in why
    assert "race: wave 1; " in sandbox.sweep("status").out
    race_on(sandbox)
    last = [event["race"] for event in decisions(sandbox) if event["race"].get("wave")][-1]
    assert last["over"] in ("budget", "all")
    assert 1 <= len(last["finalists"]) <= 3
    best = sandbox.sweep("best", "--json").json
    assert best["parameters"]["a"] in (4, 5, 6)
    assert best["parameters"]["b"] in (1, 2, 3)
    assert len(best["replicates"]) >= 2
    assert min(best["replicates"]) >= 24  # only fresh seeds decide
    assert sandbox.sweep("race", "--json").json["finished"] is True
    said = " ".join(sandbox.sweep("report").out.split())
    assert "of 24 configurations begun" in said
    assert "of what the whole grid takes once" in said
    assert "drawn at random and trained to the end scored better than the winner: with 95 %, at most" in said
    page = Path(sandbox.sweep("page", "--json").json["page"]).read_text()
    assert '<h2 id="race">The race</h2>' in page
    assert "configurations on the race&#39;s rungs" in page
    assert "of what the whole grid is expected to cost" in page
    sandbox.accounted_for(also=frozenset({"held"}))


def test_a_race_killed_at_every_step_decides_the_same(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing()
    sandbox.sweep("race")
    sandbox.follow()
    shown = sandbox.sweep("race", "--dry-run", "--json").json
    assert (shown["wave"], bool(shown["moves"])) == (2, True)
    kills = 0
    for step in range(1, 40):
        ran = sandbox.dying("half" if step % 2 else "after", step, "race", **SOON)
        second = [event["race"] for event in decisions(sandbox) if event["race"].get("wave") == 2]
        if not second:
            assert sandbox.sweep("race", "--dry-run", "--json").json["moves"] == shown["moves"]
        if ran.code == 0:
            break
        kills += 1
    assert kills >= 4
    assert [[move["number"] for move in wave["moves"]] for wave in second] == [
        [move["number"] for move in shown["moves"]]
    ]
    until_sent(sandbox)
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))


def test_two_who_race_at_once_make_one_decision(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    waits = 'import time\nwhile not os.path.exists("go"): time.sleep(0.1)\n'
    racing(program=CURVE.replace('note("begin")\n', 'note("begin")\n' + waits))
    with ThreadPoolExecutor(2) as pool:
        reports = [ran.result().json for ran in [pool.submit(sandbox.sweep, "race", "--json") for _ in range(2)]]
    assert len(decisions(sandbox)) == 1
    assert sorted(bool(report["moves"]) for report in reports) == [False, True]
    assert {report["wave"] for report in reports} == {1}
    sandbox.write("go", "")
    sandbox.follow()


def test_what_is_cancelled_retried_and_edited_on_the_way(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    """What was decided stays; the next decision goes by what is then."""
    failing = 'sys.exit(3) if a == 1 and not os.path.exists("mended") else note("end")'
    racing(program=CURVE.replace('note("end")', failing), submit="{placement: array}")
    sandbox.sweep("race")
    sandbox.follow()
    failed = [
        number for number in range(4) if sandbox.sweep("why", str(number), "--json").json["state"] == "failed"
    ]
    stopped = sandbox.states()["held"]
    sandbox.sweep("race", "--dry-run")  # those that failed keep nobody
    sandbox.write("mended", "")
    if failed:
        sandbox.sweep("retry", *map(str, failed))
        sandbox.follow()
        assert sandbox.sweep("why", str(failed[0]), "--json").json["state"] in ("held", "done")
    # One more value: its configurations wait for the race, and nobody else is sent.
    grid = (sandbox.path / "grid.yaml").read_text()
    sandbox.write("grid.yaml", grid.replace("b: [0, 1, 2, 3]", "b: [0, 1, 2, 3, 4]"))
    assert "6 new, 24 kept, 0 retired" in sandbox.sweep("plan").out
    assert "0 trials submitted" in sandbox.sweep("submit").out
    assert sandbox.states()["held"] >= stopped + 6 - 4
    before = len(decisions(sandbox))
    assert sandbox.sweep("race", "--json").json["wave"] == 2
    sandbox.sweep("cancel")
    sandbox.follow()
    assert sandbox.sweep("race", "--json").json["wave"] == 3
    sandbox.follow()
    # Without `race` all that was not begun is a plain plan again. What has stopped stays where it is.
    assert len(decisions(sandbox)) == before + 2
    sandbox.write("grid.yaml", grid.replace(f"race: {RACE}\n", ""))
    stopped_before = sandbox.sweep("status", "--json").json["race"]["parked"]
    sandbox.sweep("plan")
    assert "has no race" in sandbox.sweep("race", code=2).err
    sandbox.sweep("submit")
    sandbox.follow()
    counts = sandbox.states()
    assert "planned" not in counts
    assert counts.get("held", 0) <= sum(stopped_before.values())
    number = next(
        number for number in range(24) if sandbox.sweep("why", str(number), "--json").json["state"] == "held"
    )
    sandbox.sweep("extend", str(number), "--until", "9")
    sandbox.follow()
    assert sandbox.sweep("why", str(number), "--json").json["state"] == "done"


def test_a_command_that_heeds_nothing_is_judged_as_whole_and_told_once(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    racing(program=CURVE.replace('int(os.environ.get("SWEEP_UNTIL") or 9)', "9"))
    sandbox.sweep("race")
    sandbox.follow()
    assert "held" in sandbox.states()
    assert "does not heed SWEEP_UNTIL" in sandbox.sweep("race").err
    sandbox.follow()
    judged = [each for event in decisions(sandbox) for each in event["race"].get("judged", ())]
    assert judged
    assert all(ended and len(scores) == 2 for _, _, _, ended, scores, *_ in judged)
    told = [sandbox.sweep("race", "--dry-run").err for _ in range(2)]
    assert told[0] == told[1]  # a look tells as often as it is taken; a decision tells each trial once


def test_a_history_without_the_metric_and_another_metric_midway(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    racing(
        program=CURVE.replace('"segMeasure": history[-1]["segMeasure"], ', '"f1": history[-1]["segMeasure"], ')
        .replace('history.append({"epoch": n, "segMeasure":', 'history.append({"epoch": n, "f1":')
        .replace('history[-1]["segMeasure"]', 'history[-1]["f1"]')
    )
    sandbox.sweep("race")
    sandbox.follow()
    refused = sandbox.sweep("race", code=1).err
    assert "no history in their segMeasure.json has 'segMeasure'" in refused
    assert "race: {rungs: [9]}" in refused
    grid = (sandbox.path / "grid.yaml").read_text()
    sandbox.write("grid.yaml", grid + "objective: {metric: f1}\n")
    sandbox.sweep("plan")
    waves = len(decisions(sandbox))
    ran = sandbox.sweep("race", "--json")
    assert "the race begins anew: the objective has changed" in ran.err
    assert ran.json["wave"] == 1
    assert len(decisions(sandbox)) == waves + 1
    judged = decisions(sandbox)[-1]["race"]["judged"]
    assert judged
    assert all(scores[-1] is not None for _, _, _, _, scores, *_ in judged)


def test_checkpoints_are_bounded_and_go_when_the_race_is_over(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    with_file = CURVE.replace('note("end")', 'open(saved + ".bin", "wb").write(bytes(300_000))\nnote("end")')
    racing(program=with_file, race=RACE.replace("{budget", "{checkpoints: 'saved*', disk: 1MiB, budget"))
    sandbox.sweep("race")
    sandbox.follow()

    def kept() -> set[str]:
        return {path.parent.name for path in (sandbox.path / "results/toy/trials").rglob("saved.json.bin")}

    before = kept()
    shown = sandbox.sweep("race", "--dry-run", "--json").json["disk"]
    assert kept() == before
    step = sandbox.sweep("race", "--json").json
    assert step["disk"] == shown
    assert step["disk"]["kept_bytes"] <= 2**20
    assert len(step["disk"]["freed"]) >= 1
    judged = {each[0]: each for event in decisions(sandbox) for each in event["race"].get("judged", ())}
    moving = {move["number"] for move in step["moves"]}
    scores = {number: own[4][-1] for number, own in judged.items() if not own[3] and number not in moving}
    worst_first = sorted(scores, key=lambda number: scores[number])
    assert set(step["disk"]["freed"]) == set(worst_first[: len(step["disk"]["freed"])])
    race_on(sandbox)
    counts = sandbox.states()
    assert counts["held"] > 0
    assert len(kept()) == counts["done"]  # nobody's but those that were trained whole
    sandbox.accounted_for(also=frozenset({"held"}))


def test_a_finished_grid_is_raced_on_paper(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(race="null", replicates="2")
    assert "too few to race" in sandbox.sweep("replay", code=1).err
    sandbox.sweep("submit")
    sandbox.follow()
    before = (sandbox.path / "results/toy/journal.jsonl").read_bytes()
    settings = ["--set", "race.budget=60%", "--set", "race.confirm={top: 3, replicates: 2}"]
    report = sandbox.sweep("replay", *settings, "--seeds", "2", "--json").json
    assert report["rules"]["rungs"] == [1, 3, 9]  # as far as the histories go
    assert (report["configurations"], report["replicates"], report["seeds"]) == (24, 2, 2)
    assert [way["name"] for way in report["ways"]] == ["whole grid", "race", "random", "first rung"]
    grid, raced, chance, first = report["ways"]
    assert raced["share"] < grid["share"] > 1
    assert first["begun"] == grid["begun"] == 24 > chance["begun"]
    assert raced["place"] <= 12  # what runs so short took is chance; `tests/race` says how well races do
    assert "winner's place" in sandbox.sweep("replay", *settings, "--seeds", "1").out
    assert (sandbox.path / "results/toy/journal.jsonl").read_bytes() == before
    assert "to confirm" in sandbox.sweep("replay", "--set", "race.budget=2%", code=2).err
    assert "no setting of a race" in sandbox.sweep("replay", "--set", "a=1", code=2).err


def test_the_driver_goes_on_by_itself(make_fake: Callable[[str], Cluster], toy: Toy) -> None:
    """Nobody stays on the login node: each driver job decides on a wave, sends it, and sends the next driver."""
    sandbox = make_fake("pbs").sandbox
    sandbox.write("trial.py", CURVE)
    toy(
        command="[python3, trial.py, '{{ a }}', '{{ b }}']",
        parameters="{a: [4, 5, 6], b: [1, 2, 3]}",
        scheduler="{kind: pbs}",
        submit="{driver: true}",
        race="{budget: 90%, rungs: [1, 9], wave: 4, propose: order, audit: 0, confirm: {top: 2, replicates: 2}}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("race")
    until(lambda: sandbox.sweep("race", "--dry-run", "--json").json["finished"], True, timeout_s=240)
    assert len(sandbox.sweep("best", "--json").json["replicates"]) >= 2
    sandbox.accounted_for(also=frozenset({"held"}))


def journalled(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [event["race"] for event in decisions(sandbox) if event["race"].get("wave")]


def replan(sandbox: Sandbox, *changes: tuple[str, str]) -> None:
    grid = (sandbox.path / "grid.yaml").read_text()
    for old, new in changes:
        assert grid.count(old) == 1
        grid = grid.replace(old, new)
    sandbox.write("grid.yaml", grid)
    sandbox.sweep("plan")


def test_other_rungs_midway_read_every_history_again(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(race=RACE.replace("[1, 9]", "[1, 2, 4, 9]"))
    for _ in range(2):
        sandbox.sweep("race")
        sandbox.follow()
    before = sandbox.sweep("status", "--json").json["race"]["parked"]
    assert set(before) <= {"1", "2", "4"}
    for rungs in ("[4, 9]", "[9]"):
        replan(sandbox, ("[1, 2, 4, 9]" if rungs == "[4, 9]" else "[4, 9]", rungs))
        assert sandbox.sweep("status", "--json").json["race"]["parked"] == before  # where they really stopped
        sandbox.sweep("status")
        sandbox.sweep("report")
        shown = sandbox.sweep("race", "--dry-run")
        assert "the race begins anew: its rungs have changed" in shown.err
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    sandbox.accounted_for(also=frozenset({"held"}))


def test_a_race_that_is_over_takes_up_again_with_more_to_spend_and_more_to_try(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    small = "{budget: 40%, rungs: [9], propose: order, audit: 0, confirm: {top: 1, replicates: 2}}"
    racing(race=small)
    for _ in range(12):
        shown = sandbox.sweep("race", "--dry-run", "--json").json
        if shown["confirming"]:
            break
        sandbox.sweep("race")
        sandbox.follow()
    assert (len(shown["confirming"]), shown["stage"], shown["stages"], shown["reserved_core_h"]) == (2, 1, 1, 0.0)
    assert "2 trials would confirm the best (stage 1 of 1)" in sandbox.sweep("race", "--dry-run").out
    assert sandbox.sweep("race", "--json").json["stage"] == 1
    race_on(sandbox)
    first = sandbox.sweep("race", "--json").json
    assert (first["finished"], first["reserved_core_h"]) == (True, 0.0)
    spent = sandbox.sweep("status", "--json").json["race"]["spent_core_h"]
    assert first["spent_core_h"] == pytest.approx(spent)
    # What was parked on a rung cost as well.
    assert sandbox.sweep("report", "--cost", "--json").json["allotted_core_h"] == pytest.approx(spent)
    begun = sandbox.sweep("status", "--json").json["race"]["begun"]
    assert begun < 24
    replan(sandbox, ("budget: 40%", "budget: 100%"), ("b: [0, 1, 2, 3]", "b: [0, 1, 2, 3, 4]"))
    again = sandbox.sweep("race", "--json").json
    assert again["moves"]
    assert (again["over"], again["stage"]) == ("", 0)
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    assert sandbox.sweep("status", "--json").json["race"]["begun"] > begun
    assert len(sandbox.sweep("best", "--json").json["replicates"]) >= 2
    sandbox.accounted_for(also=frozenset({"held"}))


def test_a_straggler_is_waited_for_without_empty_waves(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    """A wave counts as ended without it; where nothing more can begin beside it, nothing is decided."""
    waits = (
        "import time\n"
        'while str(4 * (a - 1) + b) == open("straggler").read() and not os.path.exists("go"): time.sleep(0.1)\n'
    )
    racing(
        program=CURVE.replace("saved = ", waits + "saved = "),
        submit="{placement: array}",
        race="{budget: 100%, rungs: [1, 9], propose: random, audit: 0, confirm: {top: 1, replicates: 2}}",
    )
    moves = sandbox.sweep("race", "--dry-run", "--json").json["moves"]
    assert len(moves) >= 10  # one of them is no more than a tenth
    sandbox.write("straggler", str(moves[0]["number"]))

    def others_run() -> bool:
        return sum(count for state, count in sandbox.states().items() if state not in ("held", "done")) > 1

    for _ in range(30):
        if not sandbox.sweep("race", "--json").json["moves"]:
            break
        until(others_run, False)
    waves = len(journalled(sandbox))
    assert waves >= 2
    assert all(wave.get("moves") for wave in journalled(sandbox))
    for _ in range(3):
        report = sandbox.sweep("race", "--json").json
        assert (report["moves"], report["over"], report["open"], report["wave"]) == ([], "", 1, waves)
    assert f"wave {waves} runs: 1 left; nothing to decide yet" in sandbox.sweep("race").out
    assert len(journalled(sandbox)) == waves
    sandbox.write("go", "")
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True


def test_what_was_spent_on_values_that_are_gone_stays_spent(sandbox: Sandbox, racing: Callable[..., None]) -> None:
    racing(race=RACE.replace("random", "order"))
    sandbox.sweep("race")
    sandbox.follow()
    spent = sandbox.sweep("status", "--json").json["race"]["spent_core_h"]
    assert spent > 0
    replan(sandbox, ("a: [1, 2, 3, 4, 5, 6]", "a: [4, 5, 6]"))
    sandbox.sweep("race")
    assert journalled(sandbox)[-1]["spent_core_s"] >= 3600 * spent * 0.999


@pytest.mark.parametrize("placement", ["each", "array"])
def test_the_smallest_is_the_best_where_the_metric_is_minimised(
    sandbox: Sandbox, racing: Callable[..., None], placement: str
) -> None:
    error = CURVE.replace('"segMeasure": (1 - ((', '"segMeasure": 2 - (1 - ((')
    racing(
        program=error,
        objective="{goal: minimize}",
        submit=f"{{placement: {placement}}}",
        race=RACE.replace("random", "forest"),
    )
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    best = sandbox.sweep("best", "--json").json
    assert (best["parameters"]["a"] in (4, 5, 6), best["parameters"]["b"] in (1, 2, 3)) == (True, True)
    judged = {each[0]: each[4] for wave in journalled(sandbox) for each in wave.get("judged", ())}
    for wave in journalled(sandbox):  # a cutoff is in the metric's own direction, and none is a made-up sign
        assert all(0 < cutoff < 3 for cutoff in wave.get("cutoffs", {}).values())
    whole = [scores[-1] for scores in judged.values() if len(scores) == 2]
    last = journalled(sandbox)[-1]
    assert judged[last["finalists"][0]][-1] <= sorted(whole)[len(whole) // 2]
    sandbox.sweep("report")
    sandbox.accounted_for(also=frozenset({"held"}))


def test_where_all_trials_fail_the_race_says_so_and_decides_nothing(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    racing(program="raise SystemExit(3)")
    sandbox.sweep("race")
    sandbox.follow()
    waves = len(decisions(sandbox))
    refused = sandbox.sweep("race", code=1).err
    assert "of the race ended well: nothing is known to go by" in refused
    assert "sweep retry --errors" in refused
    assert len(decisions(sandbox)) == waves
    sandbox.sweep("status")
    sandbox.sweep("report")


def test_where_noise_rules_what_is_left_goes_to_replicates_and_begins_nothing(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    noise = CURVE.replace("(1 - ((a - 5) ** 2 + (b - 2) ** 2) / 100) * n / (n + 1) + 0.002 * noise", "noise")
    assert noise != CURVE
    racing(
        program=noise,
        parameters="{a: [1, 2, 3], b: [0, 1]}",
        race="{budget: 1 core-hours, rungs: [9], propose: order, audit: 0, confirm: {top: 3, replicates: 2}}",
    )
    for _ in range(12):
        if (shown := sandbox.sweep("race", "--dry-run", "--json").json)["stage"]:
            break
        sandbox.sweep("race")
        sandbox.follow()
    sandbox.sweep("race")
    sandbox.follow()
    shown = sandbox.sweep("race", "--dry-run", "--json").json
    assert (shown["over"], shown["stage"], shown["stages"], shown["alike"]) == ("all", 2, 2, 2)
    assert len(shown["confirming"]) == 6  # as many again as they had
    assert (
        "cannot be told which is best: 2 of the other finalists may be it"
        in sandbox.sweep("race", "--dry-run").out
    )
    step = sandbox.sweep("race", "--json").json
    assert (step["moves"], len(step["confirming"]), step["stage"]) == ([], 6, 2)
    sandbox.follow()
    assert "ran some again" in " ".join(sandbox.sweep("report").out.split())
    assert "confirmation: 2 of 2 stages" in sandbox.sweep("status").out
    sandbox.accounted_for(also=frozenset({"held"}))


def test_where_all_score_the_same_another_budget_begins_nothing_more(
    sandbox: Sandbox, racing: Callable[..., None]
) -> None:
    """Nobody can tell which is best, and no further run would."""
    same = CURVE.replace("(1 - ((a - 5) ** 2 + (b - 2) ** 2) / 100) * n / (n + 1) + 0.002 * noise", "0.5")
    racing(program=same, race=RACE.replace("70%", "1 core-hours"))
    race_on(sandbox)
    ended = sandbox.sweep("race", "--json").json
    assert (ended["finished"], ended["stage"], ended["confirming"]) == (True, 1, [])
    assert decisions(sandbox)[-1]["race"] == {"closed": "noise"}
    assert "cannot be told which is best" in " ".join(sandbox.sweep("report").out.split())
    waves = journalled(sandbox)
    replan(sandbox, ("1 core-hours", "2 core-hours"))
    race_on(sandbox)
    assert sandbox.sweep("race", "--json").json["finished"] is True
    assert journalled(sandbox) == waves
    replan(sandbox, ("b: [0, 1, 2, 3]", "b: [0, 1, 2, 3, 4]"))  # there is something new to try
    assert sandbox.sweep("race", "--json").json["moves"]
