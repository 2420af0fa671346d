"""Which code trials ran, and which ran other code than the rest: answers known by hand."""

from __future__ import annotations

import random

from sweep.leaderboard.entries import Entry
from sweep.leaderboard.origins import codes_of
from sweep.leaderboard.ranking import rank
from sweep.model import Objective, Resources, State, Trial, Verdict
from sweep.state.provenance import Code


def entry(number: int, commit: str = "", script: str = "", digest: str = "", score: float = 0.5) -> Entry:
    trial = Trial(number, f"{number:016x}", {"x": number}, 0, 0, Resources(1, 1, 1), ("true",))
    verdict = Verdict(State.DONE, "", code=Code(commit, script, digest).spelled)
    return Entry(trial, verdict, {"segMeasure": score})


def test_the_fewer_are_the_others() -> None:
    entries = [entry(0, "b" * 40), entry(1, "a" * 40), entry(2, "a" * 40)]
    for _ in range(4):
        codes = codes_of(entries)
        assert codes.commit == "a" * 12
        assert [*codes.other.values()] == [[0]]
        assert codes.words == [
            "1 trial ran other code than the rest, so scores may differ for that alone: "
            "commit bbbbbbb instead of aaaaaaa (trial 0)"
        ]
        assert [codes.label(each.verdict.code) for each in sorted(entries, key=lambda e: e.trial.number)] == [
            "≠ bbbbbbb",
            "aaaaaaa",
            "aaaaaaa",
        ]
        random.shuffle(entries)


def test_of_as_many_the_first_is_the_rest() -> None:
    assert codes_of([entry(1, "b" * 40), entry(0, "a" * 40)]).commit == "a" * 12


def test_what_is_not_known_is_no_difference() -> None:
    assert not codes_of([entry(0), entry(1, "a" * 40), entry(2)]).words
    assert not codes_of([entry(0), entry(1)]).words
    assert not codes_of([]).words
    only_script = [entry(0, "a" * 40, "t.py", "1" * 64), entry(1, "", "t.py", "1" * 64), entry(2, "a" * 40)]
    assert not codes_of(only_script).words


def test_scripts_are_compared_by_name() -> None:
    chosen = [entry(n, "", f"{n % 2}.py", str(n % 2) * 64) for n in range(6)]  # a parameter chooses the script
    assert not codes_of(chosen).words
    codes = codes_of([*chosen, entry(6, "", "0.py", "9" * 64)])
    assert "0.py 9999999 instead of 0000000 (trial 6)" in codes.words[0]
    assert codes.label(Code("", "0.py", "9" * 64).spelled) == "≠ 9999999"


def test_many_are_counted_and_few_are_named() -> None:
    many = [entry(n, "a" * 40) for n in range(30)] + [entry(n, str(n).ljust(40, "0")) for n in range(30, 40)]
    words = codes_of([*many, *(entry(n, "b" * 40) for n in range(40, 52))]).words[0]
    assert words.startswith("22 trials ran other code")
    assert words.endswith("and 8 more")
    assert len(words) < 300


def test_only_what_is_compared_counts() -> None:
    trial = entry(9, "b" * 40)
    failed = Entry(trial.trial, Verdict(State.FAILED, "", code=trial.verdict.code))
    assert not rank([entry(0, "a" * 40), failed], Objective()).codes.words


def test_code_is_read_as_it_is_spelled() -> None:
    for code in (Code(), Code("a" * 40), Code("", "x y.py", "1" * 64), Code("a" * 64, "t.py", "")):
        again = Code.of(code.spelled)
        assert again == Code(code.commit[:12], code.script, code.script_sha256[:12])
