"""Prepared sets: their content, the same bytes by the same seed, and the cache that keeps them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.classes import encode
from trainer.data import augment, samples, synth
from trainer.data.prepare import PreparedSet, prepare
from trainer.data.recipe import Recipe, SplitRule
from trainer.errors import InputError
from trainer.files import cache
from trainer.files.cache import Cache

NONE = Cache(Path("nowhere"), 0)


def prepared(
    folder: Path, recipe: Recipe = Recipe(), extra: tuple[Path, ...] = (), held: Cache = NONE, seed: int = 0  # noqa: B008
) -> PreparedSet:  # fmt: skip
    return prepare(folder, list(extra), SplitRule(), recipe, seed, held)


def contents(prepared_set: PreparedSet) -> list[bytes]:
    pictures = [*prepared_set.train, *prepared_set.validation, *prepared_set.test]
    return [array.tobytes() for picture in pictures for array in (picture.image, picture.labels, picture.classes)]


def test_augmentation_counts_all_images_and_adds_no_labels(nuclei: Path) -> None:
    plain = prepared(nuclei)
    more = prepared(nuclei, Recipe(augmentation=11))
    assert (len(plain.train), len(more.train), len(more.originals)) == (3, 11, 3)
    assert contents(plain)[:9] == contents(more)[:9]  # the originals come first, untouched
    known_labels = {value for picture in plain.train for value in np.unique(picture.labels).tolist()}
    for picture in more.train[3:]:
        assert set(np.unique(picture.labels).tolist()) <= known_labels
        assert picture.image.shape == (96, 120)
        assert 0 <= picture.image.min() <= picture.image.max() <= 1
        np.testing.assert_array_equal(picture.classes, encode(picture.labels, 2))
    assert len({picture.image.tobytes() for picture in more.train}) == 11
    with pytest.raises(InputError, match="--augmentation is 2, and there are 3"):
        prepared(nuclei, Recipe(augmentation=2))


def test_the_smallest_nucleus_is_one_that_someone_drew(nuclei: Path) -> None:
    """Not a part that an augmented image cuts off, nor one of the test images, which no choice may see."""
    plain = prepared(nuclei)
    drawn = [picture.labels for picture in (*plain.train, *plain.validation)]
    expected = min(int((labels == number).sum()) for labels in drawn for number in np.unique(labels[labels > 0]))
    assert plain.smallest_nucleus_px == expected
    augmented = prepared(nuclei, Recipe(augmentation=11, blank=True, seed=3))
    assert augmented.smallest_nucleus_px == expected


def test_the_same_seed_gives_the_same_bytes(nuclei: Path) -> None:
    runs = [contents(prepared(nuclei, Recipe(augmentation=6, seed=seed))) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_blank_is_background_of_the_original_size(nuclei: Path) -> None:
    last = prepared(nuclei, Recipe(blank=True)).train[-1]
    assert last.image.shape == (96, 120)
    assert not last.image.any()
    assert not last.classes.any()


def test_further_sets_are_trained_on_alone(nuclei: Path, tmp_path: Path) -> None:
    synth.write_set(tmp_path / "more", count=5, rows=96, columns=120, seed=4)
    both = prepared(nuclei, extra=(tmp_path / "more",))
    alone = prepared(nuclei)
    assert len(both.train) == len(alone.train) + 4  # all but the one that its split.json keeps for testing
    assert [picture.name for picture in both.validation] == [picture.name for picture in alone.validation]
    assert both.fingerprint != alone.fingerprint


def test_turning_by_a_right_angle_is_exact_and_mirroring_too() -> None:
    image = np.arange(25, dtype=np.float32).reshape(5, 5)
    labels = image.astype(np.uint16)

    def turned(angle: float, mirrored: bool) -> np.ndarray:
        window = augment.affine_window(
            image, labels, centre=(2, 2), shape=(5, 5), angle=angle, zoom=1, mirrored=mirrored
        )
        np.testing.assert_allclose(window[0], window[1], atol=1e-3)
        return np.asarray(window[1])

    np.testing.assert_array_equal(turned(0, False), labels)
    np.testing.assert_array_equal(turned(0, True), labels[:, ::-1])
    np.testing.assert_array_equal(turned(np.pi / 2, False), np.rot90(labels, -1))


def test_nothing_but_a_background_is_refused(nuclei: Path) -> None:
    for path in (nuclei / "masks").iterdir():
        from skimage import io

        io.imsave(path, np.zeros((96, 120), np.uint8), check_contrast=False)
    with pytest.raises(InputError, match="no nucleus in any mask"):
        prepared(nuclei)


# --- the cache ------------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10 * 2**20)


def entries(held: Cache) -> list[str]:
    return sorted(path.name for path in held.folder.iterdir() if path.is_dir())


def test_a_set_is_made_once_and_mapped_afterwards(
    nuclei: Path, held: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(augmentation=5)
    first = prepared(nuclei, recipe, held=held)
    monkeypatch.setattr(samples, "read_samples", lambda *_: pytest.fail("read again"))
    again = prepared(nuclei, recipe, held=held)
    assert contents(first) == contents(again)
    base = again.train[0].image
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        again.train[0].image[0, 0] = 1.0


def test_recipes_with_other_bytes_make_other_entries(nuclei: Path, held: Cache) -> None:
    for recipe in (
        Recipe(),
        Recipe(contour_px=1),
        Recipe(blank=True),
        Recipe(augmentation=4),
        Recipe(augmentation=4, seed=1),
    ):
        prepared(nuclei, recipe, held=held)
    assert len(entries(held)) == 5
    prepared(
        nuclei, Recipe(seed=9), held=held
    )  # without augmentation the seed draws nothing, so the first entry is used
    assert len(entries(held)) == 5


SPOILED: dict[str, Callable[[Path], object]] = {
    "short": lambda path: path.write_bytes(b"short"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "another's": lambda path: np.save(path, np.zeros(7, np.float32)),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_cannot_be_read_is_made_again(nuclei: Path, held: Cache, how: str) -> None:
    first = contents(prepared(nuclei, held=held))
    SPOILED[how](held.folder / entries(held)[0] / "image.npy")
    assert contents(prepared(nuclei, held=held)) == first
    assert held.load(entries(held)[0]) is not None


def test_a_killed_writer_leaves_nothing_half_made(nuclei: Path, held: Cache) -> None:
    code = (
        "import os, sys; from pathlib import Path; import numpy as np; from trainer.files.cache import Cache\n"
        "np.save = lambda path, array: (Path(path).write_bytes(b'half'), os.kill(os.getpid(), 9))\n"
        "Cache(Path(sys.argv[1]), 2**20).get_or_make('abc', lambda: ([], {'image': np.zeros(9)}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(held.folder)], check=False)
    assert done.returncode == -9
    assert entries(held) == ["abc.making"]
    assert held.load("abc") is None
    index, arrays = held.get_or_make("abc", lambda: ([1], {"image": np.ones(3)}))
    assert (index, arrays["image"].tolist()) == ([1], [1, 1, 1])
    assert entries(held) == ["abc"]


def test_two_writers_make_it_once(held: Cache) -> None:
    code = (
        "import sys, time; from pathlib import Path; import numpy as np; from trainer.files.cache import Cache\n"
        "def make(): print('made', flush=True); time.sleep(1); return [], {'image': np.zeros(9)}\n"
        "print(type(Cache(Path(sys.argv[1]), 2**20).get_or_make('k', make)[1]['image']).__name__)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(held.folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0].split() for process in running]
    assert sum(words.count("made") for words in outputs) == 1
    assert sum(words.count("memmap") for words in outputs) == 3


def test_writers_at_once_keep_the_bound(held: Cache) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np; from trainer.files.cache import Cache\n"
        "Cache(Path(sys.argv[1]), 10 * 2**20).get_or_make(sys.argv[2], lambda: ([], {'image': np.zeros(2**19)}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(held.folder), key]) for key in "abcd"]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    assert len(entries(held)) == 2  # of 4 MiB each


def test_the_cache_is_bounded_and_evicts_the_least_recently_used(held: Cache) -> None:
    def put(key: str) -> bool:
        entry = held.get_or_make(key, lambda: ([], {"image": np.zeros(2**19)}))  # 4 MiB, two fit
        return isinstance(entry[1]["image"], np.memmap)

    assert put("a")
    assert put("b")
    assert not put("c")  # all are in use: this one stays in memory, and the bound holds
    long_ago = time.time() - 2 * cache.IN_USE_S
    os.utime(held.folder / "a", (long_ago, long_ago))
    assert put("c")
    assert entries(held) == ["b", "c"]
    os.utime(held.folder / "b", (long_ago, long_ago))
    held.touch("b")  # a training does, each epoch
    assert not put("d")


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    entry = Cache(tmp_path / "file" / "cache", 2**20).get_or_make("k", lambda: ([3], {}))
    assert entry == ([3], {})
    assert "warning: cannot lock the cache in" in capsys.readouterr().err


def test_the_index_is_plain_json(nuclei: Path, held: Cache) -> None:
    prepared(nuclei, held=held)
    index = json.loads((held.folder / entries(held)[0] / "index.json").read_text())
    assert [part for part, *_ in index["index"]] == ["train"] * 3 + ["validation"] + ["test"]


def test_more_than_the_machine_holds_is_refused_at_once(nuclei: Path) -> None:
    with pytest.raises(InputError, match=r"100,000,000 training images of 96×120 take [\d,]+ GiB"):
        prepared(nuclei, Recipe(augmentation=100_000_000))


def test_an_image_that_is_held_back_is_never_trained_on(nuclei: Path, tmp_path: Path) -> None:
    shutil.copytree(nuclei, tmp_path / "more")
    (tmp_path / "more" / "split.json").unlink()
    with pytest.raises(InputError, match="is the same as"):
        prepared(nuclei, extra=(tmp_path / "more",))
    test = json.loads((nuclei / "split.json").read_text())["test"][0]
    for kind in ("images", "masks"):
        shutil.copy(nuclei / kind / test, nuclei / kind / "twin.png")
    (nuclei / "split.json").write_text(
        json.dumps({"train": ["twin", "synth_001", "synth_002", "synth_003"], "test": [test]})
    )
    for seed in range(4):  # whether the twin is drawn for validation or not
        with pytest.raises(InputError, match="held back"):
            prepared(nuclei, seed=seed)


def test_the_same_files_in_other_sets_are_another_entry(nuclei: Path, tmp_path: Path, held: Cache) -> None:
    """An image that is in no part of the main set is not trained on. In a further set it is."""
    (nuclei / "split.json").write_text('{"train": ["synth_001", "synth_002"], "test": ["synth_000"]}')
    assert len(prepared(nuclei, held=held).train) == 1
    shutil.copytree(nuclei, tmp_path / "main")
    (tmp_path / "extra").mkdir()
    for kind in ("images", "masks"):
        (tmp_path / "extra" / kind).mkdir()
        (tmp_path / "main" / kind / "synth_004.png").rename(tmp_path / "extra" / kind / "synth_004.png")
    assert len(prepared(tmp_path / "main", extra=(tmp_path / "extra",), held=held).train) == 2


def test_the_size_that_patches_are_cut_by_is_the_sets_and_not_the_seeds(tmp_path: Path) -> None:
    synth.write_set(tmp_path / "small", 6, 64, 64, 0)
    synth.write_set(tmp_path / "large", 5, 128, 96, 0)
    for kind in ("images", "masks"):
        for path in (tmp_path / "large" / kind).iterdir():
            path.rename(tmp_path / "small" / kind / f"large_{path.name}")
    (tmp_path / "small" / "split.json").unlink()
    assert {prepared(tmp_path / "small", seed=seed).size for seed in range(4)} == {(64, 64)}
    blank = prepared(tmp_path / "small", Recipe(blank=True)).train[-1]
    assert blank.image.shape == (64, 64)
