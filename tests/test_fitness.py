"""A node on which trials fail at once, and elsewhere not, takes no more of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from sweep.node import fitness
from sweep.schedulers import SubmitRequest
from sweep.schedulers.slurm import Slurm
from sweep.state.events import NextAttempt, Retried
from sweep.state.submissions import Unit
from sweep.steps.send import Exclusions
from tests.test_descent import until
from tests.test_store import planned
from tests.test_worker import Packed


@pytest.mark.parametrize(
    ("letters", "unfit"),
    [
        ({"n1": "SSSS", "n2": "FFF"}, ["n2"]),
        ({"n1": "SSSS", "n2": "FF"}, []),
        ({"n1": "SSSSSSSS", "n2": "FF"}, ["n2"]),
        ({"n1": "SSSSSSSS", "n2": "SSSSFF"}, []),  # of six, two in a row may be a chance
        ({"n1": "SSSS", "n2": "SSSFFF"}, ["n2"]),  # its disk is full now
        ({"n1": "SSSS", "n2": "FFFS"}, []),
        ({"n1": "FFF", "n2": "FFFF", "n3": "FF"}, []),  # the program's own fault
        ({"n2": "FFFFFFFFF"}, []),  # with one node, nobody can tell
        ({"n1": "SFSFSFSF", "n2": "FFF"}, []),  # half of the grid fails: three in a row are no wonder
        ({"n1": "SFSFSFSF", "n2": "FFFFFFFFFFF"}, ["n2"]),  # eleven are
        ({"n1": "S", "n2": "FFF"}, []),
        ({f"n{n}": "SSSS" if n < 6 else "FFF" for n in range(8)}, ["n6", "n7"]),
        ({f"n{n}": "SSSSSS" if n < 5 else "FFFF" for n in range(8)}, ["n5", "n6"]),  # a quarter at most
    ],
)
def test_evidence_before_judgement(letters: dict[str, str], unfit: list[str]) -> None:
    assert fitness.unfit(letters) == unfit


def test_what_was_a_day_ago_is_forgotten(tmp_path: Path) -> None:
    node = fitness.Node(str(tmp_path), "n2", 5.0)
    for _ in range(3):
        node.write("F")
    assert fitness.read(str(tmp_path)) == {"n2": "FFF"}
    os.utime(tmp_path / "nodes/n2", (time.time() - 90000, time.time() - 90000))
    assert fitness.read(str(tmp_path)) == {"n2": ""}


@pytest.mark.parametrize(
    ("exit_code", "signal", "elapsed_s", "disturbed", "letter"),
    [
        (1, None, 1.0, False, "F"), (127, None, 0.0, False, "F"), (None, 11, 1.0, False, "F"),
        (0, None, 1.0, False, "S"), (75, None, 1.0, False, "S"), (1, None, 30.0, False, "S"),
        (None, 15, 1.0, True, None), (None, 9, 1.0, False, None),
    ],
)  # fmt: skip
def test_letters(
    exit_code: int | None, signal: int | None, elapsed_s: float, disturbed: bool, letter: str | None
) -> None:
    node = fitness.Node("unused", "n2", 12.0)
    assert node.letter_of({"exit_code": exit_code, "signal": signal}, elapsed_s, disturbed) == letter


class Nodes(Packed):
    """A job whose trials fail on the node n2, unless a file says otherwise."""

    def __init__(self, path: Path, trials: int, bad: str = "n2") -> None:
        super().__init__(path, *map(str, range(trials)))
        (self.work / "p.py").write_text(
            "import os, sys, time\n"
            "os.write(os.open('runs', os.O_WRONLY | os.O_CREAT | os.O_APPEND), (sys.argv[1] + '\\n').encode())\n"
            f"if os.environ['SLURMD_NODENAME'] in {bad!r} and not os.path.exists('mended'): sys.exit(1)\n"
        )

    def on(self, node: str, *tasks: int, wait: bool = True) -> list[subprocess.Popen[bytes]]:
        """Run tasks on a node, one after another, or all at once."""
        processes = []
        for task in tasks:
            argv = [
                sys.executable, "-I", "-S", str(self.store.runners.folder / "node.py"), "--folder", str(self.store.path),
                "--job", "j0001", "--index", str(task), "--workdir", str(self.work), "--result", "r.json",
                "--heartbeat-s", "0.2", "--quick-s", "3", "--hold-s", "60", "--job-id", "7", "--job-name", "toy.aa",
            ]  # fmt: skip
            processes.append(subprocess.Popen(argv, env={**os.environ, "SLURMD_NODENAME": node}))
            if wait:
                processes[-1].wait(30)
        return processes

    def ends(self) -> list[int | None]:
        return [self.record(number).get("exit_code") for number in range(len(self.trials))]


def test_a_task_on_an_unfit_node_keeps_its_place_and_gives_its_trial_back(tmp_path: Path) -> None:
    job = Nodes(tmp_path, 13)
    job.on("n1", *range(8))
    job.on("n2", 8, 9)
    [held] = job.on("n2", 10, wait=False)
    until(lambda: bool(job.record(10)))
    time.sleep(2)
    assert held.poll() is None  # the scheduler gives the node nothing more of this
    job.on("n1", 11, 12)
    assert held.wait(30) == 75
    assert job.ends() == [*[0] * 8, 1, 1, 75, 0, 0]
    record = job.record(10)
    assert record["given_back"]
    assert record["error"] == "not begun on n2, where 2 trials in a row failed at once, and elsewhere they do not"
    assert "10" not in job.runs()
    assert job.store.unfit_nodes() == ["n2"]
    assert job.store.forgive_nodes() == ["n2"]
    assert job.store.unfit_nodes() == []


def test_a_task_that_is_told_to_end_while_it_holds_its_place_says_so(tmp_path: Path) -> None:
    """Else a trial that a person cancelled would be paused, and go on by itself."""
    job = Nodes(tmp_path, 12)
    job.on("n1", *range(8))
    job.on("n2", 8, 9)
    [held] = job.on("n2", 10, wait=False)
    until(lambda: bool(job.record(10)))
    held.terminate()
    assert held.wait(30) == 75
    assert job.record(10)["signals"] == ["SIGTERM"]
    assert job.record(10)["given_back"]


def test_what_is_sent_leaves_unfit_nodes_out_beside_those_that_its_script_avoids(tmp_path: Path) -> None:
    job = Nodes(tmp_path, 11)
    job.on("n1", *range(8))
    job.on("n2", 8, 9)
    slurm = msgspec.structs.replace(planned("j0001").settings, kind="slurm")
    job.store.note(msgspec.structs.replace(planned("j0001"), settings=slurm))
    assert Exclusions(job.store, slurm).of(Unit("j0001")) == ("n2",)
    job.store.note(Retried(trials=[NextAttempt(number=0, attempt=2, avoid=("n7",))], jobs=[]))
    assert Exclusions(job.store, slurm).of(Unit("j0001")) == ("n2", "n7")
    assert Exclusions(job.store, msgspec.structs.replace(slurm, kind="pbs")).of(Unit("j0001")) == ()
    request = SubmitRequest("/j.sh", "toy.j0001.t", None, "/log", exclude=("n2", "n7"))
    assert "--exclude=n2,n7" in next(Slurm().submit(request)).argv


def test_a_program_that_always_fails_condemns_no_node(tmp_path: Path) -> None:
    job = Nodes(tmp_path, 12, bad="n1 n2")
    for begin in range(0, 12, 4):
        job.on("n1", begin, begin + 1)
        job.on("n2", begin + 2, begin + 3)
    assert job.ends() == [1] * 12
    assert job.store.unfit_nodes() == []


def test_a_suspicious_node_waits_until_trials_elsewhere_have_had_their_chance(tmp_path: Path) -> None:
    job = Nodes(tmp_path, 12)
    job.on("n1", 0)
    job.on("n2", 1, 2)
    [waits] = job.on("n2", 3, wait=False)
    time.sleep(1)
    assert not job.record(3)
    for process in job.on("n1", *range(4, 12), wait=False):
        process.wait(30)
    assert waits.wait(30) == 75
    assert job.ends() == [0, 1, 1, 75, *[0] * 8]


def test_a_mended_node_is_used_again_once_a_trial_there_ended_well(tmp_path: Path) -> None:
    job = Nodes(tmp_path, 12)
    job.on("n1", *range(8))
    job.on("n2", 8)
    (job.work / "mended").touch()
    job.on("n2", 9, 10, 11)
    assert job.ends()[8:] == [1, 0, 0, 0]


def test_a_worker_on_an_unfit_node_begins_no_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = Nodes(tmp_path, 14)
    job.on("n1", *range(8))
    argv = [
        sys.executable, "-I", "-S", str(job.store.runners.folder / "worker.py"), "--folder", str(job.store.path), "--job",
        "j0001", "--worker", "0", "--workers", "1", "--per-worker", "1", "--walltime-s", "60", "--memory-mib", "500",
        "--gpus", "0", "--ends-s", "3600", "--job-id", "8", "--job-name", "toy.bb", "--", "--workdir", str(job.work),
        "--result", "r.json", "--heartbeat-s", "0.2", "--quick-s", "3",
    ]  # fmt: skip
    assert (
        subprocess.run(argv, env={**os.environ, "SLURMD_NODENAME": "n2"}, timeout=60, check=False).returncode == 0
    )
    assert job.ends() == [*[0] * 8, 1, 1, *[None] * 4]
    assert (
        "on n2, trials fail at once that do not fail elsewhere: this worker begins no more"
        in capfd.readouterr().err
    )


def test_a_trial_that_outlives_its_chance_is_evidence_while_it_runs(tmp_path: Path) -> None:
    job = Nodes(tmp_path, 2)
    (job.work / "p.py").write_text("import time; time.sleep(60)")
    [process] = job.on("n1", 0, wait=False)
    until(lambda: (job.store.path / "nodes/n1").exists() and (job.store.path / "nodes/n1").read_text() == "S")
    process.terminate()
    process.wait(30)
    assert (job.store.path / "nodes/n1").read_text() == "S"
