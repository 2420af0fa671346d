"""What .ci/run makes of what `make` says: which part decides, and what the last lines are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Its targets stumble or fail as FAKE_STUMBLES and FAKE_FAILS say.
MAKE = """\
#!/bin/sh
echo "made $*"
[ "$1" != "$FAKE_STUMBLES" ] || echo "FLAKY tests/test_it.py::test_it: late" >>"$SWEEP_FLAKY_FILE"
[ "$1" != "$FAKE_FAILS" ]
"""


def run_gate(folder: Path, **env: str) -> tuple[int, list[str]]:
    """Run .ci/run with nothing but fakes; returns the exit code and the lines of its output."""
    for name in (".ci", "tests/cluster", "bin", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    for path, text in (
        ("bin/make", MAKE),
        ("bin/chromium", ""),
        ("tests/cluster/slurm.sh", "#!/bin/sh\necho slurm $1\n"),
    ):
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    done = subprocess.run(
        ["bash", ".ci/run"],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(folder / "tmp"), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert list((folder / "tmp").iterdir()) == []
    return done.returncode, done.stdout.splitlines()


def test_everything_that_is_pinned_is_made_and_nothing_else(tmp_path: Path) -> None:
    code, lines = run_gate(tmp_path)
    assert code == 0
    assert [line.removeprefix("made ") for line in lines if line.startswith("made")] == [
        "demo",
        "test PYTEST=-m tests.again",
        "test-oldest PYTEST=-m tests.again",
    ]
    assert lines[-1] == "slurm down"


@pytest.mark.parametrize("target", ["demo", "test", "test-oldest"])
def test_what_is_pinned_decides(tmp_path: Path, target: str) -> None:
    code, lines = run_gate(tmp_path, FAKE_FAILS=target)
    assert code == 1
    assert lines[-1] == "slurm down"


@pytest.mark.parametrize(("fails", "code"), [("", 0), ("test-oldest", 1)])
def test_a_stumble_is_the_last_line(tmp_path: Path, fails: str, code: int) -> None:
    ended_with, lines = run_gate(tmp_path, FAKE_STUMBLES="test", FAKE_FAILS=fails)
    assert ended_with == code
    assert lines[-1] == "FLAKY tests/test_it.py::test_it: late"


def test_make_test_is_strict() -> None:
    assert "\nPYTEST = -m pytest\n" in (ROOT / "Makefile").read_text()
