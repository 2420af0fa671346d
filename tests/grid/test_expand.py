from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from sweep.errors import GridError
from sweep.grid import axes, expand, read
from sweep.grid.expand import trial_id, trial_seed
from sweep.grid.expressions import flags, text
from sweep.model import Trial

ROOT = Path(__file__).parents[2]
MINIMAL = "name: t\ncommand: prog {{ params | flags }}\n"


def drafts(text: str, *overrides: str) -> list[Trial]:
    grid, source = read(MINIMAL + text, "g.yaml", overrides)
    return expand(grid, source, dict(os.environ))


def params(text: str, *overrides: str) -> list[dict[str, object]]:
    return [draft.params for draft in drafts(text, *overrides)]


def test_the_product_in_the_order_written() -> None:
    assert params("parameters: {a: [1, 2], b: [x, y]}") == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip


def test_zip_varies_together_and_exclude_leaves_out() -> None:
    text = "parameters: {a: [1, 2]}\nzip: [{b: [3, 4], c: [5, 6]}]\nexclude: ['a == 2 and b > 3']"
    assert params(text) == [{"a": 1, "b": 3, "c": 5}, {"a": 1, "b": 4, "c": 6}, {"a": 2, "b": 3, "c": 5}]


def test_one_at_a_time_is_the_baseline_and_single_changes() -> None:
    text = "design: one_at_a_time\nbaseline: {a: 1, b: x}\nparameters: {a: [1, 2, 3], b: [x, y]}"
    assert params(text) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 3, "b": "x"}, {"a": 1, "b": "y"}]


def test_no_parameters_is_one_trial() -> None:
    assert params("") == [{}]


def test_replicates_share_their_seeds_between_configurations() -> None:
    trials = drafts("parameters: {a: [1, 2]}\nreplicates: 3\nseed: 7")
    assert [trial.replicate for trial in trials] == [0, 1, 2, 0, 1, 2]
    assert [trial.seed for trial in trials[:3]] == [trial.seed for trial in trials[3:]]
    assert len({trial.seed for trial in trials}) == 3
    assert len({trial.id for trial in trials}) == 6


def test_the_id_depends_on_the_content_alone() -> None:
    before = {draft.params["a"]: draft.id for draft in drafts("parameters: {a: [1, 2]}")}
    after = {draft.params["a"]: draft.id for draft in drafts("parameters: {a: [3, 2, 1]}\nresources: {cpus: 2}")}
    assert after[1] == before[1]
    assert after[2] == before[2]
    # These ids must never change: every result is found by its trial's id.
    assert trial_id({"learning_rate": 0.01, "model": "UNet"}, 0) == "e6cc0ff9d5fa07cb"
    assert trial_id({"model": "UNet", "learning_rate": 0.01}, 0) == "e6cc0ff9d5fa07cb"
    assert trial_seed(0, 0) == 713683445


def test_values_that_are_spelled_once_are_right_in_every_trial() -> None:
    document = """\
name: t
command: "p {{ params | flags }} {{ b }} --a={{ a_b }}"
parameters: {b: [1, 2.0, true, '1', null], a_b: [[1, 2], [], -3, 2.0e+20, 'ü "q"'], a: [0.5, -0.5]}
replicates: 2
exclude: ['a_b == -3']
"""
    trials = expand(*read(document, "g.yaml"), {})
    assert len({trial.id for trial in trials}) == len(trials) == 5 * 4 * 2 * 2
    for trial in trials:
        assert trial.id == trial_id(trial.params, trial.replicate)
        b, a_b = text(trial.params["b"]), text(trial.params["a_b"])
        assert trial.argv == ("p", *flags(trial.params), b, f"--a={a_b}")


def test_resources_are_expressions_of_the_parameters() -> None:
    trials = drafts(
        "parameters: {model: [small, UNet], n: [2]}\n"
        "resources: {walltime: \"{{ '12:00:00' if model == 'UNet' else '90min' }}\", memory: '{{ 2 * n }}GiB', cpus: '{{ n }}'}"
    )
    assert [(t.resources.walltime_s, t.resources.memory_mib, t.resources.cpus) for t in trials] == [
        (5400, 4096, 2), (43200, 4096, 2),
    ]  # fmt: skip


def test_short_forms_of_values() -> None:
    assert axes.values({"range": [2, 4]}) == [2, 3, 4]
    assert axes.values({"range": [10, 1, -4]}) == [10, 6, 2]
    assert axes.values({"range": [0.1, 0.5, 0.1]}) == [0.1, 0.2, 0.3, 0.4, 0.5]
    np.testing.assert_allclose(axes.values({"linspace": [0, 1, 5]}), np.linspace(0, 1, 5))
    np.testing.assert_allclose(axes.values({"logspace": [-5, -1, 9]}), np.logspace(-5, -1, 9))
    np.testing.assert_allclose(axes.values({"geomspace": [3e-4, 2, 7]}), np.geomspace(3e-4, 2, 7))


def test_set_overrides_parameters_zipped_ones_and_keys() -> None:
    text = "parameters: {a: [1, 2]}\nzip: [{b: [3, 4], c: [5, 6]}]"
    assert params(text, "a=9", "b=7") == [{"a": 9, "b": 7, "c": 5}, {"a": 9, "b": 7, "c": 6}]
    assert params(text, "a={range: [1, 3]}", "exclude=['c == 5']")[0] == {"a": 1, "b": 4, "c": 6}
    assert {trial.resources.cpus for trial in drafts(text, "resources.cpus=8")} == {8}


def test_the_original_grid_has_8192_trials() -> None:
    text = (ROOT / "examples" / "report-8192.yaml").read_text()
    grid, source = read(text, "report-8192.yaml")
    trials = expand(grid, source, {})
    assert len(trials) == 8192
    assert len({trial.id for trial in trials}) == 8192
    assert {trial.resources.walltime_s for trial in trials} == {12 * 3600, 4 * 3600}
    # Its last lines are comments. Without the comment signs, they exclude what cannot be trained.
    with_exclude = text.replace("# exclude:", "exclude:").replace("#   - ", "  - ")
    assert with_exclude != text
    grid, source = read(with_exclude, "report-8192.yaml")
    assert len(expand(grid, source, {})) == 6400


@pytest.mark.parametrize("example", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_example_expands(example: Path) -> None:
    grid, source = read(example.read_text(), example.name)
    assert expand(grid, source, dict(os.environ))


#: (the grid's text, a part of the error's message or hint, the error's line)
BAD = [
    ("nmae: t", "unknown key 'nmae'", 3),
    ("scheduler: {kind: slrum}", "kind is 'slrum'", 3),
    ("scheduler: {knid: slurm}", "unknown key 'knid'", 3),
    ("parameters: {a: []}", "a: no values", 3),
    ("parameters: {a: [1, 2, 1.0]}", "a: the value 1.0 is there twice", 3),
    ("parameters: {a: 3}", "3 is not a list of values", 3),
    ("parameters: {a: {range: [3, 1]}}", "leads away", 3),
    ("parameters: {a: {range: [1, 3, 0]}}", "step of 0", 3),
    ("parameters: {a: {linspace: [1, 3]}}", "[first, last, how many]", 3),
    ("parameters: {a: {spread: [1, 3]}}", "is no form of values", 3),
    ("parameters: {seed: [1]}", "'seed' is reserved", 3),
    ("parameters: {not: [1]}", "'not' is reserved", 3),
    ("parameters: {a-b: [1]}", "use letters, digits and _", 3),
    ("parameters: {a: [1]}\nzip: [{a: [1]}]", "'a' is there twice", 4),
    ("zip: [{a: [1, 2], b: [1]}]", "a has 2, b has 1", 3),
    ("zip: [{}]", "an empty group", 3),
    ("parameters: {lr: [1]}\nexclude: ['lt > 3']", "names 'lt'", 4),
    ("parameters: {lr: [1]}\nexclude: ['lr >']", "does not parse", 4),
    ("parameters: {lr: [1]}\nexclude: ['lr > \"x\"']", "TypeError", 4),
    ("parameters: {lr: [1]}\nexclude: ['lr == 1']", "all are excluded", 4),
    ("parameters: {lr: [1]}\nexclude: ['().__class__.__bases__']", "unsafe", 4),
    ("resources: {walltime: 12}", "walltime '12' is not a duration", 3),
    ("resources: {walltime: '12:00'}", "walltime '12:00' is not a duration", 3),
    ("resources: {walltime: '00:00:00'}", "is zero", 3),
    ("resources: {walltime: ''}", "is not a duration", 3),
    ("resources: {memory: 8}", "memory '8' is not an amount of memory", 3),
    ("resources: {memory: 0GiB}", "is zero", 3),
    ("resources: {memory: -1GiB}", "is not an amount of memory", 3),
    ("resources: {cpus: 0}", "cpus is 0", 3),
    ("resources: {cpus: -2}", "cpus is -2", 3),
    ("resources: {cpus: 1.5}", "'1.5' is not a whole number", 3),
    ("resources: {gpus: '{{ x }}'}", "names 'x'", 3),
    ('scheduler: {queue: "a\\nb"}', "newline", 3),
    ('scheduler: {account: "a b"}', "one plain word", 3),
    ('scheduler: {extra: ["--x\\n--y"]}', "newline", 3),
    ('environment: ["a\\0b"]', "NUL", 3),
    ("replicates: 0", "replicates is 0", 3),
    ("submit: {placement: all}", "placement is 'all'", 3),
    ("submit: {throttle: 0}", "throttle is 0", 3),
    ("design: one_at_a_time", "needs a baseline", 3),
    ("baseline: {}", "without `design: one_at_a_time`", 3),
    ("design: one_at_a_time\nbaseline: {b: 1}\nparameters: {a: [1]}", "the baseline names 'b'", 4),
    ("design: one_at_a_time\nbaseline: {}\nparameters: {a: [1]}", "no value for 'a'", 4),
    ("design: one_at_a_time\nbaseline: {a: 3}\nparameters: {a: [1, 2]}", "a is 3, which is not among its values", 4),
    ("objective: {goal: maximise}", "goal is 'maximise'", 3),
    ("objective: {file: ../x.json}", "file '../x.json'", 3),
    ("objective: {metric: loss, second: {metric: loss}}", "the second objective is 'loss', as is the first", 3),
    ("objective: {second: {metric: a}}\nparameters: {a: [1, 2]}", "the second objective is 'a', and so is a", 3),
    ("objective: {second: {metric: f1, goal: less}}", "goal is 'less'", 3),
    ("objective: {file: log.txt}", "file 'log.txt'", 3),
    ("version: 2", "version is 2", 3),
    ("parameters: {a: {range: [1, 1001]}, b: {range: [1, 1000]}}", "1,001,000 trials", 3),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "line"), BAD, ids=[text for text, _, _ in BAD])
def test_bad_grids_are_refused_with_the_line(text: str, expected: str, line: int) -> None:
    with pytest.raises(GridError) as caught:
        drafts(text)
    assert expected in f"{caught.value} {caught.value.hint}"
    assert caught.value.line == line
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: 'a\\nb'\ncommand: x", "cannot name a folder"),
        ('name: "a\\nb"\ncommand: x', "cannot name a folder"),
        ("name: ../up\ncommand: x", "cannot name a folder"),
        ("command: x", "the key 'name' is missing"),
        ("name: t\ncommand: ''", "the command is empty"),
        ('name: t\ncommand: "say \'hello"', "does not split"),
        ("name: t\ncommand: 'a {{ b'", "does not parse"),
        ("name: t\ncommand: 'a {{ lr }}'\nparameters: {learning_rate: [1]}", "names 'lr'"),
        ("name: t\ncommand: 'a {{ env.NO_SUCH_NAME }}'", "NO_SUCH_NAME"),
        ("name: t\ncommand: '{{ x }}'\nparameters: {x: ['']}", "is empty once filled in"),
        ('name: t\ncommand: "p {{ x }}"\nparameters: {x: ["a\\0b"]}', "NUL"),
        ("name: t\ncommand: [a, 3]", "command is"),
    ],
)
def test_bad_names_and_commands(text: str, expected: str) -> None:
    with pytest.raises(GridError) as caught:
        grid, source = read(text, "g.yaml")
        expand(grid, source, {})
    assert expected in str(caught.value)


@pytest.mark.parametrize("override", ["lr", "=3", "nmae=3", "lr.x.y=3", "a=[1, 1]", "a=[1"])
def test_bad_overrides(override: str) -> None:
    with pytest.raises(GridError):
        drafts("parameters: {a: [1]}", override)


def test_the_schema_is_json_and_names_every_key() -> None:
    from sweep.grid import Grid

    schema = json.loads(json.dumps(Grid.model_json_schema()))
    assert set(schema["properties"]) == set(Grid.model_fields)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3", [[3]]), ("null", [[None]]), ("a", [["a"]]), ("true", [[True]]), ("3.5", [[3.5]]), ("'007'", [["007"]]),
        ('"1, 2"', [["1", "2"], ["1, 2"]]), ("yes, no", [["yes", "no"], ["yes, no"]]), ("'a: b'", [["a: b"]]),
        ("'[x'", [["[x"]]), ("a b,", [["a b"], ["a b,"]]),
    ],
)  # fmt: skip
def test_a_hint_is_yaml_that_means_what_was_meant(written: str, meant: list[list[object]]) -> None:
    with pytest.raises(GridError) as caught:
        drafts(f"parameters:\n  x: {written}")
    lists = re.findall(r"write (\[.*?\](?=;|$|, or))", caught.value.hint)
    assert [json.loads(hint) for hint in lists] == meant
    for hint, values in zip(lists, meant, strict=True):
        assert [trial.params["x"] for trial in drafts(f"parameters: {{x: {hint}}}")] == values


def test_keys_with_x_are_a_place_for_anchors() -> None:
    text = "x-rates: &rates [0.1, 0.2]\nx-more: {any: thing}\nparameters: {lr: *rates}"
    assert params(text) == [{"lr": 0.1}, {"lr": 0.2}]
