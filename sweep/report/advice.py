"""What to do next, in words: the same lines on a terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweep.report import spelling

if TYPE_CHECKING:
    from sweep.leaderboard.advice import Advice
    from sweep.leaderboard.analysis import Analysis

#: The largest number of parameters that are named in one line.
MAX_NAMED = 6


def lines(analysis: Analysis) -> Iterator[str]:
    """Say what the scores say to do next, without what a forest has to be asked; nothing if that is nothing."""
    advice, metric = analysis.advice, analysis.objective.metric
    for edge in advice.edges:
        own, *more = (spelling.parameter_value(value) for value in (edge.value, *edge.values))
        where = f"the best has {edge.parameter} = {own}, the last value that was tried"
        yield f"{where}, and scores get better towards it: go on with {', '.join(more)}"
    yield from _of_cost(advice, metric)
    for failing in advice.failing:
        causes = ", ".join(failing.causes)
        value = spelling.shortened(spelling.parameter_value(failing.value), 60)
        which = f"all {failing.trials} trials with {failing.parameter} = {value}"
        yield f"{which} failed ({causes}): leave it out, or mend that"


def _of_cost(advice: Advice, metric: str) -> Iterator[str]:
    cheaper, confirmation = advice.cheaper, advice.confirmation
    if cheaper:
        own, of_best = spelling.hours(cheaper.core_h), spelling.hours(cheaper.best_core_h)
        score = spelling.score(cheaper.score)
        why = f"may be the best as well, and takes {own} core-hours a run, not {of_best}"
        yield f"trial {cheaper.trial} ({metric} {score}) {why}"
    if confirmation:
        command = f"sweep confirm --top {confirmation.top} --replicates {confirmation.replicates}"
        runs, core_hours = spelling.count(confirmation.runs, "run"), spelling.hours(confirmation.core_h)
        yield f"to confirm the best takes {runs}, about {core_hours} core-hours: {command}"


def unimportant_line(analysis: Analysis) -> str:
    """Name the parameters that did not matter, with the best's values; empty where none can be named."""
    names: Sequence[str] = analysis.unimportant
    if not names or analysis.best is None:
        return ""
    params = analysis.best.parameters
    values = [spelling.shortened(spelling.parameter_value(params.get(name)), 40) for name in names[:MAX_NAMED]]
    fixed = ", ".join(f"{name} = {value}" for name, value in zip(names[:MAX_NAMED], values, strict=True))
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"hardly mattered, and may be fixed: {fixed}{more}"
