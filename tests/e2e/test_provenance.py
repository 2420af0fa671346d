"""Where results came from: what plan finds, what each attempt notes, and who shows it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.steps import provenance as steps
from tests.conftest import Sandbox
from tests.test_code import git

Toy = Callable[..., Path]

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="no git here. To try it: apt-get install git")


def planned(sandbox: Sandbox) -> dict[str, Any]:
    """Return what the newest plan noted."""
    lines = (sandbox.path / "results/toy/journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [event for event in events if event["event"] == "planned"][-1]["provenance"]  # type: ignore[no-any-return]


def kept(sandbox: Sandbox, digest: str) -> str:
    """Return a text that was kept."""
    lines = (sandbox.path / "results/toy/provenance.jsonl").read_text().splitlines()
    return {text["digest"]: text["text"] for text in map(json.loads, lines)}[digest]  # type: ignore[no-any-return]


@pytest.fixture
def repository(sandbox: Sandbox, toy: Toy) -> Sandbox:
    """The toy sweep's folder as a repository with a commit."""
    toy()
    git(sandbox.path, "init", "-q", "-b", "main")
    git(sandbox.path, "add", ".")
    git(sandbox.path, "commit", "-q", "-m", "first")
    return sandbox


def test_a_plan_says_who_where_and_with_what(repository: Sandbox) -> None:
    repository.sweep("plan")
    noted = planned(repository)
    script = hashlib.sha256((repository.path / "trial.py").read_bytes()).hexdigest()
    assert noted["commit"] == git(repository.path, "rev-parse", "HEAD")
    assert (noted["branch"], noted["dirty"], noted["script"]) == ("main", False, "trial.py")
    assert (noted["script_sha256"], noted["folder"]) == (script, str(repository.path))
    assert noted["host"] == os.uname().nodename
    assert noted["who"]
    assert noted["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"diff", "untracked", "git_problem", "python_problem"}.isdisjoint(noted)  # the results are no code
    packages = kept(repository, noted["packages"]).splitlines()
    assert len(packages) == noted["packages_count"]
    assert any(line.startswith("pandas==") for line in packages)
    assert packages == sorted(packages, key=str.lower)


def test_what_differs_from_the_commit_is_kept_once_and_can_be_applied(repository: Sandbox) -> None:
    changed = (repository.path / "trial.py").read_text() + "# grün\r\n"
    (repository.path / "trial.py").write_text(changed, newline="")
    (repository.path / "new.py").write_text("secret = 1")
    repository.sweep("plan")
    repository.sweep("plan")
    noted = planned(repository)
    assert (noted["dirty"], noted["untracked"], noted["untracked_count"]) == (True, ["new.py"], 1)
    diff = kept(repository, noted["diff"])
    assert "+# grün\r" in diff
    assert "secret" not in diff
    assert len((repository.path / "results/toy/provenance.jsonl").read_text().splitlines()) == 2
    git(repository.path, "stash", "-q")
    (repository.path / "changes.patch").write_bytes(diff.encode())
    git(repository.path, "apply", "changes.patch")
    assert (repository.path / "trial.py").read_bytes().decode() == changed
    repository.sweep("plan", "--no-diff")
    noted = planned(repository)
    assert noted["dirty"]
    assert "diff" not in noted


def test_a_huge_difference_is_cut(repository: Sandbox) -> None:
    (repository.path / "trial.py").write_text("# 0123456789\n" * 200_000)
    repository.sweep("plan")
    noted = planned(repository)
    assert noted["diff_is_cut"]
    assert len(kept(repository, noted["diff"])) == steps.MOST_DIFF_BYTES


def test_many_untracked_files_are_counted(repository: Sandbox) -> None:
    for number in range(30):
        (repository.path / f"{number:02} ä").write_text("")
    repository.sweep("plan")
    noted = planned(repository)
    assert (noted["untracked_count"], len(noted["untracked"])) == (30, steps.MOST_UNTRACKED)
    assert noted["untracked"][0] == "00 ä"
    assert not noted.get("dirty")


def test_a_repository_without_a_commit_and_none_at_all(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    noted = planned(sandbox)
    assert {"commit", "dirty", "git_problem"}.isdisjoint(noted)
    assert noted["script"] == "trial.py"
    git(sandbox.path, "init", "-q")
    sandbox.sweep("plan")
    noted = planned(sandbox)
    assert "commit" not in noted
    assert (noted["dirty"], noted["untracked"]) == (False, ["trial.py"])  # the grid's file is no part of the code


def test_the_persons_own_git_variables_mean_another_repository(repository: Sandbox, tmp_path: Path) -> None:
    head = git(repository.path, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    variables = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_EXTERNAL_DIFF": "false"}
    (repository.path / "trial.py").write_text("print(2)")
    repository.sweep("plan", env=variables)
    noted = planned(repository)
    assert (noted["commit"], noted["dirty"]) == (head, True)
    assert "+print(2)" in kept(repository, noted["diff"])


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("exec sleep 60", "timed out"),
        ("echo dubious >&2; exit 128", "failed: dubious"),
        ("kill -9 $$", "was killed"),
    ],
)
def test_a_git_that_does_not_answer_keeps_no_plan_from_being_made(
    repository: Sandbox, says: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.clock import SYSTEM
    from sweep.shell import Shell
    from sweep.store import Store

    monkeypatch.setattr(steps, "GIT_S", 0.5)
    head = git(repository.path, "rev-parse", "HEAD")
    program = repository.write("bin/git", f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    store = Store(repository.path / "results/toy", SYSTEM)
    noted = steps.look(store, Shell(), repository.path, (), ["bash", "x.sh"]).provenance
    assert (noted.commit, noted.dirty) == (head, None)  # git's own files say so much
    assert problem in noted.git_problem


def test_a_plan_says_what_git_did_not(repository: Sandbox) -> None:
    program = repository.write("bin/git", "#!/bin/sh\necho dubious >&2\nexit 128\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{repository.env['PATH']}"
    noted = "note: how the code differs from a commit is not known, and not kept: git status failed: dubious"
    assert noted in repository.sweep("plan", env={"PATH": path}).err
    assert planned(repository)["commit"] == git(repository.path, "rev-parse", "HEAD")
    repository.sweep("plan")
    assert "git_problem" not in planned(repository)


def test_no_git_on_this_machine(repository: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.shell import Shell
    from sweep.store import Store

    head = git(repository.path, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(repository.path))
    noted = steps.look(
        Store(repository.path / "results/toy"), Shell(), repository.path, (), ["python", "trial.py"]
    )
    assert noted.provenance.commit == head
    assert noted.provenance.git_problem == "git status not found"
    assert noted.provenance.python_problem == "python not found"


def test_the_interpreter_is_that_of_the_environment_lines_where_they_only_set_it_up(
    sandbox: Sandbox, toy: Toy
) -> None:
    program = sandbox.write(
        "venv/bin/python", '#!/bin/sh\nprintf \'\\n["/venv/python", "3.9.1", {"b": "2", "A": "1"}]\\n\'\n'
    )
    program.chmod(0o755)
    sandbox.write("venv/bin/activate", 'echo activated; PATH="$PWD/venv/bin:$PATH"')
    toy(command="[python, trial.py, '{{ x }}', '{{ how }}']", environment="[source venv/bin/activate]")
    sandbox.sweep("plan")
    noted = planned(sandbox)
    assert (noted["interpreter"], noted["python"]) == ("/venv/python", "3.9.1")
    assert kept(sandbox, noted["packages"]) == "A==1\nb==2\n"
    toy(environment="[source venv/bin/activate, touch ran-on-the-login-node]")
    sandbox.sweep("plan")
    assert "'touch ran-on-the-login-node'" in planned(sandbox)["python_problem"]
    assert not (sandbox.path / "ran-on-the-login-node").exists()


@pytest.mark.parametrize(
    "line",
    [
        "export A=$(touch x)",
        "source a | tee x",
        "conda install y",
        "module load a; touch x",
        "export A=`x`",
        "source /dev/null\ntouch x",
    ],
)
def test_other_environment_lines_run_on_a_node_alone(tmp_path: Path, line: str) -> None:
    from sweep.shell import Shell
    from sweep.store import Store

    noted = steps.look(Store(tmp_path / "s"), Shell(), tmp_path, (line,), [sys.executable, "x.py"]).provenance
    assert noted.python_problem
    assert not noted.python
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "line",
    [
        "export A=1 && export B='a b'",
        "unset A",
        ". /dev/null",
        'eval "$(conda shell.bash hook)"',
    ],
)
def test_lines_that_only_set_up_run_before_the_interpreter_is_asked(tmp_path: Path, line: str) -> None:
    from sweep.shell import Shell
    from sweep.store import Store

    noted = steps.look(Store(tmp_path / "s"), Shell(), tmp_path, (line,), [sys.executable, "x.py"]).provenance
    assert noted.python or "conda" in line  # which is not here, or is
    assert "may do more" not in noted.python_problem


def test_a_command_of_an_installed_program_has_the_interpreter_of_its_first_line(tmp_path: Path) -> None:
    for line, interpreter in (
        ("#!/opt/venv/bin/python3.12", "/opt/venv/bin/python3.12"),
        ("#! /usr/bin/python3 -sP", "/usr/bin/python3"),
        ("#!/usr/bin/env python3", "python3"),
        ("#!/bin/sh", ""),
        ("#!/bin/bash python", "python"),
        # As pip writes it for a folder whose name a first line cannot have.
        ("#!/bin/sh\n'''exec' \"/a folder/it's/bin/python\" \"$0\" \"$@\"\n' '''", "/a folder/it's/bin/python"),
        ("#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n' '''", "/long/bin/python"),
        ("#!/bin/sh\n'''exec' \"/torn", ""),
        ("\x7fELF", ""),
    ):
        (tmp_path / "tool").write_text(f"{line}\n")
        (tmp_path / "tool").chmod(0o755)
        assert steps.interpreter_of(["./tool"], tmp_path) == interpreter, line
    assert steps.interpreter_of(["no-such-program"], tmp_path) == steps.interpreter_of([], tmp_path) == ""


def test_each_attempt_notes_the_code_as_it_starts_and_others_are_marked(repository: Sandbox) -> None:
    first = git(repository.path, "rev-parse", "HEAD")
    repository.sweep("plan")
    script = str(repository.path / "results/toy/jobs/j0001.sh")
    for task in ("0", "1"):
        assert repository.run("bash", script, env={"SWEEP_TASK": task}).code == 0
    with (repository.path / "trial.py").open("a") as program:
        program.write("# better\n")
    git(repository.path, "commit", "-q", "-a", "-m", "second")
    second = git(repository.path, "rev-parse", "HEAD")
    assert repository.run("bash", script, env={"SWEEP_TASK": "2"}).code == 0  # it was planned, and queued, before
    ran = repository.sweep("report")
    assert "warning: 1 trial ran other code than the rest" in ran.out
    assert f"commit {second[:7]} instead of {first[:7]}, trial.py " in ran.out
    assert ran.out.index("warning: ") < ran.out.index("rank")
    rows = repository.sweep("report", "--json")
    labels = {row["trial"]: row["code_ran"] for row in rows.json}
    assert labels[2].startswith(f"≠ {second[:7]} ")
    assert labels[0] == labels[1]
    assert labels[0].startswith(first[:7])
    assert "note: 1 trial ran other code" in rows.err
    assert "other code than the rest" in repository.sweep("verdict", "0", "2", code=3).err
    assert "other code" not in repository.sweep("verdict", "0", "1", code=3).err
    trials = {row["trial"]: row["code_ran"] for row in repository.sweep("report", "--trials", "--json").json}
    assert trials[2].startswith(f"{second[:12]} ")
    assert trials[2].endswith(" trial.py")
    repository.sweep("page")
    page = (repository.path / "results/toy/report.html").read_text()
    assert "How it was made" in page
    assert first in page
    assert "other code than the rest" in page
    noted = repository.sweep("plan").err
    assert "since the last plan the commit changed: 3 trials done ran what was there before" in noted
    assert "since the last plan" not in repository.sweep("plan", "--no-diff").err  # nothing was edited
    with (repository.path / "grid.yaml").open("a") as grid:
        grid.write("# extended\n")
    assert "since the last plan" not in repository.sweep("plan").err  # the grid's file is no part of the code


def test_who_shows_where_a_winner_came_from(repository: Sandbox) -> None:
    head = git(repository.path, "rev-parse", "HEAD")
    repository.sweep("plan")
    repository.sweep("submit")
    repository.follow()
    out = repository.sweep("report").out
    assert f"commit {head[:12]} (main); trial.py " in out
    assert "warning" not in out
    assert "code_ran" not in repository.sweep("report", "--json").json[0]
    best = repository.sweep("best", "--json").json
    assert best["provenance"]["commit"] == head
    assert best["provenance"]["version"] == sweep.__version__
    assert best["provenance"]["at"] > 0
    assert (best["code"][0]["commit"], best["code"][0]["script"]) == (head[:12], "trial.py")
    assert best["seeds"] == [best["seed"]]
    assert f"commit: {head}" in (repository.path / "results/toy/best.yaml").read_text()
    loaded = sweep.load(str(repository.path / "results/toy"))
    assert loaded.provenance is not None
    assert loaded.provenance.commit == head
    assert set(loaded.trials["code_ran"].str[:12]) == {head[:12]}


def test_an_export_has_all_that_repeats_the_winner(repository: Sandbox) -> None:
    trial = "import json, os, sys\nscore = float(sys.argv[1]) * float(os.environ['SWEEP_SEED'][:1])\n"
    trial += "json.dump({'segMeasure': score, 'data': {'fingerprint': 'ab12'}}, open(os.environ['SWEEP_RESULT'], 'w'))\n"
    (repository.path / "trial.py").write_text(trial)
    (repository.path / "latin.txt").write_bytes(b"caf\xe9\n")
    git(repository.path, "add", "latin.txt")
    (repository.path / "unknown.txt").write_text("")
    head = git(repository.path, "rev-parse", "HEAD")
    repository.sweep("plan", "--set", "replicates=2")
    repository.sweep("submit")
    repository.follow()
    repository.sweep("best", "--export", "paper")
    paper = repository.path / "paper"
    names = {
        "README.md",
        "best.yaml",
        "command.sh",
        "grid.yaml",
        "changes.patch",
        "requirements.txt",
        "result.json",
    }
    assert {path.name for path in paper.iterdir()} == names
    readme = (paper / "README.md").read_text()
    seeds = repository.sweep("best", "--json").json["seeds"]
    assert len(set(seeds)) == 2
    for words in (
        head,
        "git apply changes.patch",
        "data.fingerprint: ab12",
        ", ".join(map(str, seeds)),
        "`unknown.txt`",
    ):
        assert words in readme
    clone = repository.path / "clone"
    git(repository.path, "clone", "-q", ".", "clone")
    git(clone, "apply", str(paper / "changes.patch"))
    assert (clone / "trial.py").read_text() == trial
    assert (clone / "latin.txt").read_bytes() == b"caf\xe9\n"
    assert repository.run("bash", str(paper / "command.sh")).code == 0
    repeated = json.loads((repository.path / "segMeasure.json").read_text())
    assert repeated == json.loads((paper / "result.json").read_text())
    ran = repository.sweep("best", "--export", "paper", code=2)
    assert "there is something in 'paper' already" in ran.err


def test_an_export_offers_no_patch_that_the_best_did_not_run(repository: Sandbox) -> None:
    """The code was changed, and planned again, after the best had run."""
    repository.sweep("plan")
    repository.sweep("submit")
    repository.follow()
    with (repository.path / "trial.py").open("a") as program:
        program.write("# new\n")
    repository.sweep("plan")
    repository.sweep("best", "--export", "paper")
    readme = (repository.path / "paper/README.md").read_text()
    assert "git apply" not in readme
    assert "The code changed between the newest plan" in readme
    assert "`changes.patch` is of that plan, and may not be what they ran." in readme
    # A commit between the plan and the start: the patch is against another.
    git(repository.path, "commit", "-q", "-a", "-m", "second")
    with (repository.path / "trial.py").open("a") as program:
        program.write("# newer\n")
    repository.sweep("plan")
    repository.sweep("best", "--export", "again")
    assert "git apply" not in (repository.path / "again/README.md").read_text()


def test_a_patch_can_be_applied_with_binary_files_and_where_it_was_cut(repository: Sandbox) -> None:
    (repository.path / "w.bin").write_bytes(bytes(range(256)))
    (repository.path / "z.txt").write_text("")
    git(repository.path, "add", "w.bin", "z.txt")
    git(repository.path, "commit", "-q", "-m", "more")
    (repository.path / "w.bin").write_bytes(bytes(range(255, -1, -1)))
    (repository.path / "z.txt").write_text("# 0123456789\n" * 200_000)
    repository.sweep("plan")
    repository.sweep("submit")
    repository.follow()
    repository.sweep("best", "--export", "paper")
    clone = repository.path / "clone"
    git(repository.path, "clone", "-q", ".", "clone")
    git(clone, "apply", str(repository.path / "paper/changes.patch"))
    assert (clone / "w.bin").read_bytes() == bytes(range(255, -1, -1))
    assert (clone / "z.txt").read_text() == ""  # it was not kept whole
    readme = (repository.path / "paper/README.md").read_text()
    assert "Apply what differed from it, as far as it was kept" in readme
    assert "was too long to be kept whole" in readme


def test_an_export_says_what_is_not_known(sandbox: Sandbox, toy: Toy) -> None:
    toy(command='[bash, -c, \'echo "{\\"segMeasure\\": {{ x }}}" > "$SWEEP_RESULT"\']', parameters="{x: [1, 2]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("best", "--export", "a/b")
    assert {path.name for path in (sandbox.path / "a/b").iterdir()} == {
        "README.md", "best.yaml", "command.sh", "grid.yaml", "result.json",
    }  # fmt: skip
    assert "- No commit is known." in (sandbox.path / "a/b/README.md").read_text()
    assert sandbox.sweep("best", "--export", "grid.yaml", code=2).err.startswith("error: cannot use 'grid.yaml'")
