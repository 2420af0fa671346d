"""SEG: cases known by hand, and a brute-force oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainer.errors import InputError
from trainer.score import Labels, object_scores, seg_measure


def oracle(reference: Labels, result: Labels) -> list[float]:
    """Follow the definition word by word, object by object."""
    scores = []
    for r in sorted(set(reference.ravel().tolist()) - {0}):
        score = 0.0
        for s in set(result.ravel().tolist()) - {0}:
            both = int(((reference == r) & (result == s)).sum())
            if 2 * both > int((reference == r).sum()):
                score = both / int(((reference == r) | (result == s)).sum())
        scores.append(score)
    return scores


def grid(text: str) -> Labels:
    return np.array([[int(cell) for cell in row] for row in text.split()])


@pytest.mark.parametrize(
    ("reference", "result", "expected"),
    [
        ("1122", "1122", [1.0, 1.0]),
        ("1122", "2211", [1.0, 1.0]),  # ids mean nothing
        ("1111", "1100", [0.0]),  # exactly half is no match
        ("1111", "1110", [0.75]),
        ("1111", "0000", [0.0]),
        ("1100", "1111", [0.5]),
        ("1122", "1111", [0.5, 0.5]),  # merged: one result may match both
        ("1111", "1222", [0.75]),
        ("0000", "1111", []),  # false positives cost nothing, and nothing is scored
        ("1012", "1010", [1.0, 0.0]),  # objects need not be connected
    ],
)
def test_cases_known_by_hand(reference: str, result: str, expected: list[float]) -> None:
    assert object_scores(grid(reference), grid(result)).tolist() == pytest.approx(expected)


LABELS = arrays(np.int64, (5, 6), elements=st.integers(0, 4))


@given(LABELS, LABELS, st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]), st.integers(0, 240))
@settings(deadline=None)
def test_against_the_definition_whatever_the_dtype_and_ids(
    reference: Labels, result: Labels, dtype: type, shift: int
) -> None:
    moved: Labels = np.where(reference > 0, reference + shift, 0).astype(dtype)
    assert object_scores(moved, result.astype(dtype)).tolist() == pytest.approx(oracle(reference, result))


def test_the_mean_is_over_objects_not_images() -> None:
    pairs = {
        "a": (grid("1122"), grid("1122")),
        "b": (grid("1111"), grid("0000")),
        "c": (grid("0000"), grid("0110")),
    }
    made = seg_measure(pairs)
    assert made["segMeasure"] == pytest.approx(2 / 3)
    assert made["objects"] == 3
    assert made["images"] == {"a": 1.0, "b": 0.0}


def test_no_reference_object_at_all_is_an_error_not_0() -> None:
    with pytest.raises(InputError, match="not defined"):
        seg_measure({"a": (grid("0000"), grid("1111"))})
    with pytest.raises(InputError, match="differ in size"):
        object_scores(grid("00"), grid("000"))
