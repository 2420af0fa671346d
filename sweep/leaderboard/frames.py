"""The leaderboard, the trials and their results as pandas frames (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from sweep.leaderboard.curves import times
from sweep.leaderboard.entries import Entry, measure, numbers, plain, score_of
from sweep.leaderboard.ranking import Board, Configuration
from sweep.model import Objective, efficiency, memory_percent

#: The columns behind the parameters and the metric, in their order.
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

#: The columns behind the metric where configurations have several trials.
REPLICATED = ("sd", "ci_low", "ci_high", "like_first", "scores", "asked", "confirmed")

#: The leaderboard's own columns. A parameter with such a name becomes ``param.NAME``, a metric ``result.NAME``.
OWN = (
    "rank",
    "trial",
    "interval",
    "replicate",
    "attempt",
    "seed",
    "confirms",
    "test",
    "fails",
    "code_ran",
    *REPLICATED,
    *MEASURES,
)


def leaderboard(board: Board, more: Sequence[str] = ()) -> pd.DataFrame:
    """Make the leaderboard.

    Parameters
    ----------
    board : Board
    more : sequence of str
        Names of further numbers in the results. Each becomes a column, the mean over the trials that count.

    Returns
    -------
    DataFrame
        One row for each configuration, the best first, those without a score last. The columns are

        - ``rank``: 1 is the best; equal scores share a rank; missing without a score;
        - ``trial``: the number of the trial that stands for the configuration;
        - one column for each parameter;
        - the metric under its own name (`OWN` lists names that are taken): the mean of the scores that count;
        - where configurations have several trials: ``sd``, the scores' standard deviation; ``ci_low`` and
          ``ci_high``, the 95 % interval of the mean; ``like_first``, whether the configuration is tied with the
          first, missing where no test is possible; ``scores``, how many scores count; ``asked``, how many would
          if all trials ended well; ``confirmed``;
        - ``test``: the metric on images that no choice has seen, where results have it; it never ranks;
        - the columns of `more`;
        - where the objective requires something: ``fails``, what the configuration does not meet of that;
        - where trials ran other code than the rest: ``code_ran``, see `origins.Codes.label`;
        - ``elapsed_s`` and ``cpu_s``: means, in seconds; ``cpu_percent``: CPU time over the time of all requested
          CPUs, the mean; ``peak_memory_mib``: the highest; ``memory_percent``: the highest share of the requested
          memory; ``witness``: who measured these, ``node`` or ``scheduler``; ``state``, ``reason``, ``id``.
    """
    metric = metric_column(board.objective)
    names = columns_of((configuration.entry for configuration in board.configurations), board.objective)
    rows = []
    for configuration in board.configurations:
        row = _configuration_row(configuration, names, board)
        row["test"] = configuration.test(board.objective)
        row.update({name: _mean([measure(entry, name) for entry in _shown(configuration)]) for name in more})
        rows.append(row)
    has_test = any(not math.isnan(row["test"]) for row in rows)
    columns = ["rank", "trial", *names.values(), metric, *(REPLICATED if board.replicated else ())]
    fails = ["fails"] if board.objective.require else []
    codes = board.codes
    if codes.other:
        fails.append("code_ran")
        for row, configuration in zip(rows, board.configurations, strict=True):
            ran = [entry.verdict.code for entry in _shown(configuration) if entry.verdict.code]
            row["code_ran"] = ", ".join(dict.fromkeys(map(codes.label, ran)))
    columns += [*(["test"] if has_test else []), *more, *fails, *MEASURES]
    return _framed(rows, columns, [metric, *more], [*names.values()])


def trials(entries: Iterable[Entry], objective: Objective) -> pd.DataFrame:
    """Make one row for each trial, by number: parameters, ``replicate``, ``seed``, score, usage and code."""
    by_number = sorted(entries, key=lambda entry: entry.trial.number)
    metric = metric_column(objective)
    names = columns_of(by_number, objective)
    rows = [
        {
            **_trial_row(entry),
            **{column: plain(entry.trial.params.get(name)) for name, column in names.items()},
            metric: score_of(entry, objective),
        }
        for entry in by_number
    ]
    columns = ["trial", *names.values(), "replicate", "seed", "confirms", metric, *MEASURES, "code_ran"]
    return _framed(rows, columns, [metric], [*names.values()])


def results(entries: Iterable[Entry]) -> pd.DataFrame:
    """Make a row of the numbers in each trial's result, indexed by trial number.

    A number inside an object has a column like ``test.f1``.
    """
    by_number = sorted(entries, key=lambda entry: entry.trial.number)
    index = [entry.trial.number for entry in by_number]
    table = pd.DataFrame([_plain_names(numbers(entry.result)) for entry in by_number], index=index)
    table.index.name = "trial"
    return table.astype(float)


def histories(entries: Iterable[Entry], read: Mapping[int, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Make one row for each entry of each trial's history, by the number of the trial.

    Parameters
    ----------
    entries : iterable of Entry
        The trials.
    read : dict
        Trial → the entries of its history.

    Returns
    -------
    DataFrame
        ``trial``; ``entry``, from 1; ``time_s``, when it was written, see `curves.times`; then the numbers that
        the entries hold, float64, under their own names. Those that are called like one of the first three
        become ``history.NAME``.
    """
    own = ("trial", "entry", "time_s")
    rows: list[dict[str, Any]] = []
    for entry in sorted(entries, key=lambda entry: entry.trial.number):
        history = read.get(entry.trial.number, ())
        since_start_s = times(history, entry.verdict.elapsed_s).since_start_s or [math.nan] * len(history)
        for index, record in enumerate(history):
            values = _plain_names(numbers(record))
            values = {f"history.{name}" if name in own else name: value for name, value in values.items()}
            rows.append(
                {"trial": entry.trial.number, "entry": index + 1, "time_s": since_start_s[index], **values}
            )
    table = pd.DataFrame(rows, columns=[*own] if not rows else None)
    return table.astype({name: "int64" if name in own[:2] else "float64" for name in table.columns})


def _plain_names(values: Mapping[str, float]) -> dict[str, float]:
    return {plain(name): value for name, value in values.items()}


def metric_column(objective: Objective) -> str:
    """Return the name of the metric's column: its own name, unless the leaderboard has such a column."""
    return f"result.{objective.metric}" if objective.metric in OWN else objective.metric


def columns_of(entries: Iterable[Entry], objective: Objective) -> dict[str, str]:
    """Map the parameters to their columns: their own names, unless these are taken."""
    taken = {*OWN, objective.metric}
    return {name: f"param.{name}" if name in taken else name for entry in entries for name in entry.trial.params}


def numbers_named(entries: Sequence[Entry], names: Iterable[str], objective: Objective) -> list[str]:
    """Return the names that are numbers in the results and nothing else: neither a column's nor a parameter's."""
    params = {name for entry in entries for name in entry.trial.params}
    taken = {*OWN, objective.metric, *params}
    return [
        name
        for name in dict.fromkeys(names)
        if name not in taken and any(measure(entry, name) is not None for entry in entries)
    ]


def _framed(
    rows: list[dict[str, Any]], columns: list[str], floats: Iterable[str], params: Iterable[str]
) -> pd.DataFrame:
    """Make a frame whose columns have the same types in every sweep, an empty or a half-failed one included.

    The values of parameters stay as they are.
    """
    param_columns = {name: _param_column([row.get(name) for row in rows]) for name in params}
    table = pd.DataFrame({name: param_columns.get(name, [row.get(name) for row in rows]) for name in columns})
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


def _param_column(values: list[Any]) -> Any:
    """Make a parameter's column. Whole numbers stay whole beside missing values; mixed types stay mixed."""
    types = {type(value) for value in values if value is not None}
    whole = types == {int} and all(value is None or abs(value) < 2**63 for value in values)
    if whole and None in values:
        return pd.array(values, dtype="Int64")
    if whole or types in ({float}, {str}, {bool}):
        return values if None not in values or types != {bool} else pd.Series(values, dtype=object)
    return pd.Series(values, dtype=object)


def _trial_row(entry: Entry) -> dict[str, Any]:
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
        "code_ran": verdict.code,
    }


def _shown(configuration: Configuration) -> tuple[Entry, ...]:
    """Return the trials that a configuration's row is about: those that count, or all where none does."""
    return configuration.counted or configuration.entries


def _configuration_row(configuration: Configuration, names: dict[str, str], board: Board) -> dict[str, Any]:
    first = configuration.entry
    row = {column: plain(first.trial.params.get(name)) for name, column in names.items()}
    row |= {
        "rank": configuration.rank,
        metric_column(board.objective): configuration.mean,
        "fails": configuration.fails,
    }
    if len(configuration.entries) == 1:
        return row | _trial_row(first) | _replicated_columns(configuration)
    entries = _shown(configuration)
    verdicts = [entry.verdict for entry in entries]
    memory_percents = [percent for entry in entries if (percent := _memory_percent(entry)) is not None]
    peaks = [verdict.peak_memory_mib for verdict in verdicts if verdict.peak_memory_mib is not None]
    row |= {
        "trial": configuration.number,
        "elapsed_s": _mean([verdict.elapsed_s for verdict in verdicts]),
        "cpu_s": _mean([verdict.cpu_s for verdict in verdicts]),
        "cpu_percent": _mean([_efficiency(entry) for entry in entries]),
        "peak_memory_mib": max(peaks, default=None),
        "memory_percent": max(memory_percents, default=None),
        "witness": _distinct([verdict.witness for verdict in verdicts]),
        "state": _tally([entry.verdict.state.value for entry in configuration.entries]),
        "reason": _tally([entry.verdict.reason for entry in configuration.entries]),
        "id": first.trial.id,
    }
    return row | _replicated_columns(configuration)


def _replicated_columns(configuration: Configuration) -> dict[str, Any]:
    return {
        "sd": configuration.deviation,
        "ci_low": configuration.low,
        "ci_high": configuration.high,
        "like_first": configuration.tied,
        "scores": len(configuration.scores),
        "asked": configuration.asked,
        "confirmed": configuration.confirmed,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _distinct(values: list[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values)))


def _tally(values: list[str]) -> str:
    """Count equal texts: ``done`` where all are, else ``4 done, 1 failed``."""
    counts = {value: values.count(value) for value in dict.fromkeys(values)}
    return ", ".join(f"{n} {value}" for value, n in counts.items()) if len(counts) > 1 else values[0]


def _memory_percent(entry: Entry) -> float | None:
    return memory_percent(entry.verdict.peak_memory_mib, entry.trial.resources.memory_mib)


def _efficiency(entry: Entry) -> float | None:
    return efficiency(entry.verdict.cpu_s, entry.verdict.elapsed_s, entry.trial.resources.cores)
