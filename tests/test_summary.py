"""The end of a run of the tests: where the time went, and what was not tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Half of a small run's time is the import of all other plugins.
ONLY_XDIST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}

SUITE = {
    "pytest.ini": "[pytest]\naddopts = -p no:cacheprovider\n",
    "conftest.py": "from tests.conftest import pytest_terminal_summary, slurm_is_here\n",
    "fast/test_fast.py": "def test_fast(): pass\n",
    "slow/test_slurm.py": """\
import pytest
@pytest.mark.parametrize("number", [1, 2, 3])
def test_slurm(slurm_is_here, number): pass
@pytest.mark.skip(reason="no camel. To try it: buy one")
def test_camel(): pass
""",
    "slow/test_more.py": "def test_slurm(slurm_is_here): pass\n",
}


def run_suite(folder: Path, *args: str) -> list[str]:
    """Run the small suite where there is no Slurm; returns the lines of the output."""
    for name, text in SUITE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    hidden = ("PYTEST_", "COV_", "SWEEP_", "SLURM_", "FORCE_COLOR", "PY_COLORS")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *args],
        cwd=folder,
        env={**env, **ONLY_XDIST, "PYTHONPATH": str(ROOT), "PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["in one process", "with workers"])
def test_a_run_ends_with_what_was_not_tried_and_how_to(tmp_path: Path, workers: list[str]) -> None:
    lines = run_suite(tmp_path, *workers)
    [begin] = [number for number, line in enumerate(lines) if " not tried here " in line]
    slurm, *files = lines[begin + 1 : begin + 4]
    assert slurm == (
        "4 skipped: no Slurm here: sbatch is not on PATH. To try it: tests/cluster/slurm.sh install, "
        "then export SLURM_CONF=$(tests/cluster/slurm.sh up)"
    )
    assert sorted(files) == ["    1 of slow/test_more.py", "    3 of slow/test_slurm.py"]
    assert lines[begin + 4 : begin + 6] == [
        "1 skipped: no camel. To try it: buy one",
        "    1 of slow/test_slurm.py",
    ]
    assert "1 passed, 5 skipped" in lines[-1]


def test_durations_come_with_their_sum_by_folder(tmp_path: Path) -> None:
    lines = run_suite(tmp_path, "-n", "2", "--durations=20")
    [begin] = [number for number, line in enumerate(lines) if " seconds by folder " in line]
    assert sorted(line.split()[-1] for line in lines[begin + 1 : begin + 3]) == ["fast", "slow"]


def test_they_come_only_where_they_are_asked_for(tmp_path: Path) -> None:
    assert not any("seconds by folder" in line for line in run_suite(tmp_path, "fast"))
