"""BBBC039: fetched from a server on this machine, with archives of the same form."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.trainer.conftest import Trainer
from trainer.data import bbbc039, synth
from trainer.errors import InputError, TrainerError
from trainer.files.images import read_grey

FIELDS = 5


def archives() -> dict[str, bytes]:
    """Make the three archives: 16-bit TIFFs, RGBA colourings, lists of names; one field is empty."""
    files: dict[str, dict[str, bytes]] = {"images.zip": {}, "masks.zip": {}, "metadata.zip": {}}
    random = np.random.default_rng(0)
    names = [f"IXMtest_A{number:02d}_s1_w1" for number in range(FIELDS)]
    for number, name in enumerate(names):
        image, labels = synth.make_image(random, 96, 112)
        if number == 2:
            labels[:] = 0
        tiff, png = io.BytesIO(), io.BytesIO()
        tifffile.imwrite(tiff, image.astype(np.uint16) * 200)
        Image.fromarray(coloured(labels)).save(png, "PNG")
        files["images.zip"][f"images/{name}.tif"] = tiff.getvalue()
        files["masks.zip"][f"masks/{name}.png"] = png.getvalue()
        files["masks.zip"][f"__MACOSX/masks/._{name}.png"] = b"junk of a Mac"
    for part, part_names in (("training", names[:3]), ("validation", names[3:4]), ("test", names[4:])):
        files["metadata.zip"][f"metadata/{part}.txt"] = "\n".join(f"{name}.png" for name in part_names).encode()
    contents = {}
    for archive, members in files.items():
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as opened:
            for name, content in members.items():
                opened.writestr(name, content)
        contents[archive] = stream.getvalue()
    return contents


def coloured(labels: np.ndarray) -> np.ndarray:
    """Colour nuclei with three colours in turn, so that a colour comes again; neighbours mostly differ."""
    palette = np.array([[0, 0, 0, 255], [255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]], np.uint8)
    return palette[np.where(labels > 0, labels % 3 + 1, 0)]


class Server:
    """Serves archives. It supports byte ranges if `ranges` is set, and breaks off once after `break_at` bytes."""

    def __init__(self) -> None:
        self.files = archives()
        self.ranges, self.break_at = True, 0
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/set"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name, byte_range = request.path.rpartition("/")[2], request.headers.get("Range")
        self.requests.append((name, byte_range))
        if name not in self.files:
            request.send_error(404)
            return
        content = self.files[name]
        start = int(byte_range.removeprefix("bytes=").removesuffix("-")) if byte_range and self.ranges else 0
        if start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        end, self.break_at = (self.break_at or len(content)), 0
        request.wfile.write(content[start:end])


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_it_fetches_and_converts(server: Server, tmp_path: Path, trainer: Trainer) -> None:
    ran = trainer("data", "bbbc039", "--to", tmp_path / "set", "--url", server.url, "--images", FIELDS)
    assert "5 images" in ran.out
    assert "1 empty fields; 4 to train on, 1 to test" in ran.out
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["images", "masks", "split.json"]
    image = read_grey(next((tmp_path / "set" / "images").iterdir()))
    assert image.dtype == np.uint16
    assert image.shape == (96, 112)
    # The third field is empty, and seed 0 would draw it alone to validate on.
    assert "nothing wrong" in trainer("data", "check", tmp_path / "set", "--seed", 1).out
    again = trainer("data", "bbbc039", "--to", tmp_path / "set", "--url", server.url, code=2)
    assert "there is a set in" in again.err


def test_each_colours_components_are_the_nuclei() -> None:
    _, labels = synth.make_image(np.random.default_rng(1), 128, 128)
    recovered = bbbc039.labels_of(coloured(labels))
    same = labels % 3  # neighbours of one colour are one component: no colouring tells them apart
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), recovered.ravel(), strict=True)}
    assert all((a == 0) == (b == 0) for a, b in pairs)
    for _, b in pairs:
        assert len({int(same[labels == a][0]) for a, other in pairs if other == b}) == 1
    assert recovered.max() >= 0.8 * len(np.unique(labels[labels > 0]))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.break_at, server.ranges = 3000, ranges
    with pytest.raises(TrainerError) as caught:
        bbbc039.fetch(tmp_path / "set", server.url, FIELDS)
    assert "goes on where it ended" in caught.value.hint
    size = (tmp_path / "set/archives/images.part").stat().st_size
    assert 2000 < size <= 3000  # the last block of 1024 bytes may be lost
    assert "5 images" in bbbc039.fetch(tmp_path / "set", server.url, FIELDS)
    assert server.requests[1] == ("images.zip", f"bytes={size}-")
    assert not (tmp_path / "set/archives").exists()


def test_an_interruption_between_the_last_byte_and_the_rename(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set/archives").mkdir(parents=True)
    (tmp_path / "set/archives/images.part").write_bytes(server.files["images.zip"])
    assert "5 images" in bbbc039.fetch(tmp_path / "set", server.url, FIELDS)


def broken(content: bytes) -> bytes:
    middle = len(content) // 3
    return content[:middle] + b"\0" * 40 + content[middle + 40 :]


def deflated_and_broken(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return broken(stream.getvalue())


def without(content: bytes, part: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            if part not in name:
                new.writestr(name, old.read(name))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("archive", "spoil", "message"),
    [
        ("images.zip", broken, "images.zip is damaged"),
        ("images.zip", lambda content: content[:-500], "images.zip is damaged"),
        ("images.zip", deflated_and_broken, "images.zip is damaged"),
        (
            "masks.zip",
            lambda content: without(content, "masks/IXMtest_A01"),
            "is not both in images.zip and in masks.zip",
        ),
        ("images.zip", lambda content: without(content, "images/"), "has no images/*.tif in it"),
        ("metadata.zip", lambda content: without(content, "test.txt"), "has no test.txt"),
    ],
)
def test_damaged_and_incomplete_archives_are_refused(
    server: Server, tmp_path: Path, archive: str, spoil: object, message: str
) -> None:
    good = server.files[archive]
    server.files[archive] = spoil(good)  # type: ignore[operator]
    with pytest.raises(TrainerError) as caught:
        bbbc039.fetch(tmp_path / "set", server.url, FIELDS)
    assert message in str(caught.value)
    assert not (tmp_path / "set/split.json").exists()  # no set that looks whole


def test_other_counts_and_places(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="has 5 images, and not 200"):
        bbbc039.fetch(tmp_path / "a", server.url, 200)
    with pytest.raises(TrainerError, match="404"):
        bbbc039.fetch(tmp_path / "b", f"{server.url}/x", FIELDS) if server.files.pop("images.zip") else None
    with pytest.raises(TrainerError, match=r"cannot fetch notaurl/images\.zip: Invalid URL"):
        bbbc039.fetch(tmp_path / "e", "notaurl", FIELDS)
    with pytest.raises(TrainerError, match="cannot fetch"):
        bbbc039.fetch(tmp_path / "c", "http://127.0.0.1:9", FIELDS)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        bbbc039.fetch(tmp_path / "file" / "d", server.url, FIELDS)


def test_the_split_keeps_the_sets_own_test_images(server: Server, tmp_path: Path) -> None:
    bbbc039.fetch(tmp_path / "set", server.url, FIELDS)
    split = json.loads((tmp_path / "set/split.json").read_text())
    assert split["test"] == ["IXMtest_A04_s1_w1"]
    assert len(split["train"]) == 4


def hashes(server: Server) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in server.files.items()}


def test_the_archives_are_those_of_the_hashes(server: Server, tmp_path: Path) -> None:
    expected = hashes(server)
    with pytest.raises(TrainerError, match=r"masks\.zip is not the expected file: its SHA-256 is not 00"):
        bbbc039.fetch(tmp_path / "set", server.url, FIELDS, {**expected, "masks.zip": "00"})
    names = sorted(path.name for path in (tmp_path / "set/archives").iterdir())
    assert names == ["images.zip"]  # nothing is kept that is not as expected
    assert "5 images" in bbbc039.fetch(tmp_path / "set", server.url, FIELDS, expected)
    assert [name for name, _ in server.requests].count(
        "images.zip"
    ) == 1  # what is here already is not fetched again


def test_an_archive_that_changed_on_disk_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set/archives").mkdir(parents=True)
    (tmp_path / "set/archives/images.zip").write_bytes(b"half")
    assert "5 images" in bbbc039.fetch(tmp_path / "set", server.url, FIELDS, hashes(server))


def test_the_broads_archives_are_pinned(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without other hashes, the pinned ones are required at the Broad's own URL. Elsewhere a difference is a warning."""
    assert "5 images" in bbbc039.fetch(tmp_path / "a", server.url, FIELDS)
    assert "warning: images.zip is not the Broad's" in capsys.readouterr().err
    monkeypatch.setattr(bbbc039, "URL", server.url)
    with pytest.raises(TrainerError, match="its SHA-256 is not 6f30a5d4"):
        bbbc039.fetch(tmp_path / "b", server.url, FIELDS)
    assert all(len(pin) == 64 for pin in bbbc039.SHA256.values())
