"""The second try of .ci/run, on small made-up suites."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKERS = ["-n", "2", "--dist", "worksteal"]

#: Half of a small run's time is the import of all other plugins.
ONLY_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin,pytest_cov.plugin"}

#: stumble(name) fails at its first call for a name, in whichever process, and no more.
STUMBLE = """\
import os, pytest
from pathlib import Path
def stumble(name, error="not\\tyet"):
    try:
        Path(__file__).with_name("stumbled-" + name).mkdir()
    except FileExistsError:
        return
    raise AssertionError(error + "\\nand more")
"""


class Suite:
    """A folder with one test file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flaky = folder / "flaky"
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -ra --doctest-modules\n")

    def run(self, tests: str, *args: str, **env: str) -> tuple[int, str]:
        """Run it by `tests.again`; returns the exit code and the output."""
        (self.folder / "test_it.py").write_text(STUMBLE + tests)
        hidden = ("PYTEST_", "COV_", "SWEEP_", "FORCE_COLOR", "PY_COLORS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        done = subprocess.run(
            [sys.executable, "-m", "tests.again", *args],
            cwd=self.folder,
            env={**kept, **ONLY_PLUGINS, "PYTHONPATH": str(ROOT), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def flaky(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("FLAKY")]


def test_a_green_run_says_nothing(suite: Suite) -> None:
    code, out = suite.run("def test_good(): pass\n")
    assert (code, flaky(out)) == (0, [])
    assert "again" not in out


@pytest.mark.parametrize("workers", [[], WORKERS], ids=["in one process", "with workers"])
def test_a_test_that_fails_once_is_told_and_the_run_is_green(suite: Suite, workers: list[str]) -> None:
    code, out = suite.run("def test_good(): pass\ndef test_late(): stumble('late')\n", *workers)
    assert (code, flaky(out)) == (0, [r"FLAKY test_it.py::test_late: AssertionError: not\tyet"]), out
    assert out.splitlines()[-1] == flaky(out)[0]


def test_a_test_that_fails_twice_is_red(suite: Suite) -> None:
    code, out = suite.run("def test_late(): stumble('late')\ndef test_bad(): assert 1 == 2\n")
    assert (code, flaky(out)) == (1, [r"FLAKY test_it.py::test_late: AssertionError: not\tyet"]), out


def test_a_test_that_skips_at_its_second_try_has_not_passed(suite: Suite) -> None:
    tests = "def test_late():\n    stumble('late')\n    pytest.skip('gone')\n"
    code, out = suite.run(tests)
    assert (code, flaky(out)) == (1, []), out


def test_set_up_and_end_stumble_as_well(suite: Suite) -> None:
    tests = """
@pytest.fixture
def begun(): stumble("begun")
@pytest.fixture
def ended():
    yield
    stumble("ended")
def test_begun(begun): pass
def test_ended(ended): pass
"""
    code, out = suite.run(tests, *WORKERS)
    assert code == 0, out
    assert sorted(line.split(":")[2] for line in flaky(out)) == ["test_begun", "test_ended"]


def test_three_may_stumble(suite: Suite) -> None:
    tests = "@pytest.mark.parametrize('name', 'abc')\ndef test_it(name): stumble(name)\n"
    code, out = suite.run(tests)
    assert (code, len(flaky(out))) == (0, 3), out


def test_four_may_not(suite: Suite) -> None:
    tests = "@pytest.mark.parametrize('name', 'abcd')\ndef test_it(name): stumble(name)\n"
    code, out = suite.run(tests)
    assert (code, flaky(out)) == (1, []), out
    assert "nothing is run again: 4 tests failed, and 3 more may stumble" in out


def test_three_may_stumble_in_several_runs_together(suite: Suite) -> None:
    env = {"SWEEP_FLAKY_FILE": str(suite.flaky)}
    two = "@pytest.mark.parametrize('name', {!r})\ndef test_it(name): stumble(name)\n"
    assert suite.run(two.format("ab"), **env)[0] == 0
    assert len(flaky(suite.flaky.read_text())) == 2
    code, out = suite.run(two.format("cd"), **env)
    assert code == 1
    assert "2 tests failed, and 1 more may stumble" in out
    assert suite.run(two.format("e"), **env)[0] == 0
    assert len(flaky(suite.flaky.read_text())) == 3


ODD = [["a b", "[x]", "a::b"], ["ä\n'\"", "-n", "$(exit 3)"], ["@file", "*", ""], ["\\", "a] b[", "::"]]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_name_is_found_again(suite: Suite, odd: list[str]) -> None:
    tests = f"@pytest.mark.parametrize('name', ['x', *{odd!r}, 'y'])\ndef test_it(name):\n    if name not in list('xy'): stumble(name.encode().hex())\n"
    code, out = suite.run(tests, ".")
    assert (code, len(flaky(out))) == (0, 3), out


def test_a_docstrings_example_and_a_method_are_found_again(suite: Suite) -> None:
    tests = """
def example():
    \"\"\"
    >>> stumble("example")
    \"\"\"
class TestIt:
    def test_it(self): stumble("method")
"""
    code, out = suite.run(tests, "test_it.py")
    assert (code, len(flaky(out))) == (0, 2), out
    assert "FLAKY test_it.py::test_it.example: " in out


def test_only_what_failed_is_run_again_with_the_same_options(suite: Suite) -> None:
    tests = """
import warnings
def test_good(): Path("good").mkdir()  # a second time it would fail
def test_late():
    warnings.warn("old", DeprecationWarning)
    stumble("late")
"""
    code, out = suite.run(tests, *WORKERS, "-W", "error", "-W", "ignore::DeprecationWarning", "test_it.py")
    assert (code, len(flaky(out))) == (0, 1), out


# --- what is no failure of a test -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [[], WORKERS], ids=["in one process", "with workers"])
def test_a_file_that_cannot_be_collected_is_red_at_once(suite: Suite, workers: list[str]) -> None:
    (suite.folder / "test_other.py").write_text("def test_good(): pass\n")
    code, out = suite.run("stumble('import')\n", *workers)
    assert (code != 0, flaky(out)) == (True, []), out
    assert "again, alone" not in out


def test_a_file_that_cannot_be_collected_beside_a_stumble_is_red(suite: Suite) -> None:
    (suite.folder / "test_other.py").write_text(STUMBLE + "def test_late(): stumble('late')\n")
    code, out = suite.run("import nothing_of_that_name\n", "--continue-on-collection-errors")
    assert (code, flaky(out)) == (1, []), out
    assert "nothing is run again: test_it.py could not be collected" in out


def test_a_worker_that_crashes_is_red_at_once(suite: Suite) -> None:
    tests = """
def test_crash():
    try: stumble("crash")
    except AssertionError: os._exit(3)
def test_good(): pass
"""
    code, out = suite.run(tests, *WORKERS)
    assert (code, flaky(out)) == (1, []), out
    assert "nothing is run again: a worker crashed" in out


def test_an_interrupt_is_red_at_once(suite: Suite) -> None:
    code, out = suite.run("def test_late(): stumble('late')\ndef test_stop(): raise KeyboardInterrupt\n")
    assert (code, flaky(out)) == (2, []), out


def test_no_tests_are_red(suite: Suite) -> None:
    assert suite.run("")[0] == 5


def test_an_internal_error_is_red_at_once(suite: Suite) -> None:
    (suite.folder / "conftest.py").write_text("def pytest_runtest_logfinish(): raise OSError('broken')\n")
    code, out = suite.run("def test_late(): stumble('late')\n")
    assert (code, flaky(out)) == (3, []), out


def test_a_wrong_option_is_red(suite: Suite) -> None:
    assert suite.run("def test_good(): pass\n", "--no-such-option")[0] == 4


def test_too_little_coverage_is_red_though_the_test_only_stumbled(suite: Suite) -> None:
    (suite.folder / "half.py").write_text("def never():\n    return 1\n")
    coverage = ["--cov", "--cov-fail-under=100"]
    tests = "import half\ndef test_late(): stumble('late')\n"
    code, out = suite.run(tests, *WORKERS, *coverage)
    assert (code, flaky(out)) == (1, []), out
    assert "nothing is run again: the run failed by more than its tests" in out
