"""The commands as a person uses them, on the local scheduler."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox

Toy = Callable[..., Path]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_planning_an_edited_grid_again_keeps_known_trials(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1, 2, 3], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    toy(parameters="{x: [2, 3, 4], how: [ok]}")
    plan = sandbox.sweep("plan", "--json").json
    assert (plan["new"], plan["kept"], plan["retired"]) == (1, 2, 1)
    status = sandbox.sweep("status", "--json").json
    assert status["counts"] == {"planned": 1, "done": 2}
    assert status["retired"] == 1
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 1
    sandbox.follow()
    # The retired one comes back: its result is still there, nothing is run again.
    toy(parameters="{x: [1, 2, 3, 4], how: [ok]}")
    plan = sandbox.sweep("plan", "--json").json
    assert (plan["new"], plan["kept"], plan["retired"]) == (0, 4, 0)
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 0
    assert sandbox.states() == {"done": 4}
    numbers = {row["x"]: row["trial"] for row in sandbox.sweep("report", "--json").json}
    assert numbers == {1: 0, 2: 1, 3: 2, 4: 3}
    assert (sandbox.path / "results/toy/grid.2.yaml").exists()


def test_retry_after_an_edited_grid_runs_the_new_command_without_a_status_first(
    sandbox: Sandbox, toy: Toy
) -> None:
    toy(parameters="{x: [1, 2], how: [fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    own = sandbox.path / "results/toy/trials"
    deadline = time.monotonic() + 30
    while sum('"ended": true' in path.read_text() for path in own.rglob("attempt-1.json")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    toy(parameters="{x: [1, 2], how: [fail]}", command="[python3, trial.py, '{{ x }}', ok]")
    output = sandbox.sweep("plan").out
    assert "2 of them ended badly before: sweep retry --errors, or sweep retry TRIAL, tries them again" in output
    assert "next: sweep retry --errors" in output
    sandbox.sweep("retry", "--errors")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 2}


def test_plan_names_the_overrides_that_it_no_longer_has(sandbox: Sandbox, toy: Toy) -> None:
    toy(command="[python3, trial.py, '{{ x }}', '{{ how }}', '>', ~/log]")
    first = sandbox.sweep("plan", "--set", "x=[1, 2]").err
    assert first == ""
    again = sandbox.sweep("plan").err
    assert "the last plan had --set x=[1, 2]; this one has not" in again
    toy(command="python3 trial.py {{ x }} {{ how }} > ~/log")
    noted = sandbox.sweep("plan").err
    assert "the command has '>', and no shell to interpret it" in noted
    assert "'~/log'" in noted


def test_retired_trials_with_results_can_still_be_seen(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    toy(zip="[{width: [8]}]")
    assert "3 retired trials with a result: sweep report --retired" in sandbox.sweep("plan").out
    assert len(sandbox.sweep("report", "--json").json) == 3
    assert len(sandbox.sweep("report", "--retired", "--json").json) == 6


def test_a_mistyped_number_is_refused_and_selects_no_other_trial(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: {range: [1, 300]}, how: [ok]}")
    sandbox.sweep("plan")
    for number in (300, 999, 4711):
        assert "there is no trial" in sandbox.sweep("why", str(number), code=2).err


def test_done_trials_keep_their_command_and_failed_ones_take_the_new_one(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1, 2], how: [ok, fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    toy(parameters="{x: [1, 2], how: [ok, fail]}", command="[python3, trial.py, '{{ x }}', ok, NEW]", seed="7")
    sandbox.sweep("plan")
    argv = {n: sandbox.sweep("why", str(n), "--json").json["argv"] for n in range(4)}
    assert [argv[n][-1] for n in range(4)] == ["ok", "NEW", "ok", "NEW"]
    sandbox.sweep("retry", "--errors")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 4}
    assert sandbox.sweep("best", "--json").json["argv"][-1] in ("ok", "NEW")
    assert "--- attempt 2, " in sandbox.sweep("logs", "1").out


def test_a_corrected_objective_needs_no_new_run(sandbox: Sandbox, toy: Toy) -> None:
    toy(objective="{metric: segmeasure}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"failed": 3}
    assert "has no segmeasure (it has: segMeasure)" in sandbox.sweep("why", "0").out
    toy(objective="{metric: segMeasure}")
    sandbox.sweep("plan")
    assert sandbox.states() == {"done": 3}


def test_another_scheduler_is_refused_while_trials_run(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [60], how: [sleep]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    toy(parameters="{x: [60], how: [sleep]}", scheduler="{kind: torque}")
    assert "1 trials are still queued or running on local" in sandbox.sweep("plan", code=2).err
    sandbox.sweep("cancel")
    sandbox.follow()
    sandbox.sweep("plan")


def test_retry_twice_at_once_plans_one_attempt(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1], how: [fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    command = [sys.executable, "-m", "sweep", "retry", "--errors", "--plan-only", "--json"]
    both = [subprocess.Popen(command, cwd=sandbox.path, env=sandbox.env, stdout=subprocess.PIPE) for _ in "ab"]
    planned = [json.loads(process.communicate()[0])["trials"] for process in both]
    assert sorted(planned) == [[], [0]]


def test_a_submission_killed_in_the_middle_is_waited_for(sandbox: Sandbox, toy: Toy) -> None:
    """The client may outlive the killed command, so its job may arrive after we looked for it."""
    toy()
    sandbox.sweep("plan")
    event = {
        "event": "submitting",
        "at": time.time() - 5,
        "token": "dead",
        "job": "j0001",
        "index": None,
        "job_name": "toy.j0001.dead",
    }
    journal = sandbox.path / "results/toy/journal.jsonl"
    with journal.open("a") as out:
        out.write(json.dumps(event) + "\n")
    ran = sandbox.sweep("submit", code=1)
    assert "may still be on its way" in ran.err
    assert "repeat `sweep submit` in 8" in ran.err
    with journal.open("a") as out:
        out.write(json.dumps({"event": "unanswered", "at": time.time(), "token": "dead"}) + "\n")
    assert sandbox.sweep("submit", "--json").json["trials_sent"] == 3


def test_one_group_that_is_refused_does_not_hold_up_the_others(sandbox: Sandbox, toy: Toy) -> None:
    more = "{kind: local, limits: {memory: 1000000GiB}}"  # a person may set a limit that is too high
    toy(resources="{memory: \"{{ '900000GiB' if x == 2 else '50MiB' }}\"}", scheduler=more)
    sandbox.sweep("plan")
    assert "this machine has" in sandbox.sweep("submit", code=1).err
    sandbox.follow()
    assert sandbox.states() == {"planned": 1, "done": 2}
    assert "planned, 1: the scheduler refused it" in sandbox.sweep("status").out


def test_odd_results_break_no_report(sandbox: Sandbox, toy: Toy) -> None:
    odd = [
        '{"segMeasure": 1' + "0" * 400 + "}",
        '{"\\ud800": 1}',
        '{"segMeasure": 0.5, "loss": NaN}',
        "[" * 5000,
        '{"segMeasure": 1e999}',
    ]
    sandbox.write(
        "t.py", f"import os, sys\nopen(os.environ['SWEEP_RESULT'], 'w').write({odd!r}[int(sys.argv[1])])"
    )
    toy(command="[python3, t.py, '{{ x }}']", parameters="{x: {range: [0, 4]}}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 1, "failed": 4}
    for form in ((), ("--json",), ("--csv",), ("--markdown",), ("--latex",)):
        assert sandbox.sweep("report", *form).out
    for number in range(5):
        json.loads(sandbox.sweep("why", str(number), "--json").out, parse_constant=pytest.fail)
        sandbox.sweep("why", str(number))


def test_planning_again_before_submitting_replaces_the_scripts(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    sandbox.sweep("plan", "--set", "resources.cpus=2")
    folder = sandbox.path / "results/toy/jobs"
    assert files(folder) == ["j0002.sh", "j0002.tasks"]
    assert "--cpus=2" in (folder / "j0002.sh").read_text()
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}


def test_dry_runs_change_nothing(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    ran = sandbox.sweep("plan", "--dry-run")
    assert "3 trials would be planned" in ran.out
    assert not (sandbox.path / "results").exists()
    sandbox.sweep("plan")
    before = files(sandbox.path / "results")
    shown = sandbox.sweep("submit", "--dry-run")
    assert re.search(r"localbatch/__main__\.py'? submit --name toy\.j0001\.TOKEN", shown.out)
    assert files(sandbox.path / "results") == before
    assert sandbox.states() == {"planned": 3}


def test_how_many_files_a_sweep_makes(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: {range: [1, 8192]}, how: [ok]}")
    sandbox.sweep("plan")
    assert len(files(sandbox.path / "results")) <= 16
    sandbox.sweep("plan", "--set", "x=[1, 2]")
    sandbox.sweep("submit")
    sandbox.follow()
    trials = files(sandbox.path / "results/toy/trials")
    assert len(trials) == 2 * 3
    assert {Path(name).name for name in trials} == {"attempt-1.json", "log.txt", "segMeasure.json"}


def test_a_script_runs_by_hand_and_counts(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    script = str(sandbox.path / "results/toy/jobs/j0001.sh")
    assert sandbox.run("bash", script, env={"SWEEP_TASK": "1"}).code == 0
    assert sandbox.states() == {"planned": 2, "done": 1}
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 3}
    assert sandbox.sweep("logs", "1").out.count("x is") == 1  # submitted as well, and not run twice


def test_reports(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1, 3, 2], how: [ok, fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    table = sandbox.sweep("report", "--top", "2")
    assert "2 of 6 trials (3 done, 3 failed)" in table.out
    assert "best: trial 2, segMeasure 9.0000: x=3, how=ok" in table.out
    assert "wrote" in table.err
    rows = sandbox.sweep("report", "--json").json
    assert [row["trial"] for row in rows] == [2, 4, 0, 1, 3, 5]
    assert sandbox.sweep("report", "--csv", "--top", "1").out.count("\n") == 2
    assert sandbox.sweep("report", "--markdown").out.startswith("|")
    assert r"\begin{tabular}" in sandbox.sweep("report", "--latex").out
    assert "wrote" in sandbox.sweep("page").err
    page = (sandbox.path / "results/toy/report.html").read_text()
    assert "9.0000" in page
    config = sandbox.sweep("best", "--json").json
    assert (config["parameters"], config["score"]) == ({"x": 3, "how": "ok"}, 9.0)
    assert "x: 3" in (sandbox.path / "results/toy/best.yaml").read_text()
    assert "SWEEP_PARAMS=" in config["command"]
    repeated = sandbox.run("bash", "-c", config["command"])
    assert repeated.code == 0
    assert json.loads((sandbox.path / "segMeasure.json").read_text()) == {"segMeasure": 9.0}


def test_minimizing_and_a_metric_inside(sandbox: Sandbox, toy: Toy) -> None:
    sandbox.write(
        "t.py",
        "import json, os, sys\njson.dump({'loss': {'val': abs(float(sys.argv[1]) - 2)}}, open(os.environ['SWEEP_RESULT'], 'w'))",
    )
    toy(
        command="[python3, t.py, '{{ x }}']",
        objective="{metric: loss.val, goal: minimize, file: r.json}",
        parameters="{x: [1, 2, 5]}",
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.sweep("best", "--json").json["parameters"] == {"x": 2}


HOSTILE = [
    "it's",
    '"',
    "$(touch pwned)",
    "`id`",
    "a b",
    "a\nb",
    "-rf",
    "--x=y",
    "ü €",
    "\\",
    "*",
    "{{ x }}",
    "%s",
    "",
    "~",
    "#",
]


def test_hostile_values_reach_the_program_as_they_are(sandbox: Sandbox) -> None:
    """From the grid, through plan, script, queue and runner, to argv."""
    code = "import json, os, sys; json.dump({'segMeasure': 1, 'argv': sys.argv[1:]}, open(os.environ['SWEEP_RESULT'], 'w'))"
    grid = {
        "name": "hostile",
        "command": [sys.executable, "-c", code, "{{ value }}", "<{{ value }}>", "{{ params | flags }}"],
        "parameters": {"value": HOSTILE},
        "resources": {"memory": "50MiB"},
        "environment": ["export NASTY='$(touch pwned)'\"it's\""],
    }
    sandbox.write("grid.yaml", json.dumps(grid))  # JSON is YAML
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": len(HOSTILE)}
    for number, value in enumerate(HOSTILE):
        argv = sandbox.sweep("why", str(number), "--json").json["result"]["argv"]
        flag = [f"--value={value}"] if value.startswith("-") else ["--value", value]
        assert argv == [value, f"<{value}>", *flag]
    assert not list(sandbox.path.rglob("pwned"))
    page = (sandbox.sweep("page"), (sandbox.path / "results/hostile/report.html").read_text())[1]
    assert "$(touch pwned)" in page


def test_watch_as_json_prints_one_document_a_line(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    lines = sandbox.sweep("status", "--watch", "--interval", "0.3", "--json").out.splitlines()
    assert json.loads(lines[-1])["counts"] == {"done": 3}


def test_logs_and_why(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1], how: [fail]}")
    sandbox.sweep("plan")
    assert "has written no log yet" in sandbox.sweep("logs", "0", code=2).err
    assert "not submitted yet" in sandbox.sweep("why", "0").out
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.sweep("logs", "0").out.startswith("x is 1.0 seed")
    assert sandbox.sweep("logs", "0", "--tail", "0").out == ""
    why = sandbox.sweep("why", "0")
    assert "is failed: exit code 3" in why.out
    trial_id = sandbox.sweep("why", "0", "--json").json["id"]
    assert sandbox.sweep("why", trial_id[:6], "--json").json["trial"] == 0


def test_several_sweeps_and_the_current_one(sandbox: Sandbox, toy: Toy) -> None:
    assert "no current sweep" in sandbox.sweep("status", code=2).err
    toy(name="one")
    sandbox.sweep("plan")
    toy(name="two")
    sandbox.sweep("plan")
    assert sandbox.sweep("status", "--json").json["name"] == "two"
    assert sandbox.sweep("status", "one", "--json").json["name"] == "one"
    assert sandbox.sweep("status", "results/one", "--json").json["name"] == "one"
    assert "did you mean 'one'" in sandbox.sweep("status", "ome", code=2).err
    other = {"SWEEP_RESULTS": str(sandbox.path / "elsewhere")}
    sandbox.sweep("plan", env=other)
    assert (sandbox.path / "elsewhere/two/trials.jsonl").exists()


def test_workdir_and_a_template_of_ones_own(sandbox: Sandbox, toy: Toy) -> None:
    (sandbox.path / "w d").mkdir()
    sandbox.write(
        "w d/trial.py",
        (sandbox.path / "trial.py").read_text().replace('"x is"', '"from w d: x is"')
        if (sandbox.path / "trial.py").exists()
        else "",
    )
    toy(workdir="w d")
    sandbox.write("w d/trial.py", (sandbox.path / "trial.py").read_text().replace('"x is"', '"elsewhere"'))
    sandbox.write("ours.j2", '{% extends "local.sh.j2" %}{% block setup %}\nexport SITE=here\n{% endblock %}')
    sandbox.sweep("plan", "--template", "ours.j2")
    assert "export SITE=here" in (sandbox.path / "results/toy/jobs/j0001.sh").read_text()
    sandbox.sweep("submit")
    sandbox.follow()
    assert "elsewhere" in sandbox.sweep("logs", "0").out


def test_init_writes_a_grid_that_plans(sandbox: Sandbox) -> None:
    for kind in ("local", "slurm", "pbs", "torque"):
        sandbox.sweep("init", f"{kind}.yaml", "--scheduler", kind)
        assert sandbox.sweep("plan", f"{kind}.yaml", "--dry-run", "--json").json["kind"] == kind
    assert "is there already" in sandbox.sweep("init", "local.yaml", code=2).err
    assert "did you mean 'slurm'" in sandbox.sweep("init", "x.yaml", "--scheduler", "slrum", code=2).err


def test_doctor_finds_what_is_here(sandbox: Sandbox) -> None:
    findings = {finding["what"]: finding for finding in sandbox.sweep("doctor", "--json").json}
    for what in ("lock", "rename", "claims", "clock", "local", "Python for the nodes"):
        assert findings[what]["level"] == "ok", findings[what]
    assert list(sandbox.path.glob(".sweep-doctor*")) == []


def test_schema_is_json(sandbox: Sandbox) -> None:
    assert sandbox.sweep("schema").json["title"] == "Grid"


BAD_GRIDS = {
    "not YAML": "name: [",
    "duplicate key": "name: a\nname: b\ncommand: x\n",
    "unknown key": "name: toy\ncommand: x\nparametres: {a: [1]}\n",
    "unknown scheduler": "name: toy\ncommand: x\nscheduler: {kind: sge}\n",
    "empty axis": "name: toy\ncommand: x\nparameters: {a: []}\n",
    "too many": "name: toy\ncommand: x\nparameters: {a: {range: [0, 1000]}, b: {range: [0, 1000]}}\n",
    "workdir": "name: toy\ncommand: x\nworkdir: /no/such/folder\n",
    "undefined": "name: toy\ncommand: x {{ y }}\n",
}


@pytest.mark.parametrize("what", BAD_GRIDS)
def test_a_bad_grid_writes_nothing(sandbox: Sandbox, what: str) -> None:
    sandbox.write("grid.yaml", BAD_GRIDS[what])
    ran = sandbox.sweep("plan", code=2)
    assert ran.err.startswith("error: grid.yaml:")
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert os.listdir(sandbox.path) == ["grid.yaml"]


def test_a_bad_template_writes_nothing(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.write("bad.j2", "#!/bin/bash\n{{ nothing }}")
    assert "nothing" in sandbox.sweep("plan", "--template", "bad.j2", code=2).err
    assert not (sandbox.path / "results").exists()


def test_a_bad_edit_leaves_the_planned_sweep_as_it_was(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    names = [name for name in files(sandbox.path / "results") if name != "toy/.holder"]
    before = {name: (sandbox.path / "results" / name).read_bytes() for name in names}
    toy(parameters="{x: [1, 2, 3], how: []}")
    sandbox.sweep("plan", code=2)
    sandbox.write("bad.j2", "#!/bin/bash\n{{ nothing }}")
    toy(parameters="{x: [9], how: [ok]}")
    assert "nothing" in sandbox.sweep("plan", "--template", "bad.j2", code=2).err
    assert {name: (sandbox.path / "results" / name).read_bytes() for name in before} == before


def test_a_results_folder_that_cannot_be_written(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.write("results", "a file")
    assert "cannot be written" in sandbox.sweep("plan", code=2).err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plan", "nothing.yaml"], "cannot read 'nothing.yaml'"),
        (["plan", "--template", "no.j2"], "there is no template"),
        (["plan", "--set", "xx=3"], "--set names 'xx'"),
        (["status", "nothing"], "there is no sweep 'nothing'"),
        (["report", "--top", "0"], "top"),
        (["report", "--csv", "--json"], "exclude each other"),
        (["why", "99"], "there is no trial '99'"),
        (["cancel", "0"], "there is nothing to cancel"),
        (["retry", "0"], "only what failed"),
        (["sbumit"], "No such command"),
    ],
)
def test_an_impossible_request_is_exit_code_2(sandbox: Sandbox, toy: Toy, argv: list[str], message: str) -> None:
    toy()
    sandbox.sweep("plan")
    ran = sandbox.sweep(*argv, code=2)
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_no_score_yet_is_exit_code_1_and_the_report_says_so(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    assert "has a segMeasure yet" in sandbox.sweep("best", code=1).err
    assert "no trial has a segMeasure yet" in sandbox.sweep("report").out


@pytest.mark.parametrize("closed", ["reader", "descriptor"])
def test_a_pipe_that_closes_is_no_error(sandbox: Sandbox, toy: Toy, closed: str) -> None:
    """``sweep report | head -1``; ``sweep report >&-``. The reader is gone from the start: nothing is left to luck."""
    toy(parameters="{x: {range: [1, 3000]}, how: [ok]}")
    sandbox.sweep("plan")
    expected = {
        "report --csv": 0,  # breaks inside of the command
        "status": 0,
        "status --json": 0,  # breaks when what was printed leaves the buffer, as the command ends
        "schema": 0,
        "--help": 0,
        "status --help": 0,
        "--version": 0,
        "status nosuch": 2,  # an error stays an error, whoever reads it
        "bogus": 2,
    }
    for arguments, code in expected.items():
        command = f"exec {shlex.quote(sys.executable)} -m sweep {arguments}" + " >&-" * (closed == "descriptor")
        reader, writer = os.pipe()
        os.close(reader)
        ran = subprocess.run(
            ["bash", "-c", command], cwd=sandbox.path, env=sandbox.env, stdout=writer, stderr=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        os.close(writer)
        assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), f"{arguments}: {ran.stderr}"
        assert ("error" in ran.stderr.lower()) == bool(code), f"{arguments}: {ran.stderr}"


def test_a_reader_without_the_right_to_write_sees_the_sweep(sandbox: Sandbox, toy: Toy) -> None:
    """The folder of a colleague: anyone who may read it can see the sweep."""
    mortal: list[str] = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip(
                "root may write everywhere, and there is no setpriv to take that right away. To try it: be another user"
            )
        mortal = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    toy(parameters="{x: [1, 2], how: [ok, fail]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("retry", "1", "--plan-only")
    folder = sandbox.path / "results"
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        for argv, message in [
            (["status"], "2 done"),
            (["report"], "best: trial 2"),
            (["best"], "trial 2, segMeasure 4.0000"),
            (["why", "3"], "exit code 3"),
            (["logs", "0"], "x is 1.0"),
        ]:
            ran = sandbox.run(*mortal, sys.executable, "-m", "sweep", *argv)
            assert (ran.code, message in ran.out) == (0, True), ran.err + ran.out
        assert "note: cannot write" in sandbox.run(*mortal, sys.executable, "-m", "sweep", "report").err
        for argv in (["submit"], ["plan"]):
            ran = sandbox.run(*mortal, sys.executable, "-m", "sweep", *argv)
            assert ran.code in (1, 2)
            assert "cannot" in ran.err
            assert "Traceback" not in ran.err
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | 0o200)
