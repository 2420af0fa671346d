"""Prepared sets: what is made, the same bytes by the same seed, and the cache under them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainer import augment, cache, data
from trainer.cache import Cache
from trainer.errors import InputError
from trainer.prepare import Prepared, Recipe, prepare
from trainer.splits import Rule

NONE = Cache(Path("nowhere"), 0)


def prepared(
    folder: Path, recipe: Recipe = Recipe(), extra: tuple[Path, ...] = (), held: Cache = NONE, seed: int = 0  # noqa: B008
) -> Prepared:  # fmt: skip
    return prepare(folder, list(extra), Rule(), recipe, seed, held)


def contents(made: Prepared) -> list[bytes]:
    pictures = [*made.train, *made.validation, *made.test]
    return [array.tobytes() for one in pictures for array in (one.image, one.labels, one.classes)]


def test_augmentation_counts_all_images_and_adds_no_labels(nuclei: Path) -> None:
    plain = prepared(nuclei)
    more = prepared(nuclei, Recipe(augmentation=11))
    assert (len(plain.train), len(more.train), len(more.originals)) == (3, 11, 3)
    assert contents(plain)[:9] == contents(more)[:9]  # the originals come first, untouched
    known = {value for one in plain.train for value in np.unique(one.labels).tolist()}
    for one in more.train[3:]:
        assert set(np.unique(one.labels).tolist()) <= known
        assert one.image.shape == (96, 120)
        assert 0 <= one.image.min() <= one.image.max() <= 1
        np.testing.assert_array_equal(one.classes, data.classes_of(one.labels, 2))
    assert len({one.image.tobytes() for one in more.train}) == 11
    with pytest.raises(InputError, match="--augmentation is 2, and there are 3"):
        prepared(nuclei, Recipe(augmentation=2))


def test_the_same_seed_gives_the_same_bytes(nuclei: Path) -> None:
    made = [contents(prepared(nuclei, Recipe(augmentation=6, seed=seed))) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_blank_is_background_of_the_original_size(nuclei: Path) -> None:
    last = prepared(nuclei, Recipe(blank=True)).train[-1]
    assert last.image.shape == (96, 120)
    assert not last.image.any()
    assert not last.classes.any()


def test_further_sets_are_trained_on_alone(nuclei: Path, tmp_path: Path) -> None:
    shutil.copytree(nuclei, tmp_path / "more")
    both = prepared(nuclei, extra=(tmp_path / "more",))
    alone = prepared(nuclei)
    assert len(both.train) == len(alone.train) + 4  # all but the one that its split.json keeps for testing
    assert [one.name for one in both.validation] == [one.name for one in alone.validation]
    assert both.fingerprint != alone.fingerprint


def test_turning_by_a_right_angle_is_exact_and_mirroring_too() -> None:
    image = np.arange(25, dtype=np.float32).reshape(5, 5)
    labels = image.astype(np.uint16)

    def turned(angle: float, mirrored: bool) -> np.ndarray:
        made = augment.turned(image, labels, centre=(2, 2), shape=(5, 5), angle=angle, zoom=1, mirrored=mirrored)
        np.testing.assert_allclose(made[0], made[1], atol=1e-3)
        return np.asarray(made[1])

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
    monkeypatch.setattr(data, "read_samples", lambda *_: pytest.fail("read again"))
    again = prepared(nuclei, recipe, held=held)
    assert contents(first) == contents(again)
    base = again.train[0].image
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        again.train[0].image[0, 0] = 1.0


def test_what_makes_other_bytes_makes_another_entry(nuclei: Path, held: Cache) -> None:
    for recipe in (
        Recipe(),
        Recipe(contour_px=1),
        Recipe(blank=True),
        Recipe(augmentation=4),
        Recipe(augmentation=4, seed=1),
    ):
        prepared(nuclei, recipe, held=held)
    assert len(entries(held)) == 5
    prepared(nuclei, Recipe(seed=9), held=held)  # nothing is drawn by it: the first entry does
    assert len(entries(held)) == 5


def test_what_cannot_be_read_is_made_again(nuclei: Path, held: Cache) -> None:
    first = contents(prepared(nuclei, held=held))
    (held.folder / entries(held)[0] / "image.npy").write_bytes(b"short")
    assert contents(prepared(nuclei, held=held)) == first
    assert held.load(entries(held)[0]) is not None


def test_a_killed_writer_leaves_nothing_half_made(nuclei: Path, held: Cache) -> None:
    code = (
        "import os, sys; from pathlib import Path; import numpy as np; from trainer.cache import Cache\n"
        "np.save = lambda path, array: (Path(path).write_bytes(b'half'), os.kill(os.getpid(), 9))\n"
        "Cache(Path(sys.argv[1]), 2**20).held('abc', lambda: ([], {'image': np.zeros(9)}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(held.folder)], check=False)
    assert done.returncode == -9
    assert entries(held) == ["abc.making"]
    assert held.load("abc") is None
    index, arrays = held.held("abc", lambda: ([1], {"image": np.ones(3)}))
    assert (index, arrays["image"].tolist()) == ([1], [1, 1, 1])
    assert entries(held) == ["abc"]


def test_two_writers_make_it_once(held: Cache) -> None:
    code = (
        "import sys, time; from pathlib import Path; import numpy as np; from trainer.cache import Cache\n"
        "def make(): print('made', flush=True); time.sleep(1); return [], {'image': np.zeros(9)}\n"
        "print(type(Cache(Path(sys.argv[1]), 2**20).held('k', make)[1]['image']).__name__)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(held.folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert sum(words.count("made") for words in said) == 1
    assert sum(words.count("memmap") for words in said) == 3


def test_it_is_bounded_and_throws_out_what_was_used_longest_ago(held: Cache) -> None:
    def put(key: str) -> bool:
        made = held.held(key, lambda: ([], {"image": np.zeros(2**19)}))  # 4 MiB, two fit
        return isinstance(made[1]["image"], np.memmap)

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
    made = Cache(tmp_path / "file" / "cache", 2**20).held("k", lambda: ([3], {}))
    assert made == ([3], {})
    assert "warning: no cache in" in capsys.readouterr().err


def test_the_index_is_plain_json(nuclei: Path, held: Cache) -> None:
    prepared(nuclei, held=held)
    index = json.loads((held.folder / entries(held)[0] / "index.json").read_text())
    assert [part for part, *_ in index] == ["train"] * 3 + ["validation"] + ["test"]


def test_more_than_the_machine_holds_is_refused_at_once(nuclei: Path) -> None:
    with pytest.raises(InputError, match=r"100,000,000 training images of 96×120 take [\d,]+ GiB"):
        prepared(nuclei, Recipe(augmentation=100_000_000))
