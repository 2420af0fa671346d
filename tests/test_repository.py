"""The rules for the repository's own files."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

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
    """A script in bench/ once imported bench/queue.py instead of Python's own queue, and failed."""
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


# --- the locks --------------------------------------------------------------------------------------------------

LOCKS = {"requirements.lock": ["3.11", "3.12", "3.13", "3.14"], "requirements-oldest.lock": ["3.11"]}


def asked_for() -> list[Requirement]:
    """List what README's two commands install by pyproject.toml, without the project itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(line) for line in project["dependencies"] + extras["trainer-cpu"] + extras["dev"]]
    for requirement in [entry for entry in asked if entry.name == project["name"]]:
        asked.remove(requirement)
        asked += [Requirement(line) for extra in requirement.extras for line in extras[extra]]
    return asked


def pinned(lock: str, python: str) -> dict[str, str]:
    """Read a lock: name and version of what it installs into a Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    lines = (ROOT / lock).read_text().splitlines()
    pins = [Requirement(line.rstrip("\\ ")) for line in lines if "==" in line and not line.startswith((" ", "#"))]
    return {
        pin.name: str(pin.specifier).removeprefix("==")
        for pin in pins
        if not pin.marker or pin.marker.evaluate(environment)
    }


@pytest.mark.parametrize(("lock", "python"), [(lock, python) for lock in LOCKS for python in LOCKS[lock]])
def test_a_lock_has_all_that_the_project_asks_for(lock: str, python: str) -> None:
    pins = pinned(lock, python)
    for requirement in asked_for():
        name = requirement.name.lower().replace("_", "-").replace(".", "-")
        assert name in pins, f"{lock} has no {name}: make update"
        assert requirement.specifier.contains(pins[name]), (
            f"{requirement}, and {lock} has {pins[name]}: make update"
        )


def test_the_oldest_lock_has_nothing_newer_of_what_is_asked_for() -> None:
    """Or it is another lock's copy."""
    oldest, newest = pinned("requirements-oldest.lock", "3.11"), pinned("requirements.lock", "3.11")
    names = [requirement.name.lower().replace("_", "-").replace(".", "-") for requirement in asked_for()]
    assert all(Version(oldest[name]) <= Version(newest[name]) for name in names)
    assert sum(oldest[name] != newest[name] for name in names) > len(names) / 2


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    pins = re.findall(r"^(\S+==\S+.*\n.*)\n", (ROOT / lock).read_text(), re.MULTILINE)
    assert len(pins) > 50
    for pin in pins:
        assert "--hash=sha256:" in pin, pin


def test_a_commit_is_checked_as_make_lint_checks() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    linted = recipe[1].replace("$(VENV_PYTHON)", ".venv/bin/python").split("\n\t")
    hooks = re.findall(r"^ +entry: (.*)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    assert hooks == [line.strip() for line in linted]
