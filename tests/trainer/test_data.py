"""Reading images and masks of every form, normalising, encoding, and back to instances."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from skimage import io

from trainer.classes import encode
from trainer.data import samples, synth
from trainer.data.masks import mask_form
from trainer.errors import InputError
from trainer.files.images import MAX_PX, read_grey, write_png
from trainer.scoring.instances import Decision, find_nuclei
from trainer.scoring.seg import object_scores


def read(folder: Path, form: str = "auto") -> dict[str, samples.Sample]:
    return samples.read_samples(samples.image_pairs(folder), form)


def encoded(labels: NDArray[Any], contour_px: int) -> NDArray[np.float32]:
    """Encode labels as the answer of a perfect network."""
    return np.eye(3, dtype=np.float32)[encode(labels, contour_px)]


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synth.write_set(tmp_path / name, 4, 64, 64, seed)
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))])
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((3, 64, 64, 0), "3 images"),
        ((4, 31, 64, 0), "31×64"),
        ((4, 64, 64, -1), "--seed is -1"),
        ((4, 10**8, 10**8, 0), "megapixels"),
    ],
)
def test_sets_that_cannot_be_made(tmp_path: Path, numbers: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        synth.write_set(tmp_path / "s", *numbers)
    assert message in f"{caught.value} {caught.value.hint}"
    assert not (tmp_path / "s").exists()


def test_another_set_is_never_written_over(nuclei: Path) -> None:
    synth.write_set(nuclei, 6, 96, 120, 3)  # the same set with one more image is no other set
    (nuclei / "images" / "mine.png").touch()
    before = (nuclei / "split.json").read_text()
    with pytest.raises(InputError, match=r"there is another set in .*: mine\.png"):
        synth.write_set(nuclei, 6, 96, 120, 3)
    assert (nuclei / "split.json").read_text() == before


def test_synthetic_nuclei_touch_and_some_are_dim(tmp_path: Path) -> None:
    synth.write_set(tmp_path / "s", 4, 256, 256, 0)
    touching = dim = 0
    for sample in read(tmp_path / "s").values():
        ids = np.unique(sample.labels)
        assert ids.tolist() == list(range(len(ids)))
        left, right = sample.labels[:, :-1], sample.labels[:, 1:]
        touching += int(((left != right) & (left > 0) & (right > 0)).sum())
        means = [sample.image[sample.labels == i].mean() for i in ids[1:]]
        dim += sum(mean < 0.6 * max(means) for mean in means)
    assert touching > 20
    assert dim >= 3


def test_the_contour_is_inside_and_as_wide_as_asked() -> None:
    labels = np.zeros((9, 12), np.uint16)
    labels[1:8, 1:8] = 1
    labels[1:8, 8:11] = 2
    classes = encode(labels, 1)
    assert "".join(map(str, classes[4])) == "021111122120"  # they touch: a contour on either side
    assert ((classes > 0) == (labels > 0)).all()
    assert "".join(map(str, encode(labels, 2)[4])) == "022111222220"
    whole = np.ones((5, 5), np.uint16)
    assert (encode(whole, 2) == 1).all()  # the image's own edge is no contour


def test_encoding_and_growing_back_loses_next_to_nothing(tmp_path: Path) -> None:
    synth.write_set(tmp_path / "s", 4, 200, 200, 0)
    for contour_px in (1, 2):
        scores = [
            object_scores(sample.labels, find_nuclei(encoded(sample.labels, contour_px), Decision()))
            for sample in read(tmp_path / "s").values()
        ]
        assert np.concatenate(scores).mean() > 0.95


@pytest.mark.parametrize(("name", "contour_px"), [("dsb512", 1), ("dsb512", 2), ("u2os520", 1), ("u2os520", 2)])
def test_real_masks_survive_the_encoding(real_data: Path, name: str, contour_px: int) -> None:
    scores = [
        object_scores(sample.labels, find_nuclei(encoded(sample.labels, contour_px), Decision(least_core_px=0)))
        for sample in read(real_data / name).values()
    ]
    assert np.concatenate(scores).mean() > 0.98  # "under 2 %"


def test_normalising_is_per_image_whatever_the_bit_depth() -> None:
    random = np.random.default_rng(0)
    image = random.integers(10, 200, (50, 50)).astype(np.uint8)
    normalised = samples.normalise(image)
    assert normalised.dtype == np.float32
    assert (normalised.min(), normalised.max()) == (0.0, 1.0)
    np.testing.assert_allclose(normalised, samples.normalise(image.astype(np.uint16) * 100 + 7), atol=1e-6)
    assert not samples.normalise(np.full((9, 9), 5)).any()


def as_classes(labels: NDArray[Any]) -> NDArray[np.uint8]:
    return encode(labels, 2)


@pytest.mark.parametrize(
    ("form", "write", "lowest_score"),
    [
        ("instances", lambda labels: labels, 1.0),
        ("instances", lambda labels: np.where(labels > 0, labels * 7 + 300, 0).astype(np.uint16), 1.0),
        ("classes", as_classes, 0.9),
        ("binary", lambda labels: ((as_classes(labels) == 1) * 255).astype(np.uint8), 0.3),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_masks_of_every_form(
    nuclei: Path, form: str, write: Callable[[NDArray[Any]], NDArray[Any]], lowest_score: float, suffix: str
) -> None:
    truth = read(nuclei)
    for stem, sample in truth.items():
        image = io.imread(nuclei / "images" / f"{stem}.png").astype(np.uint16) * 150  # a camera's 16 bit
        for kind in ("images", "masks"):
            (nuclei / kind / f"{stem}.png").unlink()
        for kind, array in (("images", image), ("masks", write(sample.labels))):
            path = nuclei / kind / f"{stem}{suffix}"
            tifffile.imwrite(path, array) if suffix == ".tif" else write_png(path, array)
    assert mask_form([io.imread(path) for path in (nuclei / "masks").iterdir()]) == form
    for stem, sample in read(nuclei).items():
        np.testing.assert_allclose(sample.image, truth[stem].image, atol=1e-6)
        assert object_scores(truth[stem].labels, sample.labels).mean() >= lowest_score


def test_two_objects_in_each_image_are_no_classes() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:10, 2:10], mask[12:18, 15:28] = 1, 2
    assert mask_form([mask, mask.T]) == "instances"
    assert mask_form([encode(mask, 1)]) == "classes"


def test_images_of_one_name_and_two_suffixes_are_refused(nuclei: Path) -> None:
    shutil.copy(nuclei / "images/synth_000.png", nuclei / "images/synth_000.tif")
    with pytest.raises(InputError, match=r"synth_000\.png and synth_000\.tif"):
        samples.image_pairs(nuclei)


def png(array: NDArray[Any], name: str = "images/synth_000.png") -> Callable[[Path], Any]:
    return lambda folder: io.imsave(folder / name, array, check_contrast=False)


def truncated(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:200])


def no_images(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def float_tiff(folder: Path) -> None:
    (folder / "images/synth_000.png").unlink()
    tifffile.imwrite(folder / "images/synth_000.tif", np.zeros((96, 120), np.float32))


def stack_tiff(folder: Path) -> None:
    (folder / "images/synth_000.png").unlink()
    tifffile.imwrite(folder / "images/synth_000.tif", np.zeros((5, 96, 120), np.uint8))


def negative(folder: Path) -> None:
    (folder / "masks/synth_000.png").unlink()
    tifffile.imwrite(folder / "masks/synth_000.tif", np.full((96, 120), -1, np.int16))


def many_objects(folder: Path) -> None:
    (folder / "masks/synth_000.png").unlink()
    tifffile.imwrite(
        folder / "masks/synth_000.tif", np.arange(1, 96 * 120 + 1, dtype=np.uint32).reshape(96, 120) * 7
    )


MASK = "masks/synth_000.png"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "there is no folder"),
    "no images": (no_images, "there are no images in"),
    "no masks folder": (lambda folder: shutil.rmtree(folder / "masks"), "cannot read"),
    "mask without image": (lambda folder: (folder / "images/synth_001.png").unlink(), "synth_001.png' has no image"),
    "image without mask": (lambda folder: (folder / "masks/synth_001.png").unlink(), "synth_001.png' has no mask"),
    "sizes differ": (png(np.ones((9, 9), np.uint8), MASK), "synth_000.png' is 96×120 and its mask 9×9"),
    "RGB": (png(np.zeros((96, 120, 3), np.uint8)), "not grayscale"),
    "1×1": (lambda folder: [png(np.ones((1, 1), np.uint8), name)(folder) for name in ("images/synth_000.png", MASK)], "synth_000.png' is 1×1"),
    "10,000×10,000": (png(np.zeros((10_000, 10_000), np.uint8)), "10000×10000, more than 50 megapixels"),
    "zero bytes": (lambda folder: (folder / "images/synth_001.png").write_bytes(b""), "synth_001.png"),
    "truncated": (truncated("images/synth_001.png"), "synth_001.png' cannot be read as an image"),
    "truncated mask": (truncated("masks/synth_001.png"), "synth_001.png' cannot be read as an image"),
    "no image at all": (lambda folder: (folder / "images/synth_001.png").write_text("hello"), "synth_001.png' cannot be read"),
    "float": (float_tiff, "pixels of float32"),
    "a stack": (stack_tiff, "has 5 pages"),
    "a negative label": (negative, "has the label -1"),
    "a pipe": (lambda folder: os.mkfifo(folder / "images/z.png"), "z.png' is no regular file"),
    "a folder": (lambda folder: (folder / "images/z.png").mkdir(), "z.png' is no regular file"),
    "a link to nothing": (lambda folder: (folder / "images/z.png").symlink_to("nowhere"), "z.png' is a link to nothing"),
    "a link to itself": (lambda folder: (folder / "images/z.png").symlink_to("z.png"), "z.png' is a link to nothing"),
    "a name that is not UTF-8": (lambda folder: (folder / os.fsdecode(b"images/\xff.png")).touch(), "is not UTF-8"),
    "labels beyond 16 bit": (many_objects, "has the label 80640"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_data_is_named(nuclei: Path, what: str) -> None:
    spoil, message = BAD[what]
    spoil(nuclei)
    with pytest.raises(InputError) as caught:
        read(nuclei)
    assert message in str(caught.value)
    assert caught.value.hint or "there is no" in str(caught.value)
    assert caught.value.exit_code == 2


def test_three_classes_in_2_bit_are_three_classes(nuclei: Path) -> None:
    """PNG optimisers write such files. Pillow stretches their values to 0, 85, 170."""
    truth = read(nuclei)
    for stem, sample in truth.items():
        write_2_bit(nuclei / "masks" / f"{stem}.png", as_classes(sample.labels))
    for stem, sample in read(nuclei).items():
        assert object_scores(truth[stem].labels, sample.labels).mean() > 0.9


def write_2_bit(path: Path, classes: NDArray[Any]) -> None:
    """Write a grey PNG of 2 bits a pixel, by its specification: no library at hand does."""
    rows, columns = classes.shape
    padded = np.pad(classes, ((0, 0), (0, -columns % 4))).reshape(rows, -1, 4)
    packed = (padded << np.array([6, 4, 2, 0])).sum(axis=-1).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", columns, rows, 2, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def test_the_largest_size_is_asked_for_before_decoding(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "big.tif", np.zeros((8000, 8000), np.uint8), compression="zlib")
    assert MAX_PX < 8000 * 8000
    with pytest.raises(InputError, match="8000×8000"):
        read_grey(tmp_path / "big.tif")


def test_the_fingerprint_changes_with_names_and_bytes(nuclei: Path) -> None:
    paths = sorted((nuclei / "images").iterdir())
    before = samples.fingerprint(paths)
    assert samples.fingerprint(paths) == before
    paths[0].write_bytes(paths[0].read_bytes() + b"\0")
    assert samples.fingerprint(paths) != before
    moved = paths[0].rename(paths[0].with_name("other.png"))
    assert samples.fingerprint([moved, *paths[1:]]) != before


def test_a_file_that_may_not_be_read_is_named(nuclei: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is simulated, as root may read everything."""
    was = Path.open

    def refused(self: Path, *args: Any, **how: Any) -> Any:
        if self.name == "synth_001.png":
            raise PermissionError(13, "Permission denied", str(self))
        return was(self, *args, **how)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"cannot read .*synth_001\.png': Permission denied"):
        read(nuclei)
