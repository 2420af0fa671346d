"""Tags that say how pixels are to be read: honoured where they are plain, refused where they are not, and told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage import io

from tests.trainer.conftest import Trainer
from trainer.data import faults, samples
from trainer.errors import InputError
from trainer.files.images import image_size, read_grey, read_labels
from trainer.files.tags import TURNS, turn, undone

Write = Callable[[Path, NDArray[Any]], object]

PHOTOMETRIC, ORIENTATION = 262, 274


def tiff(**how: Any) -> Write:
    return lambda path, array: tifffile.imwrite(path, array, **how)


def inverted_tiff(path: Path, array: NDArray[Any]) -> None:
    tifffile.imwrite(path, np.iinfo(array.dtype).max - array, photometric="miniswhite")


def pillow_tiff(tags: dict[int, int] | None = None, mode: str = "L", compression: str | None = None) -> Write:
    """Write with Pillow, which inverts the values itself where the tags say MinIsWhite."""
    return lambda path, array: (
        Pillow.fromarray(array).convert(mode).save(path, "TIFF", tiffinfo=tags or {}, compression=compression)
    )


def turned_tiff(orientation: int) -> Write:
    def write(path: Path, array: NDArray[Any]) -> None:
        tifffile.imwrite(path, stored(array, orientation), extratags=[(ORIENTATION, 3, 1, orientation, True)])

    return write


def with_exif(orientation: int, form: str) -> Write:
    def write(path: Path, array: NDArray[Any]) -> None:
        exif = Pillow.Exif()
        exif[ORIENTATION] = orientation
        Pillow.fromarray(stored(array, orientation)).save(path, form, exif=exif, quality=100)

    return write


def stored(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    known = orientation if orientation in TURNS else 1
    return np.ascontiguousarray(turn(array, undone(known)))


def without_photometric(path: Path, array: NDArray[Any]) -> None:
    tifffile.imwrite(path, array)
    content = path.read_bytes()
    tag = PHOTOMETRIC.to_bytes(2, "little") + (3).to_bytes(2, "little")
    assert content.count(tag) == 1
    path.write_bytes(content.replace(tag, (261).to_bytes(2, "little") + tag[2:]))


def cielab(path: Path, array: NDArray[Any]) -> None:
    tifffile.imwrite(path, array)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[PHOTOMETRIC].overwrite(8)


def grey_palette(path: Path, array: NDArray[Any]) -> None:
    ramp = np.arange(256, dtype=np.uint16) * 257
    tifffile.imwrite(path, array, photometric="palette", colormap=np.stack([ramp] * 3))


def coloured_palette(path: Path, array: NDArray[Any]) -> None:
    ramp = np.arange(256, dtype=np.uint16) * 257
    tifffile.imwrite(path, array, photometric="palette", colormap=np.stack([ramp, ramp[::-1], ramp]))


def imagej_palette(path: Path, array: NDArray[Any]) -> None:
    ramp = np.arange(256, dtype=np.uint16) * 257
    tifffile.imwrite(path, array, imagej=True, colormap=np.stack([ramp, ramp * 0, ramp * 0]))


IMAGEJ = tiff(imagej=True, photometric="miniswhite")

#: What is written → what is read: the same grey values, the first row at the top.
GREY: dict[str, Write] = {
    "MinIsBlack": tiff(photometric="minisblack"),
    "no tag at all": without_photometric,
    "MinIsWhite": inverted_tiff,
    "MinIsWhite by Pillow": pillow_tiff({PHOTOMETRIC: 0}),
    "MinIsWhite, LZW": pillow_tiff({PHOTOMETRIC: 0}, compression="tiff_lzw"),
    "MinIsWhite, BigTIFF, big-endian": lambda path, array: tifffile.imwrite(
        path, 255 - array, photometric="miniswhite", bigtiff=True, byteorder=">"
    ),
    "ImageJ's inverting LUT": IMAGEJ,
    "ImageJ's LUT of a colour": imagej_palette,
    "a palette of greys": grey_palette,
    "MinIsWhite and Orientation 6": lambda path, array: tifffile.imwrite(
        path, stored(255 - array, 6), photometric="miniswhite", extratags=[(ORIENTATION, 3, 1, 6, True)]
    ),
    **{f"Orientation {number}": turned_tiff(number) for number in TURNS},
    **{f"Orientation {number}, PNG": with_exif(number, "PNG") for number in TURNS},
    **{f"Orientation {number}, JPEG": with_exif(number, "JPEG") for number in TURNS},
}


@pytest.mark.parametrize("how", GREY)
def test_grey_values_are_read_as_their_tags_say(tmp_path: Path, how: str) -> None:
    grey = np.add.outer(np.arange(0, 80, 4), np.arange(0, 150, 5)).astype(np.uint8)  # no two corners are alike
    path = tmp_path / ("a.jpg" if "JPEG" in how else "a.png" if "PNG" in how else "a.tif")
    GREY[how](path, grey)
    assert image_size(path) == grey.shape
    np.testing.assert_allclose(read_grey(path).astype(int), grey, atol=3 if "JPEG" in how else 0)


def test_16_bit_and_a_name_that_is_not_its_form(tmp_path: Path) -> None:
    grey = np.arange(0, 60_000, 100, dtype=np.uint16).reshape(20, 30)
    inverted_tiff(tmp_path / "a.png", grey)  # a TIFF
    assert (read_grey(tmp_path / "a.png") == grey).all()
    Pillow.fromarray(grey).save(tmp_path / "b.tif", "PNG")
    assert (read_grey(tmp_path / "b.tif") == grey).all()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (coloured_palette, "has a palette"),
        (tiff(photometric="cfa"), "PhotometricInterpretation 32803"),
        (cielab, "PhotometricInterpretation 8"),
        (turned_tiff(0), "Orientation 0, which is not one of 1 to 8"),
        (turned_tiff(9), "Orientation 9, which is not one of 1 to 8"),
        (with_exif(9, "PNG"), "Orientation 9"),
        (lambda path, array: tifffile.imwrite(path, array.astype(np.int16)), "pixels of int16"),
    ],
)
def test_what_is_not_plain_is_refused(tmp_path: Path, write: Write, message: str) -> None:
    write(tmp_path / "a.tif", np.arange(600, dtype=np.uint8).reshape(20, 30))
    with pytest.raises(InputError, match=message) as caught:
        read_grey(tmp_path / "a.tif")
    assert "a.tif" in str(caught.value)
    assert caught.value.hint
    assert ("unsigned" in caught.value.hint) == ("int16" in message)


def colour_numbers(path: Path, array: NDArray[Any]) -> None:
    tifffile.imwrite(
        path,
        array,
        photometric="palette",
        colormap=np.random.default_rng(0).integers(0, 2**16, (3, 256), np.uint16),
    )


def one_bit(tags: dict[int, int], compression: str | None) -> Write:
    write = pillow_tiff(tags, "1", compression)
    return lambda path, array: write(path, (array > 0) * np.uint8(255))


#: Masks of two nuclei: what is written → what is read. True: the two have the numbers 1 and 2.
MASKS: dict[str, tuple[Write, bool]] = {
    "MinIsBlack": (tiff(), True),
    "labels with a palette": (colour_numbers, True),
    "labels, MinIsWhite": (inverted_tiff, True),
    "labels in 16 bit, MinIsWhite": (lambda path, array: inverted_tiff(path, array.astype(np.uint16)), True),
    "labels in 32 bit, MinIsWhite": (lambda path, array: inverted_tiff(path, array.astype(np.uint32)), True),
    "labels, ImageJ's inverting LUT": (IMAGEJ, True),
    "labels, Orientation 3": (turned_tiff(3), True),
    "binary, MinIsWhite": (lambda path, array: inverted_tiff(path, (array > 0) * np.uint8(255)), False),
    "binary, MinIsWhite by Pillow": (
        lambda path, array: pillow_tiff({PHOTOMETRIC: 0})(path, (array > 0) * np.uint8(255)), False
    ),
    "binary, ImageJ's inverting LUT": (lambda path, array: IMAGEJ(path, (array > 0) * np.uint8(255)), False),
    # tifffile, and so imageio, marks arrays of bool as MinIsWhite, and keeps their values.
    "1 bit by tifffile": (lambda path, array: tifffile.imwrite(path, array > 0), False),
    "1 bit by imageio": (lambda path, array: imageio.imwrite(path, array > 0), False),
    **{
        f"1 bit by Pillow, {compression}, {name}": (
            one_bit(tags, compression),
            False,
        )
        for compression in (None, "group4", "group3", "tiff_ccitt", "packbits")
        for name, tags in (("MinIsBlack", {}), ("MinIsWhite", {PHOTOMETRIC: 0}))
    },
}  # fmt: skip


def skip_what_this_tifffile_cannot_decode(path: Path) -> None:
    """Its oldest versions that are allowed know no fax compression; there a mask is refused with what is unsupported."""
    with tifffile.TiffFile(path) as tiff:
        compression = tiff.pages.first.tags["Compression"].value
    if compression not in tifffile.TIFF.DECOMPRESSORS:
        with pytest.raises(InputError, match="not supported"):
            read_labels(path)
        pytest.skip(f"this tifffile cannot decode {compression!r}. To try it: make test")


@pytest.mark.parametrize("how", MASKS)
def test_masks_are_read_as_their_tags_say(tmp_path: Path, how: str) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[2:8, 3:9], labels[10:18, 12:28] = 1, 2
    write, numbered = MASKS[how]
    write(tmp_path / "a.tif", labels)
    skip_what_this_tifffile_cannot_decode(tmp_path / "a.tif")
    read = read_labels(tmp_path / "a.tif")
    assert (read == labels).all() if numbered else ((read > 0) == (labels > 0)).all()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (tiff(photometric="miniswhite"), "MinIsWhite: by that, its values 0 to 2 are all nuclei"),
        (
            lambda path, array: tifffile.imwrite(path, array.astype(np.int16), photometric="miniswhite"),
            "MinIsWhite with pixels of int16",
        ),
        (tiff(photometric="cfa"), "PhotometricInterpretation 32803"),
    ],
)
def test_masks_that_are_not_plain_are_refused(tmp_path: Path, write: Write, message: str) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[2:8, 3:9], labels[10:18, 12:28] = 1, 2
    write(tmp_path / "a.tif", labels)
    with pytest.raises(InputError, match=message) as caught:
        read_labels(tmp_path / "a.tif")
    assert "MinIsBlack" in caught.value.hint


# --- sets -----------------------------------------------------------------------------------------------------


def rewrite(folder: Path, kind: str, stems: slice, write: Write) -> list[str]:
    """Write some files of a set anew, as TIFF. Returns their names."""
    paths = sorted((folder / kind).iterdir())[stems]
    for path in paths:
        array = io.imread(path)
        path.unlink()
        write(path.with_suffix(".tif"), array)
    return [path.with_suffix(".tif").name for path in paths]


def binary(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        mask = io.imread(path) > 0
        io.imsave(path, mask * np.uint8(255), check_contrast=False)


@pytest.mark.parametrize(
    ("kind", "stems", "write", "told"),
    [
        ("masks", slice(None), inverted_tiff, ""),
        ("masks", slice(2), inverted_tiff, "the masks are stored in different ways"),
        ("images", slice(None), inverted_tiff, ""),
        ("images", slice(2), inverted_tiff, "the images are stored in different ways"),
        ("masks", slice(2), IMAGEJ, ""),
        ("images", slice(None), turned_tiff(3), "5 of the images have another Orientation than their masks"),
        ("masks", slice(1), turned_tiff(8), "1 of the images have another Orientation than their masks"),
        ("images", slice(1), with_exif(3, "PNG"), "synth_000.tif (3, its mask 1)"),
    ],
)
def test_a_set_is_the_same_however_it_is_stored_and_mixtures_are_told(
    nuclei: Path, trainer: Trainer, kind: str, stems: slice, write: Write, told: str
) -> None:
    binary(nuclei)
    before = samples.read_samples(samples.image_pairs(nuclei))
    rewrite(nuclei, kind, stems, write)
    for stem, sample in samples.read_samples(samples.image_pairs(nuclei)).items():
        np.testing.assert_allclose(sample.image, before[stem].image, atol=1e-6)
        assert (sample.labels == before[stem].labels).all()
    report = trainer("data", "check", nuclei, "--json").json
    assert report["wrong"] == []
    assert any(told in note for note in report["notes"]) if told else report["notes"] == []
    dry = trainer("train", "--data", nuclei, "--batch-size", 2, "--dry-run").out
    assert told in dry if told else "stored in different" not in dry


def test_an_orientation_that_turns_an_image_from_its_mask_is_refused(nuclei: Path, trainer: Trainer) -> None:
    """Most programs of microscopy ignore the tag, so a mask may have been drawn on the pixels as they are stored."""

    def marked(path: Path, array: NDArray[Any]) -> None:
        tifffile.imwrite(path, array, extratags=[(ORIENTATION, 3, 1, 3, True)])

    rewrite(nuclei, "images", slice(1), marked)
    for command in (("data", "check", nuclei), ("train", "--data", nuclei)):
        ran = trainer(*command, code=2)
        assert "has Orientation 3 and its mask 1, and they fit only if that is ignored" in ran.out + ran.err
        assert "remove the tag from both" in ran.out + ran.err


def test_sizes_that_differ_by_an_orientation_say_so(nuclei: Path) -> None:
    def on_its_side(path: Path, array: NDArray[Any]) -> None:
        tifffile.imwrite(path, array, extratags=[(ORIENTATION, 3, 1, 6, True)])

    rewrite(nuclei, "images", slice(1), on_its_side)
    with pytest.raises(InputError, match="is 120×96 and its mask 96×120") as caught:
        samples.read_samples(samples.image_pairs(nuclei))
    assert "the image has Orientation 6" in caught.value.hint


def test_real_images_in_every_form(real_data: Path, tmp_path: Path) -> None:
    """A real set with binary masks, stored inverted or turned, has the nuclei that it had."""
    shutil.copytree(real_data / "dsb512", tmp_path / "set")
    binary(tmp_path / "set")
    pairs = samples.image_pairs(tmp_path / "set")
    before = samples.read_samples(pairs)
    rewrite(tmp_path / "set", "masks", slice(0, 7), inverted_tiff)
    rewrite(tmp_path / "set", "images", slice(4, 9), inverted_tiff)
    rewrite(tmp_path / "set", "images", slice(9, 12), turned_tiff(3))
    rewrite(tmp_path / "set", "images", slice(12, 15), with_exif(6, "PNG"))
    pairs = samples.image_pairs(tmp_path / "set")
    for stem, sample in samples.read_samples(pairs).items():
        np.testing.assert_allclose(sample.image, before[stem].image, atol=1e-6)
        assert (sample.labels == before[stem].labels).all()
    assert len(faults.of_tags(samples.tags_of(pairs.values()))) == 3
