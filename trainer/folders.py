"""Whole folders: score one against another, predict one with a trained network."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from skimage.measure import regionprops
from skimage.segmentation import find_boundaries, relabel_sequential

from trainer.data.exports import check_formats, export
from trainer.data.masks import MAX_OBJECTS, mask_form, mask_to_labels
from trainer.data.recipe import MASK_FORMS
from trainer.data.samples import image_pairs, normalise, read_samples
from trainer.errors import InputError
from trainer.files.atomic import whole_file
from trainer.files.images import (
    JPEG_SUFFIXES,
    SUFFIXES,
    list_images,
    read_labels,
    read_plane,
    read_tags,
    warn_of_jpeg,
    write_png,
)
from trainer.files.pairing import pair_results
from trainer.files.planes import WHOLE, Choice
from trainer.network.predict import predict_image
from trainer.scoring.instances import Decision, find_nuclei
from trainer.scoring.seg import AnyLabels, foreground_overlap, miscount, score
from trainer.training import environment, modelfile

#: A score below the first beside an overlap of all nuclei above the second is told.
LOW_SCORE, HIGH_OVERLAP = 0.1, 0.5

#: The colour of outlines in an overlay: a yellow that is seen on grey of any brightness.
OUTLINE = (255, 200, 0)


def score_folders(
    truth: Path, prediction: Path, masks: str = "auto", *, partial: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Score the label images of one folder by those of another.

    Parameters
    ----------
    truth, prediction : Path
        Folders of label images, any integer type; 0 is background. They are paired by name without suffix, or as
        the Cell Tracking Challenge names them.
    masks : str
        How the reference is written, one of `recipe.MASK_FORMS`. ``auto`` finds out, as for a training. In the
        layout of the Cell Tracking Challenge it is instances.
    partial : bool
        Whether results that have no reference are left out. In the layout of the Cell Tracking Challenge they
        always are.

    Returns
    -------
    dict, list of str
        The scores, see `seg.score`; the image names are those of the reference. Beside them ``masks``, how the
        reference was read; ``foreground``, the Jaccard index of the pixels of all nuclei, in [0, 1];
        ``without_truth``, the number of results that were left out. Then what is worth a look.

    Raises
    ------
    InputError
        A file has no partner or cannot be read, sizes differ, or there is no reference object at all.
    """
    if masks not in MASK_FORMS:
        raise InputError(f"--masks is {masks}", f"it should be {' or '.join(MASK_FORMS)}")
    files = pair_results(truth, prediction, partial=partial)
    references = {name: read_labels(path) for name, (path, _) in files.pairs.items()}
    if masks == "auto":
        masks = "instances" if files.challenge else mask_form(list(references.values()))
    if masks != "instances":  # which may have more numbers than a mask to train on
        references = {
            name: mask_to_labels(mask, masks, str(files.pairs[name][0])) for name, mask in references.items()
        }
    results = {name: read_labels(path) for name, (_, path) in files.pairs.items()}
    scores = score({name: (reference, results[name]) for name, reference in references.items()})
    foreground = foreground_overlap((reference, results[name]) for name, reference in references.items())
    scores |= {"masks": masks, "foreground": foreground, "without_truth": len(files.without_truth)}
    return scores, _notes(scores, mask_form(list(results.values())))


def _notes(scores: dict[str, Any], result_form: str) -> list[str]:
    """Tell where the nuclei were found and are not separated: then one of the folders is read wrongly."""
    if scores["foreground"] <= HIGH_OVERLAP:
        return []
    notes = []
    if scores["segMeasure"] < LOW_SCORE:
        notes.append(
            f"the score is {scores['segMeasure']:.4f}, though the pixels of all nuclei overlap by "
            f"{scores['foreground']:.2f}: the reference was read as {scores['masks']}; does --masks say how it is "
            "written?"
        )
    if result_form != "instances" and scores["objects"] > len(scores["images"]):
        notes.append(f"the results look like {result_form} masks, and were read as labels: number their nuclei")
    return notes


class Predicted(NamedTuple):
    """What `predict_folder` predicted.

    Attributes
    ----------
    objects, images : int
        Their numbers.
    truth : int or None
        The nuclei in the masks of a data set whose images these are; None where there are no such masks.
    """

    objects: int
    images: int
    truth: int | None


def predict_folder(
    model: Path,
    images: Path,
    out: Path,
    tile_px: int,
    pixel_um: float,
    choice: Choice = WHOLE,
    also: Collection[str] = (),
    *,
    tta: bool | None = None,
    diameter_px: float = 0,
) -> Predicted:
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
        Side of a pixel in µm. With 0 nothing is measured in µm.
    choice : Choice
        Which plane of a file is predicted.
    also : collection of str
        Further formats, of `exports.FORMATS`.
    tta : bool or None
        Take the mean of eight views, see `predict.predict_views`. None: as the model was scored.
    diameter_px : float
        Diameter of the nuclei in these images. 0: as in the images of the training's main set.

    Raises
    ------
    InputError
        A file cannot be read or written, or an image has more objects than 16 bit hold.
    """
    check_formats(also)
    paths = _readable_paths(images, choice)
    for kind in ("labels", "overlays"):
        _make_folder(out / kind)
    environment.start_tensorflow(0)
    network, info = modelfile.load(model)
    tta = info.tta if tta is None else tta
    scale, decision = _for_diameter(info, diameter_px, model)
    rows: list[dict[str, Any]] = []
    for stem, path in _with_progress(paths):
        grey = read_plane(path, choice)
        image = normalise(grey)
        probabilities = predict_image(network, info.shape.depth, image, scale=scale, tta=tta, tile_px=tile_px)
        labels, _, _ = relabel_sequential(find_nuclei(probabilities, decision, info.weights))
        if labels.max() > MAX_OBJECTS:
            raise InputError(f"{str(path)!r} has {labels.max():,} objects", "16-bit labels hold 65,535: cut it")
        write_png(out / "labels" / f"{stem}.png", labels.astype(np.uint16))
        write_png(out / "overlays" / f"{stem}.png", draw_overlay(image, labels))
        export(labels, out, stem, also, pixel_um)
        rows += [{"image": path.name, **row} for row in measure_objects(grey, labels, pixel_um)]
    _write_csv(out / "objects.csv", rows, pixel_um)
    predicted = Predicted(len(rows), len(paths), _true_nuclei(paths))
    _warn_of_miscount(predicted)
    return predicted


def _warn_of_miscount(predicted: Predicted) -> None:
    if predicted.truth is not None and miscount(predicted.truth, predicted.objects):
        print(
            f"warning: {predicted.objects} nuclei are found, and the masks beside the images have "
            f"{predicted.truth}: look at the overlays; trainer score compares the labels",
            file=sys.stderr,
        )


def _tell_of_turned(paths: Iterable[Path]) -> None:
    turned = [path.name for path in paths if read_tags(path).orientation != 1]
    if turned:
        number = f"{len(turned)} image{'s have' if len(turned) != 1 else ' has'}"
        print(
            f"note: {number} an Orientation, first {turned[0]}: what is written is turned by it", file=sys.stderr
        )


def _for_diameter(info: modelfile.ModelInfo, diameter_px: float, model: Path) -> tuple[float, Decision]:
    """Return the factor to resize images by, and the decision, for nuclei of that diameter."""
    if not diameter_px:
        return info.scale, info.decision
    if not info.diameter_px:
        raise InputError(
            f"--diameter is {diameter_px:g}, and {str(model)!r} does not say how large the nuclei were",
            "it is of an earlier version: train it again, or resize the images",
        )
    scale = info.diameter_px / diameter_px
    return scale, info.decision.scaled(info.scale / scale)


def _true_nuclei(paths: dict[str, Path]) -> int | None:
    """Count the nuclei in the masks of the data set that these images are of; None where there is none."""
    folder = next(iter(paths.values())).absolute().parent
    if folder.name != "images" or not (folder.parent / "masks").is_dir():
        return None
    try:
        samples = read_samples(image_pairs(folder.parent))
    except InputError:
        return None  # the images were predicted; of their masks nobody has asked
    if not paths.keys() <= samples.keys():  # a JPEG beside them, say, has no mask
        return None
    return sum(len(np.unique(samples[stem].labels[samples[stem].labels > 0])) for stem in paths)


def _readable_paths(images: Path, choice: Choice) -> dict[str, Path]:
    """List images; one that cannot be read is reported before anything is written."""
    choice.check()
    paths = _image_paths(images)
    warn_of_jpeg(paths.values())
    for path in paths.values():
        read_plane(path, choice)
    _tell_of_turned(paths.values())
    return paths


def _image_paths(images: Path) -> dict[str, Path]:
    if images.is_file():
        return {images.stem: images}
    suffixes = (*SUFFIXES, *JPEG_SUFFIXES)
    paths = list_images(images, suffixes)
    if not paths:
        raise InputError(f"there are no images in {str(images)!r}", f"one of {', '.join(suffixes)} is expected")
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
        }
        if pixel_um:
            row |= {"centroid_row_um": round(y * pixel_um, 4), "centroid_column_um": round(x * pixel_um, 4)}
        row["mean_intensity_grey"] = round(mean, 3)
        rows.append(row)
    return rows


def _write_csv(path: Path, rows: list[dict[str, Any]], pixel_um: float) -> None:
    columns = ["image", "label", "area_px", *(["area_um2"] if pixel_um else [])]
    columns += ["centroid_row_px", "centroid_column_px"]
    columns += [*(["centroid_row_um", "centroid_column_um"] if pixel_um else []), "mean_intensity_grey"]
    with whole_file(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
