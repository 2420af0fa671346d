from __future__ import annotations

import pytest

from sweep.errors import GridError
from sweep.grid.source import parse


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
        ("a: 2026-01-01", "1:1", "put it in quotes"),
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
