"""BBBC039 of the Broad Bioimage Benchmark Collection: fetch, check, convert.

200 fields of U2OS nuclei, 520×696, 16-bit TIFF, CC0; Caicedo et al., Cytometry A 95, 2019;
https://bbbc.broadinstitute.org/BBBC039. Its mask PNGs are colourings, not ids: touching nuclei have different
colours, and a colour comes again elsewhere, so each colour's components are the nuclei.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from skimage.measure import label

from trainer.errors import InputError, TrainerError
from trainer.files.atomic import whole_file
from trainer.files.images import read_any, read_grey, write_png

URL = "https://data.broadinstitute.org/bbbc/BBBC039"
ARCHIVES = ("images.zip", "masks.zip", "metadata.zip")

#: metadata/*.txt name the images of each part; the challenge's validation images are for training here, as
#: validation images are drawn from those.
PARTS = {"training.txt": "train", "validation.txt": "train", "test.txt": "test"}

TIMEOUT_S = 60
CHUNK_BYTES = 1 << 18


def fetch(to: Path, url: str, count: int) -> str:
    """Fetch the archives, check them, and convert them to images/, masks/ and split.json.

    What has been fetched is kept in ``to/archives`` until the set stands, and an interrupted download goes on.

    Parameters
    ----------
    to : Path
    url : str
        Folder of the three archives.
    count : int
        Images that there should be.

    Returns
    -------
    str
        What was made, in a line.

    Raises
    ------
    TrainerError
        The server cannot be reached or gives other files than promised.
    InputError
        The folder cannot be written, or something else is in it.
    """
    if (to / "split.json").is_file():
        raise InputError(f"there is a set in {str(to)!r} already", "remove it, or choose another folder")
    archives = to / "archives"
    try:
        archives.mkdir(parents=True, exist_ok=True)
        with _progress() as bar:
            for name in ARCHIVES:
                _download(f"{url.rstrip('/')}/{name}", archives / name, bar)
        for name in ARCHIVES:
            _unpack(archives / name, archives)
        said = _convert(archives, to, count)
        shutil.rmtree(archives)
    except OSError as error:
        raise InputError(
            f"cannot write {str(to)!r}: {error.strerror or error}", "is there room and permission?"
        ) from None
    return f"{said} in {to}"


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _download(url: str, path: Path, bar: Progress) -> None:
    """Download a file, from where it was left."""
    if path.is_file():
        return
    part = path.with_suffix(".part")
    have = part.stat().st_size if part.is_file() else 0
    task = bar.add_task(path.name, total=None)
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            if have and answer.status != 206:
                have = 0  # a server that knows no ranges starts anew
            length = answer.headers.get("Content-Length")
            size = have + int(length) if length else None
            bar.update(task, total=size, completed=have)
            _copy(answer, part, have, bar, task)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left of it: the part is the whole, or not this file's
            part.replace(path)
            return
        raise TrainerError(f"{url} answers {error.code} {error.reason}", "is --url right?") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TrainerError(
            f"cannot fetch {url}: {reason}", "is --url right? then try again: it goes on where it ended"
        ) from None
    if size is not None and part.stat().st_size != size:
        raise TrainerError(
            f"{url} broke off after {part.stat().st_size:,} of {size:,} bytes",
            "try again: it goes on where it ended",
        )
    part.replace(path)


def _copy(answer: object, part: Path, have: int, bar: Progress, task: TaskID) -> None:
    with part.open("ab" if have else "wb") as file:
        while block := answer.read(CHUNK_BYTES):  # type: ignore[attr-defined]
            file.write(block)
            bar.update(task, advance=len(block))


def _unpack(archive: Path, to: Path) -> None:
    """Unpack an archive whose every file has the checksum that it promises."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if not name.startswith("__MACOSX")]
            opened.extractall(to, names)  # which checks each file's CRC, and writes nothing outside
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
            f"images.zip has {len(images)} images, and not {count}", "--images says how many to expect"
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
    found = sorted(path for path in (archives / folder).rglob(f"*{suffix}") if not path.name.startswith("."))
    if not found:
        raise TrainerError(f"{folder}.zip has no {folder}/*{suffix} in it", "is it of BBBC039?")
    return found


def labels_of(colouring: NDArray[np.generic]) -> NDArray[np.int64]:
    """Turn a colouring into labels: the components of each colour; black is background.

    Parameters
    ----------
    colouring : ndarray of uint8, shape (rows, columns) or (rows, columns, channels)
        A fourth channel is opacity and says nothing.

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
