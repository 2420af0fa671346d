"""Microscope-like images of nuclei with known masks, made from a seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.draw import ellipse
from skimage.filters import gaussian

from trainer.errors import InputError
from trainer.files.atomic import whole_file
from trainer.files.images import MAX_PX, write_png


def write_set(folder: Path, count: int, rows: int, columns: int, seed: int) -> None:
    """Write `count` images and masks, and a split that keeps a quarter for testing. A seed gives the same bytes.

    Raises
    ------
    InputError
        The folder cannot be written, holds another set, or the numbers are out of bounds.
    """
    if count < 4 or min(rows, columns) < 32:
        raise InputError(f"{count} images of {rows}×{columns}", "at least 4 of at least 32×32 make a set")
    if rows * columns > MAX_PX:
        raise InputError(f"images of {rows}×{columns}", f"at most {MAX_PX // 1_000_000} megapixels")
    if seed < 0:
        raise InputError(f"--seed is {seed}", "it should be 0 or more")
    random = np.random.default_rng(seed)
    names = [f"synth_{number:03d}.png" for number in range(count)]
    others = {path.name for path in folder.glob("images/*")} - set(names)
    if others:
        raise InputError(
            f"there is another set in {str(folder)!r}: {min(others)} and others", "choose another folder"
        )
    for name in names:
        image, labels = make_image(random, rows, columns)
        write_png(folder / "images" / name, image)
        write_png(folder / "masks" / name, labels)
    test_count = max(1, count // 4)
    with whole_file(folder / "split.json", "w", encoding="utf-8") as file:
        file.write(json.dumps({"train": names[test_count:], "test": names[:test_count]}, indent=1) + "\n")


def make_image(
    random: np.random.Generator, rows: int, columns: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Make one image.

    Nuclei are ellipses of uneven brightness, some dim, some touching. Then come blur, an illumination gradient,
    a background, photon noise and read-out noise.

    Returns
    -------
    ndarray of uint8, ndarray of uint16, shape (rows, columns)
        The image, and its nuclei as labels 1..N.
    """
    labels = np.zeros((rows, columns), np.uint16)
    light = np.zeros((rows, columns))
    texture = gaussian(random.normal(size=(rows, columns)), 3.0)
    target = max(2, round(rows * columns / 2600))
    centres: list[tuple[float, float]] = []
    for number in range(1, target + 1):
        centre = _place_beside(random, centres, rows, columns) if centres and random.random() < 0.35 else None
        y, x = centre or (random.uniform(0, rows), random.uniform(0, columns))
        axes = random.uniform(7, 13), random.uniform(9, 16)
        at = ellipse(y, x, *axes, shape=labels.shape, rotation=random.uniform(-np.pi, np.pi))
        free = labels[at] == 0
        if not free.size or free.mean() < 0.75:
            continue  # mostly hidden behind another
        inside = at[0][free], at[1][free]
        labels[inside] = number
        brightness = random.uniform(0.12, 0.3) if random.random() < 0.3 else random.uniform(0.5, 1.0)
        light[inside] = brightness * (1.0 + 2.0 * texture[inside])
        centres.append((y, x))
    return _expose(random, light), _renumber(labels)


def _place_beside(
    random: np.random.Generator, centres: list[tuple[float, float]], rows: int, columns: int
) -> tuple[float, float]:
    """Pick a place beside an existing nucleus, so that the two touch."""
    y, x = centres[random.integers(len(centres))]
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(16, 24)
    return (
        float(np.clip(y + distance * np.sin(angle), 0, rows - 1)),
        float(np.clip(x + distance * np.cos(angle), 0, columns - 1)),
    )


def _expose(random: np.random.Generator, light: NDArray[np.float64]) -> NDArray[np.uint8]:
    rows, columns = light.shape
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    angle = random.uniform(0, 2 * np.pi)
    gradient = 1.0 + 0.35 * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5))
    sharp = gaussian(light, random.uniform(0.8, 1.8)) * gradient + 0.05 * gradient
    photons = random.poisson(np.clip(sharp, 0, None) * 120.0) + random.normal(0.0, 2.0, light.shape)
    return np.asarray(np.clip(photons * 1.4, 0, 255), dtype=np.uint8)


def _renumber(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    _, inverse = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    return inverse[:-1].reshape(labels.shape).astype(np.uint16)
