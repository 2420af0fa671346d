"""Probabilities → objects, and the choice of thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import disk

from trainer.classes import encode
from trainer.scoring.instances import Decision, choose_decision, find_nuclei
from trainer.scoring.seg import object_scores, score

Scores = dict[str, Any]


def scores(seg: float, f1: float) -> Scores:
    return {"segMeasure": seg, "f1": f1}


def chances(rows: list[str], sure: float = 0.9) -> NDArray[np.float32]:
    """Spell out probabilities: each digit's class is `sure`, the others share the rest."""
    classes = np.array([[int(cell) for cell in row] for row in rows])
    rest = (1 - sure) / 2
    return np.where(np.eye(3)[classes] == 1, sure, rest).astype(np.float32)


ROWS = ["0000000000", "0222022200", "0212021200", "0222022200", "0000000000"]


def test_cores_are_grown_back_into_their_contours() -> None:
    nuclei = find_nuclei(chances(ROWS), Decision(least_core_px=0))
    assert ["".join(map(str, row)) for row in nuclei] == [
        "0000000000", "0111022200", "0111022200", "0111022200", "0000000000",
    ]  # fmt: skip


def test_small_cores_are_dropped_and_nothing_is_a_result() -> None:
    assert not find_nuclei(chances(ROWS), Decision(least_core_px=2)).any()
    assert not find_nuclei(chances(["000", "000"]), Decision()).any()


def test_reach_limits_growing() -> None:
    rows = ["0" * 9, "012222220", "0" * 9]
    grown = find_nuclei(chances(rows), Decision(least_core_px=0))
    near = find_nuclei(chances(rows), Decision(least_core_px=0, reach_px=2))
    assert ((grown > 0).sum(), (near > 0).sum()) == (7, 3)


def test_undoing_the_weights_takes_back_what_they_did() -> None:
    weights = (0.01, 1.0, 0.95)
    honest = chances(ROWS, 0.6).astype(np.float64)
    skewed = honest * np.array(weights)
    skewed = (skewed / skewed.sum(axis=-1, keepdims=True)).astype(np.float32)
    expected = find_nuclei(honest.astype(np.float32), Decision(least_core_px=0))
    everywhere = find_nuclei(skewed, Decision(least_core_px=0), weights)
    undone = find_nuclei(skewed, Decision(least_core_px=0, undo_weights=True), weights)
    assert (everywhere > 0).all()  # the background is never likely enough
    np.testing.assert_array_equal(undone, expected)
    find_nuclei(skewed, Decision(undo_weights=True), (0.0, 1.0, 1.0))  # a weight of 0 has nothing to undo


def touching_disks() -> NDArray[np.uint16]:
    labels = np.zeros((60, 90), np.uint16)
    labels[disk((30, 28), 16)] = 1
    labels[disk((30, 56), 15)] = 2
    return labels


def test_a_waist_splits_what_touches_and_a_disk_stays_whole() -> None:
    labels = touching_disks()
    merged = np.eye(3, dtype=np.float32)[(labels > 0).astype(int)]  # no contour between them at all
    together = find_nuclei(merged, Decision(split_px=0.0))
    apart = find_nuclei(merged, Decision(split_px=1.0))
    assert (together.max(), apart.max()) == (1, 2)
    assert object_scores(labels, apart).min() > 0.9
    single = np.eye(3, dtype=np.float32)[(labels == 1).astype(int)]
    assert find_nuclei(single, Decision(split_px=0.5)).max() == 1


def test_the_choice_finds_a_better_decision_and_ties_stay_at_the_defaults() -> None:
    labels = touching_disks()
    merged = np.eye(3, dtype=np.float32)[(labels > 0).astype(int)]

    def scored(decision: Decision) -> Scores:
        return score({"disks": (labels, find_nuclei(merged, decision))})

    never = Decision(split_px=0.0)
    chosen = choose_decision(scored, [never], thresholds=True)
    assert chosen.split_px > 0
    assert scored(chosen)["segMeasure"] > scored(never)["segMeasure"]
    equal = choose_decision(lambda _: scores(0.5, 0.5), [Decision(), Decision(undo_weights=True)], thresholds=True)
    assert equal == Decision()
    nearest = choose_decision(
        lambda decision: scores(float(decision.foreground < 0.5), 1.0), [Decision()], thresholds=True
    )
    assert nearest == Decision(foreground=0.4)
    truth = find_nuclei(np.eye(3, dtype=np.float32)[encode(labels, 2)], Decision())
    assert object_scores(labels, truth).min() > 0.98


def test_undoing_is_chosen_only_where_it_is_allowed() -> None:
    def likes_undone(decision: Decision) -> Scores:
        return scores(1.0 if decision.undo_weights else 0.0, 1.0)

    both = [Decision(), Decision(undo_weights=True)]
    assert choose_decision(likes_undone, both, thresholds=False).undo_weights
    assert not choose_decision(likes_undone, both[:1], thresholds=False).undo_weights


def test_of_decisions_as_good_by_seg_the_best_by_f1_is_taken() -> None:
    """Specks gained 0.0002 of SEG, and thousands of objects where there are none."""
    specks = Decision(least_core_px=0)

    def tempting(decision: Decision) -> Scores:
        return scores(0.8002, 0.03) if decision == specks else scores(0.8, 0.9)

    assert choose_decision(tempting, [Decision()], thresholds=True) == Decision()

    def better(decision: Decision) -> Scores:
        return scores(0.81, 0.6) if decision == specks else scores(0.8, 0.9)

    assert choose_decision(better, [Decision()], thresholds=True) == specks  # a hundredth is more than a tie


def test_what_is_smaller_than_any_nucleus_is_dropped_once_it_is_grown() -> None:
    rows = ["00000000", "01220000", "00000000", "00000010", "00000000"]  # of three pixels, and of one
    sizes = [
        np.bincount(find_nuclei(chances(rows), Decision(least_core_px=0, least_px=least)).ravel())[1:].tolist()
        for least in (0, 3, 4)
    ]
    assert [sorted(size for size in of if size) for of in sizes] == [[1, 3], [3], []]
