"""What `make` does before anything else: .venv from the lock, with small packages from a folder, and what may fail."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKE = shutil.which("make") or "make"

#: Python 3.11 first came with the first of these, 3.12 with the other; SHA-256 of the wheels. Newer Pythons never came
#: with a pip that resolves `two[more]` although it is to install what a lock says.
OLDEST_PIP = {
    (3, 11): ("22.3", "1daab4b8d3b97d1d763caeb01a4640a2250a0ea899e257b1e44b9eded91e15ab"),
    (3, 12): ("23.2.1", "7ccf472345f20d35bdc9d1841ff5f313260c2c33fe417f48c30ac46cccabf5be"),
}

BACKEND = """\
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "project-1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        for file, text in {files!r}.items():
            wheel.writestr(file, text)
    return name
"""


def wheel_files(name: str, version: str, *needs: str) -> dict[str, str]:
    """Write a wheel's files: an empty module and its metadata."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"version = '{version}'\n",
        f"{info}/METADATA": metadata + "".join(f"{line}\n" for line in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{file},sha256={digest},{len(text)}\n"
    return {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}


def write_wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """Write a wheel; returns its line of a lock."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in wheel_files(name, version, *needs).items():
            wheel.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Checkout:
    """A small project with this repository's Makefile, a lock of three packages, and a folder as the index."""

    def __init__(self, folder: Path) -> None:
        self.path, self.index, self.bin = folder / "check out", folder / "index", folder / "bin"
        for made in (self.path / ".ci", self.index, self.bin, folder / "tmp"):
            made.mkdir(parents=True)
        shutil.copy(ROOT / "Makefile", self.path)
        shutil.copy(ROOT / ".ci" / "step", self.path / ".ci")
        lock = ""
        for version in ("1", "2"):  # the lock has the first, and a newer one is there as well
            lines = [
                write_wheel(self.index, "one", version, "Requires-Dist: two[more]>=1"),
                write_wheel(
                    self.index, "two", version, "Provides-Extra: more", "Requires-Dist: three; extra == 'more'"
                ),
                write_wheel(self.index, "three", version),
            ]
            lock = lock or "".join(lines)
        (self.path / "requirements.lock").write_text(lock)
        (self.path / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        files = wheel_files("project", "1", "Requires-Dist: one")
        (self.path / "backend.py").write_text(BACKEND.format(files=files))
        # Nothing of this machine's: no settings of pip, and no variables of the make that runs the tests.
        self.env = {
            "PATH": os.pathsep.join([str(self.bin), os.environ["PATH"]]),
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.index.as_uri(),  # a space would part it in two
        }

    def program(self, name: str, text: str) -> Path:
        """Write a program that PATH finds first."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def make(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Make .venv, and nothing else."""
        return subprocess.run(
            [MAKE, ".venv/ready", *argv],
            cwd=self.path,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def makes_it(self, **env: str) -> None:
        """Make .venv, and compare what is installed with the lock."""
        done = self.make(**env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No broken requirements found." in done.stdout
        listed = subprocess.run(
            [
                self.path / ".venv/bin/python",
                "-c",
                "import one, two, three; print(one.version, two.version, three.version)",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert listed.stdout == "1 1 1\n"

    def fails_with(self, line: str, *argv: str, **env: str) -> None:
        """Make .venv, which fails with one line that says why, and leaves nothing behind."""
        done = self.make(*argv, **env)
        assert done.returncode != 0
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert len(errors) == 1, done.stdout + done.stderr
        assert line in errors[0]
        assert not (self.path / ".venv").exists()


#: Its `-m venv` makes one whose pip is the one of the tests: ensurepip takes seconds.
QUICK_PYTHON = """\
#!/bin/sh
case "$*" in
    "-m venv "*) "{python}" "$@" --without-pip && for site in .venv/lib/python3*/site-packages; do ln -sfn "{pip}" "$site/pip"; done ;;
    *) exec "{python}" "$@" ;;
esac
"""


def quick_python(checkout: Checkout) -> None:
    pip = importlib.util.find_spec("pip")
    if not pip or not pip.submodule_search_locations:
        pytest.skip("no pip beside the tests. To try it: make test")
    checkout.program("python3", QUICK_PYTHON.format(python=sys.executable, pip=pip.submodule_search_locations[0]))


def slow_python(checkout: Checkout) -> None:
    checkout.program("python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    quick_python(checkout)
    return checkout


# --- exactly what the lock says ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the oldest pip that this Python came with; without an index, skip."""
    if sys.version_info[:2] not in OLDEST_PIP:
        pytest.skip(
            "every pip of this Python installs what a lock says. To try it: make clean test PYTHON=python3.11"
        )
    version, digest = OLDEST_PIP[sys.version_info[:2]]
    folder = tmp_path_factory.mktemp("pip")
    (folder / "lock").write_text(f"pip=={version} --hash=sha256:{digest}\n")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-r", "lock"]
    done = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"no pip {version} to try: no package index answers. To try it: connect to the network")
    return next(folder.glob("*.whl"))


@pytest.fixture
def with_old_pip(checkout: Checkout, old_pip: Path) -> Checkout:
    """Let `python3 -m venv` bring the old pip."""
    checkout.program(
        "python3",
        f"""#!{sys.executable}
import pathlib, subprocess, sys, zipfile
argv = sys.argv[1:]
venv = argv[:2] == ["-m", "venv"]
done = subprocess.run([sys.executable, *argv, *(["--without-pip"] if venv else [])])
if venv:
    [site] = pathlib.Path(argv[-1]).glob("lib/python3*/site-packages")
    zipfile.ZipFile({str(old_pip)!r}).extractall(site)
sys.exit(done.returncode)
""",
    )
    return checkout


def test_installed_is_what_the_lock_says(checkout: Checkout) -> None:
    """By the pip that this Python's venv brings."""
    slow_python(checkout)
    checkout.makes_it()


def test_the_oldest_pip_installs_what_the_lock_says(with_old_pip: Checkout) -> None:
    with_old_pip.makes_it()


def test_the_oldest_pip_needs_to_be_told_not_to_resolve(with_old_pip: Checkout) -> None:
    """Or the test above would show nothing."""
    makefile = with_old_pip.path / "Makefile"
    text = makefile.read_text()
    assert text.count("--no-deps --require-hashes") == 1
    makefile.write_text(text.replace("--no-deps --require-hashes", "--require-hashes"))
    done = with_old_pip.make()
    assert done.returncode != 0
    assert "In --require-hashes mode" in done.stderr


# --- what may fail ----------------------------------------------------------------------------------------------


def fails_at(checkout: Checkout, argv: str, words: str) -> None:
    """Let python3, and the python of its .venv, fail at a command, with these words."""
    real = checkout.program("real", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    checkout.program(
        "python3",
        f"""#!/bin/sh
case "$*" in
    {argv}) [ -d .venv ] || mkdir .venv; echo "{words}"; exit 1 ;;
    "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip "*) ;;
    *) exec "{real}" "$@" ;;
esac
""",
    )


def works_again(checkout: Checkout) -> None:
    quick_python(checkout)
    checkout.makes_it()


def test_a_python_without_venv(checkout: Checkout) -> None:
    """Debian's python3 without python3-venv says this, and leaves half of one."""
    fails_at(
        checkout,
        '"-m venv "* | "-c import ensurepip"*',
        "The virtual environment was not created successfully because ensurepip is not",
    )
    checkout.fails_with("apt-get install python3-venv")
    works_again(checkout)


def test_a_full_disk_stops_pip(checkout: Checkout) -> None:
    words = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    fails_at(checkout, '"-m pip install "*requirements.lock', words)
    checkout.fails_with("a disk is full")
    works_again(checkout)


@pytest.fixture
def small_disk(checkout: Checkout) -> Iterator[None]:
    """Put the checkout on a file system on which no venv has room."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(checkout.path)]
    copy = checkout.path.with_name("copy")
    shutil.copytree(checkout.path, copy)
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs needs the right to mount one. To try it: be root")
    shutil.copytree(copy, checkout.path, dirs_exist_ok=True)
    yield
    subprocess.run(["umount", "--lazy", str(checkout.path)], check=False)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_stops_venv(checkout: Checkout) -> None:
    """It does not say why."""
    slow_python(checkout)
    checkout.fails_with("a disk is full")


def test_a_network_that_is_not_there(checkout: Checkout) -> None:
    """Nobody listens on this port: pip's own words."""
    no_network = {"PIP_INDEX_URL": "https://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_NO_INDEX": "0"}
    checkout.fails_with("the package index does not answer", **no_network, PIP_FIND_LINKS="")
    works_again(checkout)


def test_another_fault_of_the_set_up(checkout: Checkout) -> None:
    lock = checkout.path / "requirements.lock"
    text = lock.read_text()
    lock.write_text(text.replace("sha256:", "sha256:0000"))
    checkout.fails_with("the set-up failed")
    lock.write_text(text)
    works_again(checkout)


def test_no_python_at_all(checkout: Checkout) -> None:
    (checkout.bin / "python3").unlink()
    for tool in ("sh", "bash", "echo", "test"):
        (checkout.bin / tool).symlink_to(shutil.which(tool) or tool)
    checkout.fails_with(
        "no Python of 3.11 or newer on PATH; install one, or name it: make PYTHON=", PATH=str(checkout.bin)
    )


@pytest.mark.parametrize("what", ["old", "nowhere"])
def test_a_named_python_that_will_not_do(checkout: Checkout, what: str) -> None:
    checkout.program("old", "#!/bin/sh\nexit 1\n")
    python = checkout.bin / what
    checkout.fails_with(f"no Python of 3.11 or newer: PYTHON is {python}; install one", f"PYTHON={python}")


def test_what_was_killed_half_way_is_made_anew(checkout: Checkout) -> None:
    checkout.makes_it()
    (checkout.path / ".venv/ready").unlink()
    left_over = checkout.path / ".venv/left-over"
    left_over.touch()
    (checkout.path / ".venv/bin/python").unlink()
    checkout.makes_it()
    assert not left_over.exists()


def test_a_changed_lock_is_installed_into_the_venv_that_is_there(checkout: Checkout) -> None:
    """What is installed already stays: it is minutes of waiting."""
    checkout.makes_it()
    kept = checkout.path / ".venv/kept"
    kept.touch()
    later = (checkout.path / ".venv/ready").stat()[stat.ST_MTIME] + 2
    os.utime(checkout.path / "requirements.lock", (later, later))
    checkout.makes_it()
    assert kept.exists()
