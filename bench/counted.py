"""Run sweep and count what it does, instead of how long it takes: ``counted.py FOLDER COUNTS.json ARGUMENT…``.

It counts sweep's own function calls, the files of the folder that it opens, lists and changes, the lines of trials
and journal that it reads, the processes that it starts, and the heavy modules that it imports. All of these are
the same on every machine, and each of them has once made a command slow.

Only what our own code does is counted. An open by pathlib at our request is ours. An open by filelock or pandas is
theirs, and so is an import of pydantic by typer: their next release may do more of these while our code stays the
same.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

HEAVY = (
    "itables",
    "jinja2",
    "numpy",
    "pandas",
    "plotly",
    "pydantic",
    "ruamel",
    "scipy",
    "skimage",
    "sklearn",
    "tensorflow",
)

#: The interpreter's audit events about files, and what we call them.
FILE_EVENTS = {
    "open": "opened",
    "os.listdir": "listed",
    "os.scandir": "listed",
    **dict.fromkeys(("os.rename", "os.remove", "os.mkdir", "os.link", "os.rmdir"), "changed"),
}

STANDARD_LIBRARY = {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")}
INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def is_standard(file: str) -> bool:
    """Whether a frame's file is the standard library's, the import system's (``<frozen …>``) or this one."""
    if file.startswith("<") or file == __file__:
        return True
    path = os.path.realpath(file)
    return path.startswith(tuple(STANDARD_LIBRARY)) and not any(folder in path for folder in INSTALLED)


def is_ours(frame: FrameType | None, package: str) -> bool:
    """Whether our code did it: the innermost frame outside of the standard library is in the package's folder."""
    while frame is not None and not frame.f_code.co_filename.startswith(package):
        if not is_standard(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return frame is not None


def imports_of(package: str) -> set[str]:
    """Note from now on what the package's modules import, also if a library has imported it before."""
    imported: set[str] = set()
    plain_import = builtins.__import__

    def noting_import(name: str, *arguments: Any, **keywords: Any) -> Any:
        importer = keywords.get("globals", arguments[0] if arguments else None) or {}
        if str(importer.get("__name__")).partition(".")[0] == package:
            imported.add(name.partition(".")[0])
        return plain_import(name, *arguments, **keywords)

    builtins.__import__ = noting_import
    return imported


def main() -> None:
    folder, out = os.path.realpath(sys.argv[1]), sys.argv[2]
    sys.argv = ["sweep", *sys.argv[3:]]
    imported = imports_of("sweep")
    import sweep
    from sweep import cli

    package = str(Path(sweep.__file__).resolve().parent) + os.sep
    counts: Counter[str] = Counter()

    def is_within(path: object) -> bool:
        return isinstance(path, str | bytes | os.PathLike) and str(Path(os.fsdecode(path)).absolute()).startswith(
            folder
        )

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            counts["processes started"] += is_ours(sys._getframe(1), package)
        elif event in FILE_EVENTS and is_within(arguments[0]) and is_ours(sys._getframe(1), package):
            counts[f"files {FILE_EVENTS[event]}"] += 1

    def called(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package):
            counts["own calls"] += 1
            if frame.f_code.co_name in ("trial_of", "event_of"):
                counts["lines read"] += 1

    sys.addaudithook(audit)
    sys.setprofile(called)
    try:
        cli.main()
    finally:
        sys.setprofile(None)
        Path(out).write_text(json.dumps({**counts, "imports": sorted(imported & {*HEAVY})}))


if __name__ == "__main__":
    main()
