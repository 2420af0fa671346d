"""BBBC039 of the Broad Bioimage Benchmark Collection: fetch, check, convert.

200 fields of U2OS nuclei, 520×696, 16-bit TIFF, CC0; Caicedo et al., Cytometry A 95, 2019;
https://bbbc.broadinstitute.org/BBBC039. Its mask PNGs are colourings, not ids. Nuclei that touch have different
colours, and a colour occurs again elsewhere. So the components of each colour are the nuclei.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray
from requests import HTTPError, RequestException, Response
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from skimage.measure import label

from trainer.errors import InputError, TrainerError
from trainer.files.atomic import whole_file
from trainer.files.images import read_any, read_grey, write_png

URL = "https://data.broadinstitute.org/bbbc/BBBC039"

#: The archives and their SHA-256. The values are not from the Broad. Independent projects recorded them when they
#: downloaded version 1, and all agree: torch-em (images and masks) and at least six others.
SHA256 = {
    "images.zip": "6f30a5d4fe38c928ded972704f085975f8dc0d65d9aa366df00e5a9d449fddd7",
    "masks.zip": "f9e6043d8ca56344a4886f96a700d804d6ee982f31e2b2cd3194af2a053c2710",
    "metadata.zip": "a2c1f900bed9ba92a99553efd4c2ae98598433691c7401d818653ab61110deb2",
}

#: metadata/*.txt name the images of each part. The validation images of the challenge are training images here:
#: the trainer draws validation images from those.
PARTS = {"training.txt": "train", "validation.txt": "train", "test.txt": "test"}

TIMEOUT_S = 60


def fetch(to: Path, url: str, count: int, sha256: Mapping[str, str] | None = None) -> str:
    """Fetch the archives, check them, and convert them to images/, masks/ and split.json.

    The archives are kept in ``to/archives`` until the set is complete. An interrupted download goes on.

    Parameters
    ----------
    to : Path
    url : str
        The folder of the three archives.
    count : int
        The number of images that the set must have.
    sha256 : mapping, optional
        What the archives must be, by name. By default `SHA256` where `url` is that of the Broad. From another
        place every archive is accepted, and those that differ from the Broad's are named on stderr.

    Returns
    -------
    str
        What was made, in one line.

    Raises
    ------
    TrainerError
        The server cannot be reached, or gives other files than expected.
    InputError
        The folder cannot be written, or it holds a set already.
    """
    if (to / "split.json").is_file():
        raise InputError(f"there is a set in {str(to)!r} already", "remove it, or choose another folder")
    expected = (SHA256 if url == URL else {}) if sha256 is None else sha256
    archives = to / "archives"
    try:
        archives.mkdir(parents=True, exist_ok=True)
        with _progress() as progress:
            for name in SHA256:
                _download(f"{url.rstrip('/')}/{name}", archives / name, expected.get(name), progress)
        for name, broads in SHA256.items():
            if name not in expected and pooch.file_hash(str(archives / name)) != broads:
                print(f"warning: {name} is not the Broad's: its SHA-256 differs", file=sys.stderr)
            _unpack(archives / name, archives)
        summary = _convert(archives, to, count)
        shutil.rmtree(archives)
    except OSError as error:
        raise InputError(
            f"cannot write {str(to)!r}: {error.strerror or error}", "is there room and permission?"
        ) from None
    return f"{summary} in {to}"


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _download(url: str, path: Path, sha256: str | None, progress: Progress) -> None:
    """Download a file, unless it is there already with this SHA-256."""
    pooch.get_logger().setLevel("WARNING")  # the progress bar is enough
    try:
        pooch.retrieve(
            url, sha256, path.name, path.parent, downloader=_Resuming(path.with_suffix(".part"), progress)
        )
    except HTTPError as error:
        raise TrainerError(f"cannot fetch {path.name}: {error}", "is --url right?") from None
    except RequestException as error:
        raise TrainerError(
            f"cannot fetch {url}: {error}", "is --url right? then try again: it goes on where it ended"
        ) from None
    except ValueError:  # pooch compares the hashes
        raise TrainerError(
            f"{url} is not the expected file: its SHA-256 is not {sha256}",
            "try again: it is fetched anew. If it fails again, the server has another version",
        ) from None


class _Resuming:
    """A downloader for pooch that goes on where an earlier download ended; pooch's own one starts anew.

    Parameters
    ----------
    part : Path
        The file that keeps the bytes of an unfinished download.
    progress : Progress
    """

    def __init__(self, part: Path, progress: Progress) -> None:
        self.part, self.progress = part, progress

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        size_bytes = self.part.stat().st_size if self.part.is_file() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size_bytes}-"} if size_bytes else {})
        with self.part.open("ab") as file:

            def start_anew(answer: Response, **_: Any) -> None:
                if answer.status_code == 200:  # the whole file: a server that knows no ranges
                    file.truncate(0)

            bar = _Bar(self.progress, self.part.with_suffix(".zip").name, size_bytes)
            download = pooch.HTTPDownloader(
                progressbar=bar, headers=headers, timeout=TIMEOUT_S, hooks={"response": start_anew}
            )
            try:
                download(url, file, None)
            except HTTPError as error:
                # 416: no bytes are left, so the part is the whole file.
                if error.response is None or error.response.status_code != 416:
                    raise
        self.part.replace(output_file)


class _Bar:
    """The progress bar that pooch moves, drawn by rich."""

    def __init__(self, progress: Progress, name: str, size_bytes: int) -> None:
        self._progress, self._before = progress, size_bytes
        self._task = progress.add_task(name, total=None, completed=size_bytes)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, remaining_bytes: int) -> None:
        self._progress.update(self._task, total=self._before + remaining_bytes)

    def update(self, size_bytes: int) -> None:
        self._progress.advance(self._task, size_bytes)

    def reset(self) -> None:
        self._progress.update(self._task, completed=self._before)

    def close(self) -> None:
        self._progress.stop_task(self._task)


def _unpack(archive: Path, to: Path) -> None:
    """Unpack an archive, and check the CRC of each file in it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if not name.startswith("__MACOSX")]
            opened.extractall(to, names)  # it checks each CRC, and writes nothing outside the folder
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        archive.unlink()
        raise TrainerError(f"{archive.name} is damaged: {error}", "try again: it is fetched anew") from None


def _convert(archives: Path, to: Path, count: int) -> str:
    images = {path.stem: path for path in _files(archives, "images", ".tif")}
    masks = {path.stem: path for path in _files(archives, "masks", ".png")}
    lonely = sorted(set(images) ^ set(masks))
    if lonely:
        raise TrainerError(f"{lonely[0]!r} is not both in images.zip and in masks.zip", "are they of one release?")
    if len(images) != count:
        raise TrainerError(
            f"images.zip has {len(images)} images, and not {count}", "--images says how many are expected"
        )
    for kind in ("images", "masks"):
        (to / kind).mkdir(exist_ok=True)
    objects = empty = 0
    for stem, path in images.items():
        labels = labels_of(read_any(masks[stem]))
        image = read_grey(path)
        if labels.shape != image.shape:
            raise TrainerError(f"{stem}: the image is {image.shape} and its mask {labels.shape}", "fetch it again")
        write_png(to / "images" / f"{stem}.png", image)
        write_png(to / "masks" / f"{stem}.png", labels.astype(np.uint16))
        objects += int(labels.max())
        empty += not labels.any()
    split = _split(archives, set(images))
    with whole_file(to / "split.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(split, indent=1) + "\n")
    return (
        f"{len(images)} images, {objects:,} nuclei, {empty} empty fields; "
        f"{len(split['train'])} to train on, {len(split['test'])} to test"
    )


def _files(archives: Path, folder: str, suffix: str) -> list[Path]:
    paths = sorted(path for path in (archives / folder).rglob(f"*{suffix}") if not path.name.startswith("."))
    if not paths:
        raise TrainerError(f"{folder}.zip has no {folder}/*{suffix} in it", "is it of BBBC039?")
    return paths


def labels_of(colouring: NDArray[np.generic]) -> NDArray[np.int64]:
    """Turn a colouring into labels: the components of each colour. Black is background.

    Parameters
    ----------
    colouring : ndarray of uint8, shape (rows, columns) or (rows, columns, channels)
        A fourth channel is opacity and is ignored.

    Examples
    --------
    >>> labels_of(np.array([[5, 5, 9, 0, 5]], np.uint8)).tolist()
    [[1, 1, 2, 0, 3]]
    """
    channels = colouring[..., None] if colouring.ndim == 2 else colouring[..., :3]
    code = np.zeros(channels.shape[:2], np.int64)
    for channel in range(channels.shape[-1]):
        code = code * 65_536 + channels[..., channel].astype(np.int64)
    return np.asarray(label(code), dtype=np.int64)


def _split(archives: Path, stems: set[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for name, part in PARTS.items():
        path = next(iter((archives / "metadata").rglob(name)), None)
        if path is None:
            raise TrainerError(f"metadata.zip has no {name}", "is it of BBBC039?")
        named = [Path(line.strip()).stem for line in path.read_text().splitlines() if line.strip()]
        unknown = [stem for stem in named if stem not in stems]
        if unknown:
            raise TrainerError(f"{name} names {unknown[0]!r}, which is not among the images", "fetch it again")
        parts[part] += named
    return {part: sorted(names) for part, names in parts.items()}
