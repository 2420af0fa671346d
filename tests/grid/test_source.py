from __future__ import annotations

import pytest

from sweep.errors import GridError
from sweep.grid.source import parse
from sweep.grid.source import value as parse_value


def test_values_are_plain_and_yaml_1_2() -> None:
    source = parse("a: 1e-3\nb: 12:00:00\nc: yes\nd: [true, null, 0x10]\ne: &x {f: 1}\ng: *x\n", "g.yaml")
    assert source.data == {
        "a": 0.001, "b": "12:00:00", "c": "yes", "d": [True, None, 16], "e": {"f": 1}, "g": {"f": 1},
    }  # fmt: skip
    assert type(source.data["a"]) is float
    assert type(source.data["d"][0]) is bool


def test_positions_are_those_of_keys_and_items() -> None:
    source = parse("a: 1\nb:\n  c: [10,\n      20]\n", "g.yaml")
    assert source.positions[("b", "c")] == (3, 3)
    assert source.positions[("b", "c", 1)] == (4, 7)
    error = source.error(("b", "c", 1, "deeper"), "wrong")
    assert str(error) == "g.yaml:4:7: wrong"


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("a: [1, 2\nb: 3", "2:", "g.yaml:"),
        ("a: 1\na: 2\n", "2:1", 'found duplicate key "a"'),
        ("a: b: c", "1:5", "mapping values are not allowed"),
        ("- 1\n- 2\n", "1:1", "not a mapping"),
        ("", "1:1", "the grid is empty"),
        ("a: .nan", "1:1", "nan is not a finite number"),
        ("a: [1, .inf]", "1:8", "inf is not a finite number"),
        ("1: a", "1:1", "the key 1 is not text"),
        ("a: !!python/object:os.system x", "1:1", "TaggedScalar"),
        ("\tb: 1", "1:1", "found character"),
    ],
)
def test_a_file_that_is_no_grid_is_refused_with_the_position(text: str, position: str, expected: str) -> None:
    with pytest.raises(GridError) as caught:
        parse(text, "g.yaml")
    message = f"{caught.value} {caught.value.hint}"
    assert expected in message
    assert f"g.yaml:{position}" in message


def test_nested_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(GridError, match="more than 1,000,000 values"):
        parse("\n".join(lines), "g.yaml")


#: What people write → what a trial gets, and whether `plan` says how to quote it.
SCALARS = [
    ("2019_01_12", "2019_01_12", False), ("01_02", "01_02", False), ("1_000", "1_000", False),
    ("0x_ff", "0x_ff", False), ("1__0", "1__0", False), ("0o1_7", "0o1_7", False), ("1_0.5", "1_0.5", False),
    ("0b101", "0b101", False), ("2019-01-12", "2019-01-12", False), ("1:30", "1:30", False), ("yes", "yes", False),
    ("5", 5, False), ("-3", -3, False), ("0.001", 0.001, False), ("1e-3", 0.001, False), ("5.5e-05", 5.5e-05, False),
    ("1e2", 100, False), ("1.0", 1.0, False), (".5", 0.5, False), ("100.0", 100.0, False),
    ("72225e2", 7222500, True), ("0123456", 123456, True), ("007", 7, True), ("3.10", 3.1, True), ("+5", 5, True),
    ("0x1F", 31, True), ("0o17", 15, True), ("5.", 5.0, True), ("0.12345678901234567890", 0.12345678901234568, True),
    ('"3.10"', "3.10", False), ("'007'", "007", False), ("true", True, False), ("null", None, False), ("~", None, False),
    ("!!str 3.10", "3.10", False), ("!!float 3", 3.0, False),
]  # fmt: skip


@pytest.mark.parametrize(("written", "value", "is_noted"), SCALARS)
def test_a_trial_gets_what_is_written(written: str, value: object, is_noted: bool) -> None:
    read = parse(f"a: [{written}]\nb: {written}\n", "grid.yaml")
    for path, got in ((("a", 0), read.data["a"][0]), (("b",), read.data["b"])):
        assert got == value
        assert type(got) is type(value)
        assert read.unusual.get(path) == (written if is_noted else None)
    assert parse_value(written) == value


@pytest.mark.parametrize("written", ["61e9540", ".inf", "-.INF", ".nan"])
def test_a_number_that_is_none_is_named_as_it_was_written(written: str) -> None:
    with pytest.raises(GridError) as caught:
        parse(f"a: {written}", "grid.yaml")
    assert written in str(caught.value)
    assert f'quote it: "{written}"' in caught.value.hint
