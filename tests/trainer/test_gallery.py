"""The pictures of the best trainings: the drawings are right, and there are never more than asked for."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Sandbox
from tests.trainer.conftest import Trainer
from trainer.errors import InputError
from trainer.scoring.gallery import PredictedImage, keep_pictures
from trainer.scoring.pictures import COLOURS, GREYS, SHOWN, SIDE_PX, ZOOM, draw_extremes, draw_outlines, palette


def index(name: str) -> int:
    return GREYS + list(COLOURS).index(name)


def square(labels: np.ndarray, label: int, row: int, column: int, side: int = 10) -> None:
    labels[row : row + side, column : column + side] = label


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three objects: one is found exactly, one is missed, and only a corner of one is found. A fourth is false."""
    truth, predicted = np.zeros((100, 120), np.uint16), np.zeros((100, 120), np.int32)
    square(truth, 1, 10, 10)
    square(truth, 2, 40, 40)
    square(truth, 5, 70, 70)
    square(predicted, 3, 10, 10)
    square(predicted, 4, 70, 70, 3)
    square(predicted, 9, 80, 10)
    return np.full((100, 120), 0.5, np.float32), truth, predicted


def test_outlines_say_what_was_found_missed_and_made_up(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    drawing = draw_outlines("a.png", *scene)
    drawn = drawing.indices
    assert drawn[50, 90] == round(0.5 * (GREYS - 1) - 0.5)
    assert (drawn[10, 10], drawn[15, 15]) == (index("found"), drawn[50, 90])  # the outline, not the inside
    assert drawn[40, 40] == index("missed")
    assert drawn[80, 10] == index("false")
    assert drawn[79, 79] == index("missed")  # its found corner is too small to be a match
    assert "3 objects, 2 missed, 2 false" in drawing.caption
    assert len(palette()) == 3 * (GREYS + len(COLOURS))


def test_the_worst_and_the_best_objects_are_enlarged(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    drawing = draw_outlines("a.png", *scene)
    extremes = draw_extremes("a.png", drawing, scene[1], scene[2])
    assert extremes
    assert extremes.indices.shape == (2 * SIDE_PX * ZOOM + 4, SHOWN * SIDE_PX * ZOOM + (SHOWN - 1) * 4)
    assert "worst objects (Jaccard index 0.00, 0.00)" in extremes.caption
    assert "second, the best (1.00)" in extremes.caption
    assert draw_extremes("a.png", drawing, np.zeros((100, 120), np.uint16), scene[2]) is None


def shown(seed: int) -> dict[str, PredictedImage]:
    image = np.random.default_rng(seed).random((64, 80)).astype(np.float32)
    labels = np.zeros((64, 80), np.uint16)
    square(labels, seed + 1, 5, 5)
    return {"one.png": PredictedImage(image, labels, labels)}


def test_only_the_best_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    pictures = [
        keep_pictures(folder, 2, tmp_path / f"{n}.json", score, shown(n))
        for n, score in enumerate([0.5, 0.7, 0.6, 0.6, 0.1])
    ]
    # Of two equal scores, the first stays.
    assert [bool(entry) for entry in pictures] == [True, True, True, False, False]
    scores = sorted(json.loads(path.read_text())["score"] for path in folder.glob("*/score.json"))
    assert scores == [0.6, 0.7]
    assert [Path(picture["path"]).exists() for picture in pictures[0]] == [False, False]
    names = [Path(picture["path"]).name for picture in pictures[1]]
    assert names == ["one.png", "one-objects.png"]
    with Image.open(Path(pictures[1][0]["path"]).with_name("one-labels.png")) as labels:
        assert np.array_equal(np.asarray(labels), shown(1)["one.png"].predicted)
    # The same training again, now worse: its own pictures go, as they are not its result's any more.
    assert keep_pictures(folder, 2, tmp_path / "1.json", 0.05, shown(1))
    assert sorted(json.loads(path.read_text())["score"] for path in folder.glob("*/score.json")) == [0.05, 0.6]


def _keep_one(folder: Path, number: int) -> None:
    keep_pictures(folder, 3, folder / f"{number}.json", number / 100, shown(number))


def test_many_at_once_leave_the_best_three(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_keep_one, [(folder, number) for number in range(16)])
    scores = sorted(json.loads(path.read_text())["score"] for path in folder.glob("*/score.json"))
    assert scores == [0.13, 0.14, 0.15]
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 3


def test_pictures_that_were_cut_off_count_as_the_worst(tmp_path: Path) -> None:
    (tmp_path / "kept" / "0123456789ab").mkdir(parents=True)
    (tmp_path / "kept" / "notes").mkdir()  # not ours
    assert keep_pictures(tmp_path / "kept", 1, tmp_path / "r.json", 0.1, shown(0))
    assert sorted(path.name for path in (tmp_path / "kept").iterdir() if path.is_dir())[-1] == "notes"
    assert not (tmp_path / "kept" / "0123456789ab").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        keep_pictures(tmp_path / "file", 1, tmp_path / "r.json", 0.1, shown(0))


def test_a_training_leaves_its_pictures(sandbox: Sandbox, trainer: Trainer, nuclei: Path) -> None:
    options = ["--data", nuclei, "--epochs", 1, "--width", 4, "--division", 2, "--batch-size", 4, "--threads", 1]
    trainer("train", *options, "--out", "r.json", "--keep-predictions", "kept")
    result = json.loads((sandbox.path / "r.json").read_text())
    [name] = result["data"]["test"]
    paths = [Path(picture["path"]) for picture in result["images"]]
    assert [path.name for path in paths] == [f"{Path(name).stem}.png", f"{Path(name).stem}-objects.png"]
    with Image.open(paths[0]) as drawn:
        assert drawn.size == (120, 96)
    assert all(path.is_absolute() for path in paths)
    assert result["seconds"]["draw"] >= 0
    trainer("train", *options, "--keep-predictions", "r.json", code=2)
    trainer("train", *options, "--keep-predictions", "kept", "--keep-best", 0, code=2)
