"""Any value reaches the program's argv unchanged."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sweep.grid.expressions import Command, ExpressionError, flags, split

NASTY = [
    "'",
    '"',
    "$(touch /tmp/pwned)",
    "`id`",
    "a b",
    "a\nb",
    "-rf",
    "--x=y",
    "ü",
    "\\",
    "*",
    "{{ x }}",
    "%s",
    "",
    "~",
    "!",
]


def fill(command: str | list[str], **values: Any) -> tuple[str, ...]:
    allowed = frozenset(values) | {"params", "env"}
    return Command(command, allowed)({**values, "params": values, "env": {"HOME": "/home/eve"}})


def test_arguments_are_filled_in_after_splitting() -> None:
    assert fill("prog --name {{ x }} 'a {{ x }}' {{ x }}y", x="b c'd") == (
        "prog",
        "--name",
        "b c'd",
        "a b c'd",
        "b c'dy",
    )


def test_lines_are_joined_as_a_shell_joins_them() -> None:
    assert fill("p \\\n  --x {{ x }} \\\n  --y", x=1) == ("p", "--x", "1", "--y")
    assert fill("p 'a\\\nb' \"a\\\nb\" a\\\\\n", x=1) == ("p", "a\\\nb", "ab", "a\\")


def test_a_list_is_the_arguments_themselves() -> None:
    assert fill("p {{ xs }} end", xs=["a b", 1, 0.5]) == ("p", "a b", "1", "0.5", "end")
    assert fill("p {{ ['--fast'] if fast else [] }} q", fast=False) == ("p", "q")


def test_numbers_are_spelled_as_json_spells_them() -> None:
    assert fill("p {{ a }} {{ b }} {{ c }} {{ -a }} x{{ b }}", a=0.1, b=True, c=None) == (
        "p", "0.1", "true", "null", "-0.1", "xtrue",
    )  # fmt: skip


def test_the_environment_is_read() -> None:
    assert fill("p {{ env.HOME }}/data") == ("p", "/home/eve/data")


def test_nothing_of_the_shell_is_interpreted() -> None:
    assert fill("p a|b '>' $HOME *.py; true") == ("p", "a|b", ">", "$HOME", "*.py;", "true")


def test_a_parameter_may_be_called_as_a_function_of_the_language() -> None:
    command = Command("p {{ range }} {{ range }}x", frozenset({"range"}))
    assert [command({"range": n}) for n in (1, 2)] == [("p", "1", "1x"), ("p", "2", "2x")]
    assert Command("p {{ range(n) | list }}", frozenset({"n"}))({"n": 2}) == ("p", "0", "1")


def test_flags() -> None:
    arguments = flags(
        {"learning_rate": 5e-05, "blank": True, "off": False, "none": None, "w": [0.1, 1], "neg": -0.5}
    )
    assert arguments == ["--learning-rate", "5e-05", "--blank", "--w", "0.1", "1", "--neg=-0.5"]


@pytest.mark.parametrize(
    "command", ["p {{ x | nope }}", "p {{ x.y }}", "p {{ 1/0 }}", "p {% if x %} a {% endif %}"]
)
def test_bad_expressions(command: str) -> None:
    with pytest.raises(ExpressionError):
        fill(command, x="v")


def test_the_sandbox_holds() -> None:
    with pytest.raises(ExpressionError):
        fill("p {{ x.__class__.__mro__[1].__subclasses__() }}", x="v")


#: Any text a program can receive: no NUL, no lone surrogate.
TEXTS = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)


@given(st.lists(TEXTS, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_values_arrive_as_they_are_through_a_real_process(values: list[str]) -> None:
    echo = [sys.executable, "-S", "-c", "import sys, json; print(json.dumps(sys.argv[1:]))"]
    names = {f"v{i}": value for i, value in enumerate(values)}
    argv = fill([*echo, *("{{ " + name + " }}" for name in names)], **names)
    assert json.loads(subprocess.run(argv, capture_output=True, check=True).stdout) == values


@given(TEXTS, TEXTS)
@settings(max_examples=60, deadline=None)
def test_values_arrive_as_they_are_through_a_real_shell(first: str, second: str) -> None:
    """A command may start a shell. The values are its arguments, never its text."""
    line = 'bash -c \'printf "%s\\0" "$1" "$2"\' _ {{ first }} {{ second }}'
    process = subprocess.run(fill(line, first=first, second=second), capture_output=True, check=True)
    assert process.stdout.decode().split("\0")[:2] == [first, second]
    # The command that is shown for copying does the same.
    shown = shlex.join(fill(line, first=first, second=second))
    assert subprocess.run(["bash", "-c", shown], capture_output=True, check=True).stdout == process.stdout


@given(st.text(st.characters(exclude_characters="\0{}%#", exclude_categories=["Cs"])))
@settings(deadline=None)
def test_without_expressions_it_splits_as_shlex_does(line: str) -> None:
    try:
        expected = shlex.split(line)
        assume("\\\n" not in line)  # which a shell joins, and shlex does not
    except ValueError:
        with pytest.raises(ExpressionError):
            split(line)
    else:
        assert split(line) == expected
