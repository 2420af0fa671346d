"""Run pytest, and each test that failed once more, alone: a test that then passes has stumbled, and is told.

    python -m tests.again -n 3 --dist worksteal        # what .ci/run does, by `make test PYTEST='-m tests.again'`

A failure is a failure: a test that fails again makes the run red. So does whatever is no failure of a single test: a
file that cannot be collected, a worker that crashed, an interrupt, coverage below its floor. Nothing is then run again.

For a test that stumbled a line ``FLAKY <test>: <first line of its error>`` is written, at the end, or into the file
that ``SWEEP_FLAKY_FILE`` names. It holds the lines of several runs, and at most three tests may stumble in all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Where more tests fail than this, something is broken that a second try would hide.
MAY_STUMBLE = 3


class Record:
    """What a run says of its tests. It is in pytest's own process: the workers' reports arrive here, too."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.first_error: dict[str, str] = {}
        self.broken: list[str] = []
        self.options: list[str] = []
        self._failures_of_tests = 0

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep the options without the paths: a test that is run again takes the paths' place."""
        paths = config.option.file_or_dir
        self.options = [arg for arg in config.invocation_params.args if arg not in paths]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test's outcome. Its set-up and its end count as well."""
        if report.failed:
            self._failures_of_tests += 1
            self.first_error.setdefault(report.nodeid, first_line(report))
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what cannot be collected."""
        if report.failed:
            self.broken.append(f"{report.nodeid or 'the tests'} could not be collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object | None) -> None:
        """Note a worker of pytest-xdist that did not end by itself."""
        if error:
            self.broken.append(f"a worker crashed: {error}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Note a failure that is no test's: pytest-cov adds one where the coverage is below its floor."""
        if session.testsfailed > self._failures_of_tests and not self.broken:
            self.broken.append("the run failed by more than its tests")


def first_line(report: pytest.TestReport) -> str:
    """Take the first line of the error, of printable characters alone: it becomes a part of one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash else report.longreprtext
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def passes_alone(test: str, options: list[str]) -> bool:
    """Run one test in a process of its own, with the options of the whole run, without workers and coverage."""
    argv = [sys.executable, "-m", "tests.again", "--alone", *options, "-n", "0", "--no-cov", test]
    return subprocess.run(argv, check=False).returncode == 0


def alone(args: list[str]) -> int:
    """Run one test, the last argument. It must have passed: one that skips now has not."""
    record = Record()
    code = pytest.main(args, plugins=[record])
    return int(code) or int(record.passed != {args[-1]})


def tell(lines: list[str]) -> None:
    """Write the lines where .ci/run collects them, or print them."""
    text = "".join(f"{line}\n" for line in lines)
    if file := os.environ.get("SWEEP_FLAKY_FILE"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(text)
    else:
        print(text, end="", flush=True)


def stumbled_before() -> int:
    """Count the lines of the runs before this one."""
    file = os.environ.get("SWEEP_FLAKY_FILE")
    return len(Path(file).read_text(encoding="utf-8").splitlines()) if file and Path(file).exists() else 0


def main(args: list[str]) -> int:
    """Run pytest with these arguments; returns the exit code."""
    record = Record()
    code = int(pytest.main(args, plugins=[record]))
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    failed, room = record.first_error, MAY_STUMBLE - stumbled_before()
    if len(failed) > room:
        record.broken.append(f"{len(failed)} tests failed, and {room} more may stumble")
    if record.broken or not failed:
        print("nothing is run again:", "; ".join(record.broken) or "no test failed", flush=True)
        return code
    print(f"run again, alone: {len(failed)}", flush=True)
    stumbled = [test for test in failed if passes_alone(test, record.options)]
    tell([f"FLAKY {test}: {failed[test]}" for test in stumbled])
    return 0 if len(stumbled) == len(failed) else code


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(alone(arguments[1:]) if arguments[:1] == ["--alone"] else main(arguments))
