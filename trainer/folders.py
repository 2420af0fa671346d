"""Whole folders: score one against another, predict one with a trained network."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from skimage.measure import regionprops
from skimage.segmentation import find_boundaries, relabel_sequential

from trainer.data.masks import MAX_OBJECTS
from trainer.data.samples import normalise
from trainer.errors import InputError
from trainer.files.atomic import whole_file
from trainer.files.images import SUFFIXES, list_images, read_grey, read_labels, write_png
from trainer.network.predict import predict_probabilities
from trainer.scoring.instances import find_nuclei
from trainer.scoring.seg import AnyLabels, score
from trainer.training import environment, modelfile

#: The colour of outlines in an overlay: a yellow that is seen on grey of any brightness.
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
        See `seg.score`. The image names are those of the reference.

    Raises
    ------
    InputError
        A file has no partner or cannot be read, sizes differ, or there is no reference object at all.
    """
    references, results = list_images(truth), list_images(prediction)
    if not references:
        raise InputError(f"there are no label images in {str(truth)!r}", "PNG or TIFF files are expected there")
    for ours, theirs, folder in ((references, results, prediction), (results, references, truth)):
        lonely = [path for stem, path in ours.items() if stem not in theirs]
        if lonely:
            raise InputError(
                f"{str(lonely[0])!r} has no partner in {str(folder)!r}", "both folders need the same names"
            )
    return score({path.name: (read_labels(path), read_labels(results[stem])) for stem, path in references.items()})


def predict_folder(model: Path, images: Path, out: Path, tile_px: int, pixel_um: float) -> tuple[int, int]:
    """Predict images with a trained network.

    Writes ``labels/NAME.png`` (16 bit), ``overlays/NAME.png`` (RGB, outlines on the normalised image) and
    ``objects.csv`` with one line for each object.

    Parameters
    ----------
    model : Path
        Of `modelfile.save`.
    images : Path
        A folder, or one image.
    out : Path
        A folder. It is made if it is missing; files of the same names are replaced.
    tile_px : int
        See `predict.predict_probabilities`.
    pixel_um : float
        Side of a pixel in µm. With 0 there is no column of areas in µm².

    Returns
    -------
    int, int
        Number of objects and of images.

    Raises
    ------
    InputError
        A file cannot be read or written, or an image has more objects than 16 bit hold.
    """
    paths = _image_paths(images)
    for path in paths.values():
        read_grey(path)  # a file that cannot be read is reported before anything is written
    for kind in ("labels", "overlays"):
        _make_folder(out / kind)
    environment.start_tensorflow(0)
    network, info = modelfile.load(model)
    rows: list[dict[str, Any]] = []
    for stem, path in _with_progress(paths):
        grey = read_grey(path)
        image = normalise(grey)
        probabilities = predict_probabilities(network, info.shape.depth, image, tile_px)
        labels, _, _ = relabel_sequential(find_nuclei(probabilities, info.decision, info.weights))
        if labels.max() > MAX_OBJECTS:
            raise InputError(f"{str(path)!r} has {labels.max():,} objects", "16-bit labels hold 65,535: cut it")
        write_png(out / "labels" / f"{stem}.png", labels.astype(np.uint16))
        write_png(out / "overlays" / f"{stem}.png", draw_overlay(image, labels))
        rows += [{"image": path.name, **row} for row in measure_objects(grey, labels, pixel_um)]
    _write_csv(out / "objects.csv", rows, pixel_um)
    return len(rows), len(paths)


def _image_paths(images: Path) -> dict[str, Path]:
    if images.is_file():
        return {images.stem: images}
    paths = list_images(images)
    if not paths:
        raise InputError(f"there are no images in {str(images)!r}", f"one of {', '.join(SUFFIXES)} is expected")
    return paths


def _with_progress(paths: dict[str, Path]) -> Iterable[tuple[str, Path]]:
    return track(paths.items(), description="predicting", transient=True, console=Console(stderr=True))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {str(folder)!r}: {error.strerror}", "choose another --out") from None


def draw_overlay(image: NDArray[np.float32], labels: AnyLabels) -> NDArray[np.uint8]:
    """Draw the outlines of objects on an image.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        In [0, 1].
    labels : ndarray of int, shape (rows, columns)

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    rgb = np.repeat((np.clip(image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)
    rgb[find_boundaries(labels, mode="inner")] = OUTLINE
    return rgb


def measure_objects(grey: NDArray[np.generic], labels: AnyLabels, pixel_um: float) -> list[dict[str, Any]]:
    """Measure objects: label, area, centroid from the top left, mean grey value of the original image."""
    rows = []
    for region in regionprops(labels, intensity_image=grey):
        y, x = region.centroid
        row = {"label": region.label, "area_px": int(region.area)}
        if pixel_um:
            row["area_um2"] = round(float(region.area) * pixel_um**2, 4)
        mean = float(np.mean(grey[labels == region.label] if grey.dtype == bool else region.intensity_mean))
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
    with whole_file(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
