"""Whether trials ran the same code, and which ran other code than the rest (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sweep.leaderboard.entries import Entry
from sweep.state.provenance import Code

#: So many digits of a commit or a digest are shown, as git does.
SHOWN_DIGITS = 7

#: Stands before code that is not the rest's.
OTHER = "≠ "

#: So many pieces of other code are named, and so many trials of each.
MAX_CODES, MAX_TRIALS = 3, 8


@dataclass(frozen=True)
class Codes:
    """Which code some trials ran.

    Attributes
    ----------
    commit : str
        The commit that most of them ran; of those that as many ran, the one of the first trial.
    digests : dict
        Script → the digest that it had for most of them.
    other : dict
        The code of the trials that ran another → their numbers. Empty: all ran the same, as far as it is known.
    commits_differ, scripts_differ : bool
        What there are several of.
    """

    commit: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[Code, Sequence[int]] = field(default_factory=dict)
    commits_differ: bool = False
    scripts_differ: bool = False

    def label(self, spelled: str) -> str:
        """Name the code of a trial by what differs between the trials; ``≠`` marks what is not the rest's."""
        code = Code.of(spelled)
        parts = [code.commit] * self.commits_differ + [code.script_sha256] * self.scripts_differ
        mark = OTHER if self.is_other(code) else ""
        return mark + " ".join(part[:SHOWN_DIGITS] or "?" for part in parts)

    def is_other(self, code: Code) -> bool:
        """Whether this is known to be other code than the rest's. What is not known is no difference."""
        usual = self.digests.get(code.script, "")
        return bool(code.commit and code.commit != self.commit) or bool(
            code.script_sha256 and code.script_sha256 != usual
        )

    @property
    def words(self) -> list[str]:
        """Say which trials ran other code, before anyone compares them; nothing where none did."""
        if not self.other:
            return []
        count = sum(map(len, self.other.values()))
        named = [self._difference(code, numbers) for code, numbers in [*self.other.items()][:MAX_CODES]]
        more = [f"and {len(self.other) - MAX_CODES} more"] if len(self.other) > MAX_CODES else []
        trials = "1 trial" if count == 1 else f"{count:,} trials"
        which = "; ".join([*named, *more])
        return [f"{trials} ran other code than the rest, so scores may differ for that alone: {which}"]

    def _difference(self, code: Code, numbers: Sequence[int]) -> str:
        pairs = [("commit", code.commit, self.commit)]
        pairs.append((code.script, code.script_sha256, self.digests.get(code.script, "")))
        differing = [
            f"{what} {own[:SHOWN_DIGITS]} instead of {usual[:SHOWN_DIGITS]}"
            for what, own, usual in pairs
            if own and own != usual
        ]
        some = ", ".join(map(str, numbers[:MAX_TRIALS])) + (" …" if len(numbers) > MAX_TRIALS else "")
        return f"{', '.join(differing)} (trial {some})"


def codes_of(entries: Iterable[Entry]) -> Codes:
    """Find out which code most of these trials ran, and which ran another.

    Scripts are compared by name: where a parameter chooses the script, each has its own digest.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.trial.number):
        if entry.verdict.code:
            numbers[entry.verdict.code].append(entry.trial.number)
    codes = {Code.of(text): trials for text, trials in numbers.items()}
    commits: Counter[str] = Counter()
    digests: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for code, trials in codes.items():
        if code.commit:
            commits[code.commit] += len(trials)
        if code.script_sha256:
            digests[code.script][code.script_sha256] += len(trials)
    usual = Codes(
        commits.most_common(1)[0][0] if commits else "",
        {script: counts.most_common(1)[0][0] for script, counts in digests.items()},
        {},
        len(commits) > 1,
        any(len(counts) > 1 for counts in digests.values()),
    )
    other = {code: trials for code, trials in codes.items() if usual.is_other(code)}
    return Codes(usual.commit, usual.digests, other, usual.commits_differ, usual.scripts_differ)
