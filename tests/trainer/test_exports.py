"""Nuclei for Fiji, QuPath and readers of OME-TIFF are the same nuclei."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from trainer.data import synth
from trainer.data.exports import check_formats, export
from trainer.data.foreign import read_rois
from trainer.data.outlines import fill_outlines
from trainer.errors import InputError
from trainer.files.images import read_labels

ROIFILE = "roifile is not installed: pip install '.[trainer]'"


def awkward() -> NDArray[np.uint16]:
    """Nuclei at the edges, a pixel, a corner that joins two parts, two parts, a ring around another nucleus."""
    labels = np.zeros((40, 50), np.uint16)
    labels[0:5, 0:6] = 1
    labels[39, 49] = 2
    labels[10, 10] = labels[11, 11] = 3
    labels[20:23, 2:6] = labels[30:32, 2:4] = 4
    labels[15:30, 20:40] = 7
    labels[18:27, 23:35] = 0
    labels[20:25, 26:32] = 9
    return labels


def drawn(document: dict[str, Any], size: tuple[int, ...]) -> NDArray[np.uint16]:
    """Draw GeoJSON: outlines, less the holes in them."""
    labels = np.zeros(size, np.uint16)
    for feature in document["features"]:
        geometry = feature["geometry"]
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        for outer, *holes in polygons:
            rings = [fill_outlines([[np.array(ring)]], (size[0], size[1])) > 0 for ring in (outer, *holes)]
            inside = rings[0] & ~np.any([np.zeros(size, bool), *rings[1:]], axis=0)
            labels[inside] = int(feature["properties"]["name"])
    return labels


def test_qupath(tmp_path: Path) -> None:
    labels = awkward()
    [path] = export(labels, tmp_path, "a b", ["qupath"], pixel_um=0.5)
    assert path == tmp_path / "geojson/a b.geojson"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    assert (drawn(document, labels.shape) == labels).all()
    [first] = [each for each in document["features"] if each["properties"]["name"] == "1"]
    assert first["properties"]["measurements"] == {"Area px^2": 30, "Area µm^2": 7.5}
    assert first["properties"]["objectType"] == "detection"
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert (np.min(ring, axis=0).tolist(), np.max(ring, axis=0).tolist()) == ([0, 0], [6, 5])
    export(labels, tmp_path, "a b", ["qupath"])
    assert "µm" not in path.read_text(encoding="utf-8")


def test_fiji(tmp_path: Path) -> None:
    pytest.importorskip("roifile", reason=ROIFILE)
    _, labels = synth.make_image(np.random.default_rng(3), 120, 150)
    [path] = export(labels, tmp_path, "a", ["fiji"])
    assert (read_rois(path, (120, 150)) == labels).all()
    [path] = export(np.zeros((9, 9), np.uint16), tmp_path, "empty", ["fiji"])
    assert path.is_file()


def test_fiji_gets_the_largest_part_without_holes(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile", reason=ROIFILE)
    [path] = export(awkward(), tmp_path, "a", ["fiji"])
    rois = {roi.name: roi for roi in roifile.roiread(path)}
    assert sorted(rois) == ["00001", "00002", "00003", "00004", "00007", "00009"]
    assert [int(side) for side in (rois["00004"].top, rois["00004"].left)] == [20, 2]


def test_ome(tmp_path: Path) -> None:
    [path] = export(awkward(), tmp_path, "a", ["ome"], pixel_um=0.65)
    assert (read_labels(path) == awkward()).all()
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        described = str(tiff.ome_metadata)
    assert 'PhysicalSizeX="0.65"' in described
    assert 'PhysicalSizeYUnit="µm"' in described
    [path] = export(awkward(), tmp_path, "b", ["ome"])
    with tifffile.TiffFile(path) as tiff:
        assert "PhysicalSize" not in str(tiff.ome_metadata)


def test_a_format_that_there_is_not() -> None:
    with pytest.raises(InputError, match="--also is imaris"):
        check_formats(["fiji", "imaris"])


def test_real_nuclei_are_the_same_for_qupath(real_data: Path, tmp_path: Path) -> None:
    for path in sorted((real_data / "dsb512" / "masks").iterdir())[:4]:
        labels = read_labels(path)
        [written] = export(labels, tmp_path, path.stem, ["qupath"])
        assert (drawn(json.loads(written.read_text(encoding="utf-8")), labels.shape) == labels).all()
