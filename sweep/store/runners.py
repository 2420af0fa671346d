"""What runs on the nodes, as it is copied into a sweep's folder: a folder for each version of it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from sweep.node import runner
from sweep.store.files import Files, storing

#: What is copied into the folder for the nodes to run.
NODE_FILES = (
    "node.py", "runner.py", "claim.py", "command.py", "processes.py", "bystander.py", "fitness.py",
)  # fmt: skip

#: What is copied as well where jobs are packed.
WORKER_FILES = ("worker.py", "keeper.py", "preload.py")

#: What is copied as well where a rule may end trials.
STOP_FILES = ("stop.py",)


@functools.cache
def _files() -> dict[str, bytes]:
    names = (*NODE_FILES, *WORKER_FILES, *STOP_FILES)
    return {name: Path(runner.__file__).with_name(name).read_bytes() for name in names}


class Runners:
    """The runners in a sweep's folder.

    Parameters
    ----------
    files : Files
        The sweep's folder.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    @property
    def folder(self) -> Path:
        """Where this version's are. Others have their own, which queued scripts call."""
        digest = hashlib.sha256()
        for name, text in _files().items():
            digest.update(f"{name} {len(text)}\n".encode() + text)
        return self._files.path / f"node-{digest.hexdigest()[:8]}"

    def install(self, *, packed: bool = True, stops: bool = True) -> None:
        """Copy this version's into the folder, so that a later upgrade changes no planned sweep."""
        folder = self.folder
        with storing(folder):
            folder.mkdir(exist_ok=True)
        for name, text in _files().items():
            if (name in WORKER_FILES and not packed) or (name in STOP_FILES and not stops):
                continue
            path = folder / name
            with storing(path):
                if path.is_file() and path.read_bytes() == text:
                    continue
            self._files.write(f"{folder.name}/{name}", text)
