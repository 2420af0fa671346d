"""Folders that earlier versions of sweep wrote: read, and gone on with."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from sweep.state.events import FORMAT, OLDEST_FORMAT
from tests.conftest import Sandbox

FOLDERS = Path(__file__).parents[1] / "folders"
FORMATS = [path.name for path in sorted(FOLDERS.glob("format-*"))]


@pytest.fixture(params=FORMATS)
def older(request: pytest.FixtureRequest, sandbox: Sandbox) -> Sandbox:
    """The sandbox, with the sweeps of one format in it."""
    for name in ("old", "packed"):
        shutil.copytree(FOLDERS / request.param / name, sandbox.path / "results" / name)
    shutil.copy(FOLDERS / request.param / "trial.py", sandbox.path)
    return sandbox


def test_there_is_a_folder_of_each_format_that_is_read() -> None:
    assert {f"format-{number}" for number in range(OLDEST_FORMAT, FORMAT + 1)} == set(FORMATS)


def test_an_older_folder_is_shown(older: Sandbox) -> None:
    status = older.sweep("status", "old", "--json").json
    assert (status["counts"], status["retired"]) == ({"done": 4, "failed": 2, "cancelled": 2}, 4)
    assert older.sweep("status", "packed", "--json").json["counts"] == {"planned": 2, "done": 2, "failed": 2}
    best = older.sweep("best", "old", "--json").json
    assert (best["trial"], best["score"], best["confirmed"], best["replicates"]) == (6, 4.0, True, [6, 7])
    why = older.sweep("why", "1", "--sweep", "old", "--json").json
    assert (why["state"], why["reason"], why["attempt"]["attempt"], why["retired"]) == (
        "failed",
        "exit code 3",
        2,
        True,
    )
    assert "x is 1.0" in older.sweep("logs", "0", "--sweep", "old").out
    rows = older.sweep("report", "old", "--trials", "--retired", "--json").json
    assert [row["trial"] for row in rows if row["state"] == "done"] == [0, 3, 6, 7, 9]
    assert older.sweep("page", "old").code == 0


def test_an_older_sweep_goes_on(older: Sandbox, tmp_path: Path) -> None:
    """What was planned runs as it was planned: by the older scripts and runners."""
    plain = tmp_path / "plain"  # the scripts name the folder in which they were planned, which needed no quotes
    plain.symlink_to(older.path)
    here = {"/tmp/frozen": str(plain), "/opt/sweep/bin/python": shlex.quote(sys.executable)}
    journal = older.path / "results/packed/journal.jsonl"  # of a folder that was moved, nothing is sent
    journal.write_text(journal.read_text().replace("/tmp/frozen", str(plain)))
    for script in older.path.glob("results/packed/jobs/*.sh"):
        text = script.read_text()
        for there, path in here.items():
            assert there in text
            text = text.replace(there, path)
        script.write_text(text)
    assert older.sweep("submit", "packed", "--json").json["trials_sent"] == 2
    older.sweep("status", "packed", "--watch", "--interval", "0.3")
    assert older.sweep("status", "packed", "--json").json["counts"] == {"done": 3, "failed": 3}


def test_an_older_grid_is_planned_again(older: Sandbox) -> None:
    grid = older.write("grid.yaml", (older.path / "results/old/grid.1.yaml").read_text())
    plan = older.sweep("plan", str(grid), "--json").json
    assert (plan["new"], plan["kept"], plan["retired"]) == (0, 8, 4)
    # Planned here, it runs here: with a command of today beside the folder's own runners.
    assert older.sweep("retry", "4", "1", "--sweep", "old", "--plan-only", "--json").json["trials"] == [1, 4]
    assert older.sweep("submit", "old", "--json").json["trials_sent"] == 2
    older.sweep("status", "old", "--watch", "--interval", "0.3")
    attempts = {
        json.loads(path.read_text())["attempt"]
        for path in (older.path / "results/old/trials").rglob("attempt-*.json")
    }
    assert attempts == {1, 2, 3}
    assert older.sweep("status", "old", "--json").json["counts"] == {"done": 4, "failed": 4}
