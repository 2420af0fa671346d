"""The code that the benchmarks share: what is counted, and the message when a side dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.check import complaints
from bench.harness import SideDied, step_servers

ROOT = Path(__file__).parent.parent

#: A command line that opens a file by itself, through the standard library and through a library.
COMMAND_LINE = """\
import os
from pathlib import Path

import library


def main():
    read()


def read():
    open("folder/a").close()
    Path("folder/a").read_text()
    os.listdir("folder")
    list(Path("folder").iterdir())
    library.work()
    open("elsewhere").close()
"""

LIBRARY = """\
import os

import numpy


def work():
    open("folder/a").close()
    os.mkdir("folder/of a library")
    os.rmdir("folder/of a library")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with an invented package called sweep and an invented library."""
    for name, text in (
        ("sweep/__init__.py", ""),
        ("sweep/cli.py", COMMAND_LINE),
        ("site-packages/library.py", LIBRARY),
        ("site-packages/numpy.py", ""),
        ("folder/a", ""),
        ("elsewhere", ""),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def counts_of(program: Path) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "bench/counted.py"), "folder", "counts.json"]
    search = os.pathsep.join([str(program), str(program / "site-packages")])
    subprocess.run(command, cwd=program, env={**os.environ, "PYTHONPATH": search}, check=True, timeout=60)
    counts: dict[str, Any] = json.loads((program / "counts.json").read_text())
    return counts


def test_what_a_library_does_by_itself_is_not_counted(program: Path) -> None:
    assert counts_of(program) == {"own calls": 2, "files opened": 2, "files listed": 2, "imports": []}


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("    library.work()\n", "    open('folder/a').close()\n", "files opened: 3, and was 2"),
        ("    library.work()\n", "    Path('folder/a').rename('folder/b')\n", "files changed: 1, and was 0"),
        ("    library.work()\n", "    import numpy\n", "imports numpy"),
        ("    read()\n", "    read()\n    read()\n", "own calls: 3, and was 2"),
    ],
)
def test_what_our_code_does_once_more_is_counted(program: Path, before: str, after: str, complaint: str) -> None:
    recorded = counts_of(program)
    (program / "sweep/cli.py").write_text(COMMAND_LINE.replace(before, after))
    lines = complaints({"512": {"plan": counts_of(program)}}, {"512": {"plan": recorded}})
    assert any(line.endswith(complaint) for line in lines), lines


def test_an_import_is_ours_also_if_a_library_was_first(program: Path) -> None:
    (program / "sweep/cli.py").write_text(
        COMMAND_LINE.replace("import library\n", "import library\nimport numpy\n")
    )
    assert counts_of(program)["imports"] == ["numpy"]


# --- a side that dies -----------------------------------------------------------------------------------------

DIES_AT_ONCE = "raise ImportError('a library that is not there')"
DIES_AT_A_STEP = "input(); raise MemoryError('a network that is too large')"
LIVES = "while True: input(); print(0.5, 0.25, flush=True)"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (DIES_AT_ONCE, "ImportError: a library that is not there"),
        (DIES_AT_A_STEP, "MemoryError: a network that is"),
    ],
)
def test_the_stderr_of_a_dead_side_is_shown(code: str, message: str) -> None:
    commands = {"dead": [sys.executable, "-c", code], "alive": [sys.executable, "-c", LIVES]}
    with pytest.raises(SideDied, match=f"ended with 1:(?s:.*){message}"), step_servers(commands) as started:
        assert started["alive"].do(3).wall_s == 0.5
        started["dead"].do(1)
    assert started["alive"].process.returncode == -9


def test_a_benchmark_with_a_dead_side_fails(tmp_path: Path) -> None:
    """PyTorch's side of bench/trainer_steps.py once died so. The benchmark ends with its stderr."""
    torch = tmp_path / "python"
    torch.write_text("#!/bin/sh\necho 'ImportError: shadowed' >&2\nexit 1\n")
    torch.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from bench import trainer_steps\n"
        "trainer_steps.ours = lambda *words: [sys.executable, '-c', sys.argv[2]]\n"
        "trainer_steps.compared(16, 64, 80, 1, Path(sys.argv[1]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(torch), LIVES], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1
    assert "SideDied" in ran.stderr
    assert "ImportError: shadowed" in ran.stderr
    assert "BrokenPipeError" not in ran.stderr
