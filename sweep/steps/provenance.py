"""provenance: look at who plans, and at the code and the programs that are there while they do.

Nothing that cannot be found keeps a plan from being made: what is not known is empty, and the reason is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sweep.errors import SchedulerSilent, count
from sweep.model import State
from sweep.node import claim
from sweep.schedulers.base import Call, CallFailure, Reply, Talk
from sweep.shell import Shell
from sweep.state.ledger import Ledger
from sweep.state.provenance import Provenance
from sweep.store import Store, whoami

#: How long git, and how long an interpreter, may take for one answer. A plan is not worth a longer wait.
GIT_S, PYTHON_S = 10.0, 20.0

#: A longer difference is cut: a data file that git knows may have been changed.
MOST_DIFF_BYTES = 2**20

#: So many files that git does not know are named.
MOST_UNTRACKED = 20

#: Variables that have git look at another repository than the working folder's, or print differences otherwise.
GIT_VARIABLES = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS",
    "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
)  # fmt: skip

#: It changes nothing in the repository, starts none of its programs, and prints a difference as anyone's git does.
GIT = (
    "git",
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "diff.relative=false",
    "-c",
    "core.quotePath=true",
)

#: Lines of the grid's environment that set it up and do nothing else: they may run on the login node as well.
_SETS_UP = re.compile(
    r"((module|ml|source|\.|export|unset) [^;&|<>`(\n]*|(conda|mamba|micromamba) activate [^;&|<>`(\n]*"
    r"|spack (load|env activate) [^;&|<>`(\n]*|eval \"\$\((conda|mamba|micromamba|spack) [\w. -]*\)\")"
    r"(\s*\|\| true)?"
)

#: What an interpreter says of itself. The folder that it was started in is no part of its installation.
_ASKED = """\
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import json
versions = {}
try:
    from importlib.metadata import distributions
    for distribution in distributions():
        about = distribution.metadata
        if about and about["Name"]:
            versions.setdefault(str(about["Name"]), str(about["Version"]))
except ImportError:
    versions = None
print()
print(json.dumps([sys.executable, sys.version.split()[0], versions]))
"""

#: The same in one line, as the log of calls has it.
_CODE = f"exec({_ASKED!r})"


@dataclass(frozen=True)
class Findings:
    """What was found, and the long texts of it, which are kept once each.

    Attributes
    ----------
    texts : dict
        Digest → text: the difference, and the versions of the packages, a line each.
    """

    provenance: Provenance
    texts: dict[str, str] = field(default_factory=dict)


def look(
    store: Store,
    shell: Shell,
    workdir: Path,
    environment: Sequence[str],
    argv: Sequence[str],
    *,
    grid: Path | None = None,
    diff: bool = True,
) -> Findings:
    """Look at the working folder, its repository, and the interpreter of a command.

    Parameters
    ----------
    workdir : Path
        The folder in which the trials' commands run.
    environment : sequence of str
        Shell commands that run before a trial's own.
    argv : sequence of str
        The first trial's command.
    grid : Path, optional
        The grid's file. The sweep's folder keeps it: it is no part of the code.
    diff : bool
        Keep what differs from the commit.
    """
    code = claim.code_of(argv, str(workdir))
    texts: dict[str, str] = {}
    values = {
        "who": whoami(),
        "host": socket.gethostname(),
        "folder": str(workdir),
        **code,
        **_git(shell, workdir, [store.path.parent, *([grid] if grid else [])], texts, diff=diff),
        **_python(shell, workdir, environment, argv, texts),
    }
    # A name that is no text in any encoding: the journal has it as it can be spelled.
    spelled = {name: _text(value) for name, value in values.items()}
    return Findings(msgspec.convert(spelled, Provenance), texts)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return [_text(item) for item in value] if isinstance(value, list) else value


def words(ledger: Ledger, now: Provenance) -> list[str]:
    """Say what git did not, and that what ran already ran other code than what is planned now."""
    notes = []
    if now.git_problem:
        notes.append(f"how the code differs from a commit is not known, and not kept: {now.git_problem}")
    before = ledger.provenance
    ended = sum(verdict.state is State.DONE for _, verdict in ledger.settled.values())
    changes = before.changes(now) if before and ended else []
    if changes:
        notes.append(
            f"since the last plan {' and '.join(changes)} changed: {count(ended, 'trial')} done ran what was "
            "there before, and what runs from now on may not compare with that; a plan under another name keeps "
            "them apart"
        )
    return notes


def digest_of(text: str) -> str:
    """Return the name under which a long text is kept: 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _ask(shell: Shell, call: Call) -> Reply:
    def talk() -> Talk[Reply]:
        return (yield call)

    try:
        return shell.converse(talk())
    except SchedulerSilent as error:  # it could not be started
        return Reply(None, failure=CallFailure.NOT_FOUND, detail=str(error))


# --- git --------------------------------------------------------------------------------------------------


def _git(
    shell: Shell, workdir: Path, apart: Sequence[Path], texts: dict[str, str], *, diff: bool
) -> dict[str, Any]:
    """Ask git what differs from the commit, apart from some paths. What it does not say stays unknown."""
    place = Path(os.path.realpath(workdir))
    root = next((folder for folder in (place, *place.parents) if (folder / ".git").exists()), None)
    if root is None:
        return {}
    inside = [Path(os.path.realpath(path)) for path in apart]
    left_out = [f":(exclude,top,literal){path.relative_to(root)}" for path in inside if root in path.parents]
    options = ("--porcelain=v2", "--branch", "-z", "--untracked-files=normal")
    git = (*GIT, "-C", str(place))
    reply = _ask(shell, Call((*git, "status", *options, "--", ":(top)", *left_out), GIT_S, unset=GIT_VARIABLES))
    if reply.exit_code != 0:
        return {"git_problem": f"git status {_problem(reply)}"}
    status = read_status(reply.stdout)
    if not (status["dirty"] and status["commit"] and diff):
        return status
    shown = ("--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")
    asked = (*git, "diff", *shown, "HEAD", "--", ":(top)", *left_out)
    reply = _ask(shell, Call(asked, GIT_S, unset=GIT_VARIABLES, most_output_bytes=MOST_DIFF_BYTES))
    is_cut = reply.failure is CallFailure.WROTE_TOO_MUCH
    if reply.exit_code != 0 and not is_cut:
        return {**status, "git_problem": f"git diff {_problem(reply)}"}
    if reply.stdout:
        status |= {"diff": digest_of(reply.stdout), "diff_is_cut": is_cut}
        texts[status["diff"]] = reply.stdout
    return status


def _problem(reply: Reply) -> str:
    return f"failed: {reply.summary}" if reply.exit_code else reply.summary


def read_status(text: str) -> dict[str, Any]:
    r"""Read ``git status --porcelain=v2 --branch -z`` (git-status(1)).

    >>> read_status("# branch.oid (initial)\0# branch.head main\0? a b.py\0")
    {'commit': '', 'branch': 'main', 'dirty': False, 'untracked': ['a b.py'], 'untracked_count': 1}
    """
    commit = branch = ""
    dirty, untracked = False, []
    fields = iter(text.split("\0"))
    for entry in fields:
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            commit = value if name == "branch.oid" and value != "(initial)" else commit
            branch = value if name == "branch.head" and value != "(detached)" else branch
        elif kind == "?":
            untracked.append(rest)
        elif kind in ("1", "2", "u"):
            dirty = True
            if kind == "2":
                next(fields, None)  # the name that it had before
    return {
        "commit": commit,
        "branch": branch,
        "dirty": dirty,
        "untracked": sorted(untracked)[:MOST_UNTRACKED],
        "untracked_count": len(untracked),
    }


# --- Python -----------------------------------------------------------------------------------------------


def _python(
    shell: Shell, workdir: Path, environment: Sequence[str], argv: Sequence[str], texts: dict[str, str]
) -> dict[str, Any]:
    """Ask the interpreter of a Python command for its version and for those of what is installed."""
    interpreter = interpreter_of(argv, workdir)
    if not interpreter:
        return {}
    if environment:
        parts = [part.strip() for line in environment for part in line.split("&&")]
        odd = next((part for part in parts if not _SETS_UP.fullmatch(part)), None)
        if odd is not None:
            words = f"{odd!r} of its environment may do more than set it up, and so runs on a node alone"
            return {"python_problem": words}
        lines = [f"{line}\n[ $? -eq 0 ] || exit 3" for line in environment]
        end = f"exec {shlex.join([interpreter, '-c', _CODE])} >&3"
        script = "\n".join(["exec 3>&1 1>&2", f"cd -- {shlex.quote(str(workdir))} || exit 3", *lines, end])
        asked: tuple[str, ...] = ("bash", "-c", script)
    else:
        asked = (interpreter, "-c", _CODE)
    reply = _ask(shell, Call(asked, PYTHON_S, unset=("PYTHONSTARTUP", "PYTHONINSPECT")))
    if reply.exit_code != 0:
        return {"python_problem": f"{interpreter} {_problem(reply)}"}
    with contextlib.suppress(ValueError, TypeError):
        path, version, versions = json.loads(reply.stdout.splitlines()[-1])
        return {"interpreter": path, "python": version} | _packages(versions, texts)
    return {"python_problem": f"{interpreter} did not say what is installed"}


def _packages(versions: Mapping[str, str] | None, texts: dict[str, str]) -> dict[str, Any]:
    if versions is None:
        return {"python_problem": "it is older than 3.8, and does not say what is installed"}
    lines = sorted((f"{name}=={version}" for name, version in versions.items()), key=str.lower)
    text = "".join(f"{line}\n" for line in lines)
    digest = digest_of(text)
    texts[digest] = text
    return {"packages": digest, "packages_count": len(lines)}


def interpreter_of(argv: Sequence[str], workdir: Path) -> str:
    """Return the Python that runs a command: its first word, or what a script's first line names. Empty: none."""
    word = argv[0] if argv else ""
    if "/" in word:
        word = os.path.join(workdir, word)  # noqa: PTH118 - of an absolute one it is that
    if _is_python(word):
        return word
    path = shutil.which(word)
    if not path:
        return ""
    try:
        with Path(path).open("rb") as program:
            line, following = program.readline(512), program.readline(2048)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return ""
    words = line[2:].decode("utf-8", "replace").split()
    # A first line can have neither a space in a path nor a long one: pip then writes a shell script of one line.
    if words == ["/bin/sh"] and following.startswith(b"'''exec' "):
        with contextlib.suppress(ValueError):
            words = shlex.split(following.decode("utf-8", "replace"))
    named = [word for word in words if _is_python(word)]
    return named[0] if named and words.index(named[0]) <= 1 else ""


def _is_python(word: str) -> bool:
    return re.fullmatch(r"(python|pypy)[0-9.]*", os.path.basename(word)) is not None  # noqa: PTH119
