"""``trainer score``: references in every form of a mask, and in the layout of the Cell Tracking Challenge."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from skimage import io
from skimage.measure import label

from tests.trainer.conftest import Trainer
from trainer.classes import encode
from trainer.data import samples

FRAMES, WITH_TRUTH = range(6), (1, 2, 4)


def save(path: Path, array: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.imsave(path, array, check_contrast=False)


@pytest.fixture
def predicted(nuclei: Path, tmp_path: Path) -> Path:
    """Write label images that are the truth, but for a shift by a pixel."""
    for path in (nuclei / "masks").iterdir():
        save(tmp_path / "p" / "labels" / path.name, np.roll(io.imread(path), 1, axis=0))
    return tmp_path / "p" / "labels"


def rewrite(folder: Path, form: str) -> None:
    for path in (folder / "masks").iterdir():
        labels = io.imread(path)
        masks = {"binary": (encode(labels, 2) == 1) * np.uint8(255), "classes": encode(labels, 2)}
        save(path, masks.get(form, labels))


@pytest.mark.parametrize("form", ["instances", "binary", "classes"])
def test_the_reference_is_read_as_a_training_reads_it(
    nuclei: Path, predicted: Path, trainer: Trainer, form: str
) -> None:
    rewrite(nuclei, form)
    as_trained = samples.read_samples(samples.image_pairs(nuclei))
    ran = trainer("score", nuclei / "masks", predicted, "--json")
    scores = ran.json
    assert scores["masks"] == form
    assert scores["objects"] == sum(int(sample.labels.max()) for sample in as_trained.values())
    assert scores["segMeasure"] > 0.4
    assert ran.err == ""
    assert trainer("score", nuclei / "masks", predicted, "--masks", form, "--json").json == scores


def test_a_mask_scores_1_against_what_it_is_read_as(nuclei: Path, tmp_path: Path, trainer: Trainer) -> None:
    rewrite(nuclei, "binary")
    for stem, sample in samples.read_samples(samples.image_pairs(nuclei)).items():
        save(tmp_path / "own" / f"{stem}.png", sample.labels)
    assert "segMeasure 1.0000" in trainer("score", nuclei / "masks", tmp_path / "own").out


def test_a_score_of_nearly_0_beside_a_high_overlap_is_told(
    nuclei: Path, predicted: Path, trainer: Trainer
) -> None:
    rewrite(nuclei, "binary")
    ran = trainer("score", nuclei / "masks", predicted, "--masks", "instances", "--json")
    assert ran.json["segMeasure"] < 0.1
    assert ran.json["foreground"] > 0.5
    assert "note: the score is 0." in ran.err
    assert "read as instances; does --masks say how it is written?" in ran.err


def test_results_that_are_binary_are_told(nuclei: Path, tmp_path: Path, trainer: Trainer) -> None:
    for path in (nuclei / "masks").iterdir():
        save(tmp_path / "p" / path.name, (io.imread(path) > 0) * np.uint8(255))
    ran = trainer("score", nuclei / "masks", tmp_path / "p", "--json")
    assert ran.json["segMeasure"] < 0.5
    assert "the results look like binary masks, and were read as labels: number their nuclei" in ran.err


def test_a_low_score_of_what_lies_elsewhere_is_only_low(nuclei: Path, tmp_path: Path, trainer: Trainer) -> None:
    for path in (nuclei / "masks").iterdir():
        elsewhere = np.zeros((96, 120), np.uint8)
        elsewhere[:9, :9], elsewhere[-9:, -9:] = 1, 3
        save(tmp_path / "p" / path.name, elsewhere)
    ran = trainer("score", nuclei / "masks", tmp_path / "p")
    assert ran.err == ""


def test_a_real_set_with_binary_masks(real_data: Path, tmp_path: Path, trainer: Trainer) -> None:
    """The components of its masks, one pixel smaller: every form of the same truth gives nearly the same score."""
    for path in (real_data / "dsb512" / "masks").iterdir():
        labels = io.imread(path)
        cores = encode(labels, 1) == 1  # so that no two nuclei touch
        save(tmp_path / "masks" / path.name, cores * np.uint8(255))
        save(tmp_path / "p" / path.name, label(cores, connectivity=1).astype(np.uint16))
    scores = trainer("score", tmp_path / "masks", tmp_path / "p", "--json").json
    assert (scores["masks"], scores["segMeasure"]) == ("binary", 1.0)
    numbered = trainer("score", real_data / "dsb512" / "masks", tmp_path / "p", "--json").json
    assert numbered["masks"] == "instances"
    assert 0.5 < numbered["segMeasure"] < 1


def test_results_that_are_named_otherwise_are_named_with_a_command(
    nuclei: Path, predicted: Path, trainer: Trainer
) -> None:
    before = trainer("score", nuclei / "masks", predicted, "--json").json
    for path in predicted.iterdir():
        path.rename(path.with_stem(f"{path.stem}_cp_masks"))
    ran = trainer("score", nuclei / "masks", predicted, code=2)
    assert "has no partner in" in ran.err
    command = ran.err[ran.err.index("cd ") :]
    subprocess.run(["bash", "-c", command], check=True)
    assert trainer("score", nuclei / "masks", predicted, "--json").json == before


def test_results_without_a_reference(nuclei: Path, predicted: Path, trainer: Trainer) -> None:
    (nuclei / "masks" / "synth_002.png").unlink()
    assert "--partial" in trainer("score", nuclei / "masks", predicted, code=2).err
    ran = trainer("score", nuclei / "masks", predicted, "--partial")
    assert "1 result without a reference left out" in ran.out
    assert "synth_002.png" not in ran.out
    (predicted / "synth_003.png").unlink()
    assert (
        "synth_003.png' has no partner" in trainer("score", nuclei / "masks", predicted, "--partial", code=2).err
    )


# --- the layout of the Cell Tracking Challenge ----------------------------------------------------------------


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    """Make a sequence: truth of some frames, markers and results of all, and the two lists of tracks."""
    random = np.random.default_rng(5)
    for frame in FRAMES:
        truth = np.zeros((60, 80), np.uint16)
        for number, (row, column) in enumerate(np.ndindex(3, 4), start=1):
            if random.random() < 0.8:
                height, width = random.integers(8, 15, 2)
                truth[20 * row : 20 * row + height, 20 * column : 20 * column + width] = 250 + number
        result = np.roll(truth, random.integers(0, 4, 2), axis=(0, 1))
        result[result == 255] = 0
        if frame in WITH_TRUTH:
            save_tiff(tmp_path / "01_GT" / "SEG" / f"man_seg{frame:03}.tif", truth)
        save_tiff(tmp_path / "01_GT" / "TRA" / f"man_track{frame:03}.tif", truth)
        save_tiff(tmp_path / "01_RES" / f"mask{frame:03}.tif", result)
    tracks = "".join(f"{250 + number} 0 {FRAMES[-1]} 0\n" for number in range(1, 13))
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text(tracks)
    (tmp_path / "01_RES" / "res_track.txt").write_text(tracks)
    return tmp_path


def save_tiff(path: Path, array: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array)


def published(folder: Path) -> float:
    """SEG of the sequence as py-ctcmetrics computes it, from the same files."""
    pytest.importorskip("ctc_metrics", reason="py-ctcmetrics is in the extra [dev]")
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    results = evaluate_sequence(str(folder / "01_RES"), str(folder / "01_GT"), ["SEG"], threads=1)
    return float(results["SEG"])


def test_the_challenges_layout_and_its_published_score(challenge: Path, trainer: Trainer) -> None:
    scores = trainer("score", challenge / "01_GT/SEG", challenge / "01_RES", "--json").json
    assert list(scores["images"]) == [f"man_seg{frame:03}.tif" for frame in WITH_TRUTH]
    assert (scores["without_truth"], scores["masks"]) == (3, "instances")
    assert 0.1 < scores["segMeasure"] < 0.9
    assert scores["segMeasure"] == pytest.approx(published(challenge))
    shown = trainer("score", challenge / "01_GT/SEG", challenge / "01_RES").out
    assert "3 results without a reference left out" in shown


def test_one_nucleus_in_each_frame_is_still_a_label_image(challenge: Path, trainer: Trainer) -> None:
    """Elsewhere such masks are binary; here a number is a nucleus, though it has two parts."""
    for path in (challenge / "01_GT/SEG").iterdir():
        truth = np.zeros((60, 80), np.uint16)
        truth[5:20, 5:20] = truth[30:34, 40:44] = 7
        tifffile.imwrite(path, truth)
        tifffile.imwrite(challenge / "01_RES" / path.name.replace("man_seg", "mask"), np.roll(truth, 2, axis=1))
    scores = trainer("score", challenge / "01_GT/SEG", challenge / "01_RES", "--json").json
    assert scores["objects"] == 3
    assert scores["segMeasure"] == pytest.approx(published(challenge))


def test_four_digits_and_the_same_names_pair_as_well(challenge: Path, trainer: Trainer) -> None:
    scores = trainer("score", challenge / "01_GT/SEG", challenge / "01_RES", "--json").json
    for folder in ("01_GT/SEG", "01_RES"):
        for path in sorted((challenge / folder).glob("*.tif")):
            path.rename(path.with_name(path.name.replace("0", "00", 1)))
    four = trainer("score", challenge / "01_GT/SEG", challenge / "01_RES", "--json").json
    assert four["segMeasure"] == scores["segMeasure"]
    for path in (challenge / "01_RES").glob("mask*"):
        path.rename(path.with_name(path.name.replace("mask", "man_seg")))
    shutil.rmtree(challenge / "01_GT/TRA")
    same = trainer("score", challenge / "01_GT/SEG", challenge / "01_RES", "--partial", "--json").json
    assert same["segMeasure"] == scores["segMeasure"]


def test_what_is_no_sequence_to_score_is_said(challenge: Path, trainer: Trainer) -> None:
    def said(truth: str) -> str:
        return trainer("score", challenge / truth, challenge / "01_RES", code=2).err

    assert "is it '" in said("01_GT")
    assert "01_GT/SEG'?" in said("01_GT")
    assert "man_track000.tif' has markers for tracking" in said("01_GT/TRA")
    (challenge / "01_RES/mask002.tif").unlink()
    assert "man_seg002.tif' has no 'mask002' in" in said("01_GT/SEG")
    save_tiff(challenge / "02_GT/SEG/man_seg_000_012.tif", np.ones((60, 80), np.uint16))
    assert "is a plane of a 3-D frame" in said("02_GT/SEG")
