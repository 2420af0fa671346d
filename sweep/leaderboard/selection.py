"""``--where "state == 'failed' and lr > 0.1"``: one language selects trials and configurations (pure).

It is the language of the grid's expressions. A trial is selected by its parameters, by the `FIELDS` that say how
it stands, and by the numbers in its result; a configuration by its row of the leaderboard (`filters.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sweep.errors import UsageError
from sweep.grid.expressions import LANGUAGE, Expression, ExpressionError, names_in
from sweep.leaderboard.entries import Entry, measure, numbers
from sweep.model import Cause, Objective, State, Trial, efficiency, memory_percent

#: How many results are searched for a name.
SEARCHED_RESULTS = 1000

EXAMPLE = "for instance: state == 'failed' and lr > 0.1"

#: What is so of a trial, beside its parameters. A parameter with such a name is reached by ``params['state']``.
FIELDS: Mapping[str, Callable[[Entry], Any]] = {
    "trial": lambda entry: entry.trial.number,
    "id": lambda entry: entry.trial.id,
    "replicate": lambda entry: entry.trial.replicate,
    "seed": lambda entry: entry.trial.seed,
    "confirms": lambda entry: entry.confirms,
    "state": lambda entry: entry.verdict.state.value,
    "cause": lambda entry: entry.verdict.cause.value,
    "reason": lambda entry: entry.verdict.reason,
    "host": lambda entry: entry.verdict.host,
    "witness": lambda entry: entry.verdict.witness,
    "elapsed_s": lambda entry: entry.verdict.elapsed_s,
    "cpu_s": lambda entry: entry.verdict.cpu_s,
    "cpu_percent": lambda entry: efficiency(
        entry.verdict.cpu_s, entry.verdict.elapsed_s, entry.trial.resources.cores
    ),
    "peak_memory_mib": lambda entry: entry.verdict.peak_memory_mib,
    "memory_percent": lambda entry: memory_percent(
        entry.verdict.peak_memory_mib, entry.trial.resources.memory_mib
    ),
}

#: Any number that is missing: neither more nor less than anything. One object, by which equal rows are found.
MISSING = float("nan")


class TrialPredicate:
    """An expression that is true of some trials.

    Parameters
    ----------
    text : str
        The expression. A name is a field of `FIELDS`, else a parameter, else a number in the results.
    trials : collection of Trial
        Those that there are: their parameters are names.

    Attributes
    ----------
    needs_results : bool
        It names something that only a result has.
    hidden : list of str
        The names in it that are parameters as well, and mean the field.

    Raises
    ------
    UsageError
        The expression does not parse.
    """

    def __init__(self, text: str, trials: Collection[Trial]) -> None:
        self.text = text
        self._params = {name for trial in trials for name in trial.params}
        values = {value for trial in trials for value in trial.params.values() if isinstance(value, str)}
        self._texts = (values | {*map(str, State), *map(str, Cause)}) - FIELDS.keys() - self._params
        try:
            self._used = names_in(text) - (LANGUAGE - self._params)
        except ExpressionError as error:
            raise refusal(text, error, self._texts, EXAMPLE) from None
        self.needs_results = bool(self._used - FIELDS.keys() - self._params - {"params"})
        self.hidden = sorted(self._used & self._params & FIELDS.keys())

    def __call__(self, entries: Sequence[Entry], objective: Objective) -> list[Entry]:
        """Return the entries that it is true of. UsageError if it has an unknown name, or fails on a value."""
        with_results = [entry for entry in entries if entry.result][:SEARCHED_RESULTS]
        measured = {name for entry in with_results for name in numbers(entry.result)} | {objective.metric}
        names = {name for name in {*FIELDS, *self._params, *measured} if name.isidentifier()}
        matches = matching(
            self.text,
            frozenset({*names, "params"}),
            ((f"trial {entry.trial.number}", self._row(entry)) for entry in entries),
            self._texts,
            EXAMPLE,
        )
        return [entry for entry, fits in zip(entries, matches, strict=True) if fits]

    def _row(self, entry: Entry) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name in self._used:
            if name == "params":
                row[name] = entry.trial.params
            elif name in FIELDS:
                value = FIELDS[name](entry)
                row[name] = MISSING if value is None else value
            elif name in self._params:
                row[name] = entry.trial.params.get(name, MISSING)
            else:
                value = measure(entry, name)
                row[name] = MISSING if value is None else value
        return row


def matching(
    text: str,
    names: frozenset[str],
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    texts: Collection[str],
    example: str,
) -> list[bool]:
    """Say of each row whether an expression is true of it.

    Parameters
    ----------
    names : frozenset of str
        The names that the expression may use.
    rows : iterable of (str, mapping)
        What a row is called, for an error that is about it, and its values by name.
    texts : collection of str
        Texts that occur as values: without quotes, one of them is a mistake.
    example : str
        An expression that could be used, for a hint.

    Raises
    ------
    UsageError
        The expression does not parse, has an unknown name, or fails on a value.
    """
    place = ""
    values: Mapping[str, Any] = {}

    def seen() -> Iterator[Mapping[str, Any]]:
        nonlocal place, values
        for name, row in rows:
            place, values = name, row
            yield row

    try:
        predicate = Expression(text, names)
        return [bool(predicate(row)) for row in seen()]
    except ExpressionError as error:
        shown = ", ".join(f"{name} is {value!r}" for name, value in values.items() if name != "params")
        raise refusal(text, error, texts, f"in {place}, {shown}" if place and shown else example) from None


def refusal(text: str, error: ExpressionError, texts: Collection[str], hint: str) -> UsageError:
    """Make the error of an expression that cannot be used. `hint` is what to say where nothing better is known."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)
    if re.search(r"(?<![=!<>])=(?!=)", bare):
        return UsageError(f"--where: {error}", "write == to compare")
    unquoted = [word for word in re.findall(r"[A-Za-z_]\w*", bare) if word in texts]
    if unquoted:
        return UsageError(f"--where: {error}", f"put texts in quotes: '{unquoted[0]}'")
    return UsageError(f"--where: {error}", error.hint or hint)
