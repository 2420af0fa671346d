"""What a refusal means: each scheduler's own list, as docs/schedulers.md has it, and as captures show it."""

from __future__ import annotations

import json
import re

import pytest

from sweep.errors import SchedulerBusy, SchedulerRefused, SchedulerSilent
from sweep.schedulers.pbs import REFUSALS as PBS
from sweep.schedulers.refusals import Kind, error_of
from sweep.schedulers.slurmrefusals import meaning
from sweep.schedulers.torque import REFUSALS as TORQUE
from tests.conftest import CAPTURES, ROOT, capture

SECTION = (ROOT / "docs" / "schedulers.md").read_text().split("## What a refusal means")[1].split("\n## ")[0]
ROWS = {
    Kind(kind): cells
    for kind, *cells in (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in SECTION.splitlines()
        if line.startswith("| ")
    )
    if kind not in ("", "---")
}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.UNKNOWN])
def test_the_table_in_the_docs(kind: Kind) -> None:
    slurm, pbs, torque = ROWS[kind]
    messages = re.findall(r"`([^`]+)`", slurm)
    assert len(messages) >= 3
    for message in messages:
        assert meaning(f"sbatch: error: {message}")[0] is kind, message
    for cell, table in ((pbs, PBS), (torque, TORQUE)):
        assert [int(code) for code in cell.split(",")] == sorted(code for code in table if table[code][0] is kind)


@pytest.mark.parametrize(
    ("message", "kind", "directive"),
    [
        # A limit is told in a line of its own, and the last line is the same for all of them.
        ("AssocGrpSubmitJobsLimit", Kind.NOW, ""),
        ("QOSMaxSubmitJobPerUserLimit", Kind.NOW, ""),
        ("AssocMaxWallDurationPerJobLimit", Kind.LINE, "--time"),
        ("QOSMaxMemoryPerJob", Kind.LINE, "--mem"),
        ("QOSMaxCpuPerUserLimit", Kind.LINE, "--cpus-per-task"),
        ("QOSMaxGRESPerJob", Kind.LINE, "--gres"),
        ("QOSMinCPUNotSatisfied", Kind.LINE, "--cpus-per-task"),
        ("AssocMaxNodePerJobLimit", Kind.LINE, ""),
    ],
)
def test_a_limit_of_the_accounting(message: str, kind: Kind, directive: str) -> None:
    last = (
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
        "(job submit limit, user's size and/or time limits)"
    )
    assert meaning(f"sbatch: error: {message}\n{last}\n") == (kind, directive)


def test_what_no_list_has_is_told_and_may_be_repeated() -> None:
    assert meaning("sbatch: error: the site's filter says: talk to us first") == (Kind.UNKNOWN, "")
    error = error_of("sbatch", Kind.UNKNOWN, "talk to us first", "talk to us first")
    assert isinstance(error, SchedulerRefused)
    assert "talk to us first" in str(error)
    assert "repeat `sweep submit`" in error.hint


def test_each_kind_is_an_error_of_its_own() -> None:
    errors = {kind: error_of("qsub", kind, "", "no") for kind in Kind}
    assert isinstance(errors[Kind.NO_ANSWER], SchedulerSilent)
    assert isinstance(errors[Kind.NOW], SchedulerBusy)
    hints = {errors[kind].hint for kind in (Kind.LINE, Kind.NEVER, Kind.UNKNOWN)}
    assert len(hints) == 3


@pytest.mark.parametrize(("dialect", "table"), [("openpbs", PBS), ("torque", TORQUE)])
def test_every_captured_refusal_is_known(dialect: str, table: dict[int, tuple[Kind, str]]) -> None:
    entries = [json.loads(line) for line in (CAPTURES / "pbs" / "INDEX.jsonl").read_text().splitlines()]
    refused = {
        entry["rc"]
        for entry in entries
        if entry["file"].startswith(f"{dialect}-err-") and "qsub" in entry["stderr"] and entry["rc"]
    }
    assert len(refused) >= 6
    assert refused - set(table) == set()


def test_every_captured_refusal_of_slurm_is_known() -> None:
    unknown = []
    for path in sorted((CAPTURES / "slurm" / "errors").glob("*.err")):
        text, code = path.read_text(), capture(f"errors/{path.stem}")[2]
        if code and text.startswith("sbatch: ") and meaning(text)[0] is Kind.UNKNOWN:
            unknown.append((path.stem, text))
    # Mistakes in the script itself, which sweep does not make.
    assert [name for name, _ in unknown] == ["crlf", "no_file"]
