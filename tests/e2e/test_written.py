"""What is written is what runs, and what is shown is what is."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Sandbox

Toy = Callable[..., Path]

#: What turns a program's output into commands for a terminal, or hides the reason of its failure.
NOISY = r"""
import sys
print("Traceback (most recent call last):")
print("ValueError: the reason")
for n in range(40): sys.stdout.write(f"  {n} % of it\r")
sys.stdout.write("\r\n")
print("\x1b[2J\x1b]0;title\x07 bell", "\u202egnp.exe", "tab\tstays")
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("axis", "passed", "shown"),
    [
        ("{linspace: [8, 32, 4]}", ["8", "16", "24", "32"], "8, 16, 24, 32"),
        ("{geomspace: [1, 100, 3]}", ["1", "10", "100"], "1, 10, 100"),
        ("{logspace: [0, 2, 3]}", ["1", "10", "100"], "1, 10, 100"),
        ("{linspace: [8.0, 32, 2]}", ["8.0", "32.0"], "8.0, 32.0"),
        ("{linspace: [0, 1, 3]}", ["0.0", "0.5", "1.0"], "0.0, 0.5, 1.0"),
        ("[1e2, 1e3]", ["100", "1000"], "100, 1000"),
        ("[1.0, 2.5]", ["1.0", "2.5"], "1.0, 2.5"),
        ("['1', 2, '2019_01', 2019_02]", ["1", "2", "2019_01", "2019_02"], '"1", 2, "2019_01", "2019_02"'),
    ],
)
def test_values_are_shown_as_they_are_passed(
    sandbox: Sandbox, toy: Toy, axis: str, passed: list[str], shown: str
) -> None:
    toy(parameters=f"{{x: {axis}}}", command="[prog, '{{ x }}']")
    assert f"{len(passed)}: {shown}" in sandbox.sweep("plan").out
    lines = (sandbox.path / "results/toy/trials.jsonl").read_text().splitlines()
    assert [json.loads(line)["argv"][1] for line in lines] == passed


def test_a_number_that_is_passed_otherwise_is_told(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{commit: [72225e2, 0123456], version: [3.10, 3.9], lr: [1e-3, 0.01]}", command="[prog]")
    said = sandbox.sweep("plan").err
    assert 'parameters.commit.0: 72225e2 is a number, 7222500; if it is a text, quote it: "72225e2"' in said
    assert '0123456 is a number, 123456; if it is a text, quote it: "0123456"' in said
    assert '3.10 is a number, 3.1; if it is a text, quote it: "3.10"' in said
    assert "lr" not in said
    assert "3.9" not in said.replace("3.10", "")


@pytest.mark.parametrize(
    ("word", "first"),
    [("SEED=1", True), ("source", True), ("cd", True), ("`date`", False), ("data/*.tif", False), ("~/x", False),
     ("$HOME", False), ("x;", False)],
)  # fmt: skip
def test_what_only_a_shell_understands_is_noted(sandbox: Sandbox, toy: Toy, word: str, first: bool) -> None:
    toy(command=f'"{word} prog {{{{ x }}}}"' if first else f'"prog {{{{ x }}}} {word}"')
    assert f"the command has '{word}', and no shell to interpret it" in sandbox.sweep("plan").err


def test_what_a_program_writes_is_shown_and_not_obeyed(sandbox: Sandbox, toy: Toy) -> None:
    sandbox.write("noisy.py", NOISY)
    toy(command="[python3, noisy.py]", parameters="{x: ['\\u202egnp', a]}")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    outputs = [sandbox.sweep(*verb).out for verb in (("why", "0"), ("logs", "0"), ("report", "--trials"))]
    assert all(char.isprintable() or char in "\n\t" for output in outputs for char in output)
    assert all("\u202e" not in output for output in outputs)
    for output in outputs[:2]:
        assert "ValueError: the reason" in output
        assert "39 % of it" in output
        assert "38 % of it" not in output
        assert r"\x1b[2J\x1b]0;title\x07 bell \u202egnp.exe" in output
    assert "the reason" in sandbox.sweep("status").out
    raw = sandbox.sweep("logs", "0", "--raw").out
    assert "\x1b[2J" in raw
    assert "38 % of it\r" in raw


FORMS = ["csv", "json", "markdown", "latex", "parquet"]


@pytest.mark.parametrize("to", ["file", "pipe", "stdout"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_goes_everywhere(sandbox: Sandbox, toy: Toy, form: str, to: str) -> None:
    toy(parameters="{x: [1, 9223372036854775808], how: [ok]}", command="[python3, trial.py, '1', '{{ how }}']")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    argv = [sys.executable, "-m", "sweep", "report", f"--{form}"]
    if to == "file":
        sandbox.sweep(*argv[3:], "--output", "out")
        data = (sandbox.path / "out").read_bytes()
    else:
        with (sandbox.path / "out").open("wb") as out:
            sink = out if to == "stdout" else subprocess.PIPE
            done = subprocess.run(
                argv,
                cwd=sandbox.path,
                env=sandbox.env,
                stdout=sink,
                stderr=subprocess.PIPE,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        data = done.stdout if to == "pipe" else (sandbox.path / "out").read_bytes()
    if form == "parquet":
        assert sorted(map(str, pd.read_parquet(io.BytesIO(data))["x"])) == ["1", "9223372036854775808"]
    else:
        assert b"9223372036854775808" in data


def test_a_cell_is_no_formula(sandbox: Sandbox, toy: Toy) -> None:
    toy(parameters="{x: ['=cmd|calc', '@a', -1], how: [ok]}", command="[python3, trial.py, '1', '{{ how }}']")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    rows = [*csv.DictReader(io.StringIO(sandbox.sweep("report", "--csv").out))]
    assert sorted(row["x"] for row in rows) == ["'=cmd|calc", "'@a", "-1"]


@pytest.mark.parametrize("verb", [["doctor"], ["status"], ["plan"], ["init"]])
def test_a_folder_that_was_deleted_is_named_as_the_reason(sandbox: Sandbox, verb: list[str]) -> None:
    line = f'mkdir gone && cd gone && rmdir ../gone && "{sys.executable}" -P -m sweep {verb[0]}'
    ran = sandbox.run("bash", "-c", line, env={"PYTHONPATH": str(Path(__file__).parents[2])})
    assert ran.code == 2
    assert "the folder that you are in cannot be used" in ran.err
    assert "Traceback" not in ran.err
