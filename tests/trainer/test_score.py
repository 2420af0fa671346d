"""SEG: cases known by hand, and a brute-force oracle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import io

from tests.trainer.conftest import Trainer
from trainer.errors import InputError
from trainer.scoring.seg import AnyLabels as Labels
from trainer.scoring.seg import detections, object_scores, overlaps, score


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
    made = score(
        {
            "a": (grid("1122"), grid("1122")),
            "b": (grid("1111"), grid("0000")),
            "c": (grid("0000"), grid("0110")),
        }
    )
    assert made["segMeasure"] == pytest.approx(2 / 3)
    assert made["objects"] == 3
    assert made["images"] == {"a": 1.0, "b": 0.0, "c": None}
    # SEG does not see the object in c; F1 and AP do: TP 2, FP 1, FN 1.
    assert made["f1"] == pytest.approx(4 / 6)
    assert made["ap50"] == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("reference", "result", "expected"),
    [
        ("1111", "1100", [0, 1, 1]),  # exactly half is none
        ("11110", "11100", [1, 0, 0]),
        ("1122", "1111", [0, 1, 2]),  # merged
        ("111111", "111112", [1, 1, 0]),
        ("0000", "1020", [0, 2, 0]),
    ],
)
def test_detections_known_by_hand(reference: str, result: str, expected: list[int]) -> None:
    assert detections(overlaps(grid(reference), grid(result))).tolist() == expected


def test_no_reference_object_at_all_is_an_error_not_0() -> None:
    with pytest.raises(InputError, match="not defined"):
        score({"a": (grid("0000"), grid("1111"))})
    with pytest.raises(InputError, match="a: the label images differ in size"):
        score({"a": (grid("00"), grid("000"))})


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_no_dtype_wraps(dtype: type) -> None:
    most = np.iinfo(dtype).max
    reference: Labels = np.array([[most, most, 1, 1, 0]], dtype)
    assert object_scores(reference, reference).tolist() == [1.0, 1.0]
    assert object_scores(reference, np.array([[most, 0, 1, 1, 1]], dtype)).tolist() == pytest.approx([2 / 3, 0.0])


def test_an_image_without_background_and_one_of_70_000_objects() -> None:
    assert object_scores(grid("12"), grid("12")).tolist() == [1.0, 1.0]
    many = np.arange(1, 280 * 250 + 1).reshape(280, 250)
    assert object_scores(many, many * 10**12).mean() == 1.0


SHAPES = arrays(np.uint16, (12, 14), elements=st.integers(0, 5))


@given(SHAPES, SHAPES)
@settings(deadline=None, max_examples=40)
def test_against_a_published_implementation(reference: Labels, result: Labels) -> None:
    """py-ctcmetrics, on images with a background and an object: elsewhere it is known to be wrong."""
    pytest.importorskip("ctc_metrics", reason="py-ctcmetrics is in the extra [dev]")
    from ctc_metrics.metrics.technical.seg import seg
    from ctc_metrics.scripts.evaluate import match_computed_to_reference_masks

    for labels in (reference, result):
        labels[0, :2] = (0, 1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("man_seg000.tif", "mask000.tif")]
        for path, labels in zip(paths, (reference, result), strict=True):
            tifffile.imwrite(path, labels)
        matched = match_computed_to_reference_masks([paths[0]], [paths[1]], threads=1)
    published = seg(matched["labels_ref"], matched["ious"])
    assert score({"a": (reference, result)})["segMeasure"] == pytest.approx(published)


# --- folders --------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, labels in (("truth", grid("1122 1122")), ("found", grid("1122 1100"))):
        (tmp_path / name).mkdir()
        io.imsave(tmp_path / name / "a.png", labels.astype(np.uint8), check_contrast=False)
    tifffile.imwrite(tmp_path / "truth" / "b.tif", np.full((2, 2), 70_000, np.uint32))
    tifffile.imwrite(tmp_path / "found" / "b.tiff", np.full((2, 2), 3, np.uint8))
    return tmp_path / "truth", tmp_path / "found"


def test_score_on_its_own(trainer: Trainer, folders: tuple[Path, Path]) -> None:
    scores = trainer("score", *folders, "--json").json
    assert scores == {
        "segMeasure": pytest.approx(2 / 3), "f1": pytest.approx(4 / 6), "ap50": pytest.approx(2 / 4), "objects": 3,
        "found": 3,
        "images": {"a.png": pytest.approx(0.5), "b.tif": 1.0},
        "masks": "instances", "foreground": pytest.approx(10 / 12), "without_truth": 0,
    }  # fmt: skip
    assert "segMeasure 0.6667" in trainer("score", *folders).out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda truth, found: (found / "a.png").unlink(), "truth/a.png' has no partner"),
        (lambda truth, found: (truth / "a.png").unlink(), "found/a.png' has no partner"),
        (lambda truth, found: (found / "a.png").write_bytes(b"x"), "a.png' cannot be read"),
        (
            lambda truth, found: tifffile.imwrite(truth / "b.tif", np.full((2, 2), -1, np.int16)),
            "has the label -1",
        ),
        (
            lambda truth, found: tifffile.imwrite(found / "b.tiff", np.zeros((2, 2), np.float32)),
            "labels are integers",
        ),
        (
            lambda truth, found: tifffile.imwrite(found / "b.tiff", np.zeros((3, 2), np.uint8)),
            "b.tif: the label images",
        ),
        (lambda truth, found: [path.unlink() for path in truth.iterdir()], "there are no label images"),
    ],
)
def test_what_cannot_be_scored(
    trainer: Trainer, folders: tuple[Path, Path], spoil: Callable[[Path, Path], object], message: str
) -> None:
    spoil(*folders)
    assert message in trainer("score", *folders, "--json", code=2).err
