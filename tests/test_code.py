"""The code that a trial is about to run: the commit by git's files, compared with git; the script and its digest."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sweep.node.claim import code_of, commit_of, script_of

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="no git here. To try it: apt-get install git")

#: Nobody's own settings, and an author.
OF_GIT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *words],
        cwd=folder,
        env=OF_GIT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, at an awkward place."""
    folder = tmp_path / "it's a 'repö'"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "train.py").write_text("print(1)\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_is_that_of_git(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert len(head) == 40
    assert commit_of(str(repository)) == head
    (repository / "a" / "b").mkdir(parents=True)
    assert commit_of(str(repository / "a" / "b")) == head
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    assert commit_of(str(repository)) == head
    git(repository, "checkout", "-q", "-b", "topic/one")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert commit_of(str(repository)) == git(repository, "rev-parse", "HEAD") != head
    git(repository, "checkout", "-q", "--detach", head)
    assert commit_of(str(repository)) == head


def test_a_worktree_has_its_own_commit_and_a_submodule_too(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "third")
    assert commit_of(str(tmp_path / "tree")) == git(tmp_path / "tree", "rev-parse", "HEAD") != head
    git(tmp_path / "tree", "pack-refs", "--all")
    assert commit_of(str(tmp_path / "tree")) == git(tmp_path / "tree", "rev-parse", "HEAD")
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "add", "-q", str(repository), "sub")
    assert (outer / "sub/.git").is_file()
    assert commit_of(str(outer / "sub")) == head
    assert commit_of(str(outer)) == ""  # a repository without a commit


def test_a_symbolic_branch_and_digests_of_64_digits(repository: Path, tmp_path: Path) -> None:
    git(repository, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    git(repository, "symbolic-ref", "HEAD", "refs/heads/alias")
    assert commit_of(str(repository)) == git(repository, "rev-parse", "HEAD")
    longer = tmp_path / "longer"
    longer.mkdir()
    git(longer, "init", "-q", "--object-format=sha256")
    git(longer, "commit", "-q", "--allow-empty", "-m", "first")
    assert commit_of(str(longer)) == git(longer, "rev-parse", "HEAD")
    assert len(commit_of(str(longer))) == 64


def test_what_is_no_repository_has_no_commit(tmp_path: Path, repository: Path) -> None:
    assert commit_of(str(tmp_path)) == commit_of(str(tmp_path / "missing")) == ""
    (tmp_path / "file").write_text("")
    assert commit_of(str(tmp_path / "file")) == ""
    inner = repository / "inner"  # git passes over a folder .git that is none of its own
    (inner / ".git").mkdir(parents=True)
    assert commit_of(str(inner)) == git(inner, "rev-parse", "HEAD")
    for text in ("", "ref: refs/heads/none\n", "ref: ../../secret\n", "no commit\n", "ref: HEAD\n"):
        (repository / ".git/HEAD").write_text(text)
        assert commit_of(str(repository)) == ""


@pytest.mark.parametrize(
    ("argv", "script"),
    [
        (["python", "train.py", "conf.yaml"], "train.py"),
        (["/opt/venv/bin/python3.11", "-u", "-W", "ignore", "train.py"], "train.py"),
        (["bash", "run.sh", "train.py"], "run.sh"),
        (["./run.sh", "train.py"], "./run.sh"),
        (["srun", "-n", "4", "python", "train.py"], "train.py"),
        (["srun", "-n", "4", "./run.sh"], "./run.sh"),
        (["python", "-m", "package", "train.py"], "package/__main__.py"),
        (["python", "-m", "package.part"], "package/part.py"),
        (["python", "-m", "installed", "train.py"], "train.py"),  # as torch.distributed.run starts it
        (["python", "-m", "installed", "conf.yaml"], ""),
        (["mpirun", "--hostfile", "hosts", "python", "train.py"], "train.py"),
        (["mpirun", "--hostfile", "hosts", "./run.sh"], "./run.sh"),
        (["accelerate", "launch", "--config_file", "conf.yaml", "train.py"], "train.py"),
        (["srun", "./program"], "./program"),
        (["python", "-c", "print()", "train.py"], ""),
        (["bash", "-c", "true", "run.sh"], ""),
        (["python", "-"], ""),
        (["python", "missing.py"], ""),
        (["python", "/dev/null"], ""),
        (["trainer", "train", "train.py"], ""),
        (["python", "pipe"], ""),
        (["python", "big.sif", "train.py"], "train.py"),
        (["python", "-m"], ""),
        (["python", "a\0b"], ""),
        (["python"], ""),
        ([], ""),
    ],
)
def test_the_script_that_a_command_names(tmp_path: Path, argv: list[str], script: str) -> None:
    (tmp_path / "package").mkdir()
    for name in ("program", "hosts", "train.py", "run.sh", "conf.yaml", "package/__main__.py", "package/part.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "program").chmod(0o755)
    with (tmp_path / "big.sif").open("wb") as image:
        image.truncate(2**24 + 1)
    os.mkfifo(tmp_path / "pipe")
    assert script_of(argv, str(tmp_path)) == script
    digest = hashlib.sha256((tmp_path / script).read_bytes()).hexdigest() if script else ""
    assert code_of(argv, str(tmp_path)) == {"commit": "", "script": script, "script_sha256": digest}


def test_a_script_that_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "train.py").chmod(0)
    if os.access(tmp_path / "train.py", os.R_OK):
        pytest.skip("root reads every file. To try it: run the tests as another user")
    assert code_of(["python", "train.py"], str(tmp_path))["script_sha256"] == ""
