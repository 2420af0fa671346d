"""What the tests share: an awkward folder to work in, the command line, a real Slurm where there is one."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import psutil
import pytest
from filelock import FileLock

from tests.checker import check

#: What the tests themselves are told by.
FOR_TESTS = re.compile(
    r"SWEEP_(REQUIRE_|REAL_DATA|UPDATE_GOLDEN|FLAKY_FILE|BAD_NODE_TRIALS|BENCH_|SLURM_)|SLURM_CONF$|PBS_CONF_FILE$"
)


def of_others(name: str) -> bool:
    """Whether a variable is somebody's setting for his own sweeps, jobs or terminal, and no matter of the tests."""
    theirs = re.match(
        r"SWEEP_|SLURM_|PBS_|S(BATCH|QUEUE|ACCT|CANCEL)_|(COLUMNS|LINES|NO_COLOR|FORCE_COLOR)$", name
    )
    return bool(theirs) and not FOR_TESTS.match(name)


# Here, and not only in the sandbox: many tests call the product in their own process. The tests that try such a
# variable set it themselves.
for _name in filter(of_others, list(os.environ)):
    del os.environ[_name]

ROOT = Path(__file__).parent.parent
DYING = Path(__file__).parent / "fakes" / "dying.py"
WARM = Path(__file__).parent / "fakes" / "warm.py"

# No time limit for a single example: a busy machine is no failure.
hypothesis.settings.register_profile("sweep", deadline=None)
hypothesis.settings.load_profile("sweep")

#: Programs, and sweeps as they were left: no modules to be imported for their examples.
collect_ignore = ["fakes", "folders"]
CAPTURES = Path(__file__).parent / "captures"


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.out)


class Warm:
    """A process that forks for each command of `sweep`: see ``fakes/warm.py``."""

    #: These are read when an interpreter starts, or when a library is imported.
    AT_START = re.compile(r"PYTHON|LC_|LANG|LD_|TERM|COLUMNS|NO_COLOR|FORCE_COLOR|OMP_|OPENBLAS_")
    _only: ClassVar[Warm | None] = None

    def __init__(self, environment: dict[str, str]) -> None:
        self.at_start = self._at_start(environment)
        self.socket = str(Path(tempfile.mkdtemp(prefix="sweep-tests-")) / "warm")
        self.process = subprocess.Popen(
            [sys.executable, str(WARM), self.socket],
            # One thread: a fork has only the one that forked, and a lock that another held stays locked in it.
            env={**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"
        atexit.register(shutil.rmtree, str(Path(self.socket).parent), ignore_errors=True)

    @classmethod
    def _at_start(cls, environment: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in environment.items() if cls.AT_START.match(name)}

    @classmethod
    def of(cls, environment: dict[str, str]) -> Warm | None:
        """Return the one of this process; None where it began with other settings than these."""
        cls._only = cls._only or cls(environment)
        return cls._only if cls._only.at_start == cls._at_start(environment) else None

    def run(self, argv: Sequence[str], folder: Path, environment: dict[str, str], timeout_s: float) -> Ran:
        """Run ``python ARGV``."""
        with (
            socket.socket(socket.AF_UNIX) as connection,
            Path(os.devnull).open() as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            connection.connect(self.socket)
            request = {"argv": argv, "cwd": str(folder), "env": environment}
            message = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(connection, [message], [each.fileno() for each in (nothing, out, err)])
            connection.sendall(message[sent:])
            answer = connection.makefile()
            number = int(answer.readline())
            connection.settimeout(timeout_s)
            try:
                code = int(answer.readline())
            except TimeoutError:
                os.kill(number, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(argv), timeout_s) from None
            out.seek(0)
            err.seek(0)
            return Ran(code, out.read().decode(), err.read().decode())


@dataclass(frozen=True)
class Sandbox:
    """A folder with a space, a quote, a dollar and an umlaut in its name, and the command line in it.

    `program` is what Python runs as sweep: the module, or a script that starts it otherwise.
    """

    path: Path
    env: dict[str, str]
    program: tuple[str, ...] = ("-m", "sweep")

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *argv: str, timeout_s: float = 120, env: dict[str, str] | None = None) -> Ran:
        """Run any command here."""
        environment = {**self.env, **(env or {})}
        python, started = argv[:1], argv[1:]
        is_sweep = python == (sys.executable,) and (
            started[: len(self.program)] == self.program or started[:1] == (str(DYING),)
        )
        if is_sweep and (warm := Warm.of(environment)):
            return warm.run(argv[1:], self.path, environment, timeout_s)
        done = subprocess.run(
            argv,
            cwd=self.path,
            env=environment,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def sweep(self, *argv: str, code: int = 0, **options: Any) -> Ran:
        """Run sweep and check its exit code."""
        ran = self.run(sys.executable, *self.program, *argv, **options)
        assert ran.code == code, f"sweep {argv} ended with {ran.code}\n{ran.out}\n{ran.err}"
        return ran

    def follow(self, timeout_s: float = 120) -> None:
        """Wait until nothing of the current sweep is left to run."""
        self.sweep("status", "--watch", "--interval", "0.3", timeout_s=timeout_s)

    def room(self, name: str) -> Sandbox:
        """Make a folder within, with copies of the grid and the program, for a sweep of its own."""
        room = replace(self, path=self.path / name)
        for file in ("grid.yaml", "trial.py"):
            room.write(file, (self.path / file).read_text())
        return room

    def dying(self, how: str, step: int, *argv: str, **env: str) -> Ran:
        """Run sweep with something failing at one of its steps: see ``fakes/dying.py``."""
        return self.run(sys.executable, str(DYING), how, str(step), *argv, env=env)

    def accounted_for(self, name: str = "toy", **options: Any) -> str:
        """Check the sentence (see ``checker.py``) for a sweep at rest; returns it, in numbers."""
        reported = self.sweep("report", name, "--trials", "--retired", "--json").json
        return check(self.path, self.path / "results" / name, reported, **options)

    def states(self) -> dict[str, int]:
        """Count the trials by state."""
        counts: dict[str, int] = self.sweep("status", "--json").json["counts"]
        return counts


AWKWARD = 'it\'s "a" $HOME föld`er'


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    folder = tmp_path / AWKWARD
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("SWEEP_")} | {
        "SWEEP_LOCAL_SPOOL": str(tmp_path / "spool"),
        "SWEEP_LOCAL_CPUS": "4",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SWEEP_GRACE_S": "5",
        "SWEEP_POLL_EVERY_S": "0",
        "SWEEP_PATIENCE_S": "20",
        "COLUMNS": "120",
    }
    yield Sandbox(folder, env)
    _kill_processes_of(tmp_path)


def _kill_processes_of(folder: Path) -> None:
    """Kill the processes that a failed test may have left running in its folder."""
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or []):
            with_children = [process]
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since it was listed
                with_children += process.children(recursive=True)
            for target in with_children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    target.kill()


# --- what may be absent -------------------------------------------------------------------------------------


#: What skips says how it can be tried: the end of a run lists it.
INSTALL_SLURM = "tests/cluster/slurm.sh install"
START_SLURM = "export SLURM_CONF=$(tests/cluster/slurm.sh up)"


def _no_slurm() -> str:
    if not shutil.which("sbatch"):
        return f"no Slurm here: sbatch is not on PATH. To try it: {INSTALL_SLURM}, then {START_SLURM}"
    places = (
        [os.environ["SLURM_CONF"]]
        if os.environ.get("SLURM_CONF")
        else ["/etc/slurm/slurm.conf", "/run/slurm/conf"]
    )
    if not any(Path(place).exists() for place in places):
        return f"no Slurm here: SLURM_CONF names no file. To try it: {START_SLURM}"
    ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=60, check=False)
    if " is UP" in ping.stdout:
        return ""
    return f"Slurm's controller does not answer: {ping.stdout}{ping.stderr}. To try it: {START_SLURM}"


def _slurm_alone() -> FileLock:
    return FileLock(Path(tempfile.gettempdir()) / f"sweep-tests-slurm-{os.getuid()}.lock")


@pytest.fixture(scope="session")
def slurm_is_here() -> None:
    """Skip where there is no real Slurm, or fail where SWEEP_REQUIRE_SLURM is set."""
    with _slurm_alone():  # or another test may just have stopped its controller
        reason = _no_slurm()
    if reason and os.environ.get("SWEEP_REQUIRE_SLURM"):
        pytest.fail(f"SWEEP_REQUIRE_SLURM is set, and there is {reason}")
    if reason:
        pytest.skip(reason)


@pytest.fixture
def slurm(slurm_is_here: None) -> Iterator[None]:
    """A real Slurm, for one test at a time: some stop its controller or set a node down."""
    with _slurm_alone():
        yield


def _pbs_dialect() -> tuple[str, str]:
    """Return (the real PBS that is here: ``pbs``, ``torque`` or none, why there is none)."""
    missing = [client for client in ("qsub", "qstat", "qdel", "qselect") if not shutil.which(client)]
    if missing:
        return (
            "",
            f"no PBS here: {missing[0]} is not on PATH. To try it: make test-cluster, on a site that has one",
        )
    if os.geteuid() == 0:
        return "", "no PBS for this user: it takes no jobs of root. To try it: be somebody whom it accepts"
    asked = subprocess.run(["qstat", "--version"], capture_output=True, text=True, timeout=60, check=False)
    text = asked.stdout + asked.stderr
    kind = "pbs" if "pbs_version" in text else "torque" if "Version:" in text else ""
    if not kind:
        return "", f"no PBS here: this is another qstat: {text.strip()[:100]}"
    server = subprocess.run(["qstat", "-q"], capture_output=True, text=True, timeout=60, check=False)
    return (
        (kind, "") if server.returncode == 0 else ("", f"the PBS server does not answer: {server.stderr.strip()}")
    )


@pytest.fixture(scope="session")
def site_pbs() -> str:
    """The dialect of the real PBS that this machine submits to.

    Without one the test skips; or it fails with SWEEP_REQUIRE_PBS, or SWEEP_REQUIRE_TORQUE, which takes no other.
    """
    kind, reason = _pbs_dialect()
    if os.environ.get("SWEEP_REQUIRE_TORQUE") and kind != "torque":
        pytest.fail(f"SWEEP_REQUIRE_TORQUE is set, and there is {reason or 'an OpenPBS'}")
    if reason and os.environ.get("SWEEP_REQUIRE_PBS"):
        pytest.fail(f"SWEEP_REQUIRE_PBS is set, and there is {reason}")
    if reason:
        pytest.skip(reason)
    return kind


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real images; without them the test skips."""
    for folder in (os.environ.get("SWEEP_REAL_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "dsb512").is_dir():
            return Path(folder)
    pytest.skip(
        "no real images: neither SWEEP_REAL_DATA nor ../shared/data has a dsb512. "
        "To try it: SWEEP_REAL_DATA=/folder/with/dsb512 (docs/trainer.md says what is in it)"
    )


# --- the end of a run ---------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the time went, where that is asked for, and what was not tried."""
    outcomes = terminalreporter.stats
    if config.option.durations:
        terminalreporter.section("seconds by folder")
        reports = [
            report for name in outcomes for report in outcomes[name] if isinstance(report, pytest.TestReport)
        ]
        for total_s, folder in durations(reports):
            terminalreporter.line(f"{total_s:8.1f}s {folder}")
    if skipped := outcomes.get("skipped"):
        terminalreporter.section("not tried here")
        for line in not_tried(skipped):
            terminalreporter.line(line)


def durations(reports: Iterable[pytest.TestReport]) -> list[tuple[float, str]]:
    """Sum the seconds of the tests in each folder, the most first. Tests side by side count each."""
    sums: dict[str, float] = {}
    for report in reports:
        folder = report.nodeid.partition("::")[0].rpartition("/")[0]
        sums[folder] = sums.get(folder, 0) + report.duration
    return sorted(((total_s, folder or ".") for folder, total_s in sums.items()), reverse=True)


def not_tried(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """Write a line for each reason, the most frequent first, and one for each file with its number of tests."""
    tests: dict[str, Counter[str]] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        tests.setdefault(reason.removeprefix("Skipped: "), Counter())[report.nodeid.partition("::")[0]] += 1
    lines = []
    for reason, files in sorted(tests.items(), key=lambda item: -item[1].total()):
        lines.append(f"{files.total()} skipped: {reason}")
        lines += [f"    {number} of {file}" for file, number in files.items()]
    return lines


# --- grids ----------------------------------------------------------------------------------------------------

#: A trial's command: square a number, print a line, end as its second argument says. Standard library alone.
COMMAND = """\
import json, os, sys, time
x, how = float(sys.argv[1]), sys.argv[2]
def note(word):
    if "SWEEP_TRIAL" not in os.environ: return  # repeated by hand
    line = " ".join([word, os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]]) + "\\n"
    runs = os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(runs, line.encode())
    os.close(runs)
note("begin")
print("x is", x, "seed", os.environ["SWEEP_SEED"], flush=True)
if how == "sleep": time.sleep(x)
if how == "kill": os.kill(os.getpid(), 9)
if how != "no result": json.dump({"segMeasure": x * x}, open(os.environ["SWEEP_RESULT"], "w"))
note("end")
sys.exit(3 if how == "fail" else 0)
"""


@pytest.fixture
def toy(sandbox: Sandbox) -> Callable[..., Path]:
    """Write a grid of small trials; keywords replace or add its keys (as YAML text)."""
    sandbox.write("trial.py", COMMAND)

    def write(**keys: str) -> Path:
        grid = {
            "name": "toy",
            "command": "[python3, trial.py, '{{ x }}', '{{ how }}']",
            "parameters": "{x: [1, 2, 3], how: [ok]}",
            "resources": "{walltime: 5min, memory: 100MiB}",
        }
        text = "".join(f"{key}: {value}\n" for key, value in (grid | keys).items())
        return sandbox.write("grid.yaml", text)

    return write


def capture(path: str) -> tuple[str, str, int]:
    """Read a capture of Slurm's: (stdout, stderr, exit code)."""
    base = CAPTURES / "slurm" / path
    parts = [base.with_name(base.name + kind) for kind in (".out", ".err", ".rc")]
    out, err, code = (part.read_text() if part.exists() else "" for part in parts)
    return out, err, int(code.strip() or 0)


def pbs_capture(name: str) -> tuple[str, str, int]:
    """Read a capture of OpenPBS's or Torque's: (stdout, stderr, exit code)."""
    for line in (CAPTURES / "pbs" / "INDEX.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["file"] == name:
            out = (CAPTURES / "pbs" / name).read_text(errors="surrogateescape")
            return out, entry["stderr"], entry["rc"]
    raise AssertionError(f"no capture {name}")


def torque_capture(name: str) -> tuple[str, str, int]:
    """Read a capture of Torque 6.1.3's: (stdout, stderr, exit code)."""
    _, _, text = (CAPTURES / "torque" / f"{name}.txt").read_text().partition("\n")
    output, _, code = text.rpartition("--- exit code ")
    stdout, _, stderr = output.partition("--- stderr\n")
    return stdout, stderr, int(code)
