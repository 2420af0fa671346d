"""Where results came from: what a plan found when it was made, and the code that an attempt ran (pure)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

#: So many hex digits of a commit and of a script's digest are kept of each trial: enough to tell any two apart.
DIGITS = 12

#: Stands for what is not known.
UNKNOWN = "-"


class Code(NamedTuple):
    """The code that a trial ran. Empty: not known."""

    commit: str = ""
    script: str = ""
    script_sha256: str = ""

    @property
    def spelled(self) -> str:
        """In one line: commit, digest, and the script's name; empty where nothing is known.

        >>> Code("3f2a9c1b0d4e5f60", "train.py", "9b1c2d3e4f5a6b70").spelled, Code().spelled
        ('3f2a9c1b0d4e 9b1c2d3e4f5a train.py', '')
        """
        if not any(self):
            return ""
        digests = [digest[:DIGITS] or UNKNOWN for digest in (self.commit, self.script_sha256)]
        return " ".join([*digests, self.script]).rstrip()

    @classmethod
    def of(cls, text: str) -> Code:
        """Read what `spelled` wrote; the digests are as short as there.

        >>> Code.of("- 9b1c2d3e4f5a my train.py")
        Code(commit='', script='my train.py', script_sha256='9b1c2d3e4f5a')
        """
        commit, digest, script = [*text.split(" ", 2), "", "", ""][:3]
        return cls(commit.replace(UNKNOWN, ""), script, digest.replace(UNKNOWN, ""))


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `plan` found: who planned, where, and which code and programs were there. Empty or None: not known.

    Attributes
    ----------
    at : float
        When; `version` of sweep. Both are those of the journal's event, which has them itself.
    who, host : str
        The person, and the machine that they planned on.
    folder : str
        Where the trials' commands run.
    commit, branch : str
        What git has there; 40 hex digits, or 64.
    dirty : bool or None
        Whether files that git knows differ from that commit.
    diff : str
        The digest under which the differences are kept; empty: there are none, or they are not kept.
    diff_is_cut : bool
        The differences are longer than what is kept.
    untracked : tuple of str
        Files and folders that git does not know, the first of them: no difference has what is in them.
    untracked_count : int
        How many there are.
    git_problem : str
        Why git said nothing, or not all, in words.
    interpreter, python : str
        The Python that runs the command: its path and version.
    packages : str
        The digest under which the versions of what is installed there are kept; `packages_count` of them.
    python_problem : str
        Why nothing is known of it, in words; empty where the command is none of Python.
    script, script_sha256 : str
        The script that the first trial's command names.
    """

    at: float = 0.0
    version: str = ""
    who: str = ""
    host: str = ""
    folder: str = ""
    commit: str = ""
    branch: str = ""
    dirty: bool | None = None
    diff: str = ""
    diff_is_cut: bool = False
    untracked: tuple[str, ...] = ()
    untracked_count: int = 0
    git_problem: str = ""
    interpreter: str = ""
    python: str = ""
    packages: str = ""
    packages_count: int = 0
    python_problem: str = ""
    script: str = ""
    script_sha256: str = ""

    @property
    def diff_is_known(self) -> bool:
        """Whether all that differs from the commit is known: nothing, or it is kept whole."""
        return self.dirty is False or (bool(self.diff) and not self.diff_is_cut)

    def changes(self, later: Provenance) -> list[str]:
        """Say what is otherwise later. What is not known of both has not changed.

        >>> Provenance(commit="ab", dirty=False).changes(Provenance(commit="cd", dirty=True))
        ['the commit']
        """
        changes = []
        if self.commit and later.commit and self.commit != later.commit:
            changes.append("the commit")
        if self.diff_is_known and later.diff_is_known and self.diff != later.diff:
            changes.append("what differs from it" if changes else "what differs from the commit")
        digests = self.script_sha256, later.script_sha256
        if all(digests) and self.script == later.script and digests[0] != digests[1] and not changes:
            changes.append(f"the script {self.script}")
        return changes
