"""Whole folders: score one against another, predict one with a trained network."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from skimage.measure import regionprops
from skimage.segmentation import find_boundaries, relabel_sequential

from trainer.data.samples import MOST_OBJECTS, normalised
from trainer.errors import InputError
from trainer.files.atomic import whole
from trainer.files.images import SUFFIXES, listed, read_grey, read_labels, write_png
from trainer.scoring.instances import instances
from trainer.scoring.seg import score
from trainer.training import environment

#: Outlines in an overlay: a yellow that is seen on grey of any brightness.
OUTLINE = (255, 200, 0)


def score_folders(truth: Path, prediction: Path) -> dict[str, Any]:
    """Score the label images of one folder by those of another, paired by name without suffix.

    Parameters
    ----------
    truth, prediction : Path
        Folders of label images, any integer type; 0 is background.

    Returns
    -------
    dict
        See `score.score`; image names are the reference's.

    Raises
    ------
    InputError
        A file has no partner or cannot be read, sizes differ, or there is no reference object at all.
    """
    references, results = listed(truth), listed(prediction)
    if not references:
        raise InputError(f"there are no label images in {str(truth)!r}", "PNG or TIFF files are expected there")
    for mine, other, folder in ((references, results, prediction), (results, references, truth)):
        lonely = [path for stem, path in mine.items() if stem not in other]
        if lonely:
            raise InputError(
                f"{str(lonely[0])!r} has no partner in {str(folder)!r}", "both folders need the same names"
            )
    return score({path.name: (read_labels(path), read_labels(results[stem])) for stem, path in references.items()})


def predict_folder(model: Path, images: Path, out: Path, tile_px: int, pixel_um: float) -> tuple[int, int]:
    """Predict images with a trained network.

    Writes ``labels/NAME.png`` (16 bit), ``overlays/NAME.png`` (RGB, outlines on the normalised image) and
    ``objects.csv``: a line an object.

    Parameters
    ----------
    model : Path
        Of `modelfile.save`.
    images : Path
        A folder, or one image.
    out : Path
        A folder, made if need be; files of the same names are replaced.
    tile_px : int
        See `predict.probabilities`.
    pixel_um : float
        Side of a pixel in µm; 0 leaves the column of areas in µm² out.

    Returns
    -------
    int, int
        Objects and images.

    Raises
    ------
    InputError
        A file cannot be read or written, or an image has more objects than 16 bit hold.
    """
    found = _images(images)
    for path in found.values():
        read_grey(path)  # whatever cannot be read is told before anything is written
    for kind in ("labels", "overlays"):
        _made(out / kind)
    from trainer.network import predict
    from trainer.training import modelfile

    environment.start_tensorflow(0)
    network, about = modelfile.load(model)
    rows: list[dict[str, Any]] = []
    for stem, path in track(found.items(), description="predicting", transient=True, console=_stderr()):
        grey = read_grey(path)
        image = normalised(grey)
        chances = predict.probabilities(network, about.shape.depth, image, tile_px)
        labels, _, _ = relabel_sequential(instances(chances, about.decision, about.weights))
        if labels.max() > MOST_OBJECTS:
            raise InputError(f"{str(path)!r} has {labels.max():,} objects", "16-bit labels hold 65,535: cut it")
        write_png(out / "labels" / f"{stem}.png", labels.astype(np.uint16))
        write_png(out / "overlays" / f"{stem}.png", overlay(image, labels))
        rows += [{"image": path.name, **row} for row in measured(grey, labels, pixel_um)]
    _write_csv(out / "objects.csv", rows, pixel_um)
    return len(rows), len(found)


def _images(images: Path) -> dict[str, Path]:
    if images.is_file():
        return {images.stem: images}
    found = listed(images)
    if not found:
        raise InputError(f"there are no images in {str(images)!r}", f"one of {', '.join(SUFFIXES)} is expected")
    return found


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {str(folder)!r}: {error.strerror}", "choose another --out") from None


def overlay(image: NDArray[np.float32], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Draw objects' outlines on an image.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        In [0, 1].
    labels : ndarray of int, shape (rows, columns)

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    grey = np.repeat((np.clip(image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)
    grey[find_boundaries(labels, mode="inner")] = OUTLINE
    return grey


def measured(grey: NDArray[np.generic], labels: NDArray[np.integer], pixel_um: float) -> list[dict[str, Any]]:
    """Measure objects: label, area, centroid from the top left, mean grey value of the image as it was."""
    rows = []
    for one in regionprops(labels, intensity_image=grey):
        y, x = one.centroid
        row = {"label": one.label, "area_px": int(one.area)}
        if pixel_um:
            row["area_um2"] = round(float(one.area) * pixel_um**2, 4)
        mean = float(np.mean(grey[labels == one.label] if grey.dtype == bool else one.intensity_mean))
        row |= {
            "centroid_row_px": round(y, 2),
            "centroid_column_px": round(x, 2),
            "mean_intensity_grey": round(mean, 3),
        }
        rows.append(row)
    return rows


def _write_csv(path: Path, rows: list[dict[str, Any]], pixel_um: float) -> None:
    columns = ["image", "label", "area_px", *(["area_um2"] if pixel_um else [])]
    columns += ["centroid_row_px", "centroid_column_px", "mean_intensity_grey"]
    with whole(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
