"""Variables and modules that are meant for the trials' Python, and would end ours or be run in its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.localbatch import spool
from tests.conftest import Sandbox
from trainer.files.cache import default_folder

Toy = Callable[..., Path]

#: It needs no Python, so none of the variables below can hurt it; it writes down what it was given.
COMMAND = """\
#!/bin/sh
env | grep '^PYTHON' | sort >"given.$1"
echo '{"segMeasure": 1}' >"$SWEEP_RESULT"
"""

#: A module that must not be run.
TRAP = "raise SystemExit('a module of the project was run')\n"


@pytest.fixture
def project(sandbox: Sandbox, toy: Toy) -> Sandbox:
    """A project whose folder has modules that are called as ours and Python's are."""
    for name in ("sweep", "numpy", "pandas", "typing", "enum", "json", "runner", "command", "trainer"):
        sandbox.write(f"{name}.py", TRAP)
        sandbox.write(f"old/{name}.py", TRAP)
    sandbox.write("trial.sh", COMMAND).chmod(0o755)
    assert Path(shutil.which("sweep", path=sandbox.env["PATH"]) or "").parent == Path(sys.executable).parent
    sandbox.env.pop("PYTHONDONTWRITEBYTECODE", None)
    return sandbox


def given(sandbox: Sandbox, x: int) -> dict[str, str]:
    """Return what a trial's command was given of the variables below."""
    lines = (sandbox.path / f"given.{x}").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name in VARIABLES}


#: What kills a Python at its start, or has it run something else.
VARIABLES = {
    "PYTHONPATH": ".:old",
    "PYTHONHOME": "/nowhere",
    "PYTHONHASHSEED": "none",
    "PYTHONWARNINGS": "error",
    "PYTHONINSPECT": "1",
    "PYTHONUTF8": "2",
    "PYTHONMALLOC": "none at all",
    "PYTHONSTARTUP": "sweep.py",
    "PYTHONPLATLIBDIR": "nowhere",
}


@pytest.mark.parametrize("submit", ["{}", "{placement: each}", "{placement: packed, workers: 1}"])
def test_in_the_callers_environment(project: Sandbox, toy: Toy, submit: str) -> None:
    toy(command="[./trial.sh, '{{ x }}']", parameters="{x: [1, 2]}", submit=submit)
    project.env.update(VARIABLES)
    for argv in (["plan"], ["submit"], ["status", "--watch", "--interval", "0.3"]):
        ran = project.run("sweep", *argv)
        assert ran.code == 0, ran.err
    assert "2 done" in project.run("sweep", "status").out
    for x in (1, 2):  # the trials have all of it
        assert given(project, x) == VARIABLES
    assert project.run("sweep", "report").code == 0
    assert project.run("sweep", "doctor").code == 0


@pytest.mark.parametrize("submit", ["{}", "{placement: packed, workers: 1}"])
@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUTF8"])
def test_in_the_grids_environment(project: Sandbox, toy: Toy, submit: str, name: str) -> None:
    toy(
        command="[./trial.sh, '{{ x }}']",
        parameters="{x: [1, 2]}",
        submit=submit,
        environment=f"['export {name}={VARIABLES[name]}']",
    )
    for argv in (["plan"], ["submit"], ["status", "--watch", "--interval", "0.3"]):
        ran = project.run("sweep", *argv)
        assert ran.code == 0, ran.err
    assert "2 done" in project.run("sweep", "status").out
    assert given(project, 1) == {name: VARIABLES[name]}


def test_a_driver(make_fake: Callable[[str], object], project: Sandbox, toy: Toy) -> None:
    make_fake("pbs")
    toy(
        command="[./trial.sh, '{{ x }}']",
        parameters="{x: [1, 2, 3, 4]}",
        scheduler="{kind: pbs}",
        submit="{max_queued: 3, driver: true}",
    )
    project.env.update({name: VARIABLES[name] for name in ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONSTARTUP")})
    # The fake is a Python program itself; what it gives its jobs is what it was given.
    project.env["PYTHONPATH"] = "."
    (project.path / "sweep.py").write_text(TRAP)
    for name in ("typing", "enum", "json", "numpy"):
        (project.path / f"{name}.py").unlink()
    project.env.pop("PYTHONWARNINGS")
    assert project.run("sweep", "plan").code == 0
    assert project.run("sweep", "submit").code == 0
    ran = project.run("sweep", "status", "--watch", "--interval", "0.3")
    assert ran.code == 0, ran.err
    assert "4 done" in project.run("sweep", "status").out, (
        project.path / "results/toy/jobs/driver.log"
    ).read_text()


def test_libraries_of_a_module_are_still_found(sandbox: Sandbox) -> None:
    """Sites add folders to PYTHONPATH. They come last, so they replace nothing of ours."""
    sandbox.write("site/only_there.py", "")
    sandbox.write("site/typer.py", TRAP)
    code = "import sys, sweep.cli; sweep.cli._take_back(); import typer, only_there; print(only_there.__file__)"
    env = {"SWEEP_ASIDE_PYTHONPATH": str(sandbox.path / "site")}
    ran = sandbox.run(sys.executable, "-c", code, env=env)
    assert (ran.code, "only_there.py" in ran.out) == (0, True), ran.err


def test_a_link_to_the_command(project: Sandbox, tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "sweep"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/one").symlink_to(command)
    (tmp_path / "bin/sweep").symlink_to("one")
    project.env["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    ran = project.run("sweep", "--version", env={"PYTHONHOME": "/nowhere"})
    assert (ran.code, ran.out[:6]) == (0, "sweep ")


# --- no home --------------------------------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a name, as containers have them."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "SWEEP_LOCAL_SPOOL", "TRAINER_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)


def test_the_variables_are_looked_at_before_the_home(
    homeless: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(spool.NoSpool):
        spool.spool()
    assert default_folder() is None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert spool.spool().is_relative_to(tmp_path / "state")
    monkeypatch.setenv("SWEEP_LOCAL_SPOOL", str(tmp_path / "spool"))
    assert spool.spool() == tmp_path / "spool"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache/sweep-trainer"
    monkeypatch.setenv("TRAINER_CACHE", "mine")
    assert default_folder() == Path("mine")


def test_without_a_home_one_line_says_what_to_do(sandbox: Sandbox, toy: Toy) -> None:
    nameless = ["unshare", "--user", "--map-user=54321", "--", "env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*nameless, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no user namespaces here: nobody can be a user without a name")
    toy()
    del sandbox.env["SWEEP_LOCAL_SPOOL"]
    sandbox.env.pop("XDG_STATE_HOME", None)
    planned = sandbox.run(*nameless, sys.executable, "-m", "sweep", "plan")
    assert planned.code == 0, planned.err
    ran = sandbox.run(*nameless, sys.executable, "-m", "sweep", "submit")
    assert ran.code == 1
    assert "you have no home folder for the local queue to be kept in" in ran.err
    assert "SWEEP_LOCAL_SPOOL" in ran.err
    assert "Traceback" not in ran.err
    assert sandbox.states() == {"planned": 3}
    named = {"SWEEP_LOCAL_SPOOL": str(sandbox.path.parent / "spool")}
    assert sandbox.run(*nameless, sys.executable, "-m", "sweep", "submit", env=named).code == 0


def test_a_spool_that_cannot_be_written(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.env["SWEEP_LOCAL_SPOOL"] = "/proc/nowhere"
    assert "SWEEP_LOCAL_SPOOL" in sandbox.sweep("plan").err + sandbox.sweep("submit", code=1).err
    assert sandbox.sweep("status", "--json").json["counts"] == {"planned": 3}
