"""What the repository promises about its own files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("bench", "examples", "sweep", "tests", "trainer")


def runs_as_a_script(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return text.startswith("#!") or bool(re.search(r'^if __name__ == "__main__":', text, re.MULTILINE))


def script_folders(root: Path) -> set[Path]:
    """Find the folders that Python searches before its own library, because a file in them is run."""
    folders = {path.parent for name in SOURCES for path in (root / name).rglob("*.py") if runs_as_a_script(path)}
    return {root, *folders}


def shadows(root: Path) -> Iterator[str]:
    """List the modules that a script beside them would import instead of the standard library's."""
    for folder in sorted(script_folders(root)):
        for path in sorted(folder.iterdir()):
            is_module = path.suffix == ".py" or (path / "__init__.py").is_file()
            if is_module and path.stem in sys.stdlib_module_names - {"__main__"}:
                yield str(path.relative_to(root))


def test_no_file_shadows_the_standard_library() -> None:
    """A script in bench/ once imported bench/queue.py instead of Python's own queue, and died of it."""
    assert list(shadows(ROOT)) == []


@pytest.mark.parametrize("name", ["queue.py", "signal/__init__.py"])
def test_a_file_that_shadows_the_standard_library_is_seen(tmp_path: Path, name: str) -> None:
    for path, text in (
        ("bench/run.py", 'if __name__ == "__main__":\n    pass\n'),
        (f"bench/{name}", ""),
        ("sweep/html.py", ""),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert list(shadows(tmp_path)) == [f"bench/{name.partition('/')[0]}"]
