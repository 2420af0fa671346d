"""Nuclei for other programs: Fiji's ROI manager, QuPath, and whatever reads OME-TIFF."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import points_in_poly, regionprops

from trainer.data.outlines import Outline, trace_outlines
from trainer.errors import InputError
from trainer.files.atomic import whole_file
from trainer.files.images import write_ome_labels

#: By the name that a person gives: the folder, and what the file's name ends in.
FORMATS = {"fiji": ("rois", ".zip"), "qupath": ("geojson", ".geojson"), "ome": ("ome", ".ome.tif")}


def check_formats(formats: Collection[str]) -> None:
    """Refuse formats that there are not.

    Raises
    ------
    InputError
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise InputError(f"--also is {unknown[0]}", f"it should be {', '.join(FORMATS)}; it may be repeated")


def export(
    labels: NDArray[np.integer], out: Path, name: str, formats: Collection[str], pixel_um: float = 0.0
) -> list[Path]:
    """Write the nuclei of one image, ``FOLDER/NAME.SUFFIX`` for each format.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, columns)
        Up to 65,535; 0 is background.
    out : Path
        The folder of the folders.
    name : str
        The image's name without suffix.
    formats : collection of str
        Of `FORMATS`.
    pixel_um : float
        Side of a pixel in µm; 0: unknown. Fiji's ROIs have no such thing: they take the scale of the image.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        A file cannot be written.
    """
    paths = []
    for each in formats:
        folder, suffix = FORMATS[each]
        path = out / folder / f"{name}{suffix}"
        if each == "fiji":
            _write_rois(path, labels)
        elif each == "qupath":
            _write_geojson(path, labels, pixel_um)
        else:
            write_ome_labels(path, labels.astype(np.uint16), pixel_um)
        paths.append(path)
    return paths


def _traced(labels: NDArray[np.integer]) -> Iterator[tuple[int, int, list[Outline], list[Outline]]]:
    """Yield the number, the pixels and the outlines of each nucleus."""
    for region in regionprops(labels):
        top, left = region.bbox[:2]
        yield int(region.label), int(region.area), *trace_outlines(region.image, top, left)


def _write_rois(path: Path, labels: NDArray[np.integer]) -> None:
    """Write a polygon a nucleus, named by its label. Holes, and all but the largest part, are left out."""
    import roifile

    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, _, outer, _ in _traced(labels):
            roi = roifile.ImagejRoi.frompoints(outer[0][:-1].astype(np.float32), name=f"{number:05d}")
            archive.writestr(zipfile.ZipInfo(f"{number:05d}.roi"), roi.tobytes())


def _write_geojson(path: Path, labels: NDArray[np.integer], pixel_um: float) -> None:
    """Write a detection a nucleus, as QuPath reads them. Coordinates are pixels, by the format.

    https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
    """
    features = []
    for number, area_px, outer, holes in _traced(labels):
        measured: dict[str, float] = {"Area px^2": area_px}
        if pixel_um:
            measured["Area µm^2"] = round(area_px * pixel_um**2, 4)
        properties = {"objectType": "detection", "name": str(number), "measurements": measured}
        features.append({"type": "Feature", "geometry": _geometry(outer, holes), "properties": properties})
    with whole_file(path, "w", encoding="utf-8") as file:
        json.dump({"type": "FeatureCollection", "features": features}, file, ensure_ascii=False)


def _geometry(outer: list[Outline], holes: list[Outline]) -> dict[str, Any]:
    """Put each hole into the part around it."""
    polygons = []
    for outline in outer:
        inner = [hole for hole in holes if points_in_poly(hole[:1], outline)[0]]
        polygons.append([ring.tolist() for ring in (outline, *inner)])
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}
