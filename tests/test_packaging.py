"""The wheel, in a clean environment elsewhere; the promises of README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Sandbox

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_has_what_it_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {"sweep", "trainer"}
    assert [name.split("/")[1:] for name in names if ".data/" in name] == [["scripts", "sweep"]]
    templates = {path.name for path in (ROOT / "templates").iterdir()}
    assert {name.split("/")[-1] for name in names if name.startswith("sweep/templates/")} == templates
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_works_in_a_clean_environment(wheel: Path, sandbox: Sandbox) -> None:
    """Its dependencies alone, no TensorFlow, none of this checkout on the path."""
    pins = [line.rstrip("\\ ") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    constraints = sandbox.write("pins.txt", "\n".join(pins))  # without hashes: the wheel has none
    folder = sandbox.path.parent / "venv"
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    done = sandbox.run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        "--constraint",
        str(constraints),
        str(wheel),
        timeout_s=280,
    )
    assert done.code == 0, done.err
    assert "tensorflow" not in sandbox.run(python, "-m", "pip", "list").out
    sweep = str(folder / "bin" / "sweep")
    sandbox.env["PATH"] = f"{folder / 'bin'}:{sandbox.env['PATH']}"
    assert sandbox.run(sweep, "init", "--scheduler", "local").code == 0
    command = "python -c \"import json, os, sys; json.dump({'segMeasure': float(sys.argv[1])}, open(os.environ['SWEEP_RESULT'], 'w'))\" {{ x }}"
    sandbox.write(
        "grid.yaml",
        f"name: t\ncommand: {json.dumps(command)}\nparameters: {{x: [1, 2]}}\nresources: {{memory: 50MiB}}\n",
    )
    for argv in (["plan"], ["submit"], ["status", "--watch", "--interval", "0.3"], ["report"]):
        ran = sandbox.run(sweep, *argv)
        assert ran.code == 0, ran.err
    assert "best: trial 1, segMeasure 2.0000" in ran.out


def test_every_dependency_gives_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    for line in listed.splitlines()[1:-2]:
        assert re.search(r'^\s+"[^"]+",\s+# \w', line), f"no reason: {line}"


def test_the_version_is_one() -> None:
    from sweep import __version__

    assert __version__ == PROJECT["version"]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_readmes_two_commands_are_make_targets() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_grids_in_the_docs_are_grids() -> None:
    from sweep.grid import expand, read

    count = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            if block.startswith("name:"):
                grid, source = read(block, page.name)
                assert expand(grid, source, {"HOME": "/home/user"})
                count += 1
    assert count >= 2
