"""Arrays and a JSON text in one npz file: the form of checkpoints and of model files."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.files.atomic import whole_file


def save_npz(path: Path, about: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays by name and a JSON text, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with whole_file(path) as file:
        np.savez(file, **{**arrays, "about": np.frombuffer(about.encode(), np.uint8)})  # type: ignore[arg-type]


def load_npz(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """Read what `save_npz` wrote.

    Returns
    -------
    (dict, dict of str to ndarray) or None
        The JSON object and the arrays. None if the file is missing, damaged or of another form.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes())
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return (about, arrays) if isinstance(about, dict) else None
