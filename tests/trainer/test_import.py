"""``trainer data import``: what people have becomes a set that check finds nothing wrong with."""

from __future__ import annotations

import json
import pickle
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage import io

from tests.trainer.conftest import Trainer
from trainer.data import synth
from trainer.data.check import check_set
from trainer.data.convert import MaskReading, import_set
from trainer.data.outlines import fill_outlines, trace_outlines
from trainer.errors import InputError
from trainer.files.images import read_labels, read_plane
from trainer.files.planes import Choice, to_plane

Array = NDArray[Any]

NAMES = ("one", "two", "three")


def nuclei_of(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    return synth.make_image(np.random.default_rng(number), 80, 96)


def save(path: Path, array: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Pillow.fromarray(array).save(path)
    return path


def same_nuclei(found: Array, expected: Array) -> bool:
    """Say whether two label images have the same nuclei, whatever their numbers."""
    pairs = {*zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True)}
    return len(pairs) == len(np.unique(found)) == len(np.unique(expected))


def write_seg(path: Path, labels: Array) -> None:
    content = {"masks": labels, "outlines": labels * 0, "filename": str(path), "est_diam": np.float64(30.5),
               "ismanual": np.zeros(3, bool), "flows": [labels.astype(np.float32), None], "chan_choose": [0, 0]}  # fmt: skip
    np.save(path, np.array(content, dtype=object), allow_pickle=True)


# --- each writes one image and its labels, as somebody keeps them ----------------------------------------------


def dsb2018(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / name / "images" / f"{name}.png", np.dstack([image] * 3 + [np.full_like(image, 255)]))
    for number in range(1, labels.max() + 1):
        save(folder / name / "masks" / f"{number:04d}.png", ((labels == number) * 255).astype(np.uint8))


def cellpose(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / f"{name}_img.png", image)
    save(folder / f"{name}_masks.png", labels)


def cellpose_window(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / f"{name}.tif", image)
    write_seg(folder / f"{name}_seg.npy", labels)


def cellpose_masks(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / f"{name}.tif", image)
    save(folder / f"{name}_cp_masks.tif", labels)


def stardist(folder: Path, name: str, image: Array, labels: Array) -> None:
    part = folder / ("test" if name == "one" else "train")
    save(part / "images" / f"{name}.tif", image)
    save(part / "masks" / f"{name}.tif", labels)


def other_names(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / "Raw" / f"{name}.PNG", image)
    save(folder / "Ground_Truth" / f"{name}_gt.PNG", labels)


def palette(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / "images" / f"{name}.png", image)
    numbers = Pillow.fromarray(labels.astype(np.uint8))
    numbers.putpalette([number * 37 % 256 for number in range(768)])
    (folder / "labels").mkdir(exist_ok=True)
    numbers.save(folder / "labels" / f"{name}.png")


def equal_channels(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / "images" / f"{name}.png", np.dstack([image] * 3))
    save(folder / "masks" / f"{name}.png", np.dstack([labels.astype(np.uint8)] * 3))


def float_tiff(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / "images" / f"{name}.tif", (image / 255).astype(np.float32))
    save(folder / "masks" / f"{name}.tif", labels.astype(np.float32))


def single_plane(folder: Path, name: str, image: Array, labels: Array) -> None:
    save(folder / "images" / f"{name}.tif", image[None])
    save(folder / "masks" / f"{name}.tif", labels[None])


def fiji(folder: Path, name: str, image: Array, labels: Array) -> None:
    roifile = pytest.importorskip("roifile", reason="roifile is not installed: pip install '.[trainer]'")
    save(folder / f"{name}.tif", image)
    rois = []
    for number in range(1, labels.max() + 1):
        outer, _ = trace_outlines(labels == number)
        rois.append(roifile.ImagejRoi.frompoints(outer[0], name=str(number)))
    roifile.roiwrite(folder / f"{name}_RoiSet.zip", rois)


def decomposed_names(folder: Path, name: str, image: Array, labels: Array) -> None:
    """The masks were on a Mac."""
    save(folder / "images" / f"{unicodedata.normalize('NFC', 'ä' + name)}.png", image)
    save(folder / "masks" / f"{unicodedata.normalize('NFD', 'ä' + name)}.png", labels)


KEPT: dict[str, Callable[[Path, str, Array, Array], None]] = {
    each.__name__: each
    for each in (dsb2018, cellpose, cellpose_window, cellpose_masks, stardist, other_names, palette, equal_channels,
                 float_tiff, single_plane, fiji, decomposed_names)
}  # fmt: skip


@pytest.mark.parametrize("kept", KEPT)
def test_what_people_have_becomes_a_set(tmp_path: Path, kept: str) -> None:
    truth = {name: nuclei_of(number) for number, name in enumerate(NAMES)}
    for name, (image, labels) in truth.items():
        KEPT[kept](tmp_path / "from", name, image, labels)
    summary = import_set(tmp_path / "from", tmp_path / "to", Choice(), MaskReading())
    assert summary.startswith("3 images, ")
    made = {path.stem: path for path in (tmp_path / "to/masks").iterdir()}
    assert len(made) == 3
    for name, (image, labels) in truth.items():
        path = next(path for stem, path in made.items() if stem.removesuffix("_img").endswith(name))
        assert same_nuclei(read_labels(path), labels)
        grey = io.imread(tmp_path / "to/images" / path.name)
        assert np.corrcoef(grey.ravel(), image.ravel())[0, 1] > 0.9999
    report = check_set(tmp_path / "to")
    assert report["wrong"] == []
    assert report["objects"] == sum(int(labels.max()) for _, labels in truth.values())


def test_folders_of_parts_become_the_split(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        stardist(tmp_path / "from", name, *nuclei_of(number))
    import_set(tmp_path / "from", tmp_path / "to", Choice(), MaskReading())
    assert json.loads((tmp_path / "to/split.json").read_text()) == {
        "train": ["three.png", "two.png"],
        "test": ["one.png"],
    }


def test_coco(tmp_path: Path, trainer: Trainer) -> None:
    """Polygons, and runs down the columns."""
    image, labels = nuclei_of(1)
    annotations = []
    for number in range(1, labels.max() + 1):
        if number % 2:
            outer, _ = trace_outlines(labels == number)
            segmentation: Any = [outline.ravel().tolist() for outline in outer]
        else:
            flat = (labels == number).ravel(order="F")
            edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
            counts = [int(count) for count in np.diff(edges)]
            segmentation = {"counts": [0, *counts] if flat[0] else counts, "size": list(labels.shape)}
        annotations.append({"image_id": 7, "segmentation": segmentation, "iscrowd": 0})
    save(tmp_path / "pictures/a.png", image)
    document = {"images": [{"id": 7, "file_name": "a.png"}], "annotations": annotations}
    (tmp_path / "coco.json").write_text(json.dumps(document))
    assert "1 images" in trainer("data", "import", tmp_path / "coco.json", "--to", tmp_path / "to").out
    assert same_nuclei(read_labels(tmp_path / "to/masks/a.png"), labels)
    annotations[0]["segmentation"] = {"counts": "abc", "size": [1, 1]}
    (tmp_path / "coco.json").write_text(json.dumps(document))
    ran = trainer("data", "import", tmp_path / "coco.json", "--to", tmp_path / "again", code=2)
    assert "pycocotools" in ran.err
    assert not (tmp_path / "again").exists()


class Attack:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("attacked"),))


@pytest.mark.parametrize("content", [Attack(), {"masks": Attack()}, {"masks": np.array([Attack()])}, {"other": 1}])
def test_a_seg_file_that_holds_a_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    image, _ = nuclei_of(1)
    save(tmp_path / "from/a.tif", image)
    np.save(tmp_path / "from/a_seg.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="has no masks that can be read"):
        import_set(tmp_path / "from", tmp_path / "to", Choice(), MaskReading())
    assert not (tmp_path / "attacked").exists()
    pickle.loads(pickle.dumps(content))
    assert (tmp_path / "attacked").exists() == ("other" not in content if isinstance(content, dict) else True)


class Forged:
    """Says of eight bytes that they are an object, by a dtype whose flags say that it has none."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = (1, (1,), ForgedDtype(), False, b"\1" * 8)
        return (np.array([0]).__reduce__()[0], (np.ndarray, (0,), b"b"), state)


class ForgedDtype:
    def __reduce__(self) -> tuple[Any, ...]:
        return (np.dtype, ("O", False, True), (3, "|", None, None, None, -1, -1, 0))


def test_a_seg_file_with_forged_pointers_is_refused(tmp_path: Path) -> None:
    image, _ = nuclei_of(1)
    save(tmp_path / "from/a.tif", image)
    content = np.array({"masks": Forged()}, dtype=object)
    np.save(tmp_path / "from/a_seg.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=r"has (no )?masks"):
        import_set(tmp_path / "from", tmp_path / "to", Choice(), MaskReading())


def test_an_image_without_a_nucleus_and_a_background_that_is_the_highest_number(tmp_path: Path) -> None:
    image, labels = nuclei_of(1)
    save(tmp_path / "dsb/a/images/a.png", image)
    (tmp_path / "dsb/a/masks").mkdir()
    save(tmp_path / "dsb/b/images/b.png", image)
    save(tmp_path / "dsb/b/masks/1.png", (labels == 1).astype(np.uint8) * 255)
    import_set(tmp_path / "dsb", tmp_path / "one", Choice(), MaskReading())
    assert io.imread(tmp_path / "one/masks/a.png").max() == 0
    save(tmp_path / "high/images/a.png", image)
    save(tmp_path / "high/masks/a.png", np.where(labels == 0, 65535, labels - 1).astype(np.uint16))
    import_set(tmp_path / "high", tmp_path / "two", Choice(), MaskReading(background=65535))
    read = io.imread(tmp_path / "two/masks/a.png")
    assert ((read == 0) == (labels == 0)).all()
    assert len(np.unique(read)) == len(np.unique(labels))


# --- planes, channels, numbers ---------------------------------------------------------------------------------


def test_a_stack_and_channels_need_a_word(tmp_path: Path) -> None:
    image, _ = nuclei_of(1)
    stack = np.stack([image, image // 2, 255 - image])
    tifffile.imwrite(tmp_path / "z.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "c.tif", stack, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "zc.tif", np.stack([stack, stack // 2]), imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "tz.tif", np.stack([stack, stack]), imagej=True, metadata={"axes": "TZYX"})
    save(tmp_path / "rgb.png", np.moveaxis(stack, 0, -1))
    for name, hint in (
        ("z", "--plane 0 to 2"),
        ("c", "--channel 0 to 2"),
        ("zc", "--channel"),
        ("rgb", "--luminance"),
    ):
        path = next(tmp_path.glob(f"{name}.*"))
        with pytest.raises(InputError) as caught:
            read_plane(path, Choice())
        assert hint in caught.value.hint
    with pytest.raises(InputError, match="axes TZYX"):
        read_plane(tmp_path / "tz.tif", Choice(plane=0))
    assert (read_plane(tmp_path / "z.tif", Choice(plane=1)) == stack[1]).all()
    assert (read_plane(tmp_path / "z.tif", Choice(project="max")) == stack.max(axis=0)).all()
    assert (read_plane(tmp_path / "c.tif", Choice(channel=2)) == stack[2]).all()
    assert (read_plane(tmp_path / "zc.tif", Choice(channel=2, plane=1)) == stack[2] // 2).all()
    assert (read_plane(tmp_path / "rgb.png", Choice(channel=1)) == stack[1]).all()
    grey = read_plane(tmp_path / "rgb.png", Choice(luminance=True))
    assert np.abs(grey - (0.299 * stack[0] + 0.587 * stack[1] + 0.114 * stack[2])).max() <= 0.5
    with pytest.raises(InputError, match="--channel is 3"):
        read_plane(tmp_path / "c.tif", Choice(channel=3))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1, 4, 5), "ZYX"), ((4, 5, 1), "YXS"), ((1, 1, 4, 5), "TCYX"), ((4, 5), "YX"), ((5, 4), "XY")],
)
def test_one_plane_needs_no_word(shape: tuple[int, ...], axes: str) -> None:
    assert to_plane(np.zeros(shape), axes, Choice(), "a").shape == (4, 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Choice(project="mean"), "--project is mean"),
        (Choice(channel=1, luminance=True), "--channel and --luminance"),
        (Choice(plane=1, project="max"), "--plane and --project"),
    ],
)
def test_choices_that_there_are_not(tmp_path: Path, given: Choice, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_set(tmp_path, tmp_path / "to", given, MaskReading())


def pair(folder: Path, image: Array, mask: Array, suffix: str = ".png") -> Path:
    for number in range(3):
        save(folder / "images" / f"{number}.png", image)
        save(folder / "masks" / f"{number}{suffix}", mask)
    return folder


@pytest.mark.parametrize(
    ("spoil", "reading"),
    [
        (lambda labels: np.where(labels, labels, 255).astype(np.uint8), MaskReading(background=255)),
        (lambda labels: (labels == 0).astype(np.uint8) * 255, MaskReading(background=255)),
        (lambda labels: np.where(labels, labels - 1, 255).astype(np.uint8), MaskReading(background=255)),
        (lambda labels: np.where((np.indices(labels.shape) % 16 < 4).all(axis=0) & (labels == 0), 255, labels).astype(np.uint8),
         MaskReading(void=255)),
        (lambda labels: np.dstack([np.where(labels, 40 + 80 * (labels % k), 0) for k in (2, 3, 2)]).astype(np.uint8),
         MaskReading("colours")),
        (lambda labels: ((labels > 0) * 200 + 20).astype(np.uint8), MaskReading(threshold=127)),
    ],
)  # fmt: skip
def test_masks_that_a_word_explains(tmp_path: Path, spoil: Callable[[Array], Array], reading: MaskReading) -> None:
    image, labels = nuclei_of(3)  # no two of which touch
    folder = pair(tmp_path / "from", image, spoil(labels))
    with pytest.raises(InputError):
        import_set(folder, tmp_path / "to", Choice(), MaskReading())
    assert not (tmp_path / "to").exists()
    import_set(folder, tmp_path / "to", Choice(), reading)
    assert same_nuclei(read_labels(tmp_path / "to/masks/0.png"), labels)


def test_jpeg_is_warned_of_and_refused_for_masks(tmp_path: Path, trainer: Trainer) -> None:
    image, labels = nuclei_of(3)
    folder = pair(tmp_path / "from", image, ((labels > 0) * 255).astype(np.uint8), ".jpg")
    for path in (folder / "images").iterdir():
        save(path.with_suffix(".jpg"), io.imread(path))
        path.unlink()
    refused = trainer("data", "import", folder, "--to", tmp_path / "to", code=2)
    assert "--threshold 127" in refused.err
    ran = trainer("data", "import", folder, "--to", tmp_path / "to", "--threshold", 127)
    assert "warning: 3 of the images are JPEG" in ran.err
    assert same_nuclei(read_labels(tmp_path / "to/masks/0.png"), labels)
    again = trainer("data", "import", folder, "--to", tmp_path / "to", "--threshold", 127, code=2)
    assert "there is a set in" in again.err


def test_folders_that_are_no_set(tmp_path: Path) -> None:
    image, labels = nuclei_of(1)
    for source, message in ((tmp_path / "none", "there is no folder"), (tmp_path, "that belong together")):
        with pytest.raises(InputError, match=message):
            import_set(source, tmp_path / "to", Choice(), MaskReading())
    pair(tmp_path / "from", image, labels)
    (tmp_path / "from/masks/0.png").unlink()
    with pytest.raises(InputError, match=r"images/0.png' has no partner"):
        import_set(tmp_path / "from", tmp_path / "to", Choice(), MaskReading())
    save(tmp_path / "from/masks/0.png", labels[1:])
    with pytest.raises(InputError, match="80×96 and its mask 79×96"):
        import_set(tmp_path / "from", tmp_path / "to", Choice(), MaskReading())


def test_real_labels_survive_their_outlines(real_data: Path) -> None:
    for path in sorted((real_data / "mixed256" / "masks").iterdir())[:3]:
        labels = read_labels(path)
        numbers = np.unique(labels[labels > 0])
        outlines = [trace_outlines(labels == number)[0] for number in numbers]
        drawn = fill_outlines(outlines, labels.shape)
        holes = sum(len(trace_outlines(labels == number)[1]) for number in numbers)
        assert same_nuclei(drawn, labels) or holes
