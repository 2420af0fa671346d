"""One sweep, one place: copies, moved folders, and results that are gone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.store import Shelf, runners
from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster, until

Toy = Callable[..., Path]


@pytest.fixture
def project(sandbox: Sandbox, toy: Toy) -> Sandbox:
    """A project of its own folder, in which two of four trials have run."""
    toy(parameters="{x: [1, 2, 3, 4], how: [ok]}", submit="{max_queued: 2}")
    first = sandbox.room("the project")
    first.sweep("plan")
    first.sweep("submit")
    first.follow()
    assert first.states() == {"done": 2, "planned": 2}
    return first


def runs(sandbox: Sandbox) -> list[str]:
    """Return what the trials' program noted in its working folder."""
    path = sandbox.path / "runs"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line.startswith("begin ")]


def test_a_copy_runs_nothing_in_the_old_folder(project: Sandbox) -> None:
    copy = Sandbox(project.path.with_name("a copy"), project.env)
    shutil.copytree(project.path, copy.path)
    before = runs(project)
    for verb in (("submit",), ("submit", "--dry-run"), ("retry",), ("confirm", "--top", "1"), ("cancel",)):
        refused = copy.sweep(*verb, code=2).err
        assert f"this is a copy of the sweep in {str(project.path / 'results/toy')!r}" in refused, verb
        assert "plan" in refused or verb == ("cancel",)
    looked = copy.sweep("status")
    assert "this is a copy of the sweep" in looked.err + looked.out
    assert copy.states() == {"done": 2, "planned": 2}
    assert "it was planned in" in copy.sweep("plan").err
    copy.sweep("submit")
    copy.follow()
    assert copy.states() == {"done": 4}
    assert runs(project) == before
    assert len(runs(copy)) == 4
    copy.accounted_for()
    project.sweep("submit")  # the original goes on where it was
    project.follow()
    assert project.states() == {"done": 4}
    assert len(runs(copy)) == 4


def test_what_is_queued_belongs_to_the_original(make_fake: Callable[[str], Cluster], toy: Toy) -> None:
    cluster = make_fake("pbs")
    toy(scheduler="{kind: pbs}", parameters="{x: [1, 2], how: [ok]}", submit="{placement: each}")
    original = cluster.sandbox.room("original")
    cluster.knob("held")
    original.sweep("plan")
    original.sweep("submit")
    copy = Sandbox(original.path.with_name("copy"), original.env)
    shutil.copytree(original.path, copy.path)
    assert copy.states() == {"planned": 2}
    assert "cancel them there" in copy.sweep("cancel", code=2).err
    copy.sweep("plan")
    assert copy.states() == {"planned": 2}
    copy.sweep("cancel")
    assert not [call for call in cluster.calls() if call[0] == "qdel"]
    cluster.knob("held", on=False)
    copy.sweep("submit")
    until(copy.states, {"done": 2})
    until(original.states, {"done": 2})
    assert (len(runs(original)), len(runs(copy))) == (2, 2)
    copy.accounted_for()
    original.accounted_for()


def test_what_ran_when_it_was_copied_is_lost_to_the_copy(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [60], how: [sleep]}")
    original = sandbox.room("original")
    original.sweep("plan")
    original.sweep("submit")
    until(lambda: len(runs(original)), 1)
    copy = Sandbox(original.path.with_name("copy"), {**original.env, "SWEEP_GRACE_S": "0.1"})
    shutil.copytree(original.path, copy.path)
    copy.sweep("plan")
    copy.sweep("cancel")
    until(copy.states, {"lost": 1})
    assert (
        f"it was sent from {str(original.path / 'results/toy')!r}"
        in copy.sweep("why", "0", "--json").json["reason"]
    )
    assert original.states() == {"running": 1}
    copy.write("trial.py", (copy.path / "trial.py").read_text().replace("time.sleep(x)", "pass"))
    copy.sweep("retry")
    until(copy.states, {"done": 1})
    assert original.states() == {"running": 1}
    original.sweep("cancel")
    until(original.states, {"cancelled": 1})


def test_a_moved_sweep_is_planned_where_it_is(project: Sandbox) -> None:
    moved = Sandbox(project.path.with_name("moved"), project.env)
    project.path.rename(moved.path)
    refused = moved.sweep("submit", code=2).err
    assert "was planned in" in refused
    assert "sweep plan" in refused
    assert "is here now" in moved.sweep("status").err + moved.sweep("status").out
    moved.sweep("plan")
    moved.sweep("submit")
    moved.follow()
    assert moved.states() == {"done": 4}
    moved.accounted_for()


def test_packed_jobs_that_workers_left_are_written_anew(sandbox: Sandbox, toy: Toy) -> None:
    """Such a job is sent again as it was, so its script would run in the old folder."""
    toy(parameters="{x: [1, 2, 3], how: [ok]}", submit="{placement: packed, workers: 1}")
    first = sandbox.room("first")
    first.write("grid.yaml", (first.path / "grid.yaml").read_text() + "environment: ['test -e ready']\n")
    first.sweep("plan")
    first.sweep("submit")
    until(first.states, {"failed": 1, "planned": 2})
    second = Sandbox(first.path.with_name("second"), first.env)
    first.path.rename(second.path)
    second.write("ready", "")
    second.sweep("plan")
    second.sweep("submit")
    until(second.states, {"failed": 1, "done": 2})
    second.sweep("retry", "--errors")
    until(second.states, {"done": 3})


def test_one_folder_by_two_ways_is_one_place(project: Sandbox) -> None:
    link = Sandbox(project.path.with_name("link"), project.env)
    link.path.symlink_to(project.path)
    link.sweep("submit")
    link.follow()
    assert link.states() == {"done": 4}


def test_a_project_that_is_gone_while_its_results_are_not(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: [1, 2], how: [ok]}")
    project = sandbox.room("project")
    results = ("--results", str(sandbox.path / "elsewhere"))
    project.sweep(*results, "plan")
    shutil.rmtree(project.path)
    refused = sandbox.sweep(*results, "submit", code=2).err
    assert "the folder in which the trials are to run" in refused
    assert repr(str(project.path)) in refused


# --- results that are gone --------------------------------------------------------------------------------


@pytest.fixture
def ended(sandbox: Sandbox, toy: Toy) -> Sandbox:
    toy(parameters="{x: [1, 2, 3], how: [ok]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("report")
    return sandbox


def best(sandbox: Sandbox) -> int:
    return int(sandbox.sweep("best", "--json").json["trial"])


def folder_of(sandbox: Sandbox, trial: int) -> Path:
    return Path(sandbox.sweep("why", str(trial), "--json").json["folder"])


def test_a_result_whose_folder_is_gone_is_told_and_run_again(ended: Sandbox) -> None:
    winner = best(ended)
    shutil.rmtree(folder_of(ended, winner))
    words = f"trial {winner} was done, and its result is not there any more"
    for verb in (("status",), ("report",), ("report", "--fresh"), ("best",)):
        said = ended.sweep(*verb)
        assert words in (said.err + said.out).replace("\n", " "), verb
    assert ended.states() == {"done": 2, "gone": 1}
    shown = ended.sweep("report")
    assert f"better ones are among those whose results are gone: trial {winner} had" in (shown.out + shown.err)
    assert best(ended) != winner
    why = ended.sweep("why", str(winner), "--json").json
    assert (why["state"], why["cause"]) == ("gone", "result gone")
    assert "is not there any more" in why["reason"]
    assert "result gone: only if told, by --gone" in ended.sweep("retry").out.replace("\n", " ")
    assert ended.states() == {"done": 2, "gone": 1}
    ended.sweep("retry", str(winner))
    ended.follow()
    assert ended.states() == {"done": 3}
    assert best(ended) == winner


def test_a_result_whose_file_is_gone_is_told_where_results_are_read(ended: Sandbox) -> None:
    winner = best(ended)
    (folder_of(ended, winner) / "score.json").unlink(missing_ok=True)
    for path in folder_of(ended, winner).glob("*.json"):
        if not path.name.startswith("attempt"):
            path.unlink()
    said = ended.sweep("report", "--fresh")
    assert f"trial {winner} was done, and its result is not there any more" in (said.out + said.err).replace(
        "\n", " "
    )
    assert ended.sweep("why", str(winner), "--json").json["state"] == "gone"
    ended.sweep("retry", "--gone")
    ended.follow()
    assert ended.states() == {"done": 3}
    assert best(ended) == winner


@pytest.mark.parametrize("all_of_it", [True, False])
def test_all_results_are_gone(ended: Sandbox, *, all_of_it: bool) -> None:
    """A copy without trials/, or a purged scratch."""
    trials = ended.path / "results/toy/trials"
    for path in [trials] if all_of_it else list(trials.iterdir()):
        shutil.rmtree(path)
    (ended.path / "results/toy/.results").unlink(missing_ok=True)
    assert ended.states() == {"gone": 3}
    said = ended.sweep("best", code=1)
    assert "3 gone" in said.err
    ended.sweep("plan")
    assert ended.states() == {"gone": 3}
    ended.sweep("retry", "--gone")
    ended.follow()
    assert ended.states() == {"done": 3}


def test_without_the_folder_of_trials_nothing_is_concluded_of_what_is_queued(
    make_fake: Callable[[str], Cluster], toy: Toy
) -> None:
    cluster = make_fake("pbs")
    sandbox = cluster.sandbox
    toy(scheduler="{kind: pbs}", parameters="{x: [1], how: [ok]}")
    sandbox.sweep("plan")
    cluster.knob("held")
    sandbox.sweep("submit")
    trials = sandbox.path / "results/toy/trials"
    trials.rename(trials.with_name("unmounted"))
    assert "is that mounted?" in sandbox.sweep("status", code=1).err


# --- the runners ------------------------------------------------------------------------------------------


def test_an_upgrade_leaves_the_runners_of_queued_scripts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Shelf(tmp_path).create("toy")
    store.runners.install()
    old = {path.name: path.read_bytes() for path in store.runners.folder.iterdir()}
    first = store.runners.folder
    store.runners.install()
    assert len(list(store.path.glob("node-*"))) == 1
    newer = {**runners._files(), "runner.py": b"raise SystemExit('newer')\n"}
    monkeypatch.setattr(runners, "_files", lambda: newer)
    store.runners.install()
    assert store.runners.folder != first
    assert {path.name: path.read_bytes() for path in first.iterdir()} == old
    assert (store.runners.folder / "runner.py").read_bytes() == newer["runner.py"]


def test_a_backslash_in_the_path_is_refused_where_slurm_would_drop_it(sandbox: Sandbox, toy: Toy) -> None:
    toy(scheduler="{kind: slurm}")
    refused = sandbox.sweep("--results", "back\\slash", "plan", code=2).err
    assert "has a backslash, which Slurm drops" in refused.replace("\n", " ")
    assert not (sandbox.path / "back\\slash").exists()
    toy(scheduler="{kind: local}", parameters="{x: [1], how: [ok]}")
    results = ("--results", "back\\slash")
    sandbox.sweep(*results, "plan")
    sandbox.sweep(*results, "submit")
    until(lambda: json.loads(sandbox.sweep(*results, "status", "--json").out)["counts"], {"done": 1})
