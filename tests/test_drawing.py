"""The drawing of imports, on a small made-up tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.drawing import drawing

ROOT = Path(__file__).parent.parent

TREE = {
    "sweep/__init__.py": '__version__ = "1"\ndef load():\n    from sweep.verbs.look import look\n',
    "sweep/errors.py": "import json\n",
    "sweep/model.py": "from sweep.errors import Wrong\nfrom sweep import __version__\n",
    "sweep/store/__init__.py": '"""A face."""\nfrom sweep.store.folder import Store as Store\nfrom sweep.store.lock import hold\n',
    "sweep/store/folder.py": "from sweep.model import Trial\nfrom .lock import hold\nfrom . import lock\n",
    "sweep/store/lock.py": "from ..errors import Wrong\n",
    "sweep/verbs/__init__.py": "",
    "sweep/verbs/look.py": "from sweep.store import Store, hold\n",
    "sweep/verbs/send.py": "def send():\n    import sweep.store.folder\n",
    "trainer/__init__.py": "",
    "trainer/fit.py": "from trainer.step import step\nimport sweepstakes\n",
    "trainer/step.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trainer.fit import Fit\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_whole_has_a_room_a_folder_and_one_for_the_trainer(tree: Path) -> None:
    whole = drawing(tree)
    assert whole.pairs == [
        ("__init__", "verbs"),
        ("model", "errors"),
        ("store", "errors"),
        ("store", "model"),
        ("verbs", "store"),
    ]
    assert whole.floors == {"errors": 1, "trainer": 1, "model": 2, "store": 3, "verbs": 4, "__init__": 5}
    assert (whole.circles, whole.upward) == ([], [])


def test_a_face_is_no_room_and_leads_to_the_files_behind_it(tree: Path) -> None:
    files = drawing(tree, "sweep", files=True)
    assert files.arrows["verbs/look"] == {"store/folder", "store/lock"}
    assert files.arrows["verbs/send"] == {"store/folder"}  # within a function
    assert files.arrows["store/folder"] == {"model", "store/lock"}
    assert drawing(tree, "sweep/store").pairs == [("folder", "lock")]


def test_a_face_that_is_imported_as_a_whole_leads_to_all_behind_it(tree: Path) -> None:
    (tree / "sweep/verbs/look.py").write_text("from sweep import store\n")
    assert drawing(tree, "sweep", files=True).arrows["verbs/look"] == {"store/folder", "store/lock"}


def test_a_circle_is_seen_and_stands_on_one_floor(tree: Path) -> None:
    trainer = drawing(tree, "trainer")
    assert trainer.circles == [["fit", "step"]]
    assert trainer.upward == [("fit", "step"), ("step", "fit")]
    assert trainer.floors == {"fit": 1, "step": 1}
    (tree / "sweep/errors.py").write_text("import sweep.verbs.send\n")
    assert drawing(tree).circles == [["errors", "model", "store", "verbs"]]
    assert drawing(tree).floors == {"errors": 1, "model": 1, "store": 1, "verbs": 1, "__init__": 2, "trainer": 1}


def test_the_text_of_it(tree: Path) -> None:
    command = [sys.executable, "-m", "tests.drawing", "trainer", "--root", str(tree)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == (
        "2 rooms, 2 arrows, 1 floor\n"
        "\n"
        "floor 1\n"
        "  fit → step\n"
        "  step → fit\n"
        "\n"
        "circles: fit, step\n"
        "arrows upward: fit → step, step → fit\n"
    )
