"""Train, validation, test; folds; validation on the test images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.data.recipe import SplitRule
from trainer.data.splits import split, training_stems
from trainer.errors import InputError

STEMS = [f"i{number:02d}" for number in range(15)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "split.json").write_text(
        json.dumps({"train": STEMS[:11], "test": [f"{stem}.png" for stem in STEMS[11:]]})
    )
    return tmp_path


def test_parts_are_disjoint_and_drawn_by_the_seed(folder: Path) -> None:
    parts = split(folder, STEMS, 1, SplitRule(0.25))
    assert sorted(parts.train + parts.validation) == STEMS[:11]
    assert len(parts.validation) == 3
    assert parts.test == STEMS[11:]
    assert split(folder, STEMS, 1, SplitRule(0.25)) == parts
    assert any(split(folder, STEMS, seed, SplitRule(0.25)) != parts for seed in range(2, 6))


def test_without_a_split_a_quarter_is_for_testing(tmp_path: Path) -> None:
    parts = split(tmp_path, STEMS, 3, SplitRule())
    assert len(parts.test) == 4
    assert sorted(parts.train + parts.validation + parts.test) == STEMS
    for seed in range(6):  # the same in every replicate: none trains on another's
        assert split(tmp_path, STEMS, seed, SplitRule()).test == parts.test


def test_a_split_that_is_there_is_never_passed_over(tmp_path: Path) -> None:
    (tmp_path / "split.json").symlink_to("nowhere")
    with pytest.raises(InputError, match="is no split"):
        split(tmp_path, STEMS, 0, SplitRule())
    with pytest.raises(InputError, match="is no split"):
        training_stems(tmp_path, STEMS)


def test_a_further_set_trains_on_what_its_split_gives(tmp_path: Path) -> None:
    assert training_stems(tmp_path, STEMS) == STEMS
    (tmp_path / "split.json").write_text('{"train": ["i03", "i01"], "test": []}')
    assert training_stems(tmp_path, STEMS) == ["i01", "i03"]


def test_folds_cover_all_once_whatever_the_seed(folder: Path) -> None:
    by_fold = [split(folder, STEMS, seed, SplitRule(folds=5, fold=seed)) for seed in range(5)]
    validated = [stem for parts in by_fold for stem in parts.validation]
    assert sorted(validated) == STEMS[:11]  # each once, though every fold came with another seed
    assert split(folder, STEMS, 99, SplitRule(folds=5, fold=2)) == by_fold[2]
    for parts in by_fold:
        assert not set(parts.train) & set(parts.validation)


def test_validating_on_the_test_images_trains_on_all_others(folder: Path) -> None:
    parts = split(folder, STEMS, 0, SplitRule(on_test=True))
    assert (parts.train, parts.validation, parts.test) == (STEMS[:11], STEMS[11:], STEMS[11:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": ["x"], "test": []}', "names 'x'"),
        ("{", "is no split"),
        ('{"train": ["i00"]}', "is no split"),
        ('{"train": ["i00"], "test": ["i00"]}', "in both parts"),
        ('{"train": ["i00"], "test": ["i01"]}', "too few"),
        ('{"train": [], "test": ["i01"]}', "too few"),
    ],
)
def test_bad_splits(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(InputError) as caught:
        split(tmp_path, STEMS, 0, SplitRule())
    assert message in str(caught.value)
    assert caught.value.hint


def test_too_few(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="folds is 12"):
        split(folder, STEMS, 0, SplitRule(folds=12))
    (folder / "split.json").unlink()
    with pytest.raises(InputError, match="2 images"):
        split(folder, STEMS[:2], 0, SplitRule())
