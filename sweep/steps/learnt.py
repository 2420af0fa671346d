"""learnt: what earlier sweeps of the same parameters know of a race's. Its plan reads that, and keeps it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sweep.errors import NoSuch, SweepError
from sweep.grid import Grid, Source
from sweep.jobs import racing
from sweep.model import Objective, Trial
from sweep.shell import Shell
from sweep.state.settings import RaceRules
from sweep.state.snapshot import Snapshot, judge_all
from sweep.steps.make_jobs import objective_of
from sweep.steps.observe import gather
from sweep.steps.partial import partial_results
from sweep.steps.provenance import digest_of
from sweep.store import Shelf, Store

if TYPE_CHECKING:
    from sweep.race.forecast import Earlier
    from sweep.race.space import Space


class Run(msgspec.Struct, frozen=True, array_like=True):
    """What one trial of an earlier sweep came to.

    Attributes
    ----------
    sweep : int
        Which of the sweeps it was of, from 1.
    scores : tuple of float or None
        Its score at each of the race's rungs that it has reached.
    """

    sweep: int
    params: dict[str, Any]
    scores: tuple[float | None, ...]


@dataclass(frozen=True)
class Learnt:
    """What a plan keeps of earlier sweeps.

    Attributes
    ----------
    digest : str
        Names the text; empty: there are no earlier sweeps.
    texts : dict
        The text by its digest.
    notes : tuple of str
        How much of each sweep there is to learn from.
    """

    digest: str
    texts: dict[str, str]
    notes: tuple[str, ...]


def learn(grid: Grid, source: Source, drafts: Sequence[Trial], results: Path, shell: Shell) -> Learnt:
    """Read what the earlier sweeps that a race names came to. Nothing is written into their folders.

    Parameters
    ----------
    drafts : sequence of Trial
        The trials that are planned.
    results : Path
        The folder that sweeps land in.

    Raises
    ------
    GridError
        There is no such sweep, or it has other parameters or another objective.
    """
    rules = racing.rules_of(grid, len(drafts))
    if grid.race is None or rules is None or not grid.race.from_:
        return Learnt("", {}, ())
    runs: list[Run] = []
    notes = []
    for index, name in enumerate(grid.race.from_):
        path = ("race", "from", index)
        try:
            store = Shelf(results, shell.clock).find(name)
            snapshot = judge_all(gather(store, shell, math.inf))
        except NoSuch as error:
            raise source.error(
                path, f"from: {error}", error.hint or "name a sweep that was planned here"
            ) from None
        if name in grid.race.from_[:index] or store.path == Shelf(results).at(grid.name).path:
            whose = "named twice" if name in grid.race.from_[:index] else "the sweep itself"
            raise source.error(path, f"from: {name} is {whose}", "name each earlier sweep once")
        _check_alike(grid, source, drafts[0], snapshot, index)
        new, open_ = _runs(store, snapshot, rules, index + 1)
        runs += new
        notes.append(_note(name, len(new), open_))
    text = msgspec.json.encode(runs).decode()
    digest = digest_of(text)
    return Learnt(digest, {digest: text}, tuple(notes))


def _check_alike(grid: Grid, source: Source, draft: Trial, snapshot: Snapshot, index: int) -> None:
    """Refuse a sweep whose scores say nothing of this one's."""
    assert grid.race is not None
    path, name = ("race", "from", index), grid.race.from_[index]
    objective, theirs = objective_of(grid), snapshot.settings.objective
    if (objective.metric, objective.goal) != (theirs.metric, theirs.goal):
        raise source.error(
            path,
            f"from: {name} was to {theirs.goal} {theirs.metric}, and this sweep is to {objective.goal} "
            f"{objective.metric}",
            "its scores say nothing of these: take it out",
        )
    for trial in (status.trial for status in snapshot.active[:1]):
        missing = [key for key in draft.params if key not in trial.params]
        more = [key for key in trial.params if key not in draft.params]
        if missing or more:
            parts = [f"has no {', '.join(missing)}" if missing else "", f"has {', '.join(more)}" if more else ""]
            raise source.error(
                path,
                f"from: {name} has other parameters: it {' and '.join(filter(None, parts))}",
                "give this grid the same parameters, with one value each where they do not vary; or take it out",
            )


def _runs(store: Store, snapshot: Snapshot, rules: RaceRules, sweep: int) -> tuple[list[Run], int]:
    """Judge what has ended at the rungs of the new race; with it, how many trials have not."""
    from sweep.steps.standing import is_over_for_now, judge  # other plans do without numpy

    objective: Objective = snapshot.settings.objective
    ended = [status for status in snapshot.active if is_over_for_now(status)]
    partials = partial_results(store, (status.trial for status in ended), objective)
    runs = []
    for status in ended:
        number = status.trial.number
        judged = judge(number, status.attempt, status.verdict.state, partials.get(number), 0.0, rules)
        if any(score is not None for score in judged.scores):
            runs.append(Run(sweep, status.trial.params, judged.scores))
    return runs, sum(status.sent is not None and not is_over_for_now(status) for status in snapshot.active)


def _note(name: str, runs: int, open_: int) -> str:
    if not runs:
        return f"from {name}: none of its trials has a score yet; plan again when some have"
    more = f"; {open_} of its trials run still: a later plan has these, too" if open_ else ""
    return f"from {name}: the forest begins with what {runs} of its trials scored; none of that decides{more}"


def recall(store: Store, digest: str) -> list[Run]:
    """Return what the newest plan kept of earlier sweeps.

    Raises
    ------
    SweepError
        It is gone.
    """
    if not digest:
        return []
    try:
        text = store.texts.read(digest)
    except NoSuch as error:
        raise SweepError(
            f"what earlier sweeps learnt is gone: {error}",
            "`sweep plan` reads them again; or take `from` out of the race",
        ) from None
    return msgspec.json.decode(text, type=list[Run])


def encoded(
    params: Sequence[dict[str, Any]], runs: Sequence[Run], rungs: int, sign: float
) -> tuple[Space, Earlier]:
    """Turn configurations, and what earlier sweeps know of such, into numbers of one kind.

    Parameters
    ----------
    sign : float
        −1 where a small score is better.
    """
    import numpy as np

    from sweep.race.forecast import Earlier
    from sweep.race.space import encode

    space, count = encode([*params, *(run.params for run in runs)]), len(params)
    scores = np.full((len(runs), rungs), np.nan)
    for row, run in enumerate(runs):
        own = run.scores[:rungs]
        scores[row, : len(own)] = [np.nan if score is None else sign * score for score in own]
    earlier = Earlier(space.features[count:], scores, np.array([run.sweep for run in runs], dtype=np.intp))
    return space.of(slice(0, count)), earlier
