"""What the benchmarks share: both sides in one run, alternately; medians, the ratio and its spread.

::

    sides = {"ours": lambda: run([...]), "floor": lambda: run([...])}
    taken = alternately(sides, rounds=7)
    write("plan", [row("8192 trials", taken, "ours", "floor", goal="≤ 2 ×", met=lambda r: r.ratio <= 2)])

Each side is called once a round, A B A B …, so that a machine that slows down slows both. Each round gives one
ratio, and their median is reported. `write` writes ``bench/measured/<name>.json``, with the machine and its load,
and ``python -m bench.table`` puts all of these into ``docs/performance.md``.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "bench" / "measured"

#: The folder of the peers' venvs, which are kept between runs.
VENVS = Path(os.environ.get("SWEEP_BENCH_VENVS", "~/.cache/sweep-bench")).expanduser()


@dataclass(frozen=True)
class Taken:
    """What one run took: wall and CPU seconds, with its children's; the largest resident set of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float = 0.0


class Absent(Exception):
    """A peer cannot be installed or run here; the message says why."""


def run(argv: Sequence[str], *, allow: Sequence[int] = (0,), **how: Any) -> Taken:
    """Run a program to its end, quietly. Returns what it took. RuntimeError with its stderr if it fails."""
    how = {"stdout": subprocess.DEVNULL, **how}
    began = time.perf_counter()
    with subprocess.Popen([str(word) for word in argv], stderr=subprocess.PIPE, **how) as process:
        assert process.stderr
        stderr = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    taken = Taken(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    if process.returncode not in allow:
        raise RuntimeError(f"{argv!r} ended with {process.returncode}: {stderr.decode(errors='replace')[-2000:]}")
    return taken


def timed(work: Callable[[], Any]) -> Taken:
    """Call `work` in this process. Returns what it took, with the CPU time of its children."""
    began, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Taken(time.perf_counter() - began, sum(after[:4]) - sum(before[:4]))


ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class SideDied(Exception):
    """A side of a benchmark ended before it answered; the message has its exit code and its stderr."""


class StepServer:
    """A process on one thread that reads a number of steps, does them, prints what they took, and reads again."""

    def __init__(self, argv: Sequence[str | Path]) -> None:
        self.argv = [str(word) for word in argv]
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 (ends with the process)
        self.process = subprocess.Popen(
            self.argv, cwd=ROOT, env={**os.environ, **ONE_THREAD}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
        )  # fmt: skip

    def ask(self, steps: int) -> None:
        """Begin some steps."""
        assert self.process.stdin
        try:
            print(steps, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self._died() from None

    def answer(self) -> Taken:
        """Wait for the steps that were asked for."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise self._died()
        wall_s, cpu_s = map(float, line.split())
        return Taken(wall_s, cpu_s)

    def do(self, steps: int) -> Taken:
        """Do some steps."""
        self.ask(steps)
        return self.answer()

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        with suppress(BrokenPipeError):  # a request to a dead process is still in the buffer
            self.process.communicate()
        self.stderr.close()

    def _died(self) -> SideDied:
        code = self.process.wait(60)
        self.stderr.seek(0)
        stderr = self.stderr.read().decode(errors="replace")[-2000:]
        return SideDied(f"{shlex.join(self.argv)} ended with {code}:\n{stderr}")


@contextmanager
def step_servers(commands: Mapping[str, Sequence[str | Path]]) -> Iterator[dict[str, StepServer]]:
    """Start a step server for each command, and end all of them. SideDied where one ends by itself."""
    started: dict[str, StepServer] = {}
    try:
        for name, argv in commands.items():
            started[name] = StepServer(argv)
        yield started
    finally:
        for server in started.values():
            server.end()


def alternately(
    sides: Mapping[str, Callable[[], Taken]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[Taken]]:
    """Call each side once a round, in turn. With `warm_up`, a first round is not counted."""
    taken: dict[str, list[Taken]] = {name: [] for name in sides}
    for number in range(-warm_up, rounds):
        for name, side in sides.items():
            spent = side()
            if number >= 0:
                taken[name].append(spent)
            print(f"  {name:32} {spent.wall_s:9.3f} s wall {spent.cpu_s:9.3f} s CPU", file=sys.stderr, flush=True)
    return taken


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    ours, other : float
        Medians, in `unit`. `other` is that of the floor or peer that `beside` names. None: there is none.
    ratio, ratio_low, ratio_high : float
        The median, the smallest and the largest of the rounds' ratios.
    met : bool or None
        Whether the goal is met; None where there is no goal.
    note : str
        What a reader has to know, such as the reason why the goal is missed.
    """

    what: str
    beside: str
    ours: float | None
    other: float | None
    unit: str
    goal: str = ""
    met: bool | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    rounds: int = 0
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def row(
    what: str,
    taken: Mapping[str, Sequence[Taken]],
    ours: str,
    beside: str = "",
    *,
    measure: str = "wall_s",
    goal: str = "",
    met: Callable[[Row], bool] | None = None,
    note: str = "",
    each: int = 1,
) -> Row:
    """Make a row from what `alternately` returned.

    Parameters
    ----------
    measure : {'wall_s', 'cpu_s', 'peak_mib'}
    met : callable, optional
        Judges the row by the goal.
    each : int
        The number of trials or jobs to divide by.
    """
    mine = [getattr(spent, measure) / each for spent in taken[ours]]
    theirs = [getattr(spent, measure) / each for spent in taken[beside]] if beside else []
    ratios = [a / b for a, b in zip(mine, theirs, strict=True) if b] if theirs else []
    unjudged = Row(
        what,
        beside,
        statistics.median(mine),
        statistics.median(theirs) if theirs else None,
        {"wall_s": "s", "cpu_s": "s of CPU", "peak_mib": "MiB"}[measure],
        goal,
        ratio=statistics.median(ratios) if ratios else None,
        ratio_low=min(ratios) if ratios else None,
        ratio_high=max(ratios) if ratios else None,
        rounds=len(mine),
        note=note,
    )
    return Row(**{**asdict(unjudged), "met": met(unjudged) if met else None})


def missing(what: str, beside: str, why: str) -> Row:
    """Make the row of a peer that could not be measured."""
    return Row(what, beside, None, None, "", note=why)


def write(name: str, rows: Sequence[Row], **more: Any) -> Path:
    """Write the rows as JSON, with the machine and its load, and print them."""
    MEASURED.mkdir(exist_ok=True)
    path = MEASURED / f"{name}.json"
    document = {"bench": name, "machine": machine(), **more, "rows": [asdict(r) for r in rows]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for r in rows:
        ratio = f"{r.ratio:.2f} ×" if r.ratio is not None else ""
        ours, other = (f"{v:.4g}" if v is not None else "–" for v in (r.ours, r.other))
        print(f"{r.what:50} {ours:>9} {r.beside:>24} {other:>9} {r.unit:10} {ratio:>8} {r.goal} {r.met}")
    return path


def machine() -> dict[str, Any]:
    """Describe the machine, and how busy it is."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(load, 2) for load in os.getloadavg()],
        "at": time.strftime("%Y-%m-%d %H:%M"),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def venv(name: str, *packages: str) -> Path:
    """Make a peer's own venv, once. Returns its python. Absent, with pip's last line on stderr, if that fails."""
    python = VENVS / name / "bin" / "python"
    mark = VENVS / name / "ready"
    if not mark.exists():
        ran = subprocess.run([sys.executable, "-m", "venv", str(VENVS / name)], capture_output=True, text=True)
        if ran.returncode == 0:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
            ran = subprocess.run(pip, capture_output=True, text=True)
        if ran.returncode:
            raise Absent(f"{name} cannot be installed: {ran.stderr.strip().splitlines()[-1][:200]}")
        mark.write_text("\n".join(packages))
    return python
