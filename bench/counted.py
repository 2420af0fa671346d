"""Run sweep and count what it does, instead of how long it takes: ``counted.py FOLDER COUNTS.json ARGUMENT…``.

Counted are its own function calls, the files of the folder that it opens, lists and changes, the lines of trials
and journal that it reads, the processes that it starts, and which heavy modules it imports. All of these are the
same on every machine, and each has once been what made a command slow.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

HEAVY = (
    "jinja2",
    "numpy",
    "pandas",
    "plotly",
    "pydantic.main",
    "ruamel.yaml",
    "scipy",
    "skimage",
    "sklearn",
    "tensorflow",
)

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.link", "os.rmdir")


def main() -> None:
    folder, out = os.path.realpath(sys.argv[1]), sys.argv[2]
    sys.argv = ["sweep", *sys.argv[3:]]
    from sweep import cli

    package = str(Path(cli.__file__).resolve().parent.parent)
    counts: Counter[str] = Counter()

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            counts["processes started"] += 1
        elif event == "open" or event in CHANGES or event in ("os.listdir", "os.scandir"):
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike) and str(Path(os.fsdecode(path)).absolute()).startswith(
                folder
            ):
                kind = "opened" if event == "open" else "changed" if event in CHANGES else "listed"
                counts[f"files {kind}"] += 1

    def called(frame: Any, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package):
            counts["own calls"] += 1
            if frame.f_code.co_name in ("trial_of", "object_of"):
                counts["lines read"] += 1

    sys.addaudithook(audit)
    sys.setprofile(called)
    try:
        cli.main()
    finally:
        sys.setprofile(None)
        loaded = sorted(name.partition(".")[0] for name in HEAVY if name in sys.modules)
        Path(out).write_text(json.dumps({**counts, "imports": loaded}))


if __name__ == "__main__":
    main()
