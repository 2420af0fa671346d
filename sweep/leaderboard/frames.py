"""The leaderboard, the trials and their results as pandas frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from sweep.leaderboard.entries import Entry, measure, numbers, plain, score_of
from sweep.leaderboard.ranking import Board, Configuration
from sweep.model import Objective, efficiency, memory_percent

#: The columns that are no parameter, in the order they stand behind the parameters.
MEASURES = (
    "elapsed_s",
    "cpu_s",
    "cpu_percent",
    "peak_memory_mib",
    "memory_percent",
    "witness",
    "state",
    "reason",
    "id",
)

#: What is added where there are replicates, behind the metric.
REPLICATED = ("sd", "ci_low", "ci_high", "like_first", "scores", "asked", "confirmed")

#: The leaderboard's own columns. A parameter so called is shown as ``param.NAME``, a metric as ``result.NAME``.
OWN = ("rank", "trial", "interval", "replicate", "attempt", "seed", "confirms", "test", *REPLICATED, *MEASURES)


def leaderboard(board: Board, more: Sequence[str] = ()) -> pd.DataFrame:
    """Write a board as a frame.

    Parameters
    ----------
    board : Board
    more : sequence of str
        Further numbers of the results to show, each as the mean over the trials that count.

    Returns
    -------
    DataFrame
        A row a configuration, the best first, those without a score last, in the order

        - ``rank``: 1 is the best; equal scores share a rank; missing where there is no score;
        - ``trial``: the number of the trial that stands for it;
        - a column a parameter;
        - the metric, under its own name (see `OWN` for names that are taken), the mean of the scores that count;
        - where there are replicates: ``sd``, their standard deviation; ``ci_low`` and ``ci_high``, the 95 %
          interval of the mean; ``like_first``, whether it cannot be told from the first (missing: nothing to
          compare by); ``scores`` and ``asked``, how many count of how many that would; ``confirmed``;
        - ``test``, the metric on images that no choice has seen, where results have one; it never ranks;
        - the columns of `more`;
        - ``elapsed_s`` and ``cpu_s`` in seconds (means), ``cpu_percent`` (CPU over elapsed and CPUs asked for),
          ``peak_memory_mib`` (the highest), ``memory_percent`` (of what was asked for), ``witness`` (whose figures
          these are: the ``node`` or the ``scheduler``), ``state``, ``reason``, ``id``.
    """
    metric = metric_column(board.objective)
    names = columns_of((one.entry for one in board.configurations), board.objective)
    tested = {one.number: one.test(board.objective) for one in board.configurations}
    has_test = any(value == value for value in tested.values())
    rows = []
    for one in board.configurations:
        row = _of_configuration(one, names, board)
        row["test"] = tested[one.number]
        row.update({name: _mean([measure(entry, name) for entry in _counted(one)]) for name in more})
        rows.append(row)
    columns = ["rank", "trial", *names.values(), metric, *(REPLICATED if board.replicated else ())]
    columns += [*(["test"] if has_test else []), *more, *MEASURES]
    return _framed(rows, columns, [metric, *more], [*names.values()])


def trials(entries: Iterable[Entry], objective: Objective) -> pd.DataFrame:
    """Write a row a trial, by number: its parameters, ``replicate``, ``seed``, score, and what it used."""
    known = sorted(entries, key=lambda one: one.trial.number)
    metric = metric_column(objective)
    names = columns_of(known, objective)
    rows = [
        {
            **_of_trial(one),
            **{column: plain(one.trial.params.get(name)) for name, column in names.items()},
            metric: score_of(one, objective),
        }
        for one in known
    ]
    columns = ["trial", *names.values(), "replicate", "seed", "confirms", metric, *MEASURES]
    return _framed(rows, columns, [metric], [*names.values()])


def results(entries: Iterable[Entry]) -> pd.DataFrame:
    """Write the numbers of each trial's result, ``test.f1`` for one inside an object, by trial number."""
    known = sorted(entries, key=lambda one: one.trial.number)
    table = pd.DataFrame([numbers(one.result) for one in known], index=[one.trial.number for one in known])
    table.index.name = "trial"
    return table.astype(float)


def metric_column(objective: Objective) -> str:
    """Name the metric's column: its own name, unless that is one of the leaderboard's."""
    return f"result.{objective.metric}" if objective.metric in OWN else objective.metric


def columns_of(entries: Iterable[Entry], objective: Objective) -> dict[str, str]:
    """Name the parameters' columns: their own names, unless they are taken."""
    taken = {*OWN, objective.metric}
    return {name: f"param.{name}" if name in taken else name for entry in entries for name in entry.trial.params}


def _framed(
    rows: list[dict[str, Any]], columns: list[str], floats: Iterable[str], params: Iterable[str]
) -> pd.DataFrame:
    """Give every column one type, that of an empty or a half-failed sweep too; no parameter's value changes."""
    given = {name: _column([row.get(name) for row in rows]) for name in params}
    table = pd.DataFrame({name: given.get(name, [row.get(name) for row in rows]) for name in columns})
    numeric = [*floats, "sd", "ci_low", "ci_high", "test", "elapsed_s", "cpu_s", "cpu_percent", "peak_memory_mib",
               "memory_percent"]  # fmt: skip
    types: dict[str, Any] = dict.fromkeys(numeric, "float64") | dict.fromkeys(("rank", "scores", "asked"), "Int64")
    types |= {
        "like_first": "boolean",
        "confirmed": "bool",
        "confirms": "bool",
        "trial": "int64",
        "replicate": "int64",
    }
    types |= {"seed": "int64"}
    return table.astype({name: kind for name, kind in types.items() if name in table.columns})


def _column(values: list[Any]) -> Any:
    """Make a parameter's column: whole numbers beside nothing stay whole, different types what they are."""
    types = {type(value) for value in values if value is not None}
    whole = types == {int} and all(value is None or abs(value) < 2**63 for value in values)
    if whole and None in values:
        return pd.array(values, dtype="Int64")
    if whole or types in ({float}, {str}, {bool}):
        return values if None not in values or types != {bool} else pd.Series(values, dtype=object)
    return pd.Series(values, dtype=object)


def _of_trial(entry: Entry) -> dict[str, Any]:
    trial, verdict = entry.trial, entry.verdict
    return {
        "trial": trial.number,
        "replicate": trial.replicate,
        "seed": trial.seed,
        "confirms": entry.confirms,
        "elapsed_s": verdict.elapsed_s,
        "cpu_s": verdict.cpu_s,
        "cpu_percent": _efficiency(entry),
        "peak_memory_mib": verdict.peak_memory_mib,
        "memory_percent": _memory_percent(entry),
        "witness": verdict.witness,
        "state": verdict.state.value,
        "reason": verdict.reason,
        "id": trial.id,
    }


def _counted(one: Configuration) -> list[Entry]:
    return list(one.counted or one.entries)


def _of_configuration(one: Configuration, names: dict[str, str], board: Board) -> dict[str, Any]:
    first = one.entry
    row = {column: plain(first.trial.params.get(name)) for name, column in names.items()}
    row |= {"rank": one.rank, metric_column(board.objective): one.mean}
    if len(one.entries) == 1:
        return row | _of_trial(first) | _sureness(one)
    some = _counted(one)
    verdicts = [entry.verdict for entry in some]
    peaks = [verdict.peak_memory_mib for verdict in verdicts if verdict.peak_memory_mib is not None]
    row |= {
        "trial": one.number,
        "elapsed_s": _mean([verdict.elapsed_s for verdict in verdicts]),
        "cpu_s": _mean([verdict.cpu_s for verdict in verdicts]),
        "cpu_percent": _mean([_efficiency(entry) for entry in some]),
        "peak_memory_mib": max(peaks, default=None),
        "memory_percent": max((v for entry in some if (v := _memory_percent(entry)) is not None), default=None),
        "witness": _all([verdict.witness for verdict in verdicts]),
        "state": _tally([entry.verdict.state.value for entry in one.entries]),
        "reason": _tally([entry.verdict.reason for entry in one.entries]),
        "id": first.trial.id,
    }
    return row | _sureness(one)


def _sureness(one: Configuration) -> dict[str, Any]:
    return {"sd": one.deviation, "ci_low": one.low, "ci_high": one.high, "like_first": one.tied,
            "scores": len(one.scores), "asked": one.asked, "confirmed": one.confirmed}  # fmt: skip


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _all(values: list[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values)))


def _tally(values: list[str]) -> str:
    """Sum up what the replicates' states are: ``done``, or ``4 done, 1 failed``."""
    counts = {value: values.count(value) for value in dict.fromkeys(values)}
    return ", ".join(f"{n} {value}" for value, n in counts.items()) if len(counts) > 1 else values[0]


def _memory_percent(entry: Entry) -> float | None:
    return memory_percent(entry.verdict.peak_memory_mib, entry.trial.resources.memory_mib)


def _efficiency(entry: Entry) -> float | None:
    return efficiency(entry.verdict.cpu_s, entry.verdict.elapsed_s, entry.trial.resources.cpus)
